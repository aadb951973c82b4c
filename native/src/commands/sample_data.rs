//! `sample-data DIR`: the generated example sets.

use std::path::PathBuf;

use clap::Args;
use kindling::example::{World, WorldSize};
use serde_json::json;

use crate::cli::Everywhere;
use crate::disk::replace;
use crate::failure::Failure;
use crate::output;

/// Flags of `sample-data`.
#[derive(Args)]
pub struct SampleDataArgs {
    /// The directory to write to; it is made where it is absent
    pub dir: PathBuf,
    /// Seed of the generated world
    #[arg(long, default_value_t = kindling::example::DEFAULT_SEED)]
    pub seed: u64,
    /// Replace files of the same names
    #[arg(long)]
    pub overwrite: bool,
}

/// Writes the sets.
pub fn run(args: &SampleDataArgs, everywhere: &Everywhere) -> Result<(), Failure> {
    let output = everywhere.output();
    let files = World::new(args.seed).files(WorldSize::default());
    let taken: Vec<_> =
        files.iter().map(|(name, _)| name.as_str()).filter(|name| args.dir.join(name).exists()).collect();
    if !taken.is_empty() && !args.overwrite {
        let (dir, taken) = (args.dir.display(), taken.join(", "));
        return Err(Failure::Usage(format!("{dir} already holds {taken}; add --overwrite to replace them")));
    }
    for (name, bytes) in &files {
        let path = args.dir.join(name);
        replace(&path, bytes)?;
        let rows = bytes.iter().filter(|byte| **byte == b'\n').count();
        output.json(&json!({"file": path.to_string_lossy(), "rows": rows, "bytes": bytes.len()}));
        let (rows, size) = (output::counted(rows as u64, ["row", "rows"]), output::bytes(bytes.len() as u64));
        output.line(&format!("{}  {rows}, {size}", path.display()));
    }
    Ok(())
}
