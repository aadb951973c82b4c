//! `export` and `import`: a model, or a run with all its state, in another form.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use clap::{Args, ValueEnum};
use kindling::adapter::{Adapter, Fingerprint, LoraConfig};
use kindling::checkpoint::{ADAPTER_CONFIG, Files, PROGRESS, open_tokenizer, refuse_adapter, to_single_file};
use kindling::error::Error;
use kindling::train::{Progress, TrainConfig};
use serde_json::json;

use super::load;
use super::start::newest;
use super::train::open_data;
use crate::cli::{Everywhere, Invocation};
use crate::disk::new_file;
use crate::failure::Failure;
use crate::model_files::{at, checkpoint_files, is_single_file, open_checkpoint};
use crate::output::{self, Output};
use crate::run_dir::{RunDir, is_run, write_checkpoint, write_run};
use crate::sources::RowArgs;

/// Forms of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// A Hugging Face directory
    Hf,
    /// One .safetensors file with config, tokenizer and a run's state
    SingleFile,
    /// Not built yet
    #[value(hide = true)]
    Peft,
    /// Not built yet
    #[value(hide = true)]
    Gguf,
    /// Not built yet
    #[value(hide = true)]
    MinimindPth,
}

/// Flags of `export`.
#[derive(Args)]
pub struct ExportArgs {
    /// A checkpoint, or the directory of a run, whose newest save is taken
    #[arg(long)]
    pub model: PathBuf,
    /// The form to write
    #[arg(long, value_enum)]
    pub to: Form,
    /// Where to write: a .safetensors file that is absent, or a directory that is absent or empty
    #[arg(long)]
    pub out: PathBuf,
    /// Leave a run's training state behind: a third of the size
    #[arg(long)]
    pub weights_only: bool,
}

/// Flags of `import`.
#[derive(Args)]
pub struct ImportArgs {
    /// A checkpoint: a single .safetensors file, a directory, or a .zip of one
    #[arg(long)]
    pub model: PathBuf,
    /// The form to make
    #[arg(long, value_enum, default_value = "hf")]
    pub to: Form,
    /// The new directory: absent or empty
    #[arg(long)]
    pub out: PathBuf,
    /// The stage of an imported run, which its file does not hold
    #[arg(long, value_parser = ["pretrain", "sft", "lora"])]
    pub stage: Option<String>,
    /// The model whose adapter an imported lora run trains
    #[arg(long)]
    pub base: Option<PathBuf>,
    /// The data of an imported run: files, directories or globs (repeatable)
    #[arg(long)]
    pub data: Vec<String>,
    /// Which of their rows: as the run had it
    #[command(flatten)]
    pub rows: RowArgs,
}

/// Runs `export`.
pub fn export(args: &ExportArgs, everywhere: &Everywhere) -> Result<(), Failure> {
    match args.to {
        Form::Hf => {}
        Form::SingleFile => check_name(&args.out)?,
        other => return Err(not_built(other)),
    }
    let (mut files, mut progress) = read(&args.model)?;
    refuse_adapter(&files).map_err(|e| at(&args.model, e))?;
    if args.weights_only {
        files.retain(|name, _| !name.starts_with("training/"));
        progress = None;
    }
    let step = progress.map(|progress| progress.step);
    match args.to {
        Form::SingleFile => {
            let bytes = to_single_file(&files).map_err(|e| at(&args.model, e))?;
            new_file(&args.out, &bytes)?;
        }
        _ => write_checkpoint(&args.out, &files)?,
    }
    let (output, out) = (everywhere.output(), args.out.display());
    tell(&args.out, &files, step, output);
    output.say(&format!("try it: kindling generate --model {out} --prompt \"Once\""));
    Ok(())
}

/// Runs `import`.
pub fn import(args: &ImportArgs, everywhere: &Everywhere, invocation: &Invocation) -> Result<(), Failure> {
    match args.to {
        Form::Hf => {}
        Form::SingleFile => {
            return Err(Failure::Usage(
                "import makes directories; `kindling export --to single-file` makes one file".into(),
            ));
        }
        other => return Err(not_built(other)),
    }
    let (files, progress) = read(&args.model)?;
    match progress {
        Some(progress) => import_run(args, &files, &progress, everywhere.output(), invocation),
        None => import_model(args, &files, everywhere.output()),
    }
}

fn import_model(args: &ImportArgs, files: &Files, output: Output) -> Result<(), Failure> {
    refuse_adapter(files).map_err(|e| at(&args.model, e))?;
    let no_run = args.stage.is_none() && args.base.is_none() && args.data.is_empty();
    if !no_run || args.rows != RowArgs::default() {
        return Err(Failure::Usage(format!(
            "{} holds a model and no run that could go on; leave out --stage, --base, --data and which of its rows",
            args.model.display()
        )));
    }
    write_checkpoint(&args.out, files)?;
    tell(&args.out, files, None, output);
    output.say(&format!("try it: kindling generate --model {} --prompt \"Once\"", args.out.display()));
    Ok(())
}

