//! `data prepare`: rows are made tokens once, into shards that train from a memory map, or into a cache of other programs.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use kindling::data::{DataOptions, Dataset, Dedup};
use kindling::platform::now;
use kindling::prepared::Preparation;
use kindling::train::{Stage, turn_warnings};
use serde_json::json;

use super::judging::{Judging, Read};
use super::shard_dir;
use super::token_caches;
use super::train::tell;
use super::view::ViewArgs;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::run_dir::Existing;
use crate::shares;
use crate::shell_word::path_word;
use crate::sources::{self, RowArgs};

/// What the tokens are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CacheForm {
    /// A directory of shards with weights, places and checksums.
    Shards,
    /// A NumPy array of int32, rows of --max-seq-len tokens of texts; what is left at the end is dropped.
    Npy,
    /// The tokens of texts one behind the other, uint16 (or uint32 where the name ends in .u32.bin).
    Bin,
}

/// Flags of `data prepare`.
#[derive(Args)]
pub struct PrepareArgs {
    /// Files, directories, globs, hub:owner/name, ms:owner/name or - for the standard input (repeatable); FILE=SHARE draws rows by shares
    #[arg(long, required = true)]
    pub data: Vec<String>,
    /// What makes tokens of them
    #[command(flatten)]
    pub view: ViewArgs,
    /// A directory, or the file of another form
    #[arg(long)]
    pub out: PathBuf,
    /// What the tokens are written as
    #[arg(long, value_enum, default_value = "shards")]
    pub to: CacheForm,
    /// Write a line of JSON for every row that is left out: its file and line, why, and which row it doubles
    #[arg(long, value_name = "FILE")]
    pub dropped: Option<PathBuf>,
    /// Replace prepared data that is already in --out, and nothing else
    #[arg(long)]
    pub overwrite: bool,
    /// Which rows
    #[command(flatten)]
    pub rows: RowArgs,
}

/// Runs the verb.
///
/// # Errors
/// Rows that cannot be read or encoded; an --out that is taken.
pub fn run(args: &PrepareArgs, output: Output) -> Result<(), Failure> {
    refuse_idle(args)?;
    let (view, stage) = (&args.view, args.view.stage);
    let tags = view.taught_tags()?;
    let (tokenizer, config, _) = view.opened(output)?;
    let (dataset, read) = open(args, tokenizer.template_keys(), output)?;
    turn_warnings(stage, &dataset, &tokenizer).iter().for_each(|told| output.warn(told));
    let (length, content) = (config.max_seq_len, view.content_of(&dataset, args.rows.turns)?);
    let preparation =
        Preparation::new(Arc::new(dataset), Arc::new(tokenizer), content, length, view.max_prompt_len)?
            .with_tags(tags);
    let existing = if args.overwrite { Existing::Overwrite } else { Existing::Refuse };
    let began = now();
    let done = match args.to {
        CacheForm::Shards => shard_dir::write(&preparation, &args.out, existing, output)?,
        CacheForm::Npy => token_caches::write_npy(&preparation, length, &args.out, existing, output)?,
        CacheForm::Bin => token_caches::write_flat(&preparation, &args.out, existing, output)?,
    };
    let encoding = Read { bytes: preparation.dataset().report().bytes_of_text, seconds: now() - began };
    let index = preparation.dataset().index_use();
    output.json(&json!({
        "event": "done", "out": args.out.to_string_lossy(), "rows": done.rows, "tokens": done.tokens, "shards": done.shards,
        "kept": done.kept, "left_over": done.left_over, "read_bytes": read.bytes, "read_seconds": read.seconds,
        "text_bytes": encoding.bytes, "encode_seconds": encoding.seconds, "dedup_rows": index.rows,
        "dedup_bytes": index.bytes, "report": preparation.dataset().report(),
    }));
    output.line(&args.out.display().to_string());
    if done.kept == 0 {
        output.say(&format!(
            "looked at {} in {} ({:.1} MB/s), made tokens of {} in {} ({:.1} MB/s)",
            output::bytes(read.bytes),
            output::duration(read.seconds),
            read.speed(),
            output::bytes(encoding.bytes),
            output::duration(encoding.seconds),
            encoding.speed()
        ));
    }
    // Tokens hold no questions that could be asked.
    let also = if stage == Stage::Reason { " --eval-answers 0" } else { "" };
    output.say(&format!(
        "{}, {}; train with: kindling {} --data {} --max-seq-len {length}{also} …",
        output::counted(done.rows, ["row", "rows"]),
        output::counted(done.tokens, ["token", "tokens"]),
        stage.name(),
        path_word(&args.out)
    ));
    Ok(())
}

/// Refuses flags that would not act, and names that would not be known again.
fn refuse_idle(args: &PrepareArgs) -> Result<(), Failure> {
    args.view.refuse_idle(args.rows.turns)?;
    let ending = match args.to {
        CacheForm::Shards => return Ok(()),
        CacheForm::Npy => "npy",
        CacheForm::Bin => "bin",
    };
    if args.view.stage != Stage::Pretrain {
        return Err(Failure::Usage(format!(
            "--to {ending} holds nothing but tokens, and answers need to be told from questions; add --stage pretrain, or take \
             --to shards"
        )));
    }
    if args.data.iter().any(|data| shares::parted(data).1.is_some()) {
        return Err(Failure::Usage(format!(
            "--to {ending} keeps no shares of --data; leave them out, or take --to shards"
        )));
    }
    match args.out.extension().is_some_and(|own| own.eq_ignore_ascii_case(ending)) {
        true => Ok(()),
        false => Err(Failure::Usage(format!(
            "--out {}: the name of such a file ends in .{ending}, by which it is known again",
            args.out.display()
        ))),
    }
}

/// Opens the data and judges its rows.
fn open(
    args: &PrepareArgs,
    template_keys: BTreeSet<String>,
    output: Output,
) -> Result<(Dataset, Read), Failure> {
    let dedup = args.rows.filters.dedup;
    if dedup != Dedup::None {
        output.say(&format!(
            "--dedup takes at most {} bytes of memory for each row that is kept, beside {}",
            dedup.bytes_a_row(),
            output::bytes(Dedup::FIXED_BYTES)
        ));
    }
    let keeps = dedup == Dedup::Minhash && args.to == CacheForm::Shards && shard_dir::can_keep(&args.out);
    let options = DataOptions { kind: args.view.stage.row_kind(), template_keys, ..args.rows.options() };
    let (sources, shares) = sources::open_mix(&args.data, args.rows.reading.encoding)?;
    let mut judging = Judging::new(args.dropped.as_deref(), keeps.then_some(args.out.as_path()), output)?;
    let dataset = Dataset::open_watched(sources, &shares, options, &mut judging)?;
    let read = judging.finish()?;
    let index = dataset.index_use();
    if index.rows > 0 {
        // What it takes beside its rows would make few of them look large.
        let own = index.bytes.saturating_sub(Dedup::FIXED_BYTES).div_ceil(index.rows);
        let (rows, bytes) = (output::grouped(index.rows), output::bytes(index.bytes));
        output.say(&format!(
            "the index of {rows} rows took {bytes}, {own} bytes a row beside its first megabytes"
        ));
    }
    tell(dataset.report(), output);
    dataset.idle_turns().iter().for_each(|told| output.warn(told));
    dataset.mix().and_then(|mix| mix.remark()).iter().for_each(|told| output.say(told));
    Ok((dataset, read))
}
