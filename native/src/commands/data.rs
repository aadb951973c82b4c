//! `data preview`: rows as the model sees them.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use kindling::batch::{
    EncodedRows, Encoder, Example, ExampleSource, Fit, Fitted, Found, RenderWarnings, TooLong,
    count_warnings, render_remarks,
};
use kindling::data::{DataOptions, DataReport, Dataset};
use kindling::error::Error;
use kindling::tokenizer::{RenderWarning, Tokenizer};
use kindling::told::Told;
use kindling::train::{Stage, TrainConfig, turn_warnings};
use serde::Serialize;
use serde_json::json;

use super::train::tell;
use super::train_args::idle;
use super::use_template;
use crate::cli::Everywhere;
use crate::date::{Date, tell_unprinted};
use crate::failure::Failure;
use crate::model_files::open_tokenizer_and_context;
use crate::output::{self, Output};
use crate::sources::{self, TextArgs, TurnsArgs};

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
    #[arg(long, help = length_help())]
    pub max_seq_len: Option<usize>,
    /// What happens to longer rows: cut (a text into pieces, a conversation at its end) or drop
    #[arg(long, value_enum, default_value = "cut")]
    pub too_long: TooLong,
    /// The day that chat templates with today's date print, as 2025-07-31 [default: today]
    #[arg(long)]
    pub date: Option<Date>,
    /// Leave out rows that cannot be used
    #[arg(long)]
    pub skip_bad_rows: bool,
    /// What becomes of conversations
    #[command(flatten)]
    pub turns: TurnsArgs,
    /// How texts are found
    #[command(flatten)]
    pub reading: TextArgs,
}

/// Runs the verb.
pub fn run(verb: DataVerb, everywhere: &Everywhere) -> Result<(), Failure> {
    let DataVerb::Preview(args) = verb;
    let output = everywhere.output();
    refuse_idle(&args)?;
    let (tokenizer, config) = opened(&args, output)?;
    let options = DataOptions {
        limit: Some(args.limit),
        skip_bad_rows: args.skip_bad_rows,
        kind: Some(args.stage.row_kind()),
        turns: args.turns.turns(),
        template_keys: tokenizer.template_keys(),
        text_column: args.reading.text_column.clone(),
        ..DataOptions::default()
    };
    let data = Arc::new(open(&args, options, output)?);
    let (tokenizer, content) = (Arc::new(tokenizer), args.stage.content());
    let encoder = Encoder::new(Arc::clone(&tokenizer), content).for_rows_of(config.max_seq_len);
    let skip_bad_rows = data.skip_bad_rows();
    let rows =
        EncodedRows { encoder: encoder.with_turns(data.turns()), dataset: Arc::clone(&data), skip_bad_rows };
    let fit = Fit::new(content, config.max_seq_len, args.too_long);
    let (mut odd, mut refused, mut parted) = (RenderWarnings::new(), Vec::new(), false);
    for row in 0..rows.rows() {
        match rows.examples(row)? {
            Found::Examples(examples) => examples.iter().for_each(|example| {
                count_warnings(example, &mut odd);
                let seen = Seen::of(example, &fit);
                parted |= seen.pieces.len() > 1;
                show(example, &seen, &tokenizer, output);
            }),
            Found::Unusable(why) => refused.push(why),
        }
    }
    if parted && config.packing {
        output.say(
            "training packs rows, so that a text's pieces begin where the row before it is full; shown are those of a \
             text that begins a row",
        );
    }
    let turns = turn_warnings(args.stage, &data, &tokenizer).into_iter();
    let odd = turns.chain(render_remarks(&odd, output::grouped)).collect();
    conclude(data.report(), odd, &refused, output);
    Ok(())
}

/// Opens the data as far as rows are shown, and says what was read.
fn open(args: &PreviewArgs, options: DataOptions, output: Output) -> Result<Dataset, Failure> {
    let limit = args.limit;
    let data = match Dataset::open(sources::open(&args.data, args.reading.encoding)?, options) {
        Err(error @ Error::BadRows { .. }) => {
            output.warn(&format!(
                "rows are looked at until {limit} of them can be used (--limit); those behind are not, and may be bad, too"
            ));
            return Err(error.into());
        }
        opened => opened?,
    };
    let report = data.report();
    tell(report, output);
    if report.usable == limit {
        output.say(&format!(
            "looked at the first {} rows, of which {limit} can be used; --limit N shows more",
            output::grouped(report.rows)
        ));
    }
    data.idle_turns().iter().for_each(|told| output.warn(told));
    Ok(data)
}

