//! `pretrain`, `sft` and `lora`: the same command with another objective or another set of trained weights.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use kindling::adapter::LoraConfig;
use kindling::data::{DataOptions, DataReport, Dataset, HeldOutShare};
use kindling::error::Error;
use kindling::kernels::Quantization;
use kindling::train::{Job, SaveConfig, Stage, TrainConfig};
use serde_json::Value;

use super::execute::{conclude, execute};
use super::start::{Start, newest, resume};
use super::{example, open_device};
use crate::cli::{Everywhere, Invocation};
use crate::date::Date;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::run_dir::{Existing, RunDir, SETTINGS, refuse_inside};
use crate::sources::{self, RowArgs};

/// Flags of the training stages.
#[derive(Args)]
pub struct TrainArgs {
    /// Files, directories, globs, hub:owner/name or - for the standard input, to train on (repeatable)
    #[arg(long)]
    pub data: Vec<String>,
    /// A checkpoint to go on from: a directory, a .zip of one, a single .safetensors or .gguf file, a MiniMind .pth, or
    /// hub:owner/name
    #[arg(long)]
    pub model: Option<PathBuf>,
    /// A new model of a published size, or the size of a MiniMind .pth
    #[arg(long)]
    pub preset: Option<String>,
    /// A new model of the sizes in this config.json, or the sizes of a MiniMind .pth
    #[arg(long, conflicts_with = "preset")]
    pub model_config: Option<PathBuf>,
    /// The tokenizer of a new model, or of one that has none: a directory, a tokenizer.json, a checkpoint or
    /// hub:owner/name
    #[arg(long)]
    pub tokenizer: Option<PathBuf>,
    /// A Jinja chat template that replaces the tokenizer's own
    #[arg(long)]
    pub chat_template: Option<PathBuf>,
    /// The day that chat templates with today's date print, as 2025-07-31 [default: today; a run keeps it]
    #[arg(long, default_value_t = Date::today(), hide_default_value = true)]
    pub date: Date,
    /// The run's directory; without it, runs/<stage>-NNN
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Replace the files of a run that is already in --out, and no others
    #[arg(long, conflicts_with = "resume")]
    pub overwrite: bool,
    /// Go on with the run in --out
    #[arg(long, requires = "out")]
    pub resume: bool,
    /// Save and end after this step of the run; the schedule does not change
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub stop_after: Option<u64>,
    /// Which rows
    #[command(flatten)]
    pub rows: RowArgs,
    /// A TOML file with any of these flags; the command line wins
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// How the run goes
    #[command(flatten)]
    pub train: TrainConfig,
    /// When it is saved unasked
    #[command(flatten)]
    pub saving: SaveConfig,
}

/// Flags of `lora`.
#[derive(Args)]
pub struct LoraArgs {
    /// Those of every stage
    #[command(flatten)]
    pub run: TrainArgs,
    /// What trains
    #[command(flatten)]
    pub lora: LoraConfig,
    /// Hold the frozen model's matrices in few bits (QLoRA): less memory, slower [default: as f32]
    #[arg(long, value_enum)]
    pub weights: Option<Quantization>,
}

/// The adapter that a run trains beside a frozen model.
pub struct Adapting<'a> {
    /// The adapter's settings.
    pub lora: &'a LoraConfig,
    /// In how few bits the model is held.
    pub weights: Option<Quantization>,
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

