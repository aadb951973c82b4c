//! `data`: rows as the model sees them, made tokens of, and listed.

use std::sync::Arc;

use clap::{Args, Subcommand};
use kindling::batch::{
    EncodedRows, Encoder, ExampleSource, Fit, Found, RenderWarnings, TooLong, count_warnings_of_row,
    render_remarks,
};
use kindling::data::{DataOptions, DataReport, Dataset};
use kindling::error::Error;
use kindling::loss::TimeRange;
use kindling::tokenizer::{TagWeight, Tokenizer};
use kindling::told::Told;
use kindling::train::{TrainConfig, tokens_problems, turn_warnings};
use serde_json::json;

use super::data_list::{self, ListArgs};
use super::pairs::{self, PairsArgs};
use super::prepare::{self, PrepareArgs};
use super::preview_hidden::Hiding;
use super::preview_row::show_row;
use super::train::tell;
use super::view::ViewArgs;
use crate::cli::Everywhere;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::prepared_files;
use crate::sources::{self, FilterArgs, RowArgs, TextArgs, TurnsArgs};

/// What to do with data.
#[derive(Subcommand)]
pub enum DataVerb {
    /// Show rows as tokens, with what is a target and what is cut
    Preview(Box<PreviewArgs>),
    /// Make tokens of rows once, to train from them by memory map
    Prepare(Box<PrepareArgs>),
    /// Write the questions and answers of conversations as a CSV table
    Pairs(Box<PairsArgs>),
    /// Public data sets for every stage: sizes, formats, hub: addresses, licences
    List(ListArgs),
}

/// Flags of `data preview`.
#[derive(Args)]
pub struct PreviewArgs {
    /// Files, directories, globs, hub:owner/name, ms:owner/name or - for the standard input (repeatable)
    #[arg(long, required = true)]
    pub data: Vec<String>,
    /// What makes tokens of them
    #[command(flatten)]
    pub view: ViewArgs,
    /// Show this many rows
    #[arg(long, default_value_t = 3)]
    pub limit: u64,
    /// What happens to longer rows: cut (a text into pieces, a conversation at its end) or drop
    #[arg(long, value_enum, default_value = "cut")]
    pub too_long: TooLong,
    /// The shares of a row's tokens that training hides from a masked predictor [default: as training]
    #[arg(long, value_name = "FROM,TO", allow_hyphen_values = true)]
    pub t_range: Option<TimeRange>,
    /// Leave out rows that cannot be used
    #[arg(long)]
    pub skip_bad_rows: bool,
    /// Which good rows are left out
    #[command(flatten)]
    pub filters: FilterArgs,
    /// What becomes of conversations
    #[command(flatten)]
    pub turns: TurnsArgs,
    /// How texts are found
    #[command(flatten)]
    pub reading: TextArgs,
}

/// Runs the verb.
pub fn run(verb: DataVerb, everywhere: &Everywhere) -> Result<(), Failure> {
    match verb {
        DataVerb::Preview(args) => preview(&args, everywhere.output()),
        DataVerb::Prepare(args) => prepare::run(&args, everywhere.output()),
        DataVerb::Pairs(args) => pairs::run(&args, everywhere.output()),
        DataVerb::List(args) => {
            data_list::run(&args, everywhere.output());
            Ok(())
        }
    }
}

