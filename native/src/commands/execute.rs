//! A prepared run, from its first word to its last: what it will need, how it ended, how it goes on.

use std::path::Path;
use std::sync::Arc;

use kindling::batch::Content;
use kindling::demo::DemoKind;
use kindling::device::{DeviceChoice, OpenDevice};
use kindling::train::{Outcome, Plan, Run, SaveConfig, Stage, train};
use serde_json::json;

use super::doctor;
use super::training_samples::TrainingSamples;
use crate::cli::Everywhere;
use crate::failure::Failure;
use crate::followed::{self, News};
use crate::interrupt;
use crate::output::{self, Output};
use crate::piped;
use crate::progress::{RunListener, Steps};
use crate::ranks;
use crate::run_dir::RunDir;
use crate::run_kind::RunKind;
use crate::sessions::Session;
use crate::shell_word::{path_word, word};
use crate::tracking::{About, Begins, End, Standing, TrackedListener, Trackers, TrackingConfig};
use crate::written::TRACKING;

/// How a run goes beside what it learns.
pub struct Course<'a> {
    /// What it learns.
    pub stage: Stage,
    /// The step to end after, where that is not the last one.
    pub stop_after: Option<u64>,
    /// When it is saved unasked.
    pub saving: SaveConfig,
    /// Whether several processes share the optimizer's state.
    pub shard_optimizer: bool,
    /// Who hears of it.
    pub tracking: &'a TrackingConfig,
    /// What it finds there.
    pub standing: Standing,
}

/// Trains a prepared run in its directory; an interrupted one is saved, and its outcome says so.
///
/// # Errors
/// Whatever ends the training.
pub fn execute(
    mut run: Run,
    directory: &RunDir,
    course: &Course<'_>,
    device: &OpenDevice,
    output: Output,
) -> Result<Outcome, Failure> {
    ranks::lead(directory.path())?;
    if let Some(ranks) = ranks::joined().filter(|_| ranks::follows()) {
        run.shard_optimizer = course.shard_optimizer;
        return ranks::follow(run, ranks, course.stop_after);
    }
    interrupt::listen();
    let (stop_after, saving) = (course.stop_after, course.saving);
    (run.stop_after, run.ranks) = (stop_after, ranks::joined().cloned());
    run.shard_optimizer = course.shard_optimizer;
    let trackers = open_trackers(&run, directory, course, device)?;
    announce(&run, device, output);
    let session = Session::begin(device, run.progress.step);
    let tokenizer = Arc::clone(&run.tokenizer);
    let config = run.model.config().clone().with_token_ids(&tokenizer);
    let steps = Steps { done: run.progress.step, stop_after, total: run.progress.total_steps };
    let samples = training_samples(&run, course);
    let listener = RunListener::new(directory, config, &tokenizer, output, steps, saving);
    let mut listener = TrackedListener::new(listener, trackers, samples, steps.done);
    let outcome = pollster::block_on(train(run, &mut listener));
    let finished = listener.finish(match &outcome {
        Ok(outcome) if outcome.stopped => End::Stopped,
        Ok(_) => End::Done,
        Err(_) => End::Failed,
    });
    let outcome = outcome?;
    finished?;
    session.end(directory, outcome.progress.step)?;
    tell_exchange(outcome.progress.step - steps.done, output);
    followed::tell(News::Ended(&outcome));
    let loader = &outcome.progress.loader;
    if loader.cut + loader.dropped > 0 {
        output.say(&format!(
            "{} longer than --max-seq-len and cut, {} dropped (too long or without an answer)",
            output::counted(loader.cut, ["row was", "rows were"]),
            output::grouped(loader.dropped)
        ));
    }
    if !loader.drawn.is_empty() {
        let drawn = loader.drawn.iter().map(|(name, rows)| format!("{} of {name}", output::grouped(*rows)));
        output.say(&format!("rows read by source: {}", drawn.collect::<Vec<_>>().join(", ")));
        directory.log(&json!({"event": "sources", "step": outcome.progress.step, "rows": loader.drawn}))?;
    }
    if let Some(remark) = outcome.progress.loss_scale.and_then(|scale| scale.remark()) {
        output.say(&remark);
    }
    if loader.unusable > 0 {
        output.say(&format!(
            "{} left out",
            output::counted(
                loader.unusable,
                ["row could not be rendered and was", "rows could not be rendered and were"]
            )
        ));
    }
    Ok(outcome)
}