fn import_run(
    args: &ImportArgs,
    files: &Files,
    progress: &Progress,
    output: Output,
    invocation: &Invocation,
) -> Result<(), Failure> {
    let model = args.model.display();
    let Some(stage) = args.stage.as_deref().filter(|_| !args.data.is_empty()) else {
        return Err(Failure::Usage(format!(
            "{model} holds a run; name what it does not hold, --stage pretrain, sft or lora and its --data, or take \
            the model alone with `kindling export --model {model} --to hf`"
        )));
    };
    let adapter = adapter_settings(args, stage, files)?;
    let rows = open_data(&args.data, &args.rows, output)?.len();
    if rows != progress.rows {
        return Err(Error::Data(format!(
            "the run in {model} was trained on {} rows, --data has {rows}; give its data as it was, with the same \
            --limit and its like",
            progress.rows
        ))
        .into());
    }
    let mut settings = settings(stage, &progress.config, invocation)?;
    settings.extend(adapter);
    write_run(&args.out, &invocation.record(&settings), progress.step, files)?;
    tell(&args.out, files, Some(progress.step), output);
    let out = args.out.display();
    output.say(&match progress.step < progress.total_steps {
        true => format!(
            "saved at step {} of {}; go on with: kindling {stage} --resume --out {out}",
            progress.step, progress.total_steps
        ),
        false => format!("try it: kindling generate --model {out} --prompt \"Once\""),
    });
    Ok(())
}

/// What `--resume` reads: the flags of the run's own settings, and those that this command was given.
fn settings(stage: &str, config: &TrainConfig, invocation: &Invocation) -> Result<toml::Table, Failure> {
    let mut settings = invocation.settings.clone();
    for own in ["model", "base", "to", "out"] {
        settings.remove(own);
    }
    settings.insert("stage".into(), stage.into());
    let config = toml::Table::try_from(config)
        .map_err(|e| Error::Checkpoint(format!("the run's settings cannot be kept: {e}")))?;
    settings.extend(config);
    Ok(settings)
}

/// What `--resume` reads of an imported lora run beside the settings of every stage: its base and its adapter's shape.
fn adapter_settings(args: &ImportArgs, stage: &str, files: &Files) -> Result<toml::Table, Failure> {
    let model = args.model.display();
    let base = match (stage, files.contains_key(ADAPTER_CONFIG), &args.base) {
        ("lora", true, Some(base)) => base,
        ("lora", true, None) => {
            return Err(Failure::Usage(format!(
                "{model} holds an adapter's run; name its model with --base"
            )));
        }
        ("lora", false, _) => {
            return Err(Failure::Usage(format!(
                "{model} holds no adapter's run; take --stage pretrain or sft"
            )));
        }
        (_, true, _) => {
            return Err(Failure::Usage(format!("{model} holds an adapter's run; take --stage lora")));
        }
        (_, false, Some(_)) => {
            return Err(Failure::Usage("--base belongs to --stage lora; leave it out".into()));
        }
        (_, false, None) => return Ok(toml::Table::new()),
    };
    let adapter = Adapter::open(|name| Ok(files.get(name).cloned())).map_err(|e| at(&args.model, e))?;
    if let Some(own) = &adapter.config.base {
        own.check(&fingerprint(base)?, adapter.config.base_name.as_deref())
            .map_err(|e| at(&args.model, e))?;
    }
    let LoraConfig { rank, alpha, dropout, targets, rslora } = adapter.config.lora;
    let mut settings = toml::Table::from_iter([
        ("model".to_string(), base.display().to_string().into()),
        ("lora-rank".to_string(), (rank as i64).into()),
        ("lora-alpha".to_string(), alpha.into()),
        ("lora-dropout".to_string(), dropout.into()),
        ("rslora".to_string(), rslora.into()),
    ]);
    if !targets.is_empty() {
        settings.insert("lora-targets".into(), targets.into());
    }
    Ok(settings)
}

/// Which weights a model has.
fn fingerprint(path: &Path) -> Result<Fingerprint, Failure> {
    let model = load(&open_checkpoint(path)?, &Device::flex(), path)?;
    Ok(Fingerprint::of(&pollster::block_on(model.weights())?))
}

/// The files of a model in any form, whole and able to be opened; of a run, those of its newest save.
fn read(model: &Path) -> Result<(Files, Option<Progress>), Failure> {
    // The top of a run's directory may be between two saves; a checkpoint below it never is.
    let path = match is_run(model) {
        true => newest(&RunDir::open(model, 1)?)?,
        false => model.to_path_buf(),
    };
    let mut files = checkpoint_files(&path)?;
    let tokenizer = match refuse_adapter(&files) {
        Ok(()) => open_checkpoint(&path)?.tokenizer,
        Err(_) => open_tokenizer(&mut |name| Ok(files.get(name).cloned())).map_err(|e| at(&path, e))?,
    };
    if let Some(tokenizer) = tokenizer {
        for (name, bytes) in tokenizer.to_files()? {
            files.entry(name).or_insert(bytes);
        }
    }
    let progress = files.get(PROGRESS).map(|bytes| serde_json::from_slice(bytes)).transpose();
    let progress =
        progress.map_err(|e| at(&path, Error::Checkpoint(format!("{PROGRESS} is damaged: {e}"))))?;
    Ok((files, progress))
}

/// `--model` tells a single file by its name.
fn check_name(out: &Path) -> Result<(), Failure> {
    match is_single_file(out) {
        true => Ok(()),
        false => Err(Failure::Usage(format!(
            "--out {} does not end in .safetensors, by which --model knows a single file; add it",
            out.display()
        ))),
    }
}

fn not_built(form: Form) -> Failure {
    let name = form.to_possible_value().map(|value| value.get_name().to_string()).unwrap_or_default();
    Failure::Usage(format!("--to {name} is not built yet; --to hf and --to single-file are"))
}

fn tell(out: &Path, files: &Files, step: Option<u64>, output: Output) {
    let bytes: usize = files.values().map(Vec::len).sum();
    output.json(&json!({"out": out, "bytes": bytes, "step": step}));
    let run = step.map_or(String::new(), |step| format!(", with the run's state at step {step}"));
    output.line(&format!("{}  {}{run}", out.display(), output::bytes(bytes as u64)));
}