/// Runs a stage; with `adapting`, an adapter beside the frozen model trains.
pub fn run(
    stage: Stage,
    args: &TrainArgs,
    adapting: Option<&Adapting>,
    everywhere: &Everywhere,
    invocation: &Invocation,
) -> Result<(), Failure> {
    let output = everywhere.output();
    check_settings(args)?;
    refuse_own_sources(args)?;
    let started = args.model.is_some() || args.preset.is_some() || args.model_config.is_some();
    if args.data.is_empty() && !started && !args.resume && adapting.is_none() {
        return example::run(stage, args, everywhere, invocation);
    }
    let out = args.out.clone().unwrap_or_default();
    let resumed = args.resume.then(|| RunDir::open(&out, args.train.keep_last)).transpose()?;
    if args.data.is_empty() {
        return Err(no_data(stage, resumed.as_ref()));
    }
    let device = open_device(everywhere)?;
    let last_save = resumed.as_ref().map(newest).transpose()?;
    let Start { model, mut tokenizer, adapter } = Start::open(args, adapting, last_save.as_deref(), &device)?;
    args.date.set(&mut tokenizer);
    let job = Job {
        stage,
        objective: stage.objective(),
        config: args.train.clone(),
        tokenizer: Arc::new(tokenizer),
        dataset: Arc::new(open_data(stage, &args.train, &args.data, &args.rows, output)?),
        adapter,
    };
    let model = model.with_dtype(everywhere.dtype.burn());
    let (run, directory) = match (resumed, last_save) {
        (Some(directory), Some(save)) => (resume(job, model, &directory, &save)?, directory),
        _ => (job.start(model)?, create(args, stage, invocation, &invocation.settings, &[])?),
    };
    let outcome = execute(run, &directory, args.stop_after, args.saving, &device, output)?;
    conclude(stage, &outcome, &directory, args.model.as_deref(), everywhere)
}

/// Only the example's runs keep no `--data` among their settings.
fn no_data(stage: Stage, resumed: Option<&RunDir>) -> Failure {
    Failure::Usage(match resumed {
        Some(directory) => format!(
            "{} holds the generated example, which does not go on where it stopped; begin it again with --overwrite",
            directory.path().display()
        ),
        None if stage == Stage::Lora => {
            "there is no --data to train on; `kindling sample-data DIR` writes a lora.jsonl to try".into()
        }
        None => "there is no --data to train on; without any flags the generated example runs".into(),
    })
}

/// Makes the run's directory and keeps the command and its settings there; `beside` is what else is written there.
pub fn create(
    args: &TrainArgs,
    stage: Stage,
    invocation: &Invocation,
    settings: &toml::Table,
    beside: &[String],
) -> Result<RunDir, Failure> {
    let existing = if args.overwrite { Existing::Overwrite } else { Existing::Refuse };
    let (out, keep_last) = (args.out.as_deref(), args.train.keep_last);
    let directory = RunDir::create(out, stage.name(), existing, keep_last, beside)?;
    directory.write(SETTINGS, invocation.record(settings).as_bytes())?;
    Ok(directory)
}

/// All that does not hold, at once.
fn check_settings(args: &TrainArgs) -> Result<(), Failure> {
    match [args.train.problems(), args.saving.problems()].concat() {
        problems if problems.is_empty() => Ok(()),
        problems => Err(Error::Config(problems).into()),
    }
}

/// A run must not replace what it reads.
fn refuse_own_sources(args: &TrainArgs) -> Result<(), Failure> {
    let Some(out) = args.out.as_deref().filter(|_| args.overwrite) else {
        return Ok(());
    };
    let data = sources::local_files(&args.data).into_iter().map(|file| ("--data", file));
    let named = [
        ("--model", &args.model),
        ("--model-config", &args.model_config),
        ("--tokenizer", &args.tokenizer),
        ("--chat-template", &args.chat_template),
        ("--config", &args.config),
    ];
    let named = named.into_iter().filter_map(|(flag, path)| Some((flag, path.clone()?)));
    Ok(refuse_inside(out, named.chain(data))?)
}

/// Opens what a run of these settings trains on, and says what was read.
///
/// # Errors
/// Data that cannot be read, or rows that the stage cannot use.
pub fn open_data(
    stage: Stage,
    config: &TrainConfig,
    data: &[String],
    rows: &RowArgs,
    output: Output,
) -> Result<Dataset, Failure> {
    let options = DataOptions {
        kind: Some(stage.row_kind()),
        held_out: Some(HeldOutShare { fraction: config.val_split, seed: config.seed }),
        ..rows.options()
    };
    let dataset = Dataset::open(sources::open(data, rows.reading.encoding)?, options)?;
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
    for remark in report.remarks(output::grouped) {
        output.warn(&remark);
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
