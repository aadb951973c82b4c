//! `pretrain` and `sft`: the same command with another objective.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use kindling::checkpoint::read_training;
use kindling::data::{DataOptions, DataReport, Dataset};
use kindling::device::OpenDevice;
use kindling::error::Error;
use kindling::model::{ModelConfig, Transformer, preset};
use kindling::tokenizer::Tokenizer;
use kindling::train::{Job, NextToken, Outcome, Plan, Run, Stage, TrainConfig, train};
use serde_json::{Value, json};

use super::{doctor, example, load, open_device};
use crate::cli::{Everywhere, Invocation};
use crate::failure::{Failure, io_error};
use crate::interrupt;
use crate::model_files::{open_checkpoint, open_tokenizer, read_optional};
use crate::output::{self, Output};
use crate::progress::RunListener;
use crate::run_dir::{Existing, RunDir, SETTINGS};
use crate::sources;

/// Flags of the training stages.
#[derive(Args)]
pub struct TrainArgs {
    /// Files, directories or globs to train on (repeatable)
    #[arg(long)]
    pub data: Vec<String>,
    /// A checkpoint to go on from
    #[arg(long)]
    pub model: Option<PathBuf>,
    /// A new model of a published size
    #[arg(long, conflicts_with = "model")]
    pub preset: Option<String>,
    /// A new model of the sizes in this config.json
    #[arg(long, conflicts_with_all = ["model", "preset"])]
    pub model_config: Option<PathBuf>,
    /// The tokenizer of a new model: a directory or a tokenizer.json
    #[arg(long, conflicts_with = "model")]
    pub tokenizer: Option<PathBuf>,
    /// A Jinja chat template that replaces the tokenizer's own
    #[arg(long)]
    pub chat_template: Option<PathBuf>,
    /// The run's directory; without it, runs/<stage>-NNN
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Replace a run that is already in --out
    #[arg(long, conflicts_with = "resume")]
    pub overwrite: bool,
    /// Go on with the run in --out
    #[arg(long, requires = "out")]
    pub resume: bool,
    /// Save and end after this step of the run; the schedule does not change
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub stop_after: Option<u64>,
    /// Use at most this many rows
    #[arg(long)]
    pub limit: Option<u64>,
    /// Leave out rows that cannot be used, and count them
    #[arg(long)]
    pub skip_bad_rows: bool,
    /// Leave out rows that are exactly equal to an earlier one (16 to 40 bytes of memory a row while reading)
    #[arg(long)]
    pub dedup: bool,
    /// Leave out rows of fewer characters
    #[arg(long)]
    pub min_chars: Option<usize>,
    /// Leave out rows of more characters
    #[arg(long)]
    pub max_chars: Option<usize>,
    /// A TOML file with any of these flags; the command line wins
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// How the run goes
    #[command(flatten)]
    pub train: TrainConfig,
}

/// Puts the stage's defaults into the flags that have any: they are written once, in the library.
pub fn with_stage_defaults(verb: clap::Command, stage: Stage) -> clap::Command {
    let defaults = serde_json::to_value(TrainConfig::of(stage)).unwrap_or_default();
    let Value::Object(defaults) = defaults else {
        return verb;
    };
    defaults.into_iter().filter(|(_, value)| !value.is_null()).fold(verb, |verb, (key, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
        verb.mut_arg(key.replace('-', "_"), |arg| arg.default_value(text).required(false))
    })
}

/// Runs a stage.
pub fn run(
    stage: Stage,
    args: &TrainArgs,
    everywhere: &Everywhere,
    invocation: &Invocation,
) -> Result<(), Failure> {
    let output = everywhere.output();
    let started = args.model.is_some() || args.preset.is_some() || args.model_config.is_some();
    if args.data.is_empty() && !started && !args.resume {
        return example::run(stage, args, everywhere, invocation);
    }
    let resumed = args.resume.then(|| RunDir::open(&required_out(args), args.train.keep_last)).transpose()?;
    if args.data.is_empty() {
        return Err(Failure::Usage(
            "there is no --data to train on; without any flags the generated example runs".into(),
        ));
    }
    args.train.validate()?;
    refuse_same_place(args)?;
    let device = open_device(everywhere)?;
    let (model, tokenizer) = match &resumed {
        Some(directory) => resume_model(directory, &device)?,
        None => new_model(args, &device)?,
    };
    let model = model.with_dtype(everywhere.dtype.burn());
    let dataset = open_data(args, output)?;
    let job =
        Job { stage, config: args.train.clone(), tokenizer: Arc::new(tokenizer), dataset: Arc::new(dataset) };
    let (run, directory) = match resumed {
        Some(directory) => (resume(job, model, &directory)?, directory),
        None => {
            job.validate(&model)?;
            let run = job.start(model)?;
            let directory = create(args, stage, invocation)?;
            (run, directory)
        }
    };
    let outcome = execute(run, &directory, args.stop_after, &device, output)?;
    finish(stage, &outcome, &directory, output)
}

