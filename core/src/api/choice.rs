//! One answer while it is written: what of it is said, thought and called, and how likely its tokens were.

use std::sync::Arc;

use super::splitter::{Splitter, Stretch};
use super::token_logprob::{TokenLogprob, shown};
use crate::sample::{FinishReason, Generation, Piece};
use crate::tokenizer::Tokenizer;

/// What an event adds to an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Delta {
    /// What it adds to the text; nothing where there are tokens or the end alone.
    pub change: Option<Change>,
    /// The tokens since the last one, where they are asked for.
    pub tokens: Vec<ToldToken>,
    /// How the answer ended.
    pub ending: Option<Ending>,
}

/// More of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Of what is said.
    Said(String),
    /// Of what is thought.
    Thought(String),
    /// A call of a function.
    Call {
        /// Its place among the calls, from 0.
        index: usize,
        /// The function.
        name: String,
    },
    /// Of a call's arguments.
    Arguments {
        /// The call's place.
        index: usize,
        /// A JSON text, or a part of it.
        text: String,
    },
    /// The last call is whole.
    CallEnd,
}

/// A token of an answer or, with `echo`, of its prompt.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ToldToken {
    /// Its text.
    pub text: String,
    /// Where it begins in the text, in characters.
    pub offset: usize,
    /// How likely it was; nothing predicts the first token of a prompt.
    pub likely: Option<TokenLogprob>,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ending {
    /// OpenAI's `finish_reason`.
    pub reason: &'static str,
    /// New tokens.
    pub tokens: usize,
    /// Tokens of the prompt that were read a second, where that is known.
    pub prefill_rate: Option<f64>,
    /// New tokens a second.
    pub decode_rate: Option<f64>,
}

/// How an answer is read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading {
    /// Whether thoughts are told apart from words; else all is said.
    pub split: bool,
    /// Whether calls are.
    pub tools: bool,
    /// Whether the prompt has opened a thought.
    pub opened: bool,
    /// How many of the likeliest tokens are told for each, where likelihoods are.
    pub top: Option<usize>,
    /// Whether the token that ends the answer is told, too.
    pub tell_end: bool,
}

/// The state of one answer.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    tokenizer: Arc<Tokenizer>,
    splitter: Option<Splitter>,
    reading: Reading,
    tokens: Vec<ToldToken>,
    /// Characters of the tokens so far.
    characters: usize,
    /// Calls so far.
    calls: usize,
    ended: bool,
}

impl Choice {
    pub(super) fn new(tokenizer: &Arc<Tokenizer>, reading: Reading) -> Self {
        let splitter = reading.split.then(|| Splitter::new(reading.tools, reading.opened));
        let tokenizer = tokenizer.clone();
        Self { tokenizer, splitter, reading, tokens: Vec::new(), characters: 0, calls: 0, ended: false }
    }

    /// Whether nothing more comes.
    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Takes the logits of a position of the prompt, which predict the token behind it.
    pub(super) fn prompt_logits(&mut self, prompt: &[u32], position: usize, logits: &[f32]) {
        if position == 0
            && let Some(&first) = prompt.first()
        {
            self.tell(first, None, true);
        }
        if let Some(&id) = prompt.get(position + 1) {
            self.tell(id, Some(logits), true);
        }
    }

    /// The prompt as a delta of its own, with the tokens that were told of it.
    pub(super) fn prompt(&mut self, text: String) -> Delta {
        Delta { change: Some(Change::Said(text)), tokens: std::mem::take(&mut self.tokens), ending: None }
    }

