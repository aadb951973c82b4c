//! What is asked of a [`Batcher`](super::Batcher), and what comes back.

use std::sync::Arc;

use crate::error::Error;
use crate::sample::{Constraint, Generation, GenerationRequest, Piece, SamplingConfig, UnmaskConfig};
use crate::tokenizer::Tokenizer;

/// What to continue, and how; it owns what it needs, so that it can wait in a queue.
pub struct BatchRequest {
    /// Ids to continue, the beginning-of-sequence token included where the model wants one.
    pub prompt: Vec<u32>,
    /// End-of-sequence ids; a model may have several.
    pub end_ids: Vec<u32>,
    /// Turns ids into text. Without one the text stays empty.
    pub tokenizer: Option<Arc<Tokenizer>>,
    /// How tokens are chosen.
    pub config: SamplingConfig,
    /// What may come at all; everything where there is none.
    pub constraint: Option<Box<dyn Constraint>>,
    /// How masks are filled; a batcher, whose model is causal, takes the default alone.
    pub unmask: UnmaskConfig,
}

impl BatchRequest {
    /// The same as it is asked alone; what it is held to aside.
    pub fn alone(&self) -> GenerationRequest<'_> {
        GenerationRequest {
            prompt: &self.prompt,
            reuse: 0,
            end_ids: &self.end_ids,
            tokenizer: self.tokenizer.as_deref(),
            config: &self.config,
            unmask: self.unmask,
        }
    }
}

/// The number of a request in its batcher, which gives each a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub(super) u64);

/// What became of a request in a step.
pub enum BatchEvent<'a> {
    /// A token was drawn, or text that was held back came out.
    Piece {
        /// Whose.
        ticket: Ticket,
        /// The text, and the token with the logits that the model gave.
        piece: Piece<'a>,
    },
    /// It ended; nothing more comes.
    Done {
        /// Which.
        ticket: Ticket,
        /// All of it.
        generation: Generation,
    },
    /// It cannot go on; nothing more comes, and the others go on.
    Failed {
        /// Which.
        ticket: Ticket,
        /// Why.
        error: Error,
    },
}

/// How much a [`Batcher`](super::Batcher) takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Sequences that are decoded together, at most; at least one.
    pub rows: usize,
    /// Bytes that their keys and values may take in all.
    pub cache_bytes: u64,
    /// Prompt tokens that are read in one step, at most; at least one. Few keep the answers beside a long prompt flowing.
    pub prefill_tokens: usize,
    /// Requests that may wait when all rows are taken.
    pub queue: usize,
}

/// What a [`Batcher`](super::Batcher) did since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchCounts {
    /// Prompt tokens that were read.
    pub read: u64,
    /// Prompt tokens whose keys and values stood in the cache already.
    pub reused: u64,
    /// Tokens that were drawn.
    pub written: u64,
    /// How often an answer lost its row for a while, because those before it needed the room.
    pub put_off: u64,
}
