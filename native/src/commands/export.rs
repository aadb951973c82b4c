//! `export`: a model, or a run with all its state, in another form.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use kindling::checkpoint::{Checkpoint, PROGRESS, open_tokenizer, put_tokenizer, to_single_file};
use kindling::error::Error;
use kindling::formats::gguf::{WeightType, to_gguf, tokenizer_warnings};
use kindling::formats::{Files, TorchFloat, is_adapter_alone, plain_files, to_minimind};
use kindling::model::{ModelConfig, RopeSettings};
use kindling::train::Progress;
use serde_json::json;

use super::llada::as_llada;
use super::positions::stretch_files;
use super::start::newest;
use crate::beside_model::BesideModel;
use crate::cli::Everywhere;
use crate::disk::new_file;
use crate::failure::Failure;
use crate::model_files::{at, checkpoint_files, is_torch, refuse_adapter, tell_warnings};
use crate::output::{self, Output};
use crate::run_dir::{RunDir, is_run, write_checkpoint};
use crate::shell_word::path_word;

/// Forms of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// A Hugging Face directory; of a masked predictor, with the names of LLaDA's published code
    Hf,
    /// One .safetensors file with config, tokenizer and a run's state
    SingleFile,
    /// Adapters already are in PEFT's layout
    #[value(hide = true)]
    Peft,
    /// One .gguf file for llama.cpp and Ollama
    Gguf,
    /// One .pth file for MiniMind
    MinimindPth,
}

impl Form {
    /// How the name of a file ends by which `--model` knows it; `None` is a directory.
    fn ending(self) -> Option<&'static str> {
        match self {
            Self::Hf | Self::Peft => None,
            Self::SingleFile => Some("safetensors"),
            Self::Gguf => Some("gguf"),
            Self::MinimindPth => Some("pth"),
        }
    }
}

/// Flags of `export`.
#[derive(Args)]
pub struct ExportArgs {
    /// A checkpoint of any form, hub:owner/name, ms:owner/name, or the directory of a run, whose newest save is taken
    #[arg(long)]
    pub model: PathBuf,
    /// What the model's file does not hold
    #[command(flatten)]
    pub beside: BesideModel,
    /// How its positions are stretched
    #[command(flatten)]
    pub rope: RopeSettings,
    /// The form to write
    #[arg(long, value_enum)]
    pub to: Form,
    /// Where to write: a file that is absent, named after its form, or a directory that is absent or empty
    #[arg(long)]
    pub out: PathBuf,
    /// What the weights of a .gguf become [default: f16]
    #[arg(long, value_enum)]
    pub weights: Option<WeightType>,
    /// Leave a run's training state behind: a third of the size
    #[arg(long)]
    pub weights_only: bool,
}

/// Runs `export`.
pub fn export(args: &ExportArgs, everywhere: &Everywhere) -> Result<(), Failure> {
    check_form(args.to, &args.out)?;
    if args.weights.is_some() && args.to != Form::Gguf {
        return Err(Failure::Usage(
            "--weights belongs to --to gguf; other forms keep the weights as they are".into(),
        ));
    }
    args.beside.refuse_shape(&args.model)?;
    let (files, mut progress) = match is_torch(&args.model) {
        true => (args.beside.minimind(&args.model)?, None),
        false => read(&args.model)?,
    };
    refuse_adapter(&args.model, &files)?;
    let mut files = args.beside.add_tokenizer(&args.model, files)?;
    if args.weights_only || [Form::Gguf, Form::MinimindPth].contains(&args.to) {
        files.retain(|name, _| !name.starts_with("training/"));
        progress = None;
    }
    stretch_files(&args.rope, &mut files, everywhere.output())?;
    let step = progress.map(|progress| progress.step);
    if args.to == Form::Hf {
        files = as_llada(files, everywhere.output())?;
    }
    let bytes = match args.to {
        Form::SingleFile => Some(to_single_file(&files)),
        Form::Gguf => Some(to_gguf(&files, args.weights.unwrap_or(WeightType::F16))),
        Form::MinimindPth => Some(to_minimind(&files, TorchFloat::F32)),
        Form::Hf | Form::Peft => None,
    };
    let bytes = bytes.transpose().map_err(|e| at(&args.model, e))?;
    let written = match &bytes {
        Some(bytes) => {
            new_file(&args.out, bytes)?;
            bytes.len()
        }
        None => {
            write_checkpoint(&args.out, &files)?;
            size_of(&files)
        }
    };
    let (output, out) = (everywhere.output(), path_word(&args.out));
    if args.to == Form::Gguf {
        tokenizer_warnings(&files).iter().for_each(|warning| output.warn(warning));
    }
    if args.to == Form::MinimindPth && keeps_weights_of_experts(&files) {
        output.warn(
            "MiniMind divides the weights of a token's experts by their sum unless its norm_topk_prob is False; open the \
             file there with that, and here with --model-config config.json of this model",
        );
    }
    tell(&args.out, written, step, output);
    output.say(&match args.to {
        Form::MinimindPth => format!("in MiniMind: model.load_state_dict(torch.load({:?}))", args.out),
        _ => format!("try it: kindling generate --model {out} --prompt \"Once\""),
    });
    Ok(())
}

