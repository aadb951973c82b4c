//! `data preview`: rows as the model sees them.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use kindling::batch::{Encoder, Example};
use kindling::data::{DataOptions, Dataset};
use kindling::tokenizer::Tokenizer;
use kindling::train::{Stage, TrainConfig};
use serde::Serialize;

use super::train::tell;
use crate::cli::Everywhere;
use crate::failure::{Failure, io_error};
use crate::model_files::open_tokenizer;
use crate::output::Output;
use crate::sources;

/// What to do with data.
#[derive(Subcommand)]
pub enum DataVerb {
    /// Show rows as tokens, with what is a target and what is cut
    Preview(PreviewArgs),
}

/// Flags of `data preview`.
#[derive(Args)]
pub struct PreviewArgs {
    /// Files, directories, globs or hub:owner/name (repeatable)
    #[arg(long, required = true)]
    pub data: Vec<String>,
    /// A checkpoint, a tokenizer.json or hub:owner/name
    #[arg(long)]
    pub model: PathBuf,
    /// The stage whose view is shown
    #[arg(long, value_enum, default_value = "sft")]
    pub stage: Stage,
    /// A Jinja chat template that replaces the tokenizer's own
    #[arg(long)]
    pub chat_template: Option<PathBuf>,
    /// Show this many rows
    #[arg(long, default_value_t = 3)]
    pub limit: u64,
    /// Longest row in tokens
    #[arg(long, default_value_t = TrainConfig::of(Stage::Sft).max_seq_len)]
    pub max_seq_len: usize,
    /// Leave out rows that cannot be used
    #[arg(long)]
    pub skip_bad_rows: bool,
}

/// Runs the verb.
pub fn run(verb: DataVerb, everywhere: &Everywhere) -> Result<(), Failure> {
    let DataVerb::Preview(args) = verb;
    let output = everywhere.output();
    let mut tokenizer = open_tokenizer(&args.model)?;
    if let Some(path) = &args.chat_template {
        let text = std::fs::read_to_string(path).map_err(|e| io_error(path, e))?;
        tokenizer.set_chat_template(&text)?;
    }
    let options =
        DataOptions { limit: Some(args.limit), skip_bad_rows: args.skip_bad_rows, ..DataOptions::default() };
    let data = Dataset::open(sources::open(&args.data)?, options)?;
    tell(data.report(), output);
    let tokenizer = Arc::new(tokenizer);
    let encoder = Encoder::new(Arc::clone(&tokenizer), args.stage.content());
    for row in data.iter() {
        let (row, origin) = row?;
        let example = encoder.encode(&row, origin)?;
        show(&example, &tokenizer, args.max_seq_len + 1, output);
    }
    Ok(())
}

/// A row as programs see it. It borrows the tokens: a long row has millions of them.
#[derive(Serialize)]
struct Shown<'a> {
    source: &'a str,
    line: u64,
    tokens: &'a [u32],
    mask: Vec<u8>,
    kept: usize,
    targets: usize,
}

fn show(example: &Example, tokenizer: &Tokenizer, longest: usize, output: Output) {
    let kept = example.ids.len().min(longest);
    let targets = example.mask[..kept].iter().skip(1).filter(|target| **target).count();
    if output.json {
        return output.json(&Shown {
            source: &example.origin.source,
            line: example.origin.line,
            tokens: &example.ids,
            mask: example.mask.iter().map(|&target| u8::from(target)).collect(),
            kept,
            targets,
        });
    }
    output.line(&format!(
        "── {} · {} tokens, {targets} targets{}",
        example.origin,
        example.ids.len(),
        if kept < example.ids.len() { format!(", behind {kept} too long") } else { String::new() }
    ));
    output.line(&painted(example, tokenizer, kept));
}

/// Targets stand in green (in `[…]` where there is no colour), what is too long struck through or in `~…~`.
fn painted(example: &Example, tokenizer: &Tokenizer, kept: usize) -> String {
    let [context, target, too_long] = match std::io::stdout().is_terminal() {
        true => [("", ""), ("\x1b[1;32m", "\x1b[0m"), ("\x1b[9;2m", "\x1b[0m")],
        false => [("", ""), ("[", "]"), ("~", "~")],
    };
    let style = |i: usize| match example.mask[i] {
        _ if i >= kept => too_long,
        true => target,
        false => context,
    };
    let positions: Vec<usize> = (0..example.ids.len()).collect();
    let paint = |part: &[usize]| {
        let (open, close) = style(part[0]);
        let ids = &example.ids[part[0]..part[0] + part.len()];
        format!("{open}{}{close}", tokenizer.decode(ids, false).unwrap_or_default())
    };
    positions.chunk_by(|&a, &b| style(a) == style(b)).map(paint).collect()
}
