//! `generate --data`: the prompts of files, several at a time.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use kindling::batch::{RenderWarnings, render_remarks};
use kindling::data::{DataOptions, RowOrigin, WarningCount, read_prompts};
use kindling::device::is_processor;
use kindling::error::Error;
use kindling::model::Transformer;
use kindling::sample::{
    Flow, Generation, GenerationRequest, SamplingConfig, SideBySide, UnmaskConfig, generate_together,
    row_settings,
};
use kindling::text::{Conversation, Message, Prompt, Row};
use kindling::tokenizer::Tokenizer;
use kindling::told::Told;
use serde::Serialize;
use serde_json::{Map, Value};

use super::doctor;
use super::generate::GenerateArgs;
use super::train::tell;
use crate::date::{Date, tell_unprinted};
use crate::failure::Failure;
use crate::interrupt;
use crate::output::{self, Output};
use crate::sources::{self, TextArgs};

/// Prompts side by side where nobody says how many.
const ROWS: u32 = 8;

/// Which rows of `--data` are used, and how.
#[derive(Args)]
pub struct PromptRows {
    /// Use at most this many rows of --data
    #[arg(long)]
    pub limit: Option<u64>,
    /// Leave out rows of --data that cannot be used, those too long for the model included, and count them
    #[arg(long)]
    pub skip_bad_rows: bool,
    /// A Jinja chat template that replaces the tokenizer's own, for rows of messages
    #[arg(long)]
    pub chat_template: Option<PathBuf>,
    /// The day that chat templates with today's date print, as 2025-07-31 [default: today]
    #[arg(long)]
    pub date: Option<Date>,
    /// The most prompts of --data that are continued side by side; fewer where memory is short [default: 8]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch_size: Option<u32>,
    /// How texts are found
    #[command(flatten)]
    pub reading: TextArgs,
}

impl PromptRows {
    /// Without rows nothing of it would act.
    ///
    /// # Errors
    /// The flags that were given.
    pub fn refuse(&self) -> Result<(), Failure> {
        let given = given([
            ("--limit", self.limit.is_some()),
            ("--skip-bad-rows", self.skip_bad_rows),
            ("--chat-template", self.chat_template.is_some()),
            ("--date", self.date.is_some()),
            ("--batch-size", self.batch_size.is_some()),
            ("--text-column", self.reading.text_column.is_some()),
            ("--encoding", self.reading.encoding.is_some()),
        ]);
        match given.is_empty() {
            true => Ok(()),
            false => Err(Failure::Usage(format!(
                "{} acts on the rows of --data alone; leave it out, or give prompts with --data FILE",
                given.join(", ")
            ))),
        }
    }

    /// How many prompts may be continued side by side.
    pub(super) fn side_by_side(&self, model: &Transformer) -> SideBySide {
        SideBySide { rows: self.batch_size.unwrap_or(ROWS) as usize, cache_bytes: cache_bytes(model) }
    }

    /// The flags given that act where a chat template renders.
    fn of_templates(&self) -> Vec<&'static str> {
        given([("--chat-template", self.chat_template.is_some()), ("--date", self.date.is_some())])
    }
}

/// The flags that were given.
fn given<const N: usize>(flags: [(&'static str, bool); N]) -> Vec<&'static str> {
    flags.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag).collect()
}

/// A finished row as programs see it.
#[derive(Serialize)]
struct Shown<'a> {
    source: &'a str,
    line: u64,
    #[serde(flatten)]
    generation: &'a Generation,
}

/// Rows of prompts, and how their answers are sampled.
pub(super) struct PromptSource<'a> {
    pub data: &'a [String],
    pub rows: &'a PromptRows,
    pub sampling: &'a SamplingConfig,
    /// Whether a text is what a user says, and not what the model goes on from.
    pub as_chat: bool,
}

/// A row's prompt, and how its answer is sampled.
pub(super) struct Asked {
    pub ids: Vec<u32>,
    pub config: SamplingConfig,
    /// What was said, where the chat template rendered it, and what the row set for that.
    pub conversation: Conversation,
    pub variables: Map<String, Value>,
}

impl Asked {
    pub(super) fn request<'a>(
        &'a self,
        tokenizer: &'a Tokenizer,
        end_ids: &'a [u32],
    ) -> GenerationRequest<'a> {
        GenerationRequest {
            prompt: &self.ids,
            reuse: 0,
            end_ids,
            tokenizer: Some(tokenizer),
            config: &self.config,
            unmask: UnmaskConfig::default(),
        }
    }
}

/// Continues the prompts of files, several side by side; results come in the order of the rows.
///
/// # Errors
/// Rows that cannot be used, by file and line and before anything is generated; an interruption.
pub fn run(
    args: &GenerateArgs,
    model: &Transformer,
    tokenizer: &Tokenizer,
    output: Output,
) -> Result<(), Failure> {
    let source =
        PromptSource { data: &args.data, rows: &args.rows, sampling: &args.sampling, as_chat: false };
    let asked = read(&source, model.config().context(), tokenizer, output)?;
    interrupt::listen();
    let ends = tokenizer.end_ids(&model.config().eos_token_ids);
    let requests: Vec<_> = asked.iter().map(|(_, asked)| asked.request(tokenizer, &ends)).collect();
    let (mut waiting, mut next) = (BTreeMap::new(), 0);
    let mut on_done = |number: usize, generation: Generation| {
        waiting.insert(number, generation);
        while let Some(generation) = waiting.remove(&next) {
            show(&asked[next].0, &generation, output);
            next += 1;
        }
        Ok(())
    };
    let mut on_step = || if interrupt::asked() { Flow::Stop } else { Flow::Continue };
    let limit = args.rows.side_by_side(model);
    let outcome = pollster::block_on(generate_together(model, &requests, limit, &mut on_step, &mut on_done));
    // What was ready behind a row that is not: its number tells which it is.
    for (number, generation) in waiting {
        show(&asked[number].0, &generation, output);
    }
    if interrupt::asked() { Err(Failure::Interrupted) } else { Ok(outcome?) }
}

