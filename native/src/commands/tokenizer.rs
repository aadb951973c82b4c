//! `tokenizer train` and `tokenizer report`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use kindling::data::{DataOptions, Dataset};
use kindling::error::Result;
use kindling::text::Row;
use kindling::tokenizer::{
    EvenSampler, Report, TOKENIZER_FILES, Tokenizer, TokenizerTraining, report, train,
};
use serde_json::json;

use super::train::tell;
use crate::cli::Everywhere;
use crate::failure::{Failure, io_error};
use crate::model_files::{WEIGHTS, open_tokenizer};
use crate::output::{self, Output};
use crate::run_dir::refuse_inside;
use crate::sources::{self, TextArgs};
use crate::written::is_ours;

/// What to do with a tokenizer.
#[derive(Subcommand)]
pub enum TokenizerVerb {
    /// Learn a byte-level BPE vocabulary from text
    Train(TrainTokenizerArgs),
    /// Compression, round trip and the cost of chosen strings
    Report(ReportArgs),
}

/// Flags of `tokenizer train`.
#[derive(Args)]
pub struct TrainTokenizerArgs {
    /// Files, directories, globs, hub:owner/name, ms:owner/name or - for the standard input, to learn from (repeatable)
    #[arg(long, required = true)]
    pub data: Vec<String>,
    /// Number of token ids, special tokens and the 256 bytes included
    #[arg(long, default_value_t = 6400)]
    pub vocab_size: usize,
    /// Pairs seen less often are not merged
    #[arg(long, default_value_t = 2)]
    pub min_frequency: u64,
    /// Special tokens, in the order of their ids (comma-separated)
    #[arg(long, value_delimiter = ',', default_values_t = TokenizerTraining::default().special_tokens)]
    pub special_tokens: Vec<String>,
    /// Learn from this many bytes, spread evenly over the data, instead of from all
    #[arg(long, default_value_t = 64 << 20)]
    pub max_bytes: u64,
    /// Each digit is a token of its own
    #[arg(long)]
    pub single_digits: bool,
    /// Each Chinese character is a token of its own
    #[arg(long)]
    pub single_han: bool,
    /// Where to write tokenizer.json and its companions
    #[arg(long)]
    pub out: PathBuf,
    /// Replace a tokenizer that is already there
    #[arg(long)]
    pub overwrite: bool,
    /// Leave out rows that cannot be used
    #[arg(long)]
    pub skip_bad_rows: bool,
    /// How texts are found
    #[command(flatten)]
    pub reading: TextArgs,
}

/// Flags of `tokenizer report`.
#[derive(Args)]
pub struct ReportArgs {
    /// A checkpoint, a tokenizer.json, hub:owner/name or ms:owner/name
    #[arg(long)]
    pub model: PathBuf,
    /// Files, directories, globs, hub:owner/name, ms:owner/name or - for the standard input, to measure on (repeatable)
    #[arg(long, required = true)]
    pub data: Vec<String>,
    /// Strings whose cost in tokens is shown (repeatable)
    #[arg(long, default_values_t = ["<think>".to_string(), "</think>".into(), "<answer>".into(), "</answer>".into()])]
    pub cost: Vec<String>,
    /// Measure on this many rows
    #[arg(long, default_value_t = 10_000)]
    pub limit: u64,
    /// Leave out rows that cannot be used
    #[arg(long)]
    pub skip_bad_rows: bool,
    /// How texts are found
    #[command(flatten)]
    pub reading: TextArgs,
}

/// Runs the verb.
pub fn run(verb: TokenizerVerb, everywhere: &Everywhere) -> Result<(), Failure> {
    match verb {
        TokenizerVerb::Train(args) => train_tokenizer(&args, everywhere.output()),
        TokenizerVerb::Report(args) => report_tokenizer(&args, everywhere.output()),
    }
}

fn train_tokenizer(args: &TrainTokenizerArgs, output: Output) -> Result<(), Failure> {
    check_out(args)?;
    let texts = sample(args, output)?;
    let bytes: usize = texts.iter().map(String::len).sum();
    output.say(&format!(
        "learning from {}, {}",
        output::counted(texts.len() as u64, ["row", "rows"]),
        output::bytes(bytes as u64)
    ));
    let settings = TokenizerTraining {
        vocab_size: args.vocab_size,
        min_frequency: args.min_frequency,
        special_tokens: args.special_tokens.clone(),
        digits_single: args.single_digits,
        han_single: args.single_han,
    };
    let tokenizer = train(texts.into_iter(), &settings)?;
    write(&tokenizer, &args.out)?;
    if tokenizer.vocab_size() < args.vocab_size {
        output.warn(&format!(
            "the data gave only {} ids of the {} asked for; give more data or a lower --min-frequency",
            tokenizer.vocab_size(),
            args.vocab_size
        ));
    }
    output.json(
        &json!({"out": args.out.to_string_lossy(), "vocab_size": tokenizer.vocab_size(), "bytes": bytes}),
    );
    output.line(&format!("{}  {} ids", args.out.display(), tokenizer.vocab_size()));
    Ok(())
}

/// Only a tokenizer gives way to another: not a model's, not a directory of anything else, not the data.
fn check_out(args: &TrainTokenizerArgs) -> Result<(), Failure> {
    let out = &args.out;
    let taken = fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some());
    let refused = match out.join("tokenizer.json").exists() {
        true if is_ours(out) || out.join(WEIGHTS).exists() => {
            Some("holds a model, which another tokenizer would not fit; choose another directory")
        }
        true if !args.overwrite => Some("already holds a tokenizer; add --overwrite to replace it"),
        false if taken => Some("holds files that are not a tokenizer of ours; choose another directory"),
        _ => None,
    };
    if let Some(refused) = refused {
        return Err(Failure::Usage(format!("--out {} {refused}", out.display())));
    }
    let data = sources::local_files(&args.data).into_iter().map(|file| ("--data", file));
    match args.overwrite {
        true => Ok(refuse_inside(out, data)?),
        false => Ok(()),
    }
}

