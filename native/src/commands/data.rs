//! `data preview`: rows as the model sees them.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use kindling::batch::{
    EncodedRows, Encoder, ExampleSource, Fit, Found, RenderWarnings, TooLong, count_warnings_of_row,
    render_remarks,
};
use kindling::data::{DataOptions, DataReport, Dataset};
use kindling::error::Error;
use kindling::loss::{ReasonConfig, ReasonSettings};
use kindling::model::{ModelConfig, RopeSettings};
use kindling::text::Tags;
use kindling::tokenizer::Tokenizer;
use kindling::told::Told;
use kindling::train::{Stage, TrainConfig, turn_warnings};
use serde_json::json;

use super::positions::stretched;
use super::preview_row::show_row;
use super::train::tell;
use super::train_args::idle;
use super::use_template;
use crate::cli::Everywhere;
use crate::date::{Date, tell_unprinted};
use crate::failure::Failure;
use crate::model_files::open_tokenizer_and_config;
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
    /// How training would stretch the model's positions
    #[command(flatten)]
    pub rope: RopeSettings,
    /// What happens to longer rows: cut (a text into pieces, a conversation at its end) or drop
    #[arg(long, value_enum, default_value = "cut")]
    pub too_long: TooLong,
    /// Longest prompt of a pair in tokens, as `dpo` takes it; 0 sets no limit
    #[arg(long, default_value_t = 0)]
    pub max_prompt_len: usize,
    /// How many times as much a token of a tag counts, as `reason` takes it [default: 10]
    #[arg(long)]
    pub tag_weight: Option<f64>,
    /// The tags that `reason` teaches
    #[command(flatten)]
    pub tags: Tags,
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
    let encoder = Encoder::new(Arc::clone(&tokenizer), content)
        .for_rows_of(config.max_seq_len)
        .with_prompts_of(args.max_prompt_len)
        .with_tags(taught_tags(&args)?.as_ref().map(ReasonSettings::tag_weight));
    let skip_bad_rows = data.skip_bad_rows();
    let rows =
        EncodedRows { encoder: encoder.with_turns(data.turns()), dataset: Arc::clone(&data), skip_bad_rows };
    let fit = Fit::new(content, config.max_seq_len, args.too_long);
    let (mut odd, mut refused, mut parted) = (RenderWarnings::new(), Vec::new(), false);
    for row in 0..rows.rows() {
        match rows.examples(row)? {
            Found::Examples(examples) => {
                count_warnings_of_row(&examples, &mut odd);
                parted |= show_row(&examples, &fit, &tokenizer, output);
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
    if args.max_prompt_len > 0 && args.stage != Stage::Dpo {
        return Err(Failure::Usage("--max-prompt-len acts on pairs of answers; add --stage dpo".into()));
    }
    if args.stage != Stage::Reason && (args.tag_weight.is_some() || args.tags != Tags::default()) {
        return Err(Failure::Usage(
            "--tag-weight, --think-tags and --answer-tags act on answers that think first; add --stage reason".into(),
        ));
    }
    let given = [("--date", args.date.is_some()), ("--chat-template", args.chat_template.is_some())];
    match given.into_iter().find(|(_, given)| *given) {
        Some((flag, _)) if !args.turns.renders(args.stage) => Err(Failure::Usage(idle(flag))),
        _ => Ok(()),
    }
}

/// What `reason` teaches with these flags, where that is the stage.
fn taught_tags(args: &PreviewArgs) -> Result<Option<ReasonSettings>, Failure> {
    let mut config = ReasonConfig::default();
    config.tag_weight = args.tag_weight.unwrap_or(config.tag_weight);
    let reason = ReasonSettings { config, tags: args.tags.clone() };
    match reason.problems() {
        problems if problems.is_empty() => Ok((args.stage == Stage::Reason).then_some(reason)),
        problems => Err(Error::Config(problems).into()),
    }
}

/// The tokenizer with its template and date, and the settings that training would have.
fn opened(args: &PreviewArgs, output: Output) -> Result<(Tokenizer, TrainConfig), Failure> {
    let (mut tokenizer, model) = open_tokenizer_and_config(&args.model)?;
    use_template(&mut tokenizer, args.chat_template.as_deref())?;
    args.date.unwrap_or_else(Date::today).set(&mut tokenizer);
    if args.date.is_some() {
        tell_unprinted(&tokenizer);
    }
    let mut config = TrainConfig::of(args.stage);
    let context = context(args, model, args.max_seq_len.unwrap_or(config.max_seq_len), output)?;
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

/// The positions that training on rows of this length would have, where there is a model.
fn context(
    args: &PreviewArgs,
    model: Option<ModelConfig>,
    longest: usize,
    output: Output,
) -> Result<Option<usize>, Failure> {
    match model {
        Some(model) => Ok(Some(stretched(&args.rope, model, Some(longest), output)?.context())),
        None if args.rope.is_empty() => Ok(None),
        None => Err(Failure::Usage(
            "--rope-scaling stretches a model, and there is none beside the tokenizer; leave it out".into(),
        )),
    }
}

/// The help of `--max-seq-len`, with the stages' own defaults.
fn length_help() -> String {
    let of = |stage: Stage| TrainConfig::of(stage).max_seq_len;
    let [pretrain, sft, dpo, reason] = [Stage::Pretrain, Stage::Sft, Stage::Dpo, Stage::Reason].map(of);
    format!(
        "Longest row in tokens [default: as the stage trains: {pretrain} (pretrain), {dpo} (dpo), {reason} (reason) or {sft}, or what the model \
         holds]"
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