/// Refuses flags for templates where nothing is rendered.
fn refuse_idle(args: &PreviewArgs) -> Result<(), Failure> {
    let given = [("--date", args.date.is_some()), ("--chat-template", args.chat_template.is_some())];
    match given.into_iter().find(|(_, given)| *given) {
        Some((flag, _)) if !args.turns.renders(args.stage) => Err(Failure::Usage(idle(flag))),
        _ => Ok(()),
    }
}

/// The tokenizer with its template and date, and the settings that training would have.
fn opened(args: &PreviewArgs, output: Output) -> Result<(Tokenizer, TrainConfig), Failure> {
    let (mut tokenizer, context) = open_tokenizer_and_context(&args.model)?;
    use_template(&mut tokenizer, args.chat_template.as_deref())?;
    args.date.unwrap_or_else(Date::today).set(&mut tokenizer);
    if args.date.is_some() {
        tell_unprinted(&tokenizer);
    }
    let mut config = TrainConfig::of(args.stage);
    match (args.max_seq_len, context) {
        (Some(given), _) => config.max_seq_len = given,
        (None, Some(context)) => {
            config.fit_default_length(context).iter().for_each(|note| output.say(note));
        }
        (None, None) => {}
    }
    let too_long = context.and_then(|context| config.length_problem(context));
    match config.problems().into_iter().chain(too_long).collect::<Vec<_>>() {
        problems if problems.is_empty() => Ok((tokenizer, config)),
        problems => Err(Error::Config(problems).into()),
    }
}

/// The help of `--max-seq-len`, with the stages' own defaults.
fn length_help() -> String {
    let [pretrain, sft] = [Stage::Pretrain, Stage::Sft].map(|stage| TrainConfig::of(stage).max_seq_len);
    format!(
        "Longest row in tokens [default: as the stage trains: {pretrain} (pretrain) or {sft}, or what the model holds]"
    )
}