/// The texts to learn from: as many as `--max-bytes` allows, spread evenly over the data.
fn sample(args: &TrainTokenizerArgs, output: Output) -> Result<Vec<String>> {
    let options = DataOptions {
        skip_bad_rows: args.skip_bad_rows,
        text_column: args.reading.text_column.clone(),
        ..DataOptions::default()
    };
    let data = Dataset::open(sources::open(&args.data, args.reading.encoding)?, options)?;
    tell(data.report(), output);
    let mut sample = EvenSampler::new(data.report().bytes_of_text, args.max_bytes);
    let mut kept = Vec::new();
    for text in texts(&data) {
        let text = text?;
        if sample.keep(text.len() as u64) {
            kept.push(text);
        }
    }
    Ok(kept)
}

/// Moves the files to their places when all are written, so that a full disk leaves what was there.
fn write(tokenizer: &Tokenizer, out: &Path) -> Result<()> {
    let files = tokenizer.to_files()?.into_iter();
    let files: Vec<_> =
        files.map(|(name, bytes)| (out.join(format!(".{name}.tmp")), out.join(name), bytes)).collect();
    let replaces = out.join("tokenizer.json").exists();
    fs::create_dir_all(out).map_err(|e| io_error(out, e))?;
    let written = files
        .iter()
        .try_for_each(|(temporary, path, bytes)| fs::write(temporary, bytes).map_err(|e| io_error(path, e)));
    let moved = written.and_then(|()| {
        files
            .iter()
            .try_for_each(|(temporary, path, _)| fs::rename(temporary, path).map_err(|e| io_error(path, e)))
    });
    if moved.is_err() {
        for (temporary, ..) in &files {
            let _ = fs::remove_file(temporary);
        }
    } else if replaces {
        // What the old tokenizer had beside these files would be read with the new one.
        let old = TOKENIZER_FILES.map(|name| out.join(name)).into_iter();
        for path in old.filter(|path| files.iter().all(|(_, new, _)| new != path)) {
            let _ = fs::remove_file(path);
        }
    }
    moved
}

fn report_tokenizer(args: &ReportArgs, output: Output) -> Result<(), Failure> {
    let tokenizer = open_tokenizer(&args.model)?;
    let options = DataOptions {
        limit: Some(args.limit),
        skip_bad_rows: args.skip_bad_rows,
        text_column: args.reading.text_column.clone(),
        ..DataOptions::default()
    };
    let data = Dataset::open(sources::open(&args.data, args.reading.encoding)?, options)?;
    tell(data.report(), output);
    let costs: Vec<&str> = args.cost.iter().map(String::as_str).collect();
    let report = report(&tokenizer, texts(&data), &costs)?;
    output.json(&report);
    show(&report, output);
    Ok(())
}

fn show(report: &Report, output: Output) {
    let (tokens, bytes) = (output::counted(report.tokens, ["token", "tokens"]), output::bytes(report.bytes));
    let texts = output::counted(report.texts, ["text", "texts"]);
    output.line(&format!("{} ids; {texts}, {bytes}, {tokens}", report.vocab_size));
    output.line(&format!(
        "{:.3} bytes a token, {:.3} characters a token",
        report.bytes_per_token, report.chars_per_token
    ));
    if let Some(chars) = report.zh_chars_per_token {
        output.line(&format!("{chars:.3} Chinese characters a token"));
    }
    let words = ["text does not decode to itself", "texts do not decode to themselves"];
    output.line(&output::counted(report.round_trip_failures, words));
    for failure in &report.failures {
        output.line(&format!("  text {}: {:?} became {:?}", failure.text, failure.expected, failure.got));
    }
    for cost in &report.costs {
        output.line(&format!(
            "{:?} costs {}: {:?} = {}",
            cost.text,
            output::counted(cost.tokens as u64, ["token", "tokens"]),
            cost.ids,
            cost.pieces.join(" ")
        ));
    }
}

/// The text of every row, or why it could not be read.
fn texts(data: &Dataset) -> impl Iterator<Item = Result<String>> + '_ {
    data.iter().map(|row| row.map(|(row, _)| text_of(&row)))
}

/// All text of a row, the messages of a conversation one a line.
fn text_of(row: &Row) -> String {
    row.texts().collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use kindling::data::{Memory, Source};

    use super::*;

    const ROWS: &str = "{\"text\": \"one\"}\n{\"text\": \"two\"}\n";

    /// A disk that can be pulled out.
    struct Disk {
        gone: AtomicBool,
    }

    impl Source for Disk {
        fn name(&self) -> &str {
            "a.jsonl"
        }

        fn len(&self) -> u64 {
            ROWS.len() as u64
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
            match self.gone.load(Ordering::Relaxed) {
                true => Err(io::Error::other("the disk is gone")),
                false => Memory::new("a.jsonl", ROWS).read_at(offset, buffer),
            }
        }
    }

    #[test]
    fn a_row_that_cannot_be_read_is_an_error_not_a_gap() {
        let disk = Arc::new(Disk { gone: AtomicBool::new(false) });
        let open = || Dataset::open(vec![disk.clone()], DataOptions::default()).unwrap();
        let read = |data: &Dataset| texts(data).collect::<Result<Vec<String>>>();
        assert_eq!(read(&open()).unwrap(), ["one", "two"]);
        let data = open();
        disk.gone.store(true, Ordering::Relaxed);
        assert_eq!(read(&data).unwrap_err().to_string(), "a.jsonl: the disk is gone");
    }
}
