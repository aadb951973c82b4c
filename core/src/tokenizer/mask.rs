//! A conversation as token ids and loss mask: the one place where it is decided what a model is trained to
//! say.

use std::ops::Range;

use serde_json::{Map, Value};

use super::Tokenizer;
use super::template::Context;
use super::turns::{EndTokens, assistant_spans};
use crate::error::Result;
use crate::text::{Conversation, Message};

/// A rendered conversation; both have one entry a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The ids of the whole text.
    pub ids: Vec<u32>,
    /// Whether the token is a target: the assistant's words and the token that ends them.
    pub mask: Vec<bool>,
}

impl Tokenizer {
    /// A conversation to train on. The targets are what the template's `{% generation %}` blocks wrote, or,
    /// without blocks, what comparing renderings shows the assistant to say. The template writes BOS where it
    /// wants one, as in `transformers`; none is added.
    pub fn render_training(&self, conversation: &Conversation) -> Result<Rendered> {
        let (text, spans) = self.render_targets(conversation)?;
        let (ids, offsets) = self.encode_with_offsets(&text)?;
        Ok(Rendered { ids, mask: mask(&offsets, &spans) })
    }

    /// A conversation to train on as text, and the byte ranges of the targets, in order.
    pub fn render_targets(&self, conversation: &Conversation) -> Result<(String, Vec<Range<usize>>)> {
        let template = self.template()?;
        let (text, blocks) = template.render_spans(conversation, &self.variables)?;
        if let Some(spans) = blocks {
            return Ok((text, spans));
        }
        let context = Context::new(conversation.tools.as_ref(), &self.variables);
        let render =
            |messages: &[Message], prompt: bool| template.render_messages(messages, &context, prompt);
        let ends = EndTokens { eos: self.config.token("eos_token"), added: &self.added_texts };
        let spans = assistant_spans(&render, &conversation.messages, &text, &ends)?;
        Ok((text, spans))
    }

    /// A conversation to be answered: its ids, ending with the template's generation prompt. `variables` are
    /// seen by the template and win over those of [`Tokenizer::set_template_variable`].
    pub fn render_prompt(
        &self,
        conversation: &Conversation,
        variables: &Map<String, Value>,
    ) -> Result<Vec<u32>> {
        let mut all = self.variables.clone();
        all.extend(variables.clone());
        self.encode(&self.template()?.render(conversation, true, &all)?)
    }
}

/// One flag a token: whether it begins inside one of the ranges, which are in order. A token that begins
/// before its range is not a target, for the model sees its first part in the prompt.
fn mask(offsets: &[(usize, usize)], spans: &[Range<usize>]) -> Vec<bool> {
    let mut spans = spans.iter().peekable();
    offsets
        .iter()
        .map(|&(start, _)| {
            while spans.next_if(|span| span.end <= start).is_some() {}
            spans.peek().is_some_and(|span| span.contains(&start))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_targets_where_they_begin() {
        // Two parts of one character at 4..7, and a token that straddles the start of the second range.
        let offsets = [(0, 2), (2, 4), (4, 7), (4, 7), (7, 8), (8, 11), (11, 12), (12, 12)];
        let expected = [false, true, true, true, false, false, true, false];
        assert_eq!(mask(&offsets, &[2..7, 10..12]), expected);
        assert_eq!(mask(&offsets, &[]), [false; 8]);
    }
}