/// Trains a prepared run in its directory.
pub fn execute(
    mut run: Run<NextToken>,
    directory: &RunDir,
    stop_after: Option<u64>,
    device: &OpenDevice,
    output: Output,
) -> Result<Outcome, Failure> {
    interrupt::listen();
    run.stop_after = stop_after;
    announce(&run, device, output);
    let tokenizer = Arc::clone(&run.tokenizer);
    let config = with_token_ids(run.model.config().clone(), &tokenizer);
    let (total, done) = (run.progress.total_steps, run.progress.step);
    let mut listener = RunListener::new(directory, config, &tokenizer, output, total, done);
    let outcome = pollster::block_on(train(run, &mut listener));
    listener.finish();
    let outcome = outcome?;
    let loader = &outcome.progress.loader;
    if loader.cut + loader.dropped > 0 {
        output.say(&format!(
            "{} rows were longer than --max-seq-len and cut, {} dropped (too long or without an answer)",
            output::grouped(loader.cut),
            output::grouped(loader.dropped)
        ));
    }
    if outcome.stopped {
        output.say(&format!(
            "stopped at step {} and saved; go on with: kindling <the same command> --resume --out {}",
            outcome.progress.step,
            directory.path().display()
        ));
        return Err(Failure::Interrupted);
    }
    Ok(outcome)
}

/// Says what the run is and needs, before it starts.
fn announce(run: &Run<NextToken>, device: &OpenDevice, output: Output) {
    let config = &run.progress.config;
    let plan = Plan::new(run.model.config(), config, run.progress.total_steps);
    let (free, _) = doctor::memory();
    let speed = kindling::bench::matmul_flops(&device.device);
    // A training step reaches about a third of a bare product's speed.
    let left = 1.0 - run.progress.step as f64 / plan.steps.max(1) as f64;
    output.say(&format!(
        "{} parameters on {} · {} steps of {} × {} tokens · memory about {} ({} free) · time about {}",
        output::grouped(plan.parameters),
        device.choice,
        output::grouped(plan.steps),
        config.batch_size * config.grad_accum,
        config.max_seq_len,
        output::bytes(plan.bytes()),
        output::bytes(free),
        output::duration(plan.flops / (speed / 3.0) * left)
    ));
    if plan.bytes() > free && device.choice == kindling::device::DeviceChoice::Cpu {
        output
            .warn("this run may need more memory than is free; take a smaller --batch-size or --max-seq-len");
    }
}

/// Makes the run's directory and keeps the command and its settings there.
pub fn create(args: &TrainArgs, stage: Stage, invocation: &Invocation) -> Result<RunDir, Failure> {
    let existing = if args.overwrite { Existing::Overwrite } else { Existing::Refuse };
    let directory = RunDir::create(args.out.as_deref(), stage.name(), existing, args.train.keep_last)?;
    let text = format!("# {}\n{}", invocation.words.replace('\n', " "), invocation.settings);
    directory.write(SETTINGS, text.as_bytes())?;
    Ok(directory)
}

/// A run must not replace the checkpoint that it starts from.
fn refuse_same_place(args: &TrainArgs) -> Result<(), Failure> {
    let (Some(model), Some(out)) = (&args.model, &args.out) else {
        return Ok(());
    };
    let place = |path: &Path| std::fs::canonicalize(path).ok();
    if args.overwrite
        && place(model).is_some_and(|model| place(out).is_some_and(|out| model.starts_with(out)))
    {
        return Err(Failure::Usage(format!(
            "--overwrite would remove {} before it is read; choose another --out",
            model.display()
        )));
    }
    Ok(())
}

fn required_out(args: &TrainArgs) -> PathBuf {
    args.out.clone().unwrap_or_default()
}

fn resume_model(directory: &RunDir, device: &OpenDevice) -> Result<(Transformer, Tokenizer), Failure> {
    let newest = newest(directory)?;
    let checkpoint = open_checkpoint(&newest)?;
    let model = load(&checkpoint, &device.device.clone().autodiff(), &newest)?;
    let tokenizer = checkpoint.tokenizer.ok_or_else(|| no_tokenizer(&newest))?;
    Ok((model, tokenizer))
}

fn newest(directory: &RunDir) -> Result<PathBuf, Failure> {
    directory.newest()?.ok_or_else(|| {
        let path = directory.path().display();
        Error::Checkpoint(format!(
            "{path}: the run ended before its first save; begin it again with --overwrite"
        ))
        .into()
    })
}