/// Says what the exchange between ranks took of so many steps.
fn tell_exchange(steps: u64, output: Output) {
    if let Some((bytes, seconds)) = ranks::spent().filter(|_| steps > 0) {
        output.say(&format!(
            "between the ranks went {} a step of this process; it waited {:.1} s for it in all",
            output::bytes(bytes / steps),
            seconds
        ));
    }
}

/// Those who are to hear of the run.
fn open_trackers(
    run: &Run,
    directory: &RunDir,
    course: &Course<'_>,
    device: &OpenDevice,
) -> Result<Trackers, Failure> {
    if course.tracking.writes_files() {
        directory.announce_files([TRACKING.to_string()])?;
    }
    let about = About::of(run, directory.path(), device)?;
    let begins = Begins::of(course.standing, run.progress.step);
    Ok(Trackers::open(course.tracking, &about, begins, &directory.path().join(TRACKING))?)
}

/// What the model is asked on the way, where it is.
fn training_samples(run: &Run, course: &Course<'_>) -> Option<TrainingSamples> {
    let talks = run.tokenizer.check_chat_template().is_ok();
    let kind = DemoKind::of(Some(course.stage), run.model.config().diffusion.is_some(), talks);
    TrainingSamples::of(course.tracking, kind, &run.model, &run.tokenizer, run.progress.step)
}

/// Says what the run is and needs, before it starts.
fn announce(run: &Run, device: &OpenDevice, output: Output) {
    let config = &run.progress.config;
    let plan = &run.plan;
    let (free, _) = doctor::memory();
    let speed = pollster::block_on(kindling::bench::matmul_flops(&device.device));
    // A training step reaches about a third of a bare product's speed.
    let left = 1.0 - run.progress.step as f64 / plan.steps.max(1) as f64;
    let ranks = ranks::joined().map_or(1, |ranks| ranks.size());
    output.say(&format!(
        "{} on {} · {} of {} × {} tokens · memory about {} ({} free) · time about {}",
        parameters(plan, run.adapter.is_some()),
        device.choice,
        output::counted(plan.steps, ["step", "steps"]),
        config.batch_size * config.grad_accum,
        config.max_seq_len,
        output::bytes(plan.bytes()),
        output::bytes(free),
        output::duration(plan.flops / (speed / 3.0) * left / ranks as f64)
    ));
    if run.shard_optimizer && ranks == 1 {
        output.say("--shard-optimizer does nothing in one process");
    }
    if ranks > 1 {
        output.say(&format!("{ranks} processes train it, each with its share of the rows of every batch"));
        if config.batch_size < ranks {
            output.warn(&format!(
                "--batch-size {} gives {} of {ranks} processes no rows; take a larger one",
                config.batch_size,
                ranks - config.batch_size
            ));
        }
    }
    if plan.bytes() > free && device.choice == DeviceChoice::Cpu {
        output
            .warn("this run may need more memory than is free; take a smaller --batch-size or --max-seq-len");
    }
}

/// What trains, and what stays as it is: beside an adapter all of the model, else the parts that `--freeze` names.
fn parameters(plan: &Plan, adapts: bool) -> String {
    let frozen = if adapts { plan.parameters } else { plan.parameters - plan.trained };
    let (trained, frozen) = (output::grouped(plan.trained), (frozen > 0).then(|| output::grouped(frozen)));
    match frozen {
        None => format!("{trained} parameters"),
        Some(frozen) => format!("{trained} trained beside {frozen} frozen parameters"),
    }
}

