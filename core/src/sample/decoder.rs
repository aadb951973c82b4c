//! A transformer as generation sees it: ids in, the next logits out, the past in a cache.

use std::ops::Range;

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{Autoregressive, Score, Scorer};
use crate::error::Result;
use crate::model::{KvCache, Transformer, read};
use crate::platform::breathe;

/// A model with the cache of one conversation.
pub struct Decoder {
    model: Transformer,
    /// The same where it takes its own tokens.
    writing: Transformer,
    cache: KvCache,
    /// Positions before the first that was written less exactly than it is read.
    exact: usize,
    device: Device,
}

impl Decoder {
    /// A decoder for at most `context` positions (no more than the model holds).
    pub fn new(model: &Transformer, context: usize) -> Self {
        let model = model.settled();
        let device = model.device();
        let cache = KvCache::new(model.config(), 1, context.min(model.config().context()));
        Self { writing: model.writing(), model, cache, exact: usize::MAX, device }
    }

    /// The pieces in which ids are read, with room for all of them in the cache.
    fn pieces<'a>(&mut self, ids: &'a [u32]) -> Result<Vec<&'a [u32]>> {
        let end = self.cache.len(0) + ids.len();
        self.pieces_of(ids, end)
    }

    /// The same of the next ids of a text that ends at `end`.
    fn pieces_of<'a>(&mut self, ids: &'a [u32], end: usize) -> Result<Vec<&'a [u32]>> {
        self.model.config().check_causal("writing from left to right")?;
        super::check_fits(end, self.context())?;
        super::check_ids(ids, self.model.config().vocab_size)?;
        self.cache.reserve(end);
        self.cache.expect(0, end);
        Ok(super::pieces(ids, self.cache.len(0), self.model.config().num_attention_heads))
    }

    /// Forgets everything from `position` on.
    fn truncate(&mut self, position: usize) {
        self.cache.truncate(0, position);
        if position <= self.exact {
            self.exact = usize::MAX;
        }
    }

    /// Logits of all new positions, or of the last, `[1, new or 1, vocab]`, still on the device.
    fn forward(&mut self, ids: &[u32], last_only: bool) -> Tensor<3> {
        let tokens = self.tokens(ids);
        self.model.forward_cached(tokens, &mut self.cache, 0..1, last_only)
    }

    /// `[1, ids]`.
    fn tokens(&self, ids: &[u32]) -> Tensor<2, Int> {
        let count = ids.len();
        let ids: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
        Tensor::from_data(TensorData::new(ids, [1, count]), &self.device)
    }

    /// The same, row by row.
    async fn logits(&mut self, ids: &[u32], last_only: bool) -> Result<Vec<f32>> {
        values_of(self.forward(ids, last_only)).await
    }

    /// The logits behind every id of a text, in order, `[vocab]` each.
    ///
    /// # Errors
    /// Ids outside the vocabulary, more ids than the context, a device that cannot be read.
    pub async fn each_position(&mut self, ids: &[u32], on_row: &mut dyn FnMut(&[f32])) -> Result<()> {
        self.positions_in(ids, 0..ids.len(), on_row).await
    }

    /// The same of a part of the text alone, when all ids before it have been read.
    ///
    /// # Errors
    /// As [`Decoder::each_position`].
    pub async fn positions_in(
        &mut self,
        ids: &[u32],
        part: Range<usize>,
        on_row: &mut dyn FnMut(&[f32]),
    ) -> Result<()> {
        self.truncate(part.start);
        let vocab = self.model.config().vocab_size;
        for piece in self.pieces_of(&ids[part], ids.len())? {
            self.logits(piece, false).await?.chunks_exact(vocab).for_each(&mut *on_row);
        }
        Ok(())
    }

    /// Log-probability of every id after the first.
    ///
    /// # Errors
    /// No ids, ids outside the vocabulary, more ids than the context, a device that cannot be read.
    pub async fn score(&mut self, ids: &[u32], bytes: Option<usize>, last_logits: bool) -> Result<Score> {
        self.truncate(0);
        let mut scorer = Scorer::new(ids, self.model.config().vocab_size)?;
        for piece in self.pieces(ids)? {
            let rows = self.logits(piece, false).await?;
            scorer.push(&rows)?;
        }
        scorer.finish(bytes, last_logits)
    }
}

async fn values_of(logits: Tensor<3>) -> Result<Vec<f32>> {
    let values = logits.shape().num_elements();
    read(logits.reshape([values])).await
}

impl Autoregressive for Decoder {
    async fn feed(&mut self, ids: &[u32]) -> Result<Vec<f32>> {
        let pieces = self.pieces(ids)?;
        let Some((last, before)) = pieces.split_last() else { return Ok(Vec::new()) };
        for piece in before {
            // Not read: the device need not be waited for.
            self.forward(piece, true);
            breathe().await;
        }
        self.logits(last, true).await
    }

    async fn feed_drawn(&mut self, id: u32) -> Result<Vec<f32>> {
        self.pieces(&[id])?;
        if self.model.writes_inexactly() {
            self.exact = self.exact.min(self.cache.len(0));
        }
        let tokens = self.tokens(&[id]);
        values_of(self.writing.forward_cached(tokens, &mut self.cache, 0..1, true)).await
    }

    fn context(&self) -> usize {
        self.cache.capacity()
    }

    fn position(&self) -> usize {
        self.cache.len(0)
    }

    fn reusable(&self) -> usize {
        self.position().min(self.exact)
    }

    fn rewind(&mut self, position: usize) -> Result<()> {
        self.truncate(position);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use super::*;
    use crate::kernels::AttentionMask;
    use crate::model::{tiny_model, values};

    #[test]
    fn each_position_gives_the_logits_of_the_whole_text() {
        let model = tiny_model(&Device::flex());
        let (ids, mut rows) = ([1, 5, 9, 2], Vec::new());
        let mut decoder = Decoder::new(&model, 8);
        let mut on_row = |row: &[f32]| rows.push(row.to_vec());
        block_on(decoder.each_position(&ids, &mut on_row)).unwrap();
        let tokens =
            Tensor::<2, Int>::from_data(TensorData::new(vec![1_i32, 5, 9, 2], [1, 4]), &Device::flex());
        let whole = values(model.forward(tokens, &AttentionMask::causal(4, 0)));
        assert_eq!(rows.len(), 4);
        for (row, expected) in rows.iter().zip(whole.chunks(32)) {
            assert!(row.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{row:?} {expected:?}");
        }
        let mut parts = Vec::new();
        for part in [0..3, 3..4] {
            let mut on_row = |row: &[f32]| parts.push(row.to_vec());
            block_on(decoder.positions_in(&ids, part, &mut on_row)).unwrap();
        }
        assert_eq!(parts.len(), 4);
        let near = |(a, b): (&Vec<f32>, &Vec<f32>)| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(parts.iter().zip(&rows).all(near), "part by part");
    }
}
