//! `import`: a model in any form as a Hugging Face directory; a run goes on there.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use clap::Args;
use kindling::adapter::{Adapter, Fingerprint, LoraConfig, LoraInit};
use kindling::checkpoint::open_tokenizer;
use kindling::error::Error;
use kindling::formats::{ADAPTER_CONFIG, Files};
use kindling::train::{Progress, Stage, TrainConfig};

use super::export::{Form, read, size_of, tell};
use super::load;
use super::stage_flags::flags_of_others;
use super::train::open_data;
use super::train_args::DATE;
use crate::beside_model::BesideModel;
use crate::cli::{Everywhere, Invocation};
use crate::failure::Failure;
use crate::model_files::{at, is_torch, open_checkpoint, refuse_adapter};
use crate::output::Output;
use crate::run_dir::{write_checkpoint, write_run};
use crate::run_kind::{LORA, RunKind, STAGE};
use crate::shell_word::path_word;
use crate::sources::RowArgs;

/// Flags of `import`.
#[derive(Args)]
pub struct ImportArgs {
    /// A checkpoint: a directory, a .zip of one, a single .safetensors file, a .gguf, a MiniMind .pth or a llama2.c .bin,
    /// or any of these on the hub as hub:owner/name or hub:owner/name/FILE, or so behind ms:
    #[arg(long)]
    pub model: PathBuf,
    /// The form to make: import makes Hugging Face directories; `kindling export` makes the other forms
    #[arg(long, value_enum, default_value = "hf", hide_possible_values = true)]
    pub to: Form,
    /// The new directory: absent or empty
    #[arg(long)]
    pub out: PathBuf,
    /// What the model's file does not hold
    #[command(flatten)]
    pub beside: BesideModel,
    /// The stage of an imported run, which its file does not hold; lora is sft of an adapter
    #[arg(long, value_parser = ["pretrain", "sft", "lora", "dpo", "distill", "reason", "grpo"])]
    pub stage: Option<String>,
    /// The model whose adapter an imported run trains, or that a run of preferences began with
    #[arg(long)]
    pub base: Option<PathBuf>,
    /// The teacher of an imported run of distillation
    #[arg(long)]
    pub teacher: Option<PathBuf>,
    /// The data of an imported run: files, directories, globs, hub:owner/name or ms:owner/name (repeatable)
    #[arg(long)]
    pub data: Vec<String>,
    /// Which of their rows: as the run had it
    #[command(flatten)]
    pub rows: RowArgs,
}

/// Runs `import`.
pub fn import(args: &ImportArgs, everywhere: &Everywhere, invocation: &Invocation) -> Result<(), Failure> {
    if args.to != Form::Hf {
        return Err(Failure::Usage("import makes directories; `kindling export` makes other forms".into()));
    }
    args.beside.refuse_shape(&args.model)?;
    let (files, progress) = match is_torch(&args.model) {
        true => (args.beside.minimind(&args.model)?, None),
        false => read(&args.model)?,
    };
    let files = args.beside.add_tokenizer(&args.model, files)?;
    match progress {
        Some(progress) => import_run(args, &files, &progress, everywhere.output(), invocation),
        None => import_model(args, &files, everywhere.output()),
    }
}

fn import_model(args: &ImportArgs, files: &Files, output: Output) -> Result<(), Failure> {
    // A LoRA run goes on only as a run; MiniMind's adapters come alone.
    let adapter = files.contains_key(ADAPTER_CONFIG);
    if adapter && !is_torch(&args.model) {
        refuse_adapter(&args.model, files)?;
    }
    let no_run = args.stage.is_none() && args.base.is_none() && args.data.is_empty();
    if !no_run || args.rows != RowArgs::default() {
        return Err(Failure::Usage(format!(
            "{} holds a model and no run that could go on; leave out --stage, --base, --data and which of its rows",
            args.model.display()
        )));
    }
    write_checkpoint(&args.out, files)?;
    tell(&args.out, size_of(files), None, output);
    let out = path_word(&args.out);
    output.say(&match adapter {
        true => format!("try it: kindling generate --model BASE --adapter {out} --prompt \"Once\""),
        false => format!("try it: kindling generate --model {out} --prompt \"Once\""),
    });
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
            "{model} holds a run; name what it does not hold, --stage pretrain, sft, lora, dpo, distill, reason or grpo and its --data, or \
            take the model alone with `kindling export --model {word} --to hf --weights-only --out DIR`",
            word = path_word(&args.model)
        )));
    };
    let Some(asked) = RunKind::of_verb(stage) else {
        return Err(Failure::Usage(format!(
            "'{stage}' is no stage; take pretrain, sft, lora, dpo, distill, reason or grpo"
        )));
    };
    let adapter = adapter_settings(args, asked, files)?;
    let kind = RunKind { adapts: adapter.is_some(), ..asked };
    let tokenizer = open_tokenizer(&mut |name: &str| Ok(files.get(name).cloned()))?;
    let keys = tokenizer.map(|tokenizer| tokenizer.template_keys()).unwrap_or_default();
    let dataset = open_data(kind.stage, &progress.config, &args.data, &args.rows, keys, output)?;
    if let Some(warning) = progress.check_data(&dataset)? {
        output.warn(&warning);
    }
    let mut settings = settings(kind, &progress.config, invocation)?;
    settings.extend(progress.date.iter().map(|date| (DATE.to_string(), date.as_str().into())));
    settings.extend(adapter.unwrap_or_default());
    settings.extend(compared_settings(args, kind, progress)?);
    settings.extend(taught_settings(args, kind, progress)?);
    settings.extend(reason_settings(args, kind, progress)?);
    settings.extend(rewarded_settings(args, kind, progress)?);
    write_run(&args.out, &invocation.record(&settings), progress.step, files)?;
    tell(&args.out, size_of(files), Some(progress.step), output);
    let out = path_word(&args.out);
    output.say(&match progress.step < progress.total_steps {
        true => format!(
            "saved at step {} of {}; go on with: kindling {} --resume --out {out}",
            progress.step,
            progress.total_steps,
            kind.command()
        ),
        false => format!("try it: kindling generate --model {out} --prompt \"Once\""),
    });
    Ok(())
}

