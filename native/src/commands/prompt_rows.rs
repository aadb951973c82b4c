//! Rows of prompts: which are used, their ids, and how each answer is to be written.

use std::path::PathBuf;

use clap::Args;
use kindling::batch::{RenderWarnings, render_remarks};
use kindling::data::{DataOptions, RowOrigin, WarningCount, read_prompts};
use kindling::error::Error;
use kindling::model::{DiffusionConfig, ModelConfig};
use kindling::sample::{
    Canvas, GenerationRequest, ROW_HOLE_TOKENS, SamplingConfig, UnmaskConfig, canvas_of, check_unmask,
    row_hole_tokens, row_settings, row_unmask_settings,
};
use kindling::text::{Conversation, Message, Prompt, Row};
use kindling::tokenizer::Tokenizer;
use kindling::told::Told;
use serde_json::{Map, Value};

use super::train::tell;
use crate::date::{Date, tell_unprinted};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::sources::{self, TextArgs};

/// The key of a row that says how long its answer may be.
const LENGTH: &str = "max_new_tokens";

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

    /// The flags given that act where a chat template renders.
    fn of_templates(&self) -> Vec<&'static str> {
        given([("--chat-template", self.chat_template.is_some()), ("--date", self.date.is_some())])
    }
}

/// The flags that were given.
fn given<const N: usize>(flags: [(&'static str, bool); N]) -> Vec<&'static str> {
    flags.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag).collect()
}

/// A model whose masks are filled, and how.
#[derive(Clone, Copy)]
pub(super) struct Masks<'a> {
    pub diffusion: &'a DiffusionConfig,
    pub model: &'a ModelConfig,
    pub hole_tokens: usize,
    pub config: UnmaskConfig,
}

impl<'a> Masks<'a> {
    /// Those of a model, if it has any.
    pub(super) fn of(model: &'a ModelConfig, hole_tokens: u32, config: UnmaskConfig) -> Option<Self> {
        let diffusion = model.diffusion.as_ref()?;
        Some(Self { diffusion, model, hole_tokens: hole_tokens as usize, config })
    }
}

/// Rows of prompts, and how their answers are sampled.
pub(super) struct PromptSource<'a> {
    pub data: &'a [String],
    pub rows: &'a PromptRows,
    pub sampling: &'a SamplingConfig,
    /// Those of a model that predicts masked tokens.
    pub masks: Option<Masks<'a>>,
    /// Whether a text is what a user says, and not what the model goes on from.
    pub as_chat: bool,
}

/// A row's prompt, and how its answer is sampled.
pub(super) struct Asked {
    pub ids: Vec<u32>,
    /// The same of a text with holes, which are filled.
    pub canvas: Option<Canvas>,
    pub config: SamplingConfig,
    pub unmask: UnmaskConfig,
    /// What was said, where the chat template rendered it, and what the row set for that.
    pub conversation: Conversation,
    pub variables: Map<String, Value>,
}

impl Asked {
    /// What a causal model is asked.
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
        masks: args.masks,
        as_chat: args.as_chat,
        rows: 0,
        with_holes: 0,
        rendered: 0,
        odd: RenderWarnings::new(),
        bounded: None,
        without_holes: None,
        with_length: None,
        no_template: None,
    };
    let accept = |prompt: Prompt, origin: &RowOrigin| reader.read(prompt, origin);
    let mut settings = row_settings();
    settings.push(ROW_HOLE_TOKENS);
    if args.masks.is_some() {
        settings.extend(row_unmask_settings());
    }
    let read = read_prompts(sources, options, &settings, accept);
    if let Some(error) = reader.no_template.take().filter(|_| read.is_err()) {
        return Err(error.into());
    }
    let (asked, report) = read?;
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
    reader.tell(output);
    Ok(asked)
}

/// Makes prompts of rows, and counts what is odd about them.
struct Reader<'a> {
    tokenizer: &'a Tokenizer,
    context: usize,
    sampling: &'a SamplingConfig,
    masks: Option<Masks<'a>>,
    as_chat: bool,
    /// Those that are used, so far.
    rows: u64,
    /// Those of them that have holes.
    with_holes: u64,
    /// Those of them that the chat template renders.
    rendered: u64,
    odd: RenderWarnings,
    /// Those whose answer the context bounds.
    bounded: Option<WarningCount>,
    /// Those that say how many tokens a hole has, and have none.
    without_holes: Option<WarningCount>,
    /// Those with holes that say how long an answer may be.
    with_length: Option<WarningCount>,
    /// Why no row can be rendered, where that is the template's fault.
    no_template: Option<Error>,
}