fn show(origin: &RowOrigin, generation: &Generation, output: Output) {
    output.json(&Shown { source: &origin.source, line: origin.line, generation });
    output.line(&format!("── {origin}\n{}", generation.text));
}

/// Bytes that the keys and values of all prompts side by side may take.
fn cache_bytes(model: &Transformer) -> u64 {
    const LEAST: u64 = 256 << 20;
    // How much of it is free a graphics card does not tell.
    const OF_A_CARD: u64 = 1 << 30;
    match is_processor(&model.device()) {
        true => (doctor::memory().0 / 2).max(LEAST),
        false => OF_A_CARD,
    }
}

/// The prompts of all rows; says what is odd about them.
///
/// # Errors
/// Rows that cannot be used, by file and line.
pub(super) fn read(
    args: &PromptSource,
    context: usize,
    tokenizer: &Tokenizer,
    output: Output,
) -> Result<Vec<(RowOrigin, Asked)>, Failure> {
    let options = DataOptions {
        limit: args.rows.limit,
        skip_bad_rows: args.rows.skip_bad_rows,
        template_keys: tokenizer.template_keys(),
        text_column: args.rows.reading.text_column.clone(),
        ..DataOptions::default()
    };
    let sources = sources::open(args.data, args.rows.reading.encoding)?;
    let mut reader = Reader {
        tokenizer,
        context,
        sampling: args.sampling,
        as_chat: args.as_chat,
        rows: 0,
        rendered: 0,
        odd: RenderWarnings::new(),
        bounded: None,
    };
    let accept = |prompt: Prompt, origin: &RowOrigin| reader.read(prompt, origin);
    let (asked, report) = read_prompts(sources, options, &row_settings(), accept)?;
    tell(&report, output);
    if reader.rendered == 0 {
        args.rows.of_templates().iter().for_each(|flag| {
            output
                .warn(&format!("{flag} does nothing: all rows are texts, which go through no chat template"));
        });
    }
    if reader.rendered > 0 && args.rows.date.is_some() {
        tell_unprinted(tokenizer);
    }
    render_remarks(&reader.odd, output::grouped).iter().for_each(|remark| output.warn(remark));
    if let Some(WarningCount { rows, first }) = &reader.bounded {
        output.warn(&format!(
            "{} rows: the model's context of {context} tokens holds fewer new ones behind the prompt than max_new_tokens; \
             the answer ends there at the latest (the first: {first})",
            output::grouped(*rows)
        ));
    }
    Ok(asked)
}

/// Makes prompts of rows, and counts what is odd about them.
struct Reader<'a> {
    tokenizer: &'a Tokenizer,
    context: usize,
    sampling: &'a SamplingConfig,
    as_chat: bool,
    /// Those that are used, so far.
    rows: u64,
    /// Those of them that the chat template renders.
    rendered: u64,
    odd: RenderWarnings,
    /// Those whose answer the context bounds.
    bounded: Option<WarningCount>,
}

impl Reader<'_> {
    fn read(&mut self, prompt: Prompt, origin: &RowOrigin) -> Result<Asked, Told> {
        let told = |error: Error| error.told();
        // Each row draws with a seed of its own, or equal prompts would have equal answers.
        let seed = self.sampling.seed.wrapping_add(self.rows);
        let config = SamplingConfig { seed, ..self.sampling.clone() }.of_row(&prompt.settings)?;
        let row = match prompt.row {
            Row::Document(text) if self.as_chat => {
                Row::Conversation(Conversation::new(vec![Message::new("user", &text)]))
            }
            row => row,
        };
        let renders = matches!(row, Row::Conversation(_));
        let (ids, warnings, conversation) = match row {
            Row::Document(text) => {
                let ids = self.tokenizer.encode_document(&text).map_err(told)?;
                (ids, Vec::new(), Conversation::default())
            }
            Row::Conversation(conversation) => {
                let rendered = self.tokenizer.render_prompt_and_warnings(&conversation, &prompt.variables);
                let (ids, warnings) = rendered.map_err(told)?;
                (ids, warnings, conversation)
            }
            Row::Preference(_) => return Err("a pair of answers is no prompt".into()),
        };
        let asked = Asked { ids, config, conversation, variables: prompt.variables };
        let request = asked.request(self.tokenizer, &[]);
        request.check(self.context).map_err(told)?;
        let is_bounded = request.bound_by(self.context).is_some();
        let none = || WarningCount { rows: 0, first: origin.to_string() };
        for warning in warnings {
            self.odd.entry(warning).or_insert_with(none).rows += 1;
        }
        if is_bounded {
            self.bounded.get_or_insert_with(none).rows += 1;
        }
        self.rows += 1;
        self.rendered += u64::from(renders);
        Ok(asked)
    }
}