/// What `--resume` reads: the flags of the run's own settings, and those that this command was given.
fn settings(kind: RunKind, config: &TrainConfig, invocation: &Invocation) -> Result<toml::Table, Failure> {
    let mut settings = invocation.settings.clone();
    for own in ["model", "base", "to", "out"] {
        settings.remove(own);
    }
    settings.insert(STAGE.into(), kind.stage.name().into());
    settings.insert(LORA.into(), kind.adapts.into());
    let config = toml::Table::try_from(config)
        .map_err(|e| Error::Checkpoint(format!("the run's settings cannot be kept: {e}").into()))?;
    // A list that is empty is one that was not said.
    let is_said = |value: &toml::Value| value.as_array().is_none_or(|list| !list.is_empty());
    let idle: Vec<String> = flags_of_others(kind.stage).map(|(_, flag)| flag).collect();
    settings.extend(config.into_iter().filter(|(key, value)| is_said(value) && !idle.contains(key)));
    Ok(settings)
}

/// What `--resume` reads of an imported adapter's run beside the settings of every run: its base and its adapter's shape.
/// `None` where the model itself trains; the file says which of both it is.
fn adapter_settings(
    args: &ImportArgs,
    asked: RunKind,
    files: &Files,
) -> Result<Option<toml::Table>, Failure> {
    let model = args.model.display();
    let base = match (files.contains_key(ADAPTER_CONFIG), &args.base) {
        (true, Some(base)) => base,
        (true, None) => {
            return Err(Failure::Usage(format!(
                "{model} holds an adapter's run; name its model with --base"
            )));
        }
        (false, _) if asked.adapts => {
            return Err(Failure::Usage(format!(
                "{model} holds no adapter's run; take --stage pretrain or sft"
            )));
        }
        (false, _) if [Stage::Dpo, Stage::Grpo].contains(&asked.stage) => return Ok(None),
        (false, Some(_)) => {
            return Err(Failure::Usage(format!(
                "--base belongs to an adapter's run, and {model} holds none; leave it out"
            )));
        }
        (false, None) => return Ok(None),
    };
    let adapter = Adapter::open(|name| Ok(files.get(name).cloned())).map_err(|e| at(&args.model, e))?;
    if let Some(own) = &adapter.config.base {
        own.check(&fingerprint(base)?, adapter.config.base_name.as_deref())
            .map_err(|e| at(&args.model, e))?;
    }
    let LoraConfig { rank, alpha, dropout, targets, rslora, dora, init_lora, modules_to_save, .. } =
        adapter.config.lora;
    let begins = if init_lora == LoraInit::Pissa { "pissa" } else { "default" };
    let mut settings = toml::Table::from_iter([
        ("model".to_string(), base.display().to_string().into()),
        ("lora-rank".to_string(), (rank as i64).into()),
        ("lora-alpha".to_string(), alpha.into()),
        ("lora-dropout".to_string(), dropout.into()),
        ("rslora".to_string(), rslora.into()),
        ("dora".to_string(), dora.into()),
        ("init-lora".to_string(), begins.into()),
    ]);
    for (flag, list) in [("lora-targets", targets), ("modules-to-save", modules_to_save)] {
        if !list.is_empty() {
            settings.insert(flag.into(), list.into());
        }
    }
    Ok(Some(settings))
}

