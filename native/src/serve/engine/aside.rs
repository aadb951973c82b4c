//! What is read without writing: texts that become vectors. One text a round, so that answers go on beside it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use kindling::api::KeepAlive;
use kindling::model::Transformer;
use kindling::sample::{Embedder, Pooling};
use tokio::sync::oneshot;

use super::job::Back;
use super::opened::Opened;
use crate::serve::refusal::Refusal;

/// Texts that are read one after the other.
pub struct Aside {
    model: String,
    pooling: Pooling,
    texts: Vec<Vec<u32>>,
    vectors: Vec<Vec<f32>>,
    ends_by: Instant,
    /// How long the model stays behind it, where it says so.
    pub keep: Option<KeepAlive>,
    /// What the texts were read by, which keeps the model here.
    _opened: Arc<Opened>,
    reply: Option<Back<Vec<Vec<f32>>>>,
}

impl Aside {
    /// Asks for the vectors of texts that are given as ids, by what they were read by, and how long the model then stays.
    pub fn new(
        model: &str,
        pooling: Pooling,
        texts: Vec<Vec<u32>>,
        ends_by: Instant,
        (opened, keep): (Arc<Opened>, Option<KeepAlive>),
        reply: Back<Vec<Vec<f32>>>,
    ) -> Self {
        let vectors = Vec::new();
        Self {
            model: model.into(),
            pooling,
            texts,
            vectors,
            ends_by,
            keep,
            _opened: opened,
            reply: Some(reply),
        }
    }

    /// Which model reads them.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Ends it with an error.
    pub fn fail(&mut self, refusal: Refusal) {
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(Err(refusal));
        }
    }

    /// Reads the next text; returns whether nothing is left to be done.
    pub fn step(&mut self, model: &Transformer, now: Instant) -> bool {
        if self.reply.as_ref().is_none_or(oneshot::Sender::is_closed) {
            return true;
        }
        if now >= self.ends_by {
            self.fail(Refusal::timed_out());
            return true;
        }
        if let Some(text) = self.texts.get(self.vectors.len()) {
            let embedder = Embedder::new(model);
            match catch_unwind(AssertUnwindSafe(|| pollster::block_on(embedder.embed(text, self.pooling)))) {
                Ok(Ok(vector)) => self.vectors.push(vector),
                Ok(Err(error)) => self.fail(error.into()),
                Err(_) => self
                    .fail(Refusal::failed("the model cannot read this text; the program's output says why")),
            }
        }
        if self.vectors.len() >= self.texts.len()
            && let Some(reply) = self.reply.take()
        {
            let _ = reply.send(Ok(std::mem::take(&mut self.vectors)));
        }
        self.reply.is_none()
    }
}
