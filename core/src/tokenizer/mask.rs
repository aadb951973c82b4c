//! A conversation as token ids and what each counts as a target: the one place where it is decided what a model is
//! trained to say.

use std::collections::BTreeSet;
use std::ops::Range;

use serde_json::{Map, Value};

use super::Tokenizer;
use super::blocks::owners;
use super::landmarks::Rendering;
use super::left_out;
use super::render_warning::RenderWarning;
use super::tag_weight::TagWeight;
use super::template::Context;
use super::turns::{EndTokens, Turn, assistant_turns};
use crate::error::Result;
use crate::text::{Conversation, Message};

/// A rendered conversation; `ids` and `weights` have one entry a token.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// The ids of the text.
    pub ids: Vec<u32>,
    /// How much the token counts as a target: the weight of its message for the assistant's words and the token that
    /// ends them, more of it for tags where [`TagWeight`] says so, 0 for all others.
    pub weights: Vec<f32>,
    /// What is odd about it, each kind once.
    pub warnings: Vec<RenderWarning>,
}

/// A part of a rendered conversation that the assistant says.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Its place in the text, in bytes.
    pub bytes: Range<usize>,
    /// The weight of its message.
    pub weight: f32,
}

/// What a rendering sees beside the messages.
#[derive(Clone, Copy)]
struct Variables<'a> {
    all: &'a Map<String, Value>,
    /// Whether it ends with the template's generation prompt.
    open: bool,
}

impl Tokenizer {
    /// A conversation to train on. The targets are what the template's `{% generation %}` blocks wrote, or,
    /// without blocks, what comparing renderings shows the assistant to say. The template writes BOS where it
    /// wants one, as in `transformers`; none is added.
    ///
    /// # Errors
    /// What the template refuses, and a turn of which it prints nothing: an empty answer would be trained.
    pub fn render_training(&self, conversation: &Conversation) -> Result<Rendered> {
        self.render_beginning(conversation, usize::MAX)
    }

    /// The same, where so many first tokens are enough: the whole conversation is rendered, but of a long text only a
    /// beginning is tokenised. It holds `tokens` tokens or more, and they are those of the whole text.
    ///
    /// # Errors
    /// As [`Tokenizer::render_training`].
    pub fn render_beginning(&self, conversation: &Conversation, tokens: usize) -> Result<Rendered> {
        self.render_weighed(conversation, tokens, None)
    }

    /// The same, where the tags of answers count more than the weight of their message says.
    ///
    /// # Errors
    /// As [`Tokenizer::render_training`].
    pub fn render_weighed(
        &self,
        conversation: &Conversation,
        tokens: usize,
        tags: Option<&TagWeight>,
    ) -> Result<Rendered> {
        let (text, blocks) = self.template_for(conversation)?.render_spans(conversation, &self.variables)?;
        let variables = Variables { all: &self.variables, open: false };
        let (targets, warnings) = self.look_at(conversation, &text, variables, |rendering| {
            let targets = self.targets(rendering, blocks)?;
            Ok((targets, self.render_warnings(conversation, rendering, variables)?))
        })?;
        let trained = targets.iter().filter(|target| target.weight != 0.0);
        let borders: Vec<usize> = trained.map(|target| target.bytes.start).collect();
        let (ids, offsets) = self.encode_beginning(&text, &borders, tokens)?;
        let mut weights = weights(&offsets, &targets);
        if let Some(tags) = tags {
            tags.apply(&text, &offsets, &mut weights);
        }
        Ok(Rendered { ids, weights, warnings })
    }

    /// A conversation to train on as text, and what of it the assistant says, in order.
    pub fn render_targets(&self, conversation: &Conversation) -> Result<(String, Vec<Target>)> {
        let (text, blocks) = self.template_for(conversation)?.render_spans(conversation, &self.variables)?;
        let variables = Variables { all: &self.variables, open: false };
        let targets =
            self.look_at(conversation, &text, variables, |rendering| self.targets(rendering, blocks))?;
        Ok((text, targets))
    }

    /// A whole conversation as one text, all of which is to be trained, and what is odd about it.
    ///
    /// # Errors
    /// As [`Tokenizer::render_training`].
    pub fn render_document(&self, conversation: &Conversation) -> Result<(String, Vec<RenderWarning>)> {
        let text = self.template_for(conversation)?.render(conversation, false, &self.variables)?;
        let warnings =
            self.warnings_of(conversation, &text, Variables { all: &self.variables, open: false })?;
        Ok((text, warnings))
    }

    /// The keys of messages and tools that the chat templates look for, and other names that they use.
    pub fn template_keys(&self) -> BTreeSet<String> {
        self.config.looked_up()
    }

    /// The variables that the chat templates look at, `messages` among them.
    pub fn template_variables(&self) -> BTreeSet<String> {
        let templates = [Some(&self.template), self.tool_template.as_ref()];
        templates.into_iter().flatten().flatten().flat_map(|template| template.variables()).collect()
    }

    /// Whether a chat template looks at today's date.
    pub fn prints_date(&self) -> bool {
        let templates = [Some(&self.template), self.tool_template.as_ref()];
        templates.into_iter().flatten().flatten().any(|template| template.looks_at_date())
    }