impl Reader<'_> {
    fn read(&mut self, prompt: Prompt, origin: &RowOrigin) -> Result<Asked, Told> {
        let told = |error: Error| error.told();
        // Each row draws with a seed of its own, or equal prompts would have equal answers.
        let seed = self.sampling.seed.wrapping_add(self.rows);
        let config = SamplingConfig { seed, ..self.sampling.clone() }.of_row(&prompt.settings)?;
        let unmask = match self.masks {
            Some(masks) => masks.config.of_row(&prompt.settings)?,
            None => UnmaskConfig::default(),
        };
        let hole_tokens = row_hole_tokens(&prompt.settings, self.masks.is_some())?;
        let blank = |value: &Value| value.as_str().is_some_and(|text| text.trim().is_empty());
        let has_length = prompt.settings.get(LENGTH).is_some_and(|value| !value.is_null() && !blank(value));
        let row = match prompt.row {
            Row::Document(text) if self.as_chat => {
                Row::Conversation(Conversation::new(vec![Message::new("user", &text)]))
            }
            row => row,
        };
        let renders = matches!(row, Row::Conversation(_));
        let mut canvas = None;
        let (ids, warnings, conversation) = match row {
            Row::Document(text) => {
                let ids = self.encode(&text, hole_tokens, &mut canvas)?;
                (ids, Vec::new(), Conversation::default())
            }
            Row::Conversation(conversation) => {
                self.no_template = self.tokenizer.check_chat_template().err();
                let rendered = self.tokenizer.render_prompt_and_warnings(&conversation, &prompt.variables);
                let (ids, warnings) = rendered.map_err(told)?;
                (ids, warnings, conversation)
            }
            Row::Preference(_) => return Err("a pair of answers is no prompt".into()),
        };
        let asked = Asked { ids, canvas, config, unmask, conversation, variables: prompt.variables };
        let is_bounded = self.is_bounded(&asked)?;
        let none = || WarningCount { rows: 0, first: origin.to_string() };
        for warning in warnings {
            self.odd.entry(warning).or_insert_with(none).rows += 1;
        }
        if is_bounded {
            self.bounded.get_or_insert_with(none).rows += 1;
        }
        if hole_tokens.is_some() && asked.canvas.is_none() {
            self.without_holes.get_or_insert_with(none).rows += 1;
        }
        if has_length && asked.canvas.is_some() {
            self.with_length.get_or_insert_with(none).rows += 1;
        }
        self.rows += 1;
        self.rendered += u64::from(renders);
        self.with_holes += u64::from(asked.canvas.is_some());
        Ok(asked)
    }

    /// Says whose answers end early, and what is done about holes.
    fn tell(&self, output: Output) {
        if let Some(WarningCount { rows, first }) = &self.bounded {
            output.warn(&format!(
                "{}: the model's context of {} tokens holds fewer new ones behind the prompt than max_new_tokens; the \
                 answer ends there at the latest (the first: {first})",
                output::counted(*rows, ["row", "rows"]),
                self.context
            ));
        }
        if let Some(WarningCount { rows, first }) = &self.without_holes {
            output.warn(&format!(
                "{}: {ROW_HOLE_TOKENS} does nothing, because the prompt has no hole (the first: {first})",
                output::counted(*rows, ["row", "rows"])
            ));
        }
        if let Some(WarningCount { rows, first }) = &self.with_length {
            output.warn(&format!(
                "{}: {LENGTH} does nothing, because the prompt's holes are filled, each of {ROW_HOLE_TOKENS} tokens (the \
                 first: {first})",
                output::counted(*rows, ["row", "rows"])
            ));
        }
        if self.with_holes > 0 {
            output.say(&format!(
                "{} holes (___), which are filled; behind a backslash underscores are text",
                output::counted(self.with_holes, ["row has", "rows have"])
            ));
        }
    }

    /// The ids of a text, and where it has holes that a model fills, those; `own` is how many tokens the row gives each.
    fn encode(&self, text: &str, own: Option<usize>, holes: &mut Option<Canvas>) -> Result<Vec<u32>, Told> {
        let told = |error: Error| error.told();
        let Some(masks) = self.masks else { return self.tokenizer.encode_document(text).map_err(told) };
        let hole_tokens = own.unwrap_or(masks.hole_tokens);
        let canvas = canvas_of(text, self.tokenizer, masks.diffusion, hole_tokens).and_then(|canvas| {
            check_room(&canvas, hole_tokens, self.context)?;
            Ok(canvas)
        });
        let canvas = canvas.map_err(|error| match own {
            // A row has keys where the command line has flags.
            Some(_) => error.to_string().replace("--hole-tokens", ROW_HOLE_TOKENS).into(),
            None => told(error),
        })?;
        let ids = canvas.ids.clone();
        *holes = Some(canvas).filter(|canvas| !canvas.holes.is_empty());
        Ok(ids)
    }

    /// Whether the context ends an answer before its settings do.
    ///
    /// # Errors
    /// A prompt or settings that the model refuses.
    fn is_bounded(&self, asked: &Asked) -> Result<bool, Told> {
        let told = |error: Error| error.told();
        let request = asked.request(self.tokenizer, &[]);
        let Some(masks) = self.masks else {
            request.check(self.context).map_err(told)?;
            return Ok(request.bound_by(self.context).is_some());
        };
        let request = GenerationRequest { unmask: asked.unmask, ..request };
        check_unmask(masks.model, &request, asked.canvas.is_some()).map_err(told)?;
        Ok(asked.canvas.is_none() && request.masked_bound_by(self.context).is_some())
    }
}

/// Refuses a text that its holes make longer than the model's context.
///
/// # Errors
/// Both lengths, and the flag that sets the first.
pub(super) fn check_room(canvas: &Canvas, hole_tokens: usize, context: usize) -> Result<(), Error> {
    let tokens = canvas.ids.len();
    if canvas.holes.is_empty() || tokens <= context {
        return Ok(());
    }
    Err(Error::Data(
        format!(
            "with --hole-tokens {hole_tokens} the text has {tokens} tokens, but the model's context holds {context}: give \
             fewer, or shorten the text"
        )
        .into(),
    ))
}
