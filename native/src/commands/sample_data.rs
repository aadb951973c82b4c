//! `sample-data DIR`: the generated example sets.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use kindling::example::{LargeText, World, WorldSize};
use serde_json::json;

use super::token_caches::write_file;
use crate::cli::Everywhere;
use crate::disk::replace;
use crate::failure::{Failure, io_error};
use crate::interrupt;
use crate::output::{self, Output};
use crate::run_dir::Existing;

/// Flags of `sample-data`.
#[derive(Args)]
pub struct SampleDataArgs {
    /// The directory to write to; it is made where it is absent
    pub dir: PathBuf,
    /// Seed of the generated world
    #[arg(long, default_value_t = kindling::example::DEFAULT_SEED)]
    pub seed: u64,
    /// Write large.jsonl instead: so many megabytes of text, to try large data with. Of every fifty rows one equals an
    /// earlier one, one nearly does, one is code and one is short
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub megabytes: Option<u64>,
    /// Replace files of the same names
    #[arg(long)]
    pub overwrite: bool,
}

/// Writes the sets.
pub fn run(args: &SampleDataArgs, everywhere: &Everywhere) -> Result<(), Failure> {
    let output = everywhere.output();
    if let Some(megabytes) = args.megabytes {
        return large(args, megabytes, output);
    }
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

/// Writes one large file, row by row.
fn large(args: &SampleDataArgs, megabytes: u64, output: Output) -> Result<(), Failure> {
    let path = args.dir.join("large.jsonl");
    fs::create_dir_all(&args.dir).map_err(|e| io_error(&args.dir, e))?;
    if path.exists() && !args.overwrite {
        let dir = args.dir.display();
        return Err(Failure::Usage(format!(
            "{dir} already holds large.jsonl; add --overwrite to replace it"
        )));
    }
    let (text, wanted) = (LargeText::new(args.seed), megabytes * 1_000_000);
    let (rows, bytes) = write_file(&path, Existing::Overwrite, |file| {
        let (mut rows, mut bytes) = (0, 0);
        while bytes < wanted {
            if interrupt::asked() {
                return Err(Failure::Interrupted);
            }
            let line = json!({"text": text.row(rows)}).to_string() + "\n";
            file.write_all(line.as_bytes()).map_err(|e| io_error(&path, e))?;
            bytes += line.len() as u64;
            rows += 1;
        }
        Ok((rows, bytes))
    })?;
    output.json(&json!({"file": path.to_string_lossy(), "rows": rows, "bytes": bytes}));
    output.line(&format!("{}  {rows} rows, {}", path.display(), output::bytes(bytes)));
    Ok(())
}
