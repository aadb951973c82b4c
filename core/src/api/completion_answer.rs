//! OpenAI's answers to `/v1/completions`, whole or in parts: both have one shape
//! (<https://platform.openai.com/docs/api-reference/completions>).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::chat_answer::Usage;
use super::choice::{Change, Delta, Gathered, ToldToken};
use super::served::Head;

/// A whole answer, or a part of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Completion {
    /// Its id; all parts have it.
    pub id: String,
    /// `text_completion`.
    pub object: String,
    /// When it was asked for, in seconds since 1970.
    pub created: u64,
    /// The name of the model.
    pub model: String,
    /// The texts: `n` for each prompt, one prompt after the other.
    pub choices: Vec<CompletionChoice>,
    /// What they took; of parts, where it was asked for, null but on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Option<Usage>>,
}

/// One of the texts, or more of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompletionChoice {
    /// The text; with `echo` the prompt stands before it.
    pub text: String,
    /// Its place.
    pub index: usize,
    /// Its tokens, where they were asked for.
    pub logprobs: Option<CompletionLogprobs>,
    /// `stop` or `length`, once it has ended.
    pub finish_reason: Option<String>,
}

/// Tokens in lists of one length, as `lm_eval --model local-completions` reads them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CompletionLogprobs {
    /// Their texts.
    pub tokens: Vec<String>,
    /// The natural logarithm of each one's probability; null for the first of a prompt.
    pub token_logprobs: Vec<Option<f64>>,
    /// The likeliest tokens in the place of each, by their text, with the one that stands there; null for the first of a
    /// prompt.
    pub top_logprobs: Vec<Option<Map<String, Value>>>,
    /// Where each begins in the text, in characters.
    pub text_offset: Vec<usize>,
}

impl CompletionLogprobs {
    fn new(tokens: Vec<ToldToken>) -> Self {
        let mut lists = Self::default();
        for token in tokens {
            lists.token_logprobs.push(token.likely.as_ref().map(|likely| likely.token.logprob));
            lists.top_logprobs.push(token.likely.map(|likely| {
                // The likelier of two tokens with one text stands first, and stays.
                let all = likely.top_logprobs.into_iter().chain([likely.token]);
                let mut by_text = Map::new();
                for token in all {
                    by_text.entry(token.token).or_insert(token.logprob.into());
                }
                by_text
            }));
            lists.tokens.push(token.text);
            lists.text_offset.push(token.offset);
        }
        lists
    }
}

/// How completions are told.
#[derive(Clone, Copy, Debug)]
pub(super) struct CompletionShape {
    /// Whether tokens are told.
    pub logprobs: bool,
    /// Whether the usage is told, in parts of an answer.
    pub usage: bool,
}

impl CompletionShape {
    /// What an event adds.
    pub(super) fn part(self, head: &Head, index: usize, added: Delta) -> Completion {
        let text = match added.change {
            Some(Change::Said(text)) => text,
            _ => String::new(),
        };
        let logprobs =
            (self.logprobs && !added.tokens.is_empty()).then(|| CompletionLogprobs::new(added.tokens));
        let finish_reason = added.ending.map(|ending| ending.reason.to_string());
        self.completion(
            head,
            vec![CompletionChoice { text, index, logprobs, finish_reason }],
            self.usage.then_some(None),
        )
    }

    /// The part behind the texts, where usage was asked for.
    pub(super) fn last(self, head: &Head, usage: Usage) -> Option<Completion> {
        self.usage.then(|| self.completion(head, Vec::new(), Some(Some(usage))))
    }

    /// Whole texts.
    pub(super) fn whole(self, head: &Head, answers: Vec<Gathered>, usage: Usage) -> Completion {
        let choice = |(index, answer): (usize, Gathered)| CompletionChoice {
            text: answer.said,
            index,
            logprobs: self.logprobs.then(|| CompletionLogprobs::new(answer.tokens)),
            finish_reason: Some(answer.ending.map_or("stop", |ending| ending.reason).to_string()),
        };
        self.completion(head, answers.into_iter().enumerate().map(choice).collect(), Some(Some(usage)))
    }

    fn completion(
        self,
        head: &Head,
        choices: Vec<CompletionChoice>,
        usage: Option<Option<Usage>>,
    ) -> Completion {
        Completion {
            id: format!("cmpl-{}", head.id),
            object: "text_completion".to_string(),
            created: head.created,
            model: head.model.clone(),
            choices,
            usage,
        }
    }
}