    /// Looks at a rendering of a conversation, beside which others can be made.
    fn look_at<T>(
        &self,
        conversation: &Conversation,
        text: &str,
        variables: Variables,
        look: impl FnOnce(&Rendering) -> Result<T>,
    ) -> Result<T> {
        let template = self.template_for(conversation)?;
        let context = Context::new(conversation.tools.as_ref(), variables.all);
        let render = |messages: &[Message], prompt: bool| {
            template.render_messages(messages, &context, prompt || variables.open)
        };
        look(&Rendering::new(&render, &conversation.messages, text))
    }

    /// What the assistant says: what the template's blocks wrote, if it has any.
    fn targets(&self, rendering: &Rendering, blocks: Option<Vec<Range<usize>>>) -> Result<Vec<Target>> {
        let turns = match blocks {
            Some(blocks) => owners(rendering, blocks)?,
            None => {
                let ends = EndTokens { eos: self.config.token("eos_token"), added: &self.added_texts };
                assistant_turns(rendering, &ends)?
            }
        };
        let target = |turn: Turn| Target { weight: turn.weight(rendering.messages), bytes: turn.bytes };
        Ok(turns.into_iter().map(target).collect())
    }

    /// What the template leaves out, and special tokens in the messages' own texts.
    fn render_warnings(
        &self,
        conversation: &Conversation,
        rendering: &Rendering,
        variables: Variables,
    ) -> Result<Vec<RenderWarning>> {
        let template = self.template_for(conversation)?;
        let mut warnings = Vec::new();
        if let Some(tools) = &conversation.tools {
            let render = |tools: Option<&Value>| {
                let context = Context::new(tools, variables.all);
                template.render_messages(rendering.messages, &context, variables.open)
            };
            warnings.extend(left_out::of_tools(&render, tools, rendering.whole));
        }
        warnings.extend(left_out::of_messages(rendering, template.has_generation_blocks)?);
        if rendering.messages.iter().flat_map(Message::texts).any(|text| self.markers.stand_in(text)) {
            warnings.push(RenderWarning::SpecialTokenInText);
        }
        Ok(warnings)
    }

    /// A conversation to be answered: its ids, ending with the template's generation prompt. `variables` are
    /// seen by the template and win over those of [`Tokenizer::set_template_variable`].
    pub fn render_prompt(
        &self,
        conversation: &Conversation,
        variables: &Map<String, Value>,
    ) -> Result<Vec<u32>> {
        self.encode(&self.render_prompt_text(conversation, variables)?)
    }

    /// The same as text.
    ///
    /// # Errors
    /// As [`Tokenizer::render_prompt`].
    pub fn render_prompt_text(
        &self,
        conversation: &Conversation,
        variables: &Map<String, Value>,
    ) -> Result<String> {
        self.template_for(conversation)?.render(conversation, true, &self.all_variables(variables))
    }

    /// The same as text, before it is encoded; `open` asks for the generation prompt at its end.
    ///
    /// # Errors
    /// No template, or one that refuses the conversation.
    pub fn render_text(&self, conversation: &Conversation, open: bool) -> Result<String> {
        self.template_for(conversation)?.render(conversation, open, &self.variables)
    }

    /// The same with what is odd about the conversation, each kind once: what the template does not print of it, and
    /// special tokens in the messages' own texts.
    ///
    /// # Errors
    /// As [`Tokenizer::render_prompt`].
    pub fn render_prompt_and_warnings(
        &self,
        conversation: &Conversation,
        variables: &Map<String, Value>,
    ) -> Result<(Vec<u32>, Vec<RenderWarning>)> {
        let all = self.all_variables(variables);
        let text = self.template_for(conversation)?.render(conversation, true, &all)?;
        // Nothing is trained, so no answer of it can be one that is trained empty.
        let mut read = conversation.clone();
        read.messages.iter_mut().for_each(|message| message.weight = 0.0);
        let warnings = self.warnings_of(&read, &text, Variables { all: &all, open: true })?;
        Ok((self.encode(&text)?, warnings))
    }

    fn warnings_of(
        &self,
        conversation: &Conversation,
        text: &str,
        variables: Variables,
    ) -> Result<Vec<RenderWarning>> {
        let look = |rendering: &Rendering| self.render_warnings(conversation, rendering, variables);
        self.look_at(conversation, text, variables, look)
    }

    /// What every rendering sees, and what one of them sees besides.
    fn all_variables(&self, variables: &Map<String, Value>) -> Map<String, Value> {
        let mut all = self.variables.clone();
        all.extend(variables.clone());
        all
    }
}

/// What each token counts: the weight of the target that it begins in. The targets are in order. A token that begins
/// before a target is none, for the model sees its first part in the prompt.
fn weights(offsets: &[(usize, usize)], targets: &[Target]) -> Vec<f32> {
    let mut targets = targets.iter().peekable();
    let weight = |&(start, _): &(usize, usize)| {
        while targets.next_if(|target| target.bytes.end <= start).is_some() {}
        targets.peek().filter(|target| target.bytes.contains(&start)).map_or(0.0, |target| target.weight)
    };
    offsets.iter().map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_targets_where_they_begin() {
        // Two parts of one character at 4..7, and a token that straddles the start of the second range.
        let offsets = [(0, 2), (2, 4), (4, 7), (4, 7), (7, 8), (8, 11), (11, 12), (12, 12)];
        let targets = [Target { bytes: 2..7, weight: 1.0 }, Target { bytes: 10..12, weight: 0.5 }];
        assert_eq!(weights(&offsets, &targets), [0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.5, 0.0]);
        assert_eq!(weights(&offsets, &[]), [0.0; 8]);
    }
}
