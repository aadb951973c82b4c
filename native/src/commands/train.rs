//! `pretrain`, `sft` and `lora`: the same command with another objective or another set of trained weights.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use kindling::adapter::LoraConfig;
use kindling::data::{DataReport, Dataset};
use kindling::kernels::Quantization;
use kindling::train::{Job, Stage, TrainConfig};
use serde_json::Value;

use super::execute::{conclude, execute};
use super::start::{Start, newest, resume};
use super::{example, open_device};
use crate::cli::{Everywhere, Invocation};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::run_dir::{Existing, RunDir, SETTINGS};
use crate::sources::{self, RowArgs};

/// Flags of the training stages.
#[derive(Args)]
pub struct TrainArgs {
    /// Files, directories, globs or hub:owner/name to train on (repeatable)
    #[arg(long)]
    pub data: Vec<String>,
    /// A checkpoint to go on from: a directory, a .zip of one, a single .safetensors or .gguf file, or hub:owner/name
    #[arg(long)]
    pub model: Option<PathBuf>,
    /// A new model of a published size
    #[arg(long, conflicts_with = "model")]
    pub preset: Option<String>,
    /// A new model of the sizes in this config.json
    #[arg(long, conflicts_with_all = ["model", "preset"])]
    pub model_config: Option<PathBuf>,
    /// The tokenizer of a new model: a directory, a tokenizer.json, a checkpoint or hub:owner/name
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
    /// Which rows
    #[command(flatten)]
    pub rows: RowArgs,
    /// A TOML file with any of these flags; the command line wins
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// How the run goes
    #[command(flatten)]
    pub train: TrainConfig,
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
    let started = args.model.is_some() || args.preset.is_some() || args.model_config.is_some();
    if args.data.is_empty() && !started && !args.resume && adapting.is_none() {
        return example::run(stage, args, everywhere, invocation);
    }
    let out = args.out.clone().unwrap_or_default();
    let resumed = args.resume.then(|| RunDir::open(&out, args.train.keep_last)).transpose()?;
    if args.data.is_empty() {
        return Err(no_data(stage, resumed.as_ref()));
    }
    args.train.validate()?;
    refuse_same_place(args)?;
    let device = open_device(everywhere)?;
    let last_save = resumed.as_ref().map(newest).transpose()?;
    let Start { model, tokenizer, adapter } = Start::open(args, adapting, last_save.as_deref(), &device)?;
    let job = Job {
        stage,
        config: args.train.clone(),
        tokenizer: Arc::new(tokenizer),
        dataset: Arc::new(open_data(&args.data, &args.rows, output)?),
        adapter,
    };
    let model = model.with_dtype(everywhere.dtype.burn());
    let (run, directory) = match (resumed, last_save) {
        (Some(directory), Some(save)) => (resume(job, model, &directory, &save)?, directory),
        _ => (job.start(model)?, create(args, stage, invocation)?),
    };
    let outcome = execute(run, &directory, args.stop_after, &device, output)?;
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

/// Makes the run's directory and keeps the command and its settings there.
pub fn create(args: &TrainArgs, stage: Stage, invocation: &Invocation) -> Result<RunDir, Failure> {
    let existing = if args.overwrite { Existing::Overwrite } else { Existing::Refuse };
    let directory = RunDir::create(args.out.as_deref(), stage.name(), existing, args.train.keep_last)?;
    directory.write(SETTINGS, invocation.record(&invocation.settings).as_bytes())?;
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

/// Opens what a run trains on, and says what was read.
pub fn open_data(data: &[String], rows: &RowArgs, output: Output) -> Result<Dataset, Failure> {
    let dataset = Dataset::open(sources::open(data)?, rows.options())?;
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