fn resume(job: Job, model: Transformer, directory: &RunDir) -> Result<Run<NextToken>, Failure> {
    let newest = newest(directory)?;
    let (optimizer, progress) = read_training(|name| read_optional(&newest.join(name)))?;
    let step = progress.step;
    let run = job.resume(model, optimizer, progress)?;
    directory.log(&json!({"event": "resume", "step": step}))?;
    Ok(run)
}

/// A checkpoint's model, or a new one with a tokenizer.
fn new_model(args: &TrainArgs, device: &OpenDevice) -> Result<(Transformer, Tokenizer), Failure> {
    let autodiff = device.device.clone().autodiff();
    let (model, mut tokenizer) = match &args.model {
        Some(path) => {
            let checkpoint = open_checkpoint(path)?;
            let model = load(&checkpoint, &autodiff, path)?;
            (model, checkpoint.tokenizer.ok_or_else(|| no_tokenizer(path))?)
        }
        None => {
            let path = args.tokenizer.as_ref().ok_or_else(|| {
                Failure::Usage(
                    "a new model needs a --tokenizer; make one with `kindling tokenizer train`".into(),
                )
            })?;
            let tokenizer = open_tokenizer(path)?;
            let config = with_token_ids(model_config(args, tokenizer.vocab_size())?, &tokenizer);
            (Transformer::init(&config, args.train.seed, &autodiff)?, tokenizer)
        }
    };
    if let Some(path) = &args.chat_template {
        let text = std::fs::read_to_string(path).map_err(|e| io_error(path, e))?;
        tokenizer.set_chat_template(&text)?;
    }
    Ok((model, tokenizer))
}

fn no_tokenizer(path: &Path) -> Failure {
    Error::Checkpoint(format!("{}: there is no tokenizer.json, which training on text needs", path.display()))
        .into()
}

fn model_config(args: &TrainArgs, vocab_size: usize) -> Result<ModelConfig, Failure> {
    if let Some(path) = &args.model_config {
        let json = std::fs::read(path).map_err(|e| io_error(path, e))?;
        return Ok(ModelConfig::from_hugging_face(&json)?.with_vocab_size(vocab_size));
    }
    let name = args.preset.as_deref().unwrap_or("nano");
    Ok(preset(name)?.config(Some(vocab_size)))
}

/// The tokenizer's special ids in the model's config, as `generate` functions elsewhere expect them.
pub fn with_token_ids(mut config: ModelConfig, tokenizer: &Tokenizer) -> ModelConfig {
    config.bos_token_id = tokenizer.bos().or(config.bos_token_id);
    config.pad_token_id = tokenizer.pad().or(config.pad_token_id);
    if config.eos_token_ids.is_empty() {
        config.eos_token_ids = tokenizer.stop_ids();
    }
    config
}

fn open_data(args: &TrainArgs, output: Output) -> Result<Dataset, Failure> {
    let options = DataOptions {
        limit: args.limit,
        skip_bad_rows: args.skip_bad_rows,
        dedup: args.dedup,
        min_chars: args.min_chars,
        max_chars: args.max_chars,
        ..DataOptions::default()
    };
    let dataset = Dataset::open(sources::open(&args.data)?, options)?;
    tell(dataset.report(), output);
    Ok(dataset)
}

/// Says what was read and what is odd about it.
pub fn tell(report: &DataReport, output: Output) {
    output.say(&format!(
        "{} rows, {} of text",
        output::grouped(report.usable),
        output::bytes(report.bytes_of_text)
    ));
    for (kind, count) in &report.warnings {
        output.warn(&format!("{} rows: {kind} (the first: {})", output::grouped(count.rows), count.first));
    }
    for (what, count) in [("cannot be used", report.bad), ("are equal to an earlier one", report.duplicates)]
    {
        if count > 0 {
            output.warn(&format!("{} rows {what} and are left out", output::grouped(count)));
        }
    }
    if report.filtered > 0 {
        output.say(&format!(
            "{} rows are outside --min-chars and --max-chars",
            output::grouped(report.filtered)
        ));
    }
}

fn finish(stage: Stage, outcome: &Outcome, directory: &RunDir, output: Output) -> Result<(), Failure> {
    let path = directory.path();
    let held_out = outcome.held_out.as_ref();
    let done = json!({
        "event": "done", "out": path, "step": outcome.progress.step, "tokens": outcome.progress.tokens,
        "heldout_loss": held_out.map(|h| h.loss), "bits_per_byte": held_out.map(|h| h.bits_per_byte),
    });
    directory.log(&done)?;
    output.json(&done);
    output.line(&format!("{}", path.display()));
    let next = match stage {
        Stage::Pretrain => format!("kindling generate --model {} --prompt \"Once\"", path.display()),
        Stage::Sft => format!("kindling chat --model {}", path.display()),
    };
    output.say(&format!("try it: {next}"));
    Ok(())
}
