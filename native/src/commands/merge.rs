//! `merge`: adds adapters to the weights of their base.

use std::path::PathBuf;

use burn::tensor::Device;
use clap::Args;
use kindling::adapter::Fingerprint;
use kindling::checkpoint::Checkpoint;
use serde_json::json;

use super::load;
use crate::cli::Everywhere;
use crate::failure::Failure;
use crate::model_files::{open_adapter, open_checkpoint};
use crate::run_dir::write_checkpoint;

/// Flags of `merge`.
#[derive(Args)]
pub struct MergeArgs {
    /// The base's checkpoint: a directory, a .zip of one, a single .safetensors or .gguf file, or hub:owner/name
    #[arg(long)]
    pub model: PathBuf,
    /// A LoRA adapter of it in PEFT layout: a directory, a .zip of one, or hub:owner/name (repeatable)
    #[arg(long, required = true)]
    pub adapter: Vec<PathBuf>,
    /// The merged checkpoint's directory: absent or empty
    #[arg(long)]
    pub out: PathBuf,
}

/// Runs the verb.
pub fn run(args: &MergeArgs, everywhere: &Everywhere) -> Result<(), Failure> {
    let output = everywhere.output();
    let checkpoint = open_checkpoint(&args.model)?;
    let model = load(&checkpoint, None, &Device::flex(), &args.model)?;
    let mut weights = pollster::block_on(model.weights())?;
    let base = Fingerprint::of(&weights);
    for path in &args.adapter {
        open_adapter(path, &base)?.merge(&mut weights, 1.0)?;
    }
    let files = Checkpoint::files(&checkpoint.config, &weights, checkpoint.tokenizer.as_ref())?;
    write_checkpoint(&args.out, &files)?;
    output.json(&json!({"out": args.out, "adapters": args.adapter, "base": base.hex()}));
    output.line(&args.out.display().to_string());
    output.say(&format!("try it: kindling chat --model {}", args.out.display()));
    Ok(())
}
