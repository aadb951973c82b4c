//! `merge`: adds adapters to the weights of their base.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::adapted_run::{Merged, merge, name_from};
use crate::beside_model::BesideModel;
use crate::cli::Everywhere;
use crate::failure::Failure;
use crate::run_dir::write_checkpoint;
use crate::shell_word::path_word;

/// Flags of `merge`.
#[derive(Args)]
pub struct MergeArgs {
    /// The base's checkpoint: a directory, a .zip of one, a single .safetensors or .gguf file, a MiniMind .pth, or
    /// hub:owner/name or ms:owner/name
    #[arg(long)]
    pub model: PathBuf,
    /// What the base's file does not hold
    #[command(flatten)]
    pub beside: BesideModel,
    /// A LoRA adapter of it in the layout of PEFT or mlx-lm: a directory, a .zip of one, hub:owner/name or ms:owner/name (repeatable)
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
    // What its card has told so far is seen from its own place.
    checkpoint.config = checkpoint.config.with_parent(&name_from(&args.out, &args.model));
    let Merged { files, base, remark } = merge(checkpoint, &args.model, &args.adapter)?;
    if let Some(remark) = remark {
        output.say(&remark);
    }
    write_checkpoint(&args.out, &files)?;
    let adapters = args.adapter.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>();
    output.json(&json!({"out": args.out.to_string_lossy(), "adapters": adapters, "base": base.hex()}));
    output.line(&args.out.display().to_string());
    output.say(&format!("try it: kindling chat --model {}", path_word(&args.out)));
    Ok(())
}
