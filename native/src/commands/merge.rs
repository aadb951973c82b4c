//! `merge`: adds adapters to the weights of their base.

use std::path::PathBuf;

use burn::tensor::Device;
use clap::Args;
use kindling::adapter::Fingerprint;
use serde_json::json;

use super::{load, talking};
use crate::beside_model::BesideModel;
use crate::cli::Everywhere;
use crate::failure::Failure;
use crate::model_files::{at, open_adapter};
use crate::run_dir::write_checkpoint;

/// Flags of `merge`.
#[derive(Args)]
pub struct MergeArgs {
    /// The base's checkpoint: a directory, a .zip of one, a single .safetensors or .gguf file, a MiniMind .pth, or
    /// hub:owner/name
    #[arg(long)]
    pub model: PathBuf,
    /// What the base's file does not hold
    #[command(flatten)]
    pub beside: BesideModel,
    /// A LoRA adapter of it in the layout of PEFT or mlx-lm: a directory, a .zip of one, or hub:owner/name (repeatable)
    #[arg(long, required = true)]
    pub adapter: Vec<PathBuf>,
    /// The merged checkpoint's directory: absent or empty
    #[arg(long)]
    pub out: PathBuf,
}

/// Runs the verb.
pub fn run(args: &MergeArgs, everywhere: &Everywhere) -> Result<(), Failure> {
    let output = everywhere.output();
    let mut checkpoint = args.beside.open(&args.model)?;
    let model = load(&checkpoint, None, &Device::flex(), &args.model)?;
    let mut weights = pollster::block_on(model.weights())?;
    let base = Fingerprint::of(&weights);
    for path in &args.adapter {
        let adapter = open_adapter(path, &checkpoint, &base)?;
        adapter.merge(&mut weights, 1.0).map_err(|e| at(path, e))?;
    }
    let (tokenizer, ends) = talking(&checkpoint, &args.adapter, output)?;
    (checkpoint.tokenizer, checkpoint.config.eos_token_ids) = (tokenizer, ends);
    let gained = checkpoint.tokenizer.as_ref();
    let gained =
        gained.and_then(|own| own.gained_ends(&checkpoint.told_ends, &checkpoint.config.eos_token_ids));
    if let Some(remark) = gained {
        output.say(&remark);
    }
    let files = checkpoint.files_with(&weights)?;
    write_checkpoint(&args.out, &files)?;
    output.json(&json!({"out": args.out, "adapters": args.adapter, "base": base.hex()}));
    output.line(&args.out.display().to_string());
    output.say(&format!("try it: kindling chat --model {}", args.out.display()));
    Ok(())
}
