//! What a person sees while a run trains: a bar on a terminal, lines elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};
use kindling::checkpoint::run_files;
use kindling::error::Result;
use kindling::model::ModelConfig;
use kindling::platform::now;
use kindling::tokenizer::Tokenizer;
use kindling::train::{
    Control, HeldOut, Listener, Progress, SaveClock, SaveConfig, Snapshot, StepLog, TrainEvent,
};
use serde_json::{Value, json};

use crate::followed::{self, News};
use crate::interrupt;
use crate::output::{Output, duration};
use crate::run_dir::{Reason, RunDir};
use crate::tracking::Sample;

/// Listens to a run: shows it, logs it and stores it.
pub struct RunListener<'a> {
    directory: &'a RunDir,
    config: ModelConfig,
    tokenizer: &'a Tokenizer,
    output: Output,
    bar: Option<ProgressBar>,
    steps: Steps,
    clock: SaveClock,
    /// Whether the save to come is due by time alone.
    by_time: bool,
    /// When the work ended that is not part of a save.
    worked: f64,
}

/// The steps of a run.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    /// Taken before this process.
    pub done: u64,
    /// The last one of this process, where that is not the run's.
    pub stop_after: Option<u64>,
    /// In all, as far as is known.
    pub total: u64,
}

impl<'a> RunListener<'a> {
    /// A listener for a run.
    pub fn new(
        directory: &'a RunDir,
        config: ModelConfig,
        tokenizer: &'a Tokenizer,
        output: Output,
        steps: Steps,
        saving: SaveConfig,
    ) -> Self {
        let bar = (!output.quiet && !output.verbose && std::io::stderr().is_terminal())
            .then(|| bar(steps.total, steps.done));
        let now = now();
        let clock = SaveClock::new(saving, now);
        Self { directory, config, tokenizer, output, bar, steps, clock, by_time: false, worked: now }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Shows what the model wrote on the way, and logs it.
    ///
    /// # Errors
    /// A log that cannot be written.
    pub fn sampled(&self, step: u64, samples: &[Sample]) -> Result<()> {
        followed::tell(News::Samples(step, samples));
        for Sample { prompt, text } in samples {
            self.say(&format!("step {step}: {prompt} → {text}"));
            let line = json!({"event": "sample", "step": step, "prompt": prompt, "text": text});
            self.output.json(&line);
            self.directory.log(&line)?;
        }
        Ok(())
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.output.say(text)),
            None => self.output.say(text),
        }
    }

    fn show(&self, log: &StepLog) {
        let here = log.step.saturating_sub(self.steps.done).max(1) as f64;
        // A run whose steps were an estimate may take more of them.
        let total = self.steps.total.max(log.step);
        let left = (total - log.step) as f64 * log.elapsed_s / here;
        let mut line = format!(
            "loss {:.4} · lr {:.2e} · {:.0} tokens/s · {} left",
            log.loss,
            log.lr,
            log.tokens_per_second,
            duration(left)
        );
        line += &beside_loss(&log.metrics);
        if let Some(share) = log.metrics.get("expert_load_max") {
            line += &format!(" · fullest expert {share:.2}×");
        }
        if let Some(remark) = log.loss_scale.and_then(|scale| scale.remark()) {
            line += &format!(" · {remark}");
        }
        match &self.bar {
            Some(bar) => {
                bar.set_length(total);
                bar.set_position(log.step);
                bar.set_message(line);
            }
            None => self.output.say(&format!("step {}/{total} · {line}", log.step)),
        }
    }

    fn store(&mut self, snapshot: &Snapshot, best: bool) -> Result<()> {
        let (step, by_time) = (snapshot.progress.step, std::mem::take(&mut self.by_time));
        let reason = match best {
            true => Reason::Best,
            false if by_time && !self.is_asked(&snapshot.progress) => Reason::Time,
            false => Reason::Asked,
        };
        let files = run_files(snapshot, &self.config, self.tokenizer)?;
        self.directory.save(step, &files, reason)?;
        followed::tell(News::Saved(step));
        let now = now();
        self.clock.saved(now, now - self.worked);
        if self.output.verbose {
            self.say(&format!("saved step {step} in {}", self.directory.path().display()));
        }
        self.directory.log(&json!({"event": "save", "step": step, "best": best}))
    }

    /// Whether a step would be saved without the clock, too.
    fn is_asked(&self, progress: &Progress) -> bool {
        let every = progress.config.save_every;
        let last = self.steps.stop_after.map_or(progress.total_steps, |stop| stop.min(progress.total_steps));
        progress.step >= last || (every > 0 && progress.step.is_multiple_of(every))
    }

    fn eval(&self, step: u64, held_out: &HeldOut, best: bool) -> Result<()> {
        followed::tell(News::Eval { step, held_out, best });
        let (loss, bits) = (held_out.loss, held_out.bits_per_byte);
        self.say(&format!(
            "step {step}: held-out loss {loss:.4}{}{}{}",
            bits.map_or(String::new(), |bits| format!(", {bits:.4} bits per byte")),
            beside_loss(&held_out.metrics),
            if best { " (best)" } else { "" }
        ));
        let mut line = json!({
            "event": "eval", "step": step, "loss": loss, "bits_per_byte": bits, "targets": held_out.targets,
        });
        held_out.metrics.iter().for_each(|(name, value)| line[*name] = json!(value));
        self.output.json(&line);
        self.directory.log(&line)
    }
}

