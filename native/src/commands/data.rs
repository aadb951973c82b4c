//! `data preview`: rows as the model sees them.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use kindling::batch::{
    Encoder, Example, Fit, Fitted, RenderWarnings, TooLong, count_warnings, render_remarks,
};
use kindling::data::{DataOptions, DataReport, Dataset};
use kindling::error::Error;
use kindling::tokenizer::{RenderWarning, Tokenizer};
use kindling::train::{Stage, TrainConfig};
use serde::Serialize;
use serde_json::json;

use super::train::tell;
use crate::cli::Everywhere;
use crate::date::Date;
use crate::failure::{Failure, io_error};
use crate::model_files::open_tokenizer;
use crate::output::{self, Output};
use crate::sources::{self, TextArgs};

/// What to do with data.
#[derive(Subcommand)]
pub enum DataVerb {
    /// Show rows as tokens, with what is a target and what is cut
    Preview(PreviewArgs),
}

/// Flags of `data preview`.
#[derive(Args)]
pub struct PreviewArgs {
    /// Files, directories, globs, hub:owner/name or - for the standard input (repeatable)
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
    /// What happens to longer rows: cut (a text into pieces, a conversation at its end) or drop
    #[arg(long, value_enum, default_value = "cut")]
    pub too_long: TooLong,
    /// The day that chat templates with today's date print, as 2025-07-31 [default: today]
    #[arg(long, default_value_t = Date::today(), hide_default_value = true)]
    pub date: Date,
    /// Leave out rows that cannot be used
    #[arg(long)]
    pub skip_bad_rows: bool,
    /// Make texts of conversations, as `pretrain` does with this flag
    #[arg(long)]
    pub join_turns: bool,
    /// How texts are found
    #[command(flatten)]
    pub reading: TextArgs,
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
    args.date.set(&mut tokenizer);
    let options = DataOptions {
        limit: Some(args.limit),
        skip_bad_rows: args.skip_bad_rows,
        kind: Some(args.stage.row_kind()),
        join_turns: args.join_turns,
        text_column: args.reading.text_column.clone(),
        ..DataOptions::default()
    };
    let data = Dataset::open(sources::open(&args.data, args.reading.encoding)?, options)?;
    tell(data.report(), output);
    let (tokenizer, content) = (Arc::new(tokenizer), args.stage.content());
    let encoder = Encoder::new(Arc::clone(&tokenizer), content).for_rows_of(args.max_seq_len);
    let fit = Fit::new(content, args.max_seq_len, args.too_long);
    let (mut odd, mut refused) = (RenderWarnings::new(), Vec::new());
    for row in data.iter() {
        let (row, origin) = row?;
        match encoder.encode(&row, origin) {
            Ok(example) => {
                count_warnings(&example, &mut odd);
                show(&example, &fit, &tokenizer, output);
            }
            Err(Error::Data(why)) if data.skip_bad_rows() => refused.push(why),
            Err(error) => return Err(error.into()),
        }
    }
    conclude(data.report(), &odd, &refused, output);
    Ok(())
}

/// Says what is odd about the rendered rows and which the template refused; for programs also what is odd about the
/// data, if anything is.
fn conclude(report: &DataReport, odd: &RenderWarnings, refused: &[String], output: Output) {
    let odd = render_remarks(odd, output::grouped);
    odd.iter().for_each(|remark| output.warn(remark));
    if let Some(first) = refused.first() {
        let count = output::grouped(refused.len() as u64);
        output.warn(&format!("{count} rows cannot be rendered and are left out (the first: {first})"));
    }
    let warnings = [report.remarks(|count| count.to_string()), odd].concat();
    if !(warnings.is_empty() && refused.is_empty() && report.bad == 0) {
        output.json(&json!({"event": "report", "warnings": warnings, "refused": refused, "report": report}));
    }
}

/// A row as programs see it. It borrows the tokens: a long row has millions of them.
#[derive(Serialize)]
struct Shown<'a> {
    source: &'a str,
    line: u64,
    tokens: &'a [u32],
    /// Which tokens are targets.
    mask: Vec<u8>,
    /// How much each counts, where that is not 0 or 1 everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    weights: Option<&'a [f32]>,
    kept: usize,
    targets: usize,
    /// Why it is not trained at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<&'static str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [RenderWarning],
}

fn show(example: &Example, fit: &Fit, tokenizer: &Tokenizer, output: Output) {
    let (kept, left_out) = match fit.fit(example.clone()) {
        Fitted::Whole(fitted) | Fitted::Cut(fitted) => (fitted.ids.len(), None),
        Fitted::TooLong => (0, Some("longer than --max-seq-len")),
        Fitted::NoTarget => {
            (example.ids.len().min(fit.seq_len.saturating_add(1)), Some("nothing to learn in it"))
        }
    };
    let targets = example.weights[..kept].iter().skip(1).filter(|weight| **weight != 0.0).count();
    let weighed = example.weights.iter().any(|&weight| weight != 0.0 && weight != 1.0);
    if output.json {
        return output.json(&Shown {
            source: &example.origin.source,
            line: example.origin.line,
            tokens: &example.ids,
            mask: example.weights.iter().map(|&weight| u8::from(weight != 0.0)).collect(),
            weights: weighed.then_some(&example.weights[..]),
            kept,
            targets,
            left_out,
            warnings: &example.warnings,
        });
    }
    let mut head = format!("── {} · {} tokens, {targets} targets", example.origin, example.ids.len());
    if weighed {
        head += &format!(", weighed {}", weights(&example.weights[..kept]));
    }
    if kept < example.ids.len() {
        head += &format!(", behind {kept} too long");
    }
    if let Some(why) = left_out {
        head += &format!(", left out: {why}");
    }
    output.line(&head);
    output.line(&painted(example, tokenizer, kept));
}

/// The weights of the targets, each run of equal ones once.
fn weights(weights: &[f32]) -> String {
    let targets: Vec<f32> = weights.iter().copied().filter(|weight| *weight != 0.0).collect();
    targets.chunk_by(|a, b| a == b).map(|run| run[0].to_string()).collect::<Vec<_>>().join(" ")
}

/// Targets stand in green (in `[…]` where there is no colour), what is too long struck through or in `~…~`.
fn painted(example: &Example, tokenizer: &Tokenizer, kept: usize) -> String {
    let [context, target, too_long] = match std::io::stdout().is_terminal() {
        true => [("", ""), ("\x1b[1;32m", "\x1b[0m"), ("\x1b[9;2m", "\x1b[0m")],
        false => [("", ""), ("[", "]"), ("~", "~")],
    };
    let style = |i: usize| match example.weights[i] != 0.0 {
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
