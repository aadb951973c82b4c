//! A prompt whose own tokens are told by their likelihood, read part by part so that answers go on beside it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use kindling::model::Transformer;
use kindling::sample::{BatchRequest, Decoder};

use super::lane::CRASHED;
use crate::serve::refusal::Refusal;

/// A prompt that is scored, and what is written behind it.
pub struct Scoring {
    /// Whose.
    pub task: u64,
    /// Which of its choices.
    pub choice: usize,
    ids: Vec<u32>,
    request: Option<BatchRequest>,
    /// With what it is read, once that began.
    decoder: Option<Decoder>,
    read: usize,
}

impl Scoring {
    /// That of these ids; none where nothing is to be scored.
    pub fn new(task: u64, choice: usize, ids: Vec<u32>, request: Option<BatchRequest>) -> Self {
        Self { task, choice, ids, request, decoder: None, read: 0 }
    }

    /// Ids of the prompt.
    pub fn count(&self) -> usize {
        self.ids.len()
    }

    /// Whether all of it is read.
    pub fn is_read(&self) -> bool {
        self.read == self.ids.len()
    }

    /// What is written behind it.
    pub fn into_request(self) -> Option<BatchRequest> {
        self.request
    }

    /// Reads at most so many more ids; `on` hears each position with the logits behind it.
    ///
    /// # Errors
    /// What the model cannot read.
    pub fn read(
        &mut self,
        model: &Transformer,
        most: usize,
        on: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), Refusal> {
        let Self { ids, decoder, read, .. } = self;
        let part = *read..ids.len().min(read.saturating_add(most));
        let mut on_row = |row: &[f32]| {
            on(*read, row);
            *read += 1;
        };
        let advance = || {
            let decoder = decoder.get_or_insert_with(|| Decoder::new(model, ids.len()));
            pollster::block_on(decoder.positions_in(ids, part, &mut on_row))
        };
        match catch_unwind(AssertUnwindSafe(advance)) {
            Ok(done) => Ok(done?),
            Err(_) => Err(Refusal::failed(CRASHED)),
        }
    }
}