/// What `--resume` reads of an imported run of preferences: their settings, and what it is compared with.
fn compared_settings(args: &ImportArgs, kind: RunKind, progress: &Progress) -> Result<toml::Table, Failure> {
    if kind.stage != Stage::Dpo {
        return Ok(toml::Table::new());
    }
    let model = args.model.display();
    let config = progress.dpo.as_ref().ok_or_else(|| {
        Failure::Usage(format!("{model} holds no run of preferences; take --stage pretrain, sft or lora"))
    })?;
    let base = args.base.as_ref().ok_or_else(|| {
        Failure::Usage(format!(
            "{model} holds a run that is compared with the model that it began with; name it with --base"
        ))
    })?;
    let mut settings = toml::Table::try_from(config)
        .map_err(|e| Error::Checkpoint(format!("the run's settings cannot be kept: {e}").into()))?;
    settings.insert("model".into(), base.display().to_string().into());
    Ok(settings)
}

/// What `--resume` reads of an imported run of distillation: its settings and its teacher.
fn taught_settings(args: &ImportArgs, kind: RunKind, progress: &Progress) -> Result<toml::Table, Failure> {
    let model = args.model.display();
    match (kind.stage == Stage::Distill, &args.teacher) {
        (false, None) => return Ok(toml::Table::new()),
        (false, Some(_)) => {
            return Err(Failure::Usage("--teacher belongs to a run of distillation; leave it out".into()));
        }
        (true, _) => {}
    }
    let taught = progress.taught.as_ref().ok_or_else(|| {
        Failure::Usage(format!("{model} holds no run of distillation; take --stage pretrain, sft or lora"))
    })?;
    let teacher = args.teacher.as_ref().ok_or_else(|| {
        Failure::Usage(format!("{model} holds a run that learns from a teacher; name it with --teacher"))
    })?;
    let kept =
        |e: toml::ser::Error| Error::Checkpoint(format!("the run's settings cannot be kept: {e}").into());
    let mut settings = toml::Table::try_from(&taught.config).map_err(kept)?;
    settings.insert("teacher".into(), teacher.display().to_string().into());
    if let Some(bits) = taught.weights {
        settings.insert("teacher-weights".into(), toml::Value::try_from(bits).map_err(kept)?);
    }
    Ok(settings)
}

/// What `--resume` reads of an imported run that teaches to think first: how much its tags count, and which they are.
fn reason_settings(args: &ImportArgs, kind: RunKind, progress: &Progress) -> Result<toml::Table, Failure> {
    if kind.stage != Stage::Reason {
        return Ok(toml::Table::new());
    }
    let reason = progress.reason.as_ref().ok_or_else(|| {
        let model = args.model.display();
        Failure::Usage(format!("{model} holds no run of `reason`; take --stage pretrain, sft or lora"))
    })?;
    let kept =
        |e: toml::ser::Error| Error::Checkpoint(format!("the run's settings cannot be kept: {e}").into());
    let mut settings = toml::Table::try_from(&reason.config).map_err(kept)?;
    settings.extend(toml::Table::try_from(&reason.tags).map_err(kept)?);
    Ok(settings)
}

/// What `--resume` reads of an imported run of rewards: their settings, and what the model is held to.
fn rewarded_settings(args: &ImportArgs, kind: RunKind, progress: &Progress) -> Result<toml::Table, Failure> {
    if kind.stage != Stage::Grpo {
        return Ok(toml::Table::new());
    }
    let model = args.model.display();
    let config = progress.grpo.as_ref().ok_or_else(|| {
        Failure::Usage(format!("{model} holds no run of `grpo`; take --stage pretrain, sft or lora"))
    })?;
    let mut settings = toml::Table::try_from(config)
        .map_err(|e| Error::Checkpoint(format!("the run's settings cannot be kept: {e}").into()))?;
    if let Some(toml::Value::Table(tags)) = settings.remove("tags") {
        settings.extend(tags);
    }
    match (&args.base, config.reference_of(kind.adapts)) {
        (Some(base), _) => {
            settings.insert("model".into(), base.display().to_string().into());
        }
        (None, None) => {}
        (None, Some(_)) => {
            return Err(Failure::Usage(format!(
                "{model} holds a run that is compared with the model that it began with; name it with --base"
            )));
        }
    }
    Ok(settings)
}

/// Which weights a model has.
fn fingerprint(path: &Path) -> Result<Fingerprint, Failure> {
    let checkpoint = open_checkpoint(path)?;
    let model = load(&checkpoint, None, &Device::flex(), path)?;
    Ok(checkpoint.fingerprint(&model).map_err(|e| at(path, e))?)
}
