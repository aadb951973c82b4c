//! `merge`: adds adapters to the weights of their base, or makes one adapter or one model of several.

use std::path::{Path, PathBuf};

use clap::Args;
use kindling::adapter::AverageConfig;
use serde_json::json;

use super::average;
use crate::adapted_run::{Merged, merge, name_from};
use crate::beside_model::BesideModel;
use crate::cli::Everywhere;
use crate::failure::Failure;
use crate::output::Output;
use crate::run_dir::write_checkpoint;
use crate::shell_word::path_word;

/// What an average is; shown below the flags.
pub const AVERAGES: &str = "\
To average:
  kindling merge --average A B C --out DIR                  adapters of one base become one adapter: the mean of what each adds
                                                            to the base's weights, exactly, of the sum of their ranks
  kindling merge --average A B --rank 8 --out DIR           the same, cut to a rank, with the error that this costs
  kindling merge --average A B --model BASE --out DIR       the same, added to its base
  kindling merge --average --model M --model N --out DIR    whole models of one shape, weight by weight";

/// Flags of `merge`.
#[derive(Args)]
pub struct MergeArgs {
    /// The base's checkpoint: a directory, a .zip of one, a single .safetensors or .gguf file, a MiniMind .pth, or
    /// hub:owner/name or ms:owner/name; with --average, several are averaged
    #[arg(long, required_unless_present = "average")]
    pub model: Vec<PathBuf>,
    /// What the base's file does not hold
    #[command(flatten)]
    pub beside: BesideModel,
    /// A LoRA adapter of it in the layout of PEFT or mlx-lm: a directory, a .zip of one, hub:owner/name or ms:owner/name (repeatable)
    #[arg(long, required_unless_present = "average")]
    pub adapter: Vec<PathBuf>,
    /// The directory of what comes of it: absent or empty
    #[arg(long)]
    pub out: PathBuf,
    /// Average these adapters, and those of --adapter, in the place of adding them up; MiniMind's .pth of LoRA are taken, too.
    /// Without any, the models of --model are averaged
    #[arg(long, value_name = "ADAPTER", num_args = 0..)]
    pub average: Option<Vec<PathBuf>>,
    /// How much each counts
    #[command(flatten, next_help_heading = "Averages")]
    pub mean: AverageConfig,
}

/// Runs the verb.
pub fn run(args: &MergeArgs, everywhere: &Everywhere) -> Result<(), Failure> {
    let output = everywhere.output();
    if let Some(named) = &args.average {
        return average::run(args, named, output);
    }
    if args.mean != AverageConfig::default() {
        return Err(Failure::Usage(
            "--weights and --rank act on averages alone; add --average, or leave them out".into(),
        ));
    }
    let [model] = args.model.as_slice() else {
        return Err(Failure::Usage(
            "--model is given several times, and adapters have one base; to average models, add --average"
                .into(),
        ));
    };
    let mut checkpoint = args.beside.open(model)?;
    // What its card has told so far is seen from its own place.
    checkpoint.config = checkpoint.config.with_parent(&name_from(&args.out, model));
    let Merged { files, base, remark } = merge(checkpoint, model, &args.adapter)?;
    if let Some(remark) = remark {
        output.say(&remark);
    }
    write_checkpoint(&args.out, &files)?;
    let adapters = args.adapter.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>();
    output.json(&json!({"out": args.out.to_string_lossy(), "adapters": adapters, "base": base.hex()}));
    try_it(&args.out, output);
    Ok(())
}

/// Tells where a merged model is.
pub fn try_it(out: &Path, output: Output) {
    output.line(&out.display().to_string());
    output.say(&format!("try it: kindling chat --model {}", path_word(out)));
}