impl Listener for RunListener<'_> {
    fn on(&mut self, event: TrainEvent<'_>) -> Result<()> {
        let told = match event {
            TrainEvent::Step { log, .. } => {
                followed::tell(News::Step(log));
                self.show(log);
                let line = serde_json::to_value(log).unwrap_or(Value::Null);
                self.output.json(&line);
                self.directory.log(&line)
            }
            TrainEvent::Eval { step, held_out, best } => self.eval(step, held_out, best),
            TrainEvent::Save { snapshot, best } => self.store(snapshot, best),
            TrainEvent::Warning(text) => {
                followed::tell(News::Warning(&text));
                match &self.bar {
                    Some(bar) => bar.suspend(|| self.output.warn(&text)),
                    None => self.output.warn(&text),
                }
                let line = json!({"event": "warning", "message": text.text()});
                self.output.json(&line);
                self.directory.log(&line)
            }
        };
        self.worked = now();
        told
    }

    fn control(&mut self) -> Control {
        self.worked = now();
        let wanted = if interrupt::asked() { Control::Stop } else { followed::wants() };
        self.by_time = wanted == Control::Continue && self.clock.due(self.worked);
        if self.by_time { Control::Save } else { wanted }
    }
}

/// What is told beside the loss: how far apart the answers of pairs are, what the model's own answers are worth, how many
/// hidden tokens are found, or both terms of a distillation.
fn beside_loss(metrics: &BTreeMap<&'static str, f64>) -> String {
    if let (Some(margin), Some(accuracy)) = (metrics.get("reward_margin"), metrics.get("reward_accuracy")) {
        return format!(" · reward margin {margin:.4}, accuracy {:.1} %", 100.0 * accuracy);
    }
    if let Some(reward) = metrics.get("reward") {
        let beside = [
            ("groups_without_variance", "without variance", true),
            ("answer_accuracy", "right", true),
            ("format_rate", "in tags", true),
            ("response_length", "tokens an answer", false),
        ];
        let said = beside.into_iter().filter_map(|(name, said, share)| {
            let value = metrics.get(name)?;
            Some(if share {
                format!(", {:.0} % {said}", 100.0 * value)
            } else {
                format!(", {value:.1} {said}")
            })
        });
        return format!(" · reward {reward:.4}{}", said.collect::<String>());
    }
    if let (Some(kept), Some(right)) = (metrics.get("format_rate"), metrics.get("answer_accuracy")) {
        let asked = metrics.get("answers").copied().unwrap_or_default();
        let answers = if asked == 1.0 { "answer" } else { "answers" };
        return format!(
            " · of {asked} {answers} {:.1} % keep the tags, {:.1} % are right",
            100.0 * kept,
            100.0 * right
        );
    }
    if let Some(right) = metrics.get("masked_accuracy") {
        let percent = |share: &f64| format!("{:.1} %", 100.0 * share);
        // Of held-out rows alone, however much the run hides.
        let rebuilt = metrics.get("reconstruction_accuracy").map(|share| {
            let guess = metrics.get("unigram_accuracy").map(percent).unwrap_or_default();
            format!(
                ", {} with a tenth to a half hidden (always the most frequent token: {guess})",
                percent(share)
            )
        });
        return format!(" · {} of hidden tokens right{}", percent(right), rebuilt.unwrap_or_default());
    }
    let terms =
        [("ce_loss", "cross entropy"), ("kd_loss", "to the teacher"), ("own_kd_loss", "on own answers")];
    let said = terms.into_iter().filter_map(|(name, said)| Some(format!("{said} {:.4}", metrics.get(name)?)));
    match said.collect::<Vec<_>>().join(", ") {
        said if said.is_empty() => said,
        // The loss is the mean over steps, whose targets may be more or fewer.
        said => format!(" · mean over targets: {said}"),
    }
}

fn bar(total_steps: u64, done: u64) -> ProgressBar {
    let bar = ProgressBar::new(total_steps).with_position(done);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} · {msg}") {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_tokens_are_told_beside_the_loss() {
        assert_eq!(
            beside_loss(&BTreeMap::from([("masked_accuracy", 0.25)])),
            " · 25.0 % of hidden tokens right"
        );
        let held_out =
            [("masked_accuracy", 0.25), ("reconstruction_accuracy", 0.415), ("unigram_accuracy", 0.05)];
        assert_eq!(
            beside_loss(&BTreeMap::from(held_out)),
            " · 25.0 % of hidden tokens right, 41.5 % with a tenth to a half hidden (always the most frequent token: 5.0 %)"
        );
        assert_eq!(beside_loss(&BTreeMap::new()), "");
    }

    #[test]
    fn the_terms_of_a_distillation_are_told_as_means_over_targets() {
        let terms = BTreeMap::from([("ce_loss", 2.5), ("kd_loss", 0.25)]);
        let told = " · mean over targets: cross entropy 2.5000, to the teacher 0.2500";
        assert_eq!(beside_loss(&terms), told);
        let own = BTreeMap::from([("own_kd_loss", 0.5)]);
        assert_eq!(beside_loss(&own), " · mean over targets: on own answers 0.5000");
    }
}