    /// Takes what a token brought.
    pub(super) fn piece(&mut self, piece: &Piece) -> Vec<Delta> {
        if let Some((id, logits)) = piece.token
            && self.reading.top.is_some()
        {
            let visible = !self.tokenizer.is_special(id);
            self.tell(id, Some(logits), visible);
        }
        if let Some((end, logits)) = piece.end
            && self.reading.tell_end
            && self.reading.top.is_some()
        {
            self.tell(end, Some(logits), false);
        }
        let stretches = match &mut self.splitter {
            Some(splitter) => splitter.push(piece.text),
            None if piece.text.is_empty() => Vec::new(),
            None => vec![Stretch::Said(piece.text.to_string())],
        };
        self.deltas(stretches)
    }

    /// Takes the end of the answer.
    pub(super) fn end(&mut self, generation: &Generation) -> Vec<Delta> {
        let stretches = self.splitter.as_mut().map(Splitter::finish).unwrap_or_default();
        let mut deltas = self.deltas(stretches);
        let reason = match generation.finish_reason {
            FinishReason::Length => "length",
            FinishReason::Stop if self.calls > 0 => "tool_calls",
            FinishReason::Stop => "stop",
        };
        deltas.push(self.ending(Ending {
            reason,
            tokens: generation.tokens.len(),
            prefill_rate: generation.prefill_tokens_per_second,
            decode_rate: generation.decode_tokens_per_second,
        }));
        deltas
    }

    /// Ends an answer for which nothing new was asked.
    pub(super) fn skip(&mut self) -> Delta {
        self.ending(Ending { reason: "length", tokens: 0, prefill_rate: None, decode_rate: None })
    }

    fn ending(&mut self, ending: Ending) -> Delta {
        self.ended = true;
        Delta { change: None, tokens: std::mem::take(&mut self.tokens), ending: Some(ending) }
    }

    fn tell(&mut self, id: u32, logits: Option<&[f32]>, visible: bool) {
        let top = self.reading.top.unwrap_or_default();
        let likely = logits.map(|logits| TokenLogprob::new(&self.tokenizer, id, logits, top));
        self.tokens.push(ToldToken { text: shown(&self.tokenizer, id), offset: self.characters, likely });
        if visible {
            // A character counts where its first byte stands.
            let bytes = self.tokenizer.token_bytes(id);
            self.characters += bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count();
        }
    }

    /// One delta for each stretch; the tokens go with the first.
    fn deltas(&mut self, stretches: Vec<Stretch>) -> Vec<Delta> {
        let mut deltas = Vec::with_capacity(stretches.len());
        for stretch in stretches {
            let change = match stretch {
                Stretch::Said(text) => Change::Said(text),
                Stretch::Thought(text) => Change::Thought(text),
                Stretch::Call(name) => {
                    self.calls += 1;
                    Change::Call { index: self.calls - 1, name }
                }
                Stretch::Arguments(text) => Change::Arguments { index: self.calls.saturating_sub(1), text },
                Stretch::CallEnd => Change::CallEnd,
            };
            let tokens = std::mem::take(&mut self.tokens);
            deltas.push(Delta { change: Some(change), tokens, ending: None });
        }
        deltas
    }
}

/// A whole answer, which deltas add up to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Gathered {
    /// What is said.
    pub said: String,
    /// What is thought.
    pub thought: String,
    /// The calls: name and arguments.
    pub calls: Vec<(String, String)>,
    /// The tokens.
    pub tokens: Vec<ToldToken>,
    /// How it ended.
    pub ending: Option<Ending>,
}

impl Gathered {
    /// Adds what an event brought.
    pub(super) fn add(&mut self, delta: Delta) {
        match delta.change {
            Some(Change::Said(text)) => self.said.push_str(&text),
            Some(Change::Thought(text)) => self.thought.push_str(&text),
            Some(Change::Call { name, .. }) => self.calls.push((name, String::new())),
            Some(Change::Arguments { text, .. }) => {
                if let Some((_, arguments)) = self.calls.last_mut() {
                    arguments.push_str(&text);
                }
            }
            Some(Change::CallEnd) | None => {}
        }
        self.tokens.extend(delta.tokens);
        self.ending = self.ending.or(delta.ending);
    }
}