/// Whether a model weighs a token's experts as its gates do, undivided.
fn keeps_weights_of_experts(files: &Files) -> bool {
    let config = files.get("config.json").and_then(|json| ModelConfig::from_hugging_face(json).ok());
    config.and_then(|config| config.experts).is_some_and(|experts| !experts.normalize)
}

/// The bytes of all files.
pub fn size_of(files: &Files) -> usize {
    files.values().map(Vec::len).sum()
}

/// The files of a model in any form, whole, plain and able to be opened; of a run, those of its newest save.
///
/// # Errors
/// Files that are missing or damaged, by name.
pub fn read(model: &Path) -> Result<(Files, Option<Progress>), Failure> {
    // The top of a run's directory may be between two saves; a checkpoint below it never is.
    let path = match is_run(model) {
        true => newest(&RunDir::open(model, 1)?)?,
        false => model.to_path_buf(),
    };
    let mut files = checkpoint_files(&path)?;
    let plain = plain_files(&files).map_err(|e| at(&path, e))?;
    tell_warnings(&path, &plain.warnings);
    files = plain.files.unwrap_or(files);
    let tokenizer = match is_adapter_alone(|name| files.contains_key(name)) {
        false => Checkpoint::open(|name| Ok(files.get(name).cloned())).map(|checkpoint| checkpoint.tokenizer),
        true => open_tokenizer(&mut |name: &str| Ok(files.get(name).cloned())),
    };
    let tokenizer = tokenizer.map_err(|e| at(&path, e))?;
    if let Some(tokenizer) = tokenizer {
        put_tokenizer(&mut files, &tokenizer)?;
    }
    let progress = files.get(PROGRESS).map(|bytes| serde_json::from_slice(bytes)).transpose();
    let progress =
        progress.map_err(|e| at(&path, Error::Checkpoint(format!("{PROGRESS} is damaged: {e}").into())))?;
    Ok((files, progress))
}

/// `--model` tells a file's form by its name.
fn check_form(form: Form, out: &Path) -> Result<(), Failure> {
    if form == Form::Peft {
        return Err(Failure::Usage(
            "adapters are already written in PEFT's layout: take the directory of a lora run as it is".into(),
        ));
    }
    match form.ending() {
        Some(ending) if out.extension().is_none_or(|end| end != ending) => Err(Failure::Usage(format!(
            "--out {} does not end in .{ending}, by which --model knows such a file; add it",
            out.display()
        ))),
        _ => Ok(()),
    }
}

/// Says what was written.
pub fn tell(out: &Path, bytes: usize, step: Option<u64>, output: Output) {
    output.json(&json!({"out": out.to_string_lossy(), "bytes": bytes, "step": step}));
    let run = step.map_or(String::new(), |step| format!(", with the run's state at step {step}"));
    output.line(&format!("{}  {}{run}", out.display(), output::bytes(bytes as u64)));
}
