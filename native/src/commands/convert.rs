//! `convert`: a causal model as a masked predictor, or a model with weights of another type.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use kindling::checkpoint::{Checkpoint, ConvertConfig, Converted};
use kindling::error::Error;
use kindling::formats::StoredFloat;
use kindling::model::DiffusionConfig;
use serde_json::json;

use crate::adapted_run::name_from;
use crate::beside_model::BesideModel;
use crate::cli::{Dtype, Everywhere};
use crate::disk::{FileWriter, new_directory};
use crate::failure::Failure;
use crate::interrupt;
use crate::model_files::at;
use crate::output::{self, Output};
use crate::shell_word::path_word;

/// A file of weights holds at most so many bytes: less than a file system's smallest limit.
const FILE_BYTES: u64 = 2 << 30;

/// What a model is made into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// A predictor of masked tokens, as LLaDA is
    Diffusion,
}

/// Flags of `convert`.
#[derive(Args)]
pub struct ConvertArgs {
    /// A checkpoint: a directory, a .zip of one, a single .safetensors or .gguf file, a MiniMind .pth, hub:owner/name or ms:owner/name
    #[arg(long)]
    pub model: PathBuf,
    /// What the model's file does not hold
    #[command(flatten)]
    pub beside: BesideModel,
    /// What to make of it [default: the same model with weights of the type --dtype]
    #[arg(long, value_enum)]
    pub to: Option<Target>,
    /// What the new model is
    #[command(flatten)]
    pub config: ConvertConfig,
    /// The new checkpoint's directory: absent or empty
    #[arg(long)]
    pub out: PathBuf,
}

/// Runs the verb; `said` are the flags that were named.
pub fn run(args: &ConvertArgs, everywhere: &Everywhere, said: &[String]) -> Result<(), Failure> {
    let asked = said.iter().any(|flag| flag == "dtype").then_some(everywhere.dtype);
    check(args, asked)?;
    let checkpoint = args.beside.open(&args.model)?;
    check_target(args, &checkpoint)?;
    let float = asked.map_or_else(|| checkpoint.stored_float(), stored);
    let converted = converted(args, &checkpoint)?;
    let output = everywhere.output();
    converted.remarks.iter().for_each(|remark| output.say(remark));
    let bytes = write(args, &converted, float)?;
    tell(args, &converted, float, bytes, output);
    if args.to.is_some() && checkpoint.config.diffusion.is_none() {
        output.say(&format!(
            "it has yet to learn to fill masks: kindling sft --model {out} --data chats.jsonl --out NEW",
            out = path_word(&args.out)
        ));
    }
    Ok(())
}

/// Writes the new checkpoint and gives its bytes; of one that a person interrupts nothing stays.
fn write(args: &ConvertArgs, converted: &Converted, float: StoredFloat) -> Result<u64, Failure> {
    interrupt::listen();
    let (mut bytes, mut stopped) = (0, false);
    let made = new_directory(&args.out, |new| {
        let mut files = FileWriter::new(new);
        let written = converted.write(float, FILE_BYTES, &mut |name, bytes| {
            stopped = interrupt::asked();
            match stopped {
                true => Err(Error::Checkpoint("stopped before it was whole".into())),
                false => files.append(name, bytes),
            }
        });
        written.map_err(|e| at(&args.model, e))?;
        bytes = files.finish()?;
        Ok(())
    });
    match stopped {
        true => Err(Failure::Interrupted),
        false => Ok(made.map(|()| bytes)?),
    }
}

/// Refuses flags that would not act.
fn check(args: &ConvertArgs, dtype: Option<Dtype>) -> Result<(), Failure> {
    match (args.to, args.config == ConvertConfig::default(), dtype) {
        (None, true, None) => Err(Failure::Usage(
            "nothing says what to convert the model into; add --to diffusion, or --dtype bf16 for weights of another type"
                .into(),
        )),
        _ => Ok(()),
    }
}

/// Refuses flags of masked predictors where the model shall not become another one.
fn check_target(args: &ConvertArgs, checkpoint: &Checkpoint) -> Result<(), Failure> {
    if args.to.is_some() || args.config == ConvertConfig::default() {
        return Ok(());
    }
    let why = match &checkpoint.config.diffusion {
        None => "--shift-logits and --block-length belong to a masked predictor; add --to diffusion",
        Some(_) => {
            "this model predicts masked tokens already, and without --to it stays as it is; --shift-logits and \
             --block-length make it another one together with --to diffusion, so add that"
        }
    };
    Err(Failure::Usage(why.into()))
}

/// The checkpoint as it is to be written; its card tells what it was made of, by which `runs` follows it.
fn converted<'a>(args: &ConvertArgs, checkpoint: &'a Checkpoint) -> Result<Converted<'a>, Failure> {
    let mut converted = match args.to {
        Some(Target::Diffusion) => checkpoint.to_diffusion(&args.config).map_err(|e| match e {
            // What is wrong with a flag is not the file's.
            Error::Config(_) => e,
            e => at(&args.model, e),
        })?,
        None => checkpoint.as_it_is(),
    };
    converted.config = converted.config.with_parent(&name_from(&args.out, &args.model));
    Ok(converted)
}

fn stored(dtype: Dtype) -> StoredFloat {
    match dtype {
        Dtype::F32 => StoredFloat::F32,
        Dtype::Bf16 => StoredFloat::Bf16,
        Dtype::F16 => StoredFloat::F16,
    }
}

/// Says what was written.
fn tell(args: &ConvertArgs, converted: &Converted, float: StoredFloat, bytes: u64, output: Output) {
    let (out, config) = (args.out.display(), &converted.config);
    let diffusion = config.diffusion.as_ref();
    output.json(&json!({
        "out": args.out.to_string_lossy(),
        "bytes": bytes,
        "dtype": float.name(),
        "parameters": config.parameters(),
        "vocab_size": config.vocab_size,
        "mask_token_id": diffusion.map(|diffusion| diffusion.mask_token_id),
        "block_length": diffusion.and_then(|diffusion| diffusion.block_length),
        "shift_logits": diffusion.map(|diffusion| diffusion.shift_logits),
    }));
    output.line(&format!("{out}  {}  {}", output::bytes(bytes), float.name()));
    if let Some(diffusion) = diffusion {
        output.say(&words(diffusion));
    }
}

/// How a masked predictor reads, in words.
fn words(diffusion: &DiffusionConfig) -> String {
    let attention = match diffusion.block_length {
        None => "every position sees every position".to_string(),
        Some(length) => format!("a position sees its block of {length} tokens and all blocks before it"),
    };
    let logits = match diffusion.shift_logits {
        true => "its logits predict the token behind it, as the causal model's did",
        false => "its logits predict its own token",
    };
    format!("{attention}, and {logits}")
}
