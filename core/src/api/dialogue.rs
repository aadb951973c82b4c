//! A conversation to be answered, whichever endpoint it came to: its prompt, what its answer is held to, and how that is
//! read.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::ApiError;
use super::choice::Reading;
use super::format::AnswerFormat;
use super::served::{Served, Wanted, Work};
use super::settings::Settings;
use super::splitter::CALL_TAGS;
use super::tools::Tools;
use crate::sample::BatchRequest;
use crate::text::{Conversation, Message, TAGS};
use crate::tokenizer::Tokenizer;

/// The variables that templates look at to switch thinking on and off: those of Qwen and of MiniMind.
const SWITCHES: [&str; 2] = ["enable_thinking", "open_thinking"];
/// The variable for how much is thought.
const EFFORT: &str = "reasoning_effort";

/// Whether the answer thinks first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thinking {
    /// It does, or does not.
    On(bool),
    /// It does, this much: `low`, `medium`, `high` or another word that the template knows.
    Effort(String),
}

impl Thinking {
    /// Reads a word of effort; `none` is none.
    pub(super) fn of_effort(word: String) -> Self {
        if word == "none" { Self::On(false) } else { Self::Effort(word) }
    }

    fn wanted(&self) -> bool {
        !matches!(self, Self::On(false))
    }
}

/// A conversation and what is asked of its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Dialogue {
    /// The messages, oldest first.
    pub messages: Vec<Message>,
    /// What may be called.
    pub tools: Tools,
    /// What the chat template sees beside them: `chat_template_kwargs`.
    pub variables: Map<String, Value>,
    /// Whether the answer thinks first, where the request says it, and the field that does.
    pub thinking: Option<(Thinking, &'static str)>,
    /// The form of the answer.
    pub format: AnswerFormat,
    /// The field that asks for it.
    pub format_field: &'static str,
}

/// A rendered conversation.
pub(super) struct OpenPrompt {
    /// Its ids, open for the assistant's turn.
    pub ids: Vec<u32>,
    /// Whether it has opened a thought.
    pub opened: bool,
}

impl Dialogue {
    /// The prompt as the chat template writes it.
    ///
    /// # Errors
    /// What the template refuses; variables and tools that it does not look at.
    pub fn render(&self, tokenizer: &Tokenizer) -> Result<String, ApiError> {
        let known = tokenizer.template_variables();
        let mut variables = self.variables.clone();
        if let Some(unknown) = variables.keys().find(|name| !known.contains(*name)) {
            let why = "this model's chat template does not look at it";
            return Err(ApiError::unsupported(&format!("chat_template_kwargs.{unknown}"), why));
        }
        self.set_thinking(&known, &mut variables)?;
        let conversation =
            Conversation { messages: self.messages.clone(), tools: self.tools.described.clone() };
        let text = tokenizer.render_prompt_text(&conversation, &variables)?;
        if self.tools.act() && !text.contains(CALL_TAGS[0]) {
            let why = format!(
                "this model's chat template does not tell it of tools that are called between {} and {}; leave it out, or \
                 take a model whose template does",
                CALL_TAGS[0], CALL_TAGS[1]
            );
            return Err(ApiError::unsupported("tools", &why));
        }
        Ok(text)
    }

    fn set_thinking(
        &self,
        known: &BTreeSet<String>,
        variables: &mut Map<String, Value>,
    ) -> Result<(), ApiError> {
        let Some((thinking, field)) = &self.thinking else { return Ok(()) };
        let switches = SWITCHES.iter().filter(|name| known.contains(**name));
        let mut set: Vec<(&str, Value)> = switches.map(|name| (*name, thinking.wanted().into())).collect();
        if let Thinking::Effort(word) = thinking
            && known.contains(EFFORT)
        {
            set.push((EFFORT, word.clone().into()));
        }
        if set.is_empty() && thinking.wanted() {
            let why = "this model's chat template has no switch for thinking; leave it out";
            return Err(ApiError::unsupported(field, why));
        }
        for (name, value) in set {
            variables.entry(name).or_insert(value);
        }
        Ok(())
    }

    /// What the whole answer is held to, with the field that asks for it.
    fn wanted(&self) -> Result<Option<(Wanted<'_>, &'static str)>, ApiError> {
        let format = match &self.format {
            AnswerFormat::Text => None,
            AnswerFormat::Json => Some(Wanted::Json),
            AnswerFormat::Schema(schema) => Some(Wanted::Schema(schema)),
        };
        match (self.tools.forced(), format) {
            (None, None) => Ok(None),
            (None, Some(_)) if self.tools.act() => {
                let why = "the answer would be held to JSON, and so call nothing; set tool_choice to 'none', or leave one out";
                Err(ApiError::unsupported(self.format_field, why))
            }
            (None, Some(format)) => Ok(Some((format, self.format_field))),
            (Some(tools), None) => {
                Ok(Some((Wanted::Calls { tools, several: self.tools.parallel }, "tool_choice")))
            }
            (Some(_), Some(_)) => {
                let why = "the answer is held to a call by tool_choice; leave one of them out";
                Err(ApiError::unsupported(self.format_field, why))
            }
        }
    }

    /// The prompt's ids. An answer that is held to a form cannot think: a thought that the template opened is closed.
    pub(super) fn prompt(&self, served: &Served) -> Result<OpenPrompt, ApiError> {
        let mut text = self.render(served.tokenizer)?;
        let opened = text.trim_end().ends_with(TAGS[0]);
        let held = self.wanted()?.is_some();
        if opened && held {
            text.truncate(text.trim_end().len());
            text.push_str(&format!("\n\n{}\n\n", TAGS[1]));
        }
        Ok(OpenPrompt { ids: served.tokenizer.encode(&text)?, opened: opened && !held })
    }

    /// How the answer is read.
    pub(super) fn reading(&self, prompt: &OpenPrompt, top: Option<usize>) -> Reading {
        Reading { split: true, tools: self.tools.act(), opened: prompt.opened, top, tell_end: false }
    }

    /// What `n` answers need of the engine.
    ///
    /// # Errors
    /// A prompt beyond the context, settings that do not hold, a form that cannot be held to.
    pub(super) fn work(
        &self,
        served: &Served,
        prompt: &OpenPrompt,
        settings: &Settings,
        seed: u64,
        n: usize,
    ) -> Result<Vec<Work>, ApiError> {
        let room = served.room(&prompt.ids, "messages")?;
        let one_call = self.tools.act() && !self.tools.parallel && self.tools.forced().is_none();
        let strict = self.tools.strict();
        let works = (0..n).map(|answer| {
            let mut config = settings.over(served.sampling, room, seed, answer)?;
            if one_call {
                // The answer ends with its first call.
                config.stop.push(CALL_TAGS[1].to_string());
            }
            let constraint = match (self.wanted()?, &strict) {
                (Some((wanted, param)), _) => Some(served.constraint(&wanted, param)?),
                (None, Some(tools)) => {
                    let wanted = Wanted::LaterCalls { tools: tools.iter().collect() };
                    Some(served.constraint(&wanted, "tools")?)
                }
                (None, None) => None,
            };
            let request = BatchRequest {
                prompt: prompt.ids.clone(),
                end_ids: served.end_ids.to_vec(),
                tokenizer: Some(served.tokenizer.clone()),
                config,
                constraint,
                unmask: settings.filling.of(served)?,
            };
            Ok(Work { request: Some(request), scored: None })
        });
        works.collect()
    }
}
