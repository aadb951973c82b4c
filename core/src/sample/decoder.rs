//! A transformer as generation sees it: ids in, the next logits out, the past in a cache.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{Autoregressive, PREFILL, Score, Scorer};
use crate::error::Result;
use crate::model::{KvCache, Transformer, read};

/// A model with the cache of one conversation.
pub struct Decoder {
    model: Transformer,
    cache: KvCache,
    device: Device,
}

impl Decoder {
    /// A decoder for at most `context` positions (no more than the model holds).
    pub fn new(model: &Transformer, context: usize) -> Self {
        let model = model.valid();
        let device = model.device();
        let capacity = context.min(model.config().context());
        let cache = KvCache::new(model.config(), 1, capacity, model.dtype(), &device);
        Self { model, cache, device }
    }

    /// Logits of all new positions, or of the last, `[new or 1, vocab]`, row by row.
    async fn logits(&mut self, ids: &[u32], last_only: bool) -> Result<Vec<f32>> {
        super::check_ids(ids, self.model.config().vocab_size)?;
        let ids: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
        let count = ids.len();
        let tokens = Tensor::<2, Int>::from_data(TensorData::new(ids, [1, count]), &self.device);
        let logits = self.model.forward_cached(tokens, &mut self.cache, 0..1, last_only);
        let values = logits.shape().num_elements();
        read(logits.reshape([values])).await
    }

    /// Log-probability of every id after the first.
    ///
    /// # Errors
    /// No ids, ids outside the vocabulary, more ids than the context, a device that cannot be read.
    pub async fn score(&mut self, ids: &[u32], bytes: Option<usize>, last_logits: bool) -> Result<Score> {
        self.cache.truncate(0, 0);
        let mut scorer = Scorer::new(ids, self.model.config().vocab_size)?;
        super::check_fits(ids.len(), self.context())?;
        for piece in ids.chunks(PREFILL) {
            let rows = self.logits(piece, false).await?;
            scorer.push(&rows)?;
        }
        scorer.finish(bytes, last_logits)
    }
}

impl Autoregressive for Decoder {
    async fn feed(&mut self, ids: &[u32]) -> Result<Vec<f32>> {
        super::check_fits(self.cache.len(0) + ids.len(), self.context())?;
        let mut last = Vec::new();
        for piece in ids.chunks(PREFILL) {
            last = self.logits(piece, true).await?;
        }
        Ok(last)
    }

    fn context(&self) -> usize {
        self.cache.capacity()
    }

    fn position(&self) -> usize {
        self.cache.len(0)
    }

    fn rewind(&mut self, position: usize) -> Result<()> {
        self.cache.truncate(0, position);
        Ok(())
    }
}