fn preview(args: &PreviewArgs, output: Output) -> Result<(), Failure> {
    let view = &args.view;
    view.refuse_idle(args.turns)?;
    let tags = view.taught_tags()?;
    let (tokenizer, config, model) = view.opened(output)?;
    let hiding = Hiding::of(view.stage, model, &config, args.t_range)?;
    let options = args.filters.onto(DataOptions {
        limit: Some(args.limit),
        skip_bad_rows: args.skip_bad_rows,
        kind: view.stage.row_kind(),
        turns: args.turns.turns(),
        template_keys: tokenizer.template_keys(),
        text_column: args.reading.text_column.clone(),
        ..DataOptions::default()
    });
    let tokens = open_tokens(args, &tokenizer, &config, tags.clone(), output)?;
    let shown = tokens.as_ref().map(|data| data.len().min(args.limit));
    let data = Arc::new(match tokens {
        Some(data) => data,
        None => open(args, options, output)?,
    });
    let (content, tokenizer) = (view.content_of(&data, args.turns)?, Arc::new(tokenizer));
    let encoder = Encoder::new(Arc::clone(&tokenizer), content)
        .for_rows_of(config.max_seq_len)
        .with_prompts_of(view.max_prompt_len)
        .with_tags(tags);
    let skip_bad_rows = data.skip_bad_rows();
    let rows =
        EncodedRows { encoder: encoder.with_turns(data.turns()), dataset: Arc::clone(&data), skip_bad_rows };
    let fit = Fit::new(content, config.max_seq_len, args.too_long);
    let fit = hiding.as_ref().map_or(fit, |hiding| hiding.fit(fit));
    let (mut odd, mut refused, mut parted) = (RenderWarnings::new(), Vec::new(), false);
    for row in 0..shown.unwrap_or(rows.rows()) {
        match rows.examples(row)? {
            Found::Examples(examples) => {
                count_warnings_of_row(&examples, &mut odd);
                let of = data.mix().and_then(|mix| mix.of_row(row));
                parted |= show_row(&examples, of, &fit, &tokenizer, output);
                if let Some(hiding) = &hiding {
                    examples.iter().for_each(|example| hiding.show(example, row, &fit, &tokenizer, output));
                }
            }
            Found::Unusable(why) => refused.push(why),
        }
    }
    if parted && config.packing {
        output.say(
            "training packs rows, so that a text's pieces begin where the row before it is full; shown are those of a \
             text that begins a row",
        );
    }
    let turns = turn_warnings(view.stage, &data, &tokenizer).into_iter();
    let odd = turns.chain(render_remarks(&odd, output::grouped)).collect();
    conclude(data.report(), odd, &refused, output);
    Ok(())
}

/// The data where it is tokens already, as a stage would take them; `None` where it is rows.
///
/// # Errors
/// Flags that choose rows; tokens that were made otherwise than here; files that are damaged.
fn open_tokens(
    args: &PreviewArgs,
    tokenizer: &Tokenizer,
    config: &TrainConfig,
    tags: Option<TagWeight>,
    output: Output,
) -> Result<Option<Dataset>, Failure> {
    let PreviewArgs { view, skip_bad_rows, turns, reading, .. } = args;
    let (skip_bad_rows, turns, reading) = (*skip_bad_rows, *turns, reading.clone());
    let rows = RowArgs { skip_bad_rows, turns, reading, filters: args.filters.clone(), ..RowArgs::default() };
    let Some(data) = prepared_files::open(&args.data, &rows, config.max_seq_len)? else { return Ok(None) };
    // Rows of whatever length are shown, where none is asked for.
    let lengths = (view.max_seq_len.unwrap_or(0), view.max_prompt_len);
    match tokens_problems(&data, tokenizer, view.stage, lengths, tags)? {
        problems if problems.is_empty() => {}
        problems => return Err(Error::Config(problems).into()),
    }
    let rows = output::counted(data.len(), ["row of tokens", "rows of tokens"]);
    output.say(&match data.len() > args.limit {
        true => format!("{rows}, of which the first {} are shown; --limit N shows more", args.limit),
        false => rows,
    });
    Ok(Some(data))
}

/// Opens the data as far as rows are shown, and says what was read.
fn open(args: &PreviewArgs, options: DataOptions, output: Output) -> Result<Dataset, Failure> {
    let limit = args.limit;
    let (sources, shares) = sources::open_mix(&args.data, args.reading.encoding)?;
    let data = match Dataset::open_mix(sources, &shares, options) {
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
    data.mix().and_then(|mix| mix.remark()).iter().for_each(|told| output.say(told));
    if report.usable == limit {
        output.say(&format!(
            "looked at the first {}, of which {limit} can be used; --limit N shows more",
            output::counted(report.rows, ["row", "rows"])
        ));
    }
    data.idle_turns().iter().for_each(|told| output.warn(told));
    Ok(data)
}

/// Says what is odd about the rendered rows and which the template refused; for programs also what is odd about the
/// data, if anything is.
fn conclude(report: &DataReport, odd: Vec<Told>, refused: &[Told], output: Output) {
    odd.iter().for_each(|remark| output.warn(remark));
    if let Some(first) = refused.first() {
        let words = ["row cannot be rendered and is left out", "rows cannot be rendered and are left out"];
        let count = output::counted(refused.len() as u64, words);
        output.warn(&format!("{count} (the first: {first})"));
    }
    let texts = |list: &[Told]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let warnings = texts(&[report.remarks(|count| count.to_string()), odd].concat());
    if !(warnings.is_empty() && refused.is_empty() && report.bad == 0) {
        output.json(
            &json!({"event": "report", "warnings": warnings, "refused": texts(refused), "report": report}),
        );
    }
}