/// Says what is odd about the rendered rows and which the template refused; for programs also what is odd about the
/// data, if anything is.
fn conclude(report: &DataReport, odd: Vec<Told>, refused: &[Told], output: Output) {
    odd.iter().for_each(|remark| output.warn(remark));
    if let Some(first) = refused.first() {
        let count = output::grouped(refused.len() as u64);
        output.warn(&format!("{count} rows cannot be rendered and are left out (the first: {first})"));
    }
    let texts = |list: &[Told]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let warnings = texts(&[report.remarks(|count| count.to_string()), odd].concat());
    if !(warnings.is_empty() && refused.is_empty() && report.bad == 0) {
        output.json(
            &json!({"event": "report", "warnings": warnings, "refused": texts(refused), "report": report}),
        );
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
    /// The tokens of each row of training that a long text goes on in, which begins with the last one of the row before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pieces: Option<Vec<usize>>,
    /// Why it is not trained at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<&'static str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [RenderWarning],
}

/// What training sees of an example.
struct Seen {
    /// Tokens from the first on.
    kept: usize,
    /// Why none.
    left_out: Option<&'static str>,
    /// The rows of training that a text is cut into, where it is longer than one.
    pieces: Vec<Example>,
    seq_len: usize,
}

impl Seen {
    fn of(example: &Example, fit: &Fit) -> Self {
        let longest = fit.seq_len.saturating_add(1);
        let (kept, left_out, pieces) = match fit.fit(example.clone()) {
            Fitted::Cut(fitted) if fit.keep_pieces => (fitted.ids.len(), None, fit.pieces(fitted)),
            Fitted::Whole(fitted) | Fitted::Cut(fitted) => (fitted.ids.len(), None, Vec::new()),
            Fitted::TooLong => (0, Some("longer than --max-seq-len"), Vec::new()),
            Fitted::NoTarget => (example.ids.len().min(longest), Some("nothing to learn in it"), Vec::new()),
        };
        Self { kept, left_out, pieces, seq_len: fit.seq_len }
    }

    /// What is said of it behind the counts of its tokens and targets.
    fn told(&self, tokens: usize) -> String {
        let mut told = String::new();
        if self.pieces.len() > 1 {
            told += &format!(
                ", cut into {} rows of at most {} tokens, each of which begins with the last one of the row before",
                self.pieces.len(),
                self.seq_len.saturating_add(1)
            );
        }
        if 0 < self.kept && self.kept < tokens {
            told += &format!(
                ", cut behind the first {} (--max-seq-len {} and the last target)",
                self.kept, self.seq_len
            );
        }
        if let Some(why) = self.left_out {
            told += &format!(", left out: {why}");
            if self.kept == 0 {
                told += &format!(" {}", self.seq_len);
            }
        }
        told
    }
}

fn show(example: &Example, seen: &Seen, tokenizer: &Tokenizer, output: Output) {
    let Seen { kept, left_out, pieces, .. } = seen;
    let targets = example.weights[..*kept].iter().skip(1).filter(|weight| **weight != 0.0).count();
    let weighed = example.weights.iter().any(|&weight| weight != 0.0 && weight != 1.0);
    if output.json {
        return output.json(&Shown {
            source: &example.origin.source,
            line: example.origin.line,
            tokens: &example.ids,
            mask: example.weights.iter().map(|&weight| u8::from(weight != 0.0)).collect(),
            weights: weighed.then_some(&example.weights[..]),
            kept: *kept,
            targets,
            pieces: (pieces.len() > 1).then(|| pieces.iter().map(|piece| piece.ids.len()).collect()),
            left_out: *left_out,
            warnings: &example.warnings,
        });
    }
    let mut head = format!("── {} · {} tokens, {targets} targets", example.origin, example.ids.len());
    if weighed {
        head += &format!(", weighed {}", weights(&example.weights[..*kept]));
    }
    output.line(&(head + &seen.told(example.ids.len())));
    if pieces.len() < 2 {
        return output.line(&painted(example, tokenizer, *kept));
    }
    for (index, piece) in pieces.iter().enumerate() {
        let mut piece = piece.clone();
        if index > 0 {
            // It was the last target of the row before, and here it is only read.
            piece.weights[0] = 0.0;
        }
        output.line(&format!("─ row {} of {} · {} tokens", index + 1, pieces.len(), piece.ids.len()));
        output.line(&painted(&piece, tokenizer, piece.ids.len()));
    }
}

/// The weights of the targets, each run of equal ones once.
fn weights(weights: &[f32]) -> String {
    let targets: Vec<f32> = weights.iter().copied().filter(|weight| *weight != 0.0).collect();
    targets.chunk_by(|a, b| a == b).map(|run| run[0].to_string()).collect::<Vec<_>>().join(" ")
}

/// Targets stand in green (in `[…]` where there is no colour), those that count other than 1 in yellow behind what they
/// count (`[×0.5:…]`), what is too long struck through or in `~…~`.
fn painted(example: &Example, tokenizer: &Tokenizer, kept: usize) -> String {
    let coloured = std::io::stdout().is_terminal();
    let style = |i: usize| match (i < kept, example.weights[i]) {
        (false, _) => Style::TooLong,
        (true, 0.0) => Style::Context,
        (true, 1.0) => Style::Target,
        (true, weight) => Style::Weighed(weight),
    };
    let positions: Vec<usize> = (0..example.ids.len()).collect();
    let paint = |part: &[usize]| {
        let [open, close] = style(part[0]).marks(coloured);
        let ids = &example.ids[part[0]..part[0] + part.len()];
        format!("{open}{}{close}", tokenizer.decode(ids, false).unwrap_or_default())
    };
    positions.chunk_by(|&a, &b| style(a) == style(b)).map(paint).collect()
}

/// How a token is shown.
#[derive(PartialEq)]
enum Style {
    Context,
    Target,
    Weighed(f32),
    TooLong,
}

impl Style {
    /// What stands before and behind such tokens.
    fn marks(&self, coloured: bool) -> [String; 2] {
        let plain = |open: &str, close: &str| [open.to_string(), close.to_string()];
        match (self, coloured) {
            (Self::Context, _) => plain("", ""),
            (Self::Target, true) => plain("\x1b[1;32m", "\x1b[0m"),
            (Self::Target, false) => plain("[", "]"),
            (Self::Weighed(weight), true) => plain(&format!("\x1b[1;33m×{weight}:"), "\x1b[0m"),
            (Self::Weighed(weight), false) => plain(&format!("[×{weight}:"), "]"),
            (Self::TooLong, true) => plain("\x1b[9;2m", "\x1b[0m"),
            (Self::TooLong, false) => plain("~", "~"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_weight_has_marks_of_its_own() {
        for coloured in [true, false] {
            let styles =
                [Style::Context, Style::Target, Style::Weighed(0.5), Style::Weighed(2.0), Style::TooLong];
            let marks = styles.map(|style| style.marks(coloured)[0].clone());
            let different: std::collections::BTreeSet<&String> = marks.iter().collect();
            assert_eq!(different.len(), marks.len(), "{marks:?}");
        }
        assert_eq!(Style::Weighed(0.25).marks(false), ["[×0.25:", "]"]);
    }
}