/// Says how a run on rows of this content ended, and what comes next; `base` is the model that an adapter belongs to, and
/// `data` what it trained on.
///
/// # Errors
/// [`Failure::Interrupted`] for a run that a person stopped; a log that cannot be written.
pub fn conclude(
    (kind, content): (RunKind, Content),
    outcome: &Outcome,
    directory: &RunDir,
    base: Option<&Path>,
    data: &[String],
    everywhere: &Everywhere,
) -> Result<(), Failure> {
    let (output, path) = (everywhere.output(), directory.path());
    let (step, total) = (outcome.progress.step, outcome.progress.total_steps);
    if outcome.learned {
        output.say(&format!(
            "ended at step {step}: every step of a whole pass over the rows had a loss under {}",
            outcome.progress.config.stop_at_loss
        ));
    }
    if step == 0 && outcome.stopped {
        output
            .say("stopped before its first step, so there is nothing to save; begin again with --overwrite");
    } else if step < total || outcome.stopped {
        let command = resume_command(kind, path, everywhere.device);
        let how = how_to_go_on(&command, data);
        let left = if step < total { "" } else { ", whose last measurement is left out" };
        output.say(&format!("stopped at step {step} of {total} and saved{left}; {how}"));
    }
    if outcome.stopped {
        return Err(Failure::Interrupted);
    }
    let held_out = outcome.held_out.as_ref();
    let done = json!({
        "event": "done", "out": path.to_string_lossy(), "step": step, "total_steps": total, "tokens": outcome.progress.tokens,
        "learned": outcome.learned, "heldout_loss": held_out.map(|h| h.loss), "bits_per_byte": held_out.and_then(|h| h.bits_per_byte),
    });
    directory.log(&done)?;
    output.json(&done);
    output.line(&format!("{}", path.display()));
    let model = match kind.adapts {
        true => format!("{} --adapter {}", path_word(base.unwrap_or(Path::new("BASE"))), path_word(path)),
        false => path_word(path),
    };
    let next = match content {
        Content::Documents => format!("kindling generate --model {model} --prompt \"Once\""),
        Content::Conversations | Content::Preferences => format!("kindling chat --model {model}"),
    };
    output.say(&format!("try it: {next}"));
    Ok(())
}

/// The command that goes on with a run: its directory keeps all settings but the device.
fn resume_command(kind: RunKind, out: &Path, device: DeviceChoice) -> String {
    let device = match device {
        DeviceChoice::Auto => String::new(),
        chosen => format!(" --device {chosen}"),
    };
    format!("kindling {} --resume --out {}{device}", kind.command(), path_word(out))
}

/// What came through a pipe is gone: the command needs a file in its place.
fn how_to_go_on(command: &str, data: &[String]) -> String {
    if !data.iter().any(|name| piped::passes(name)) {
        return format!("go on with: {command}");
    }
    let named = |name: &String| match piped::passes(name) {
        true => " --data FILE".to_string(),
        false => format!(" --data {}", word(name)),
    };
    let files: String = data.iter().map(named).collect();
    format!("its rows came through a pipe, so write the same rows to a FILE and go on with: {command}{files}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passed_through_a_pipe_is_asked_for_as_a_file() {
        let how = |data: &[&str]| {
            let data: Vec<String> = data.iter().map(ToString::to_string).collect();
            how_to_go_on("kindling sft --resume --out run", &data)
        };
        assert_eq!(how(&["a.jsonl", "hub:a/b"]), "go on with: kindling sft --resume --out run");
        for pipe in ["-", "/dev/stdin", "/dev/fd/63"] {
            let told = how(&["a.jsonl", pipe]);
            assert!(told.ends_with("kindling sft --resume --out run --data a.jsonl --data FILE"), "{told}");
            assert!(told.contains("write the same rows to a FILE"), "{told}");
        }
    }
}
