//! A transformer as unmasking sees it: a canvas in, the logits of masked places out, finished blocks in a cache.

use std::ops::Range;

use burn::tensor::Tensor;

use super::predictor::{Predictor, Side};
use crate::error::Result;
use crate::kernels::AttentionMask;
use crate::model::{DiffusionConfig, KvCache, Transformer, block_mask, read};
use crate::platform::breathe;
use crate::sample::longest_piece;

/// Most logits that a device makes at once: 64 MiB.
const MOST_LOGITS: usize = 1 << 24;

/// A masked predictor with what it remembers of both sides.
pub struct MaskedModel {
    model: Transformer,
    diffusion: DiffusionConfig,
    context: usize,
    sides: [Held; 2],
    /// Positions of the canvas.
    positions: usize,
    prefix_cache: bool,
}

/// What is remembered of a text.
struct Held {
    /// Keys and values of finished blocks; with a prefix cache those of what stands before the block.
    cache: KvCache,
    /// The logits of the last position in the cache, where those predict the token behind it.
    last: Vec<f32>,
    /// Whether the cache holds what stands before this position, as it was when its block began.
    prefix: Option<usize>,
}

impl MaskedModel {
    /// A predictor for at most `context` positions (no more than the model holds).
    pub(super) fn new(model: &Transformer, diffusion: &DiffusionConfig, context: usize) -> Self {
        let (model, diffusion) = (model.settled(), diffusion.clone());
        let context = context.min(model.config().context());
        let held =
            || Held { cache: KvCache::new(model.config(), 1, context), last: Vec::new(), prefix: None };
        let sides = [held(), held()];
        Self { model, diffusion, context, sides, positions: 0, prefix_cache: false }
    }

    /// What the last block gives for ids behind what a side's cache holds, which then holds them too.
    fn hidden_behind(&mut self, side: Side, ids: &[u32], mask: &AttentionMask) -> Tensor<3> {
        let cache = &mut self.sides[side as usize].cache;
        cache.reserve(cache.len(0) + ids.len());
        cache.expect(0, self.positions);
        self.model.hidden_behind(ids, cache, mask)
    }

    /// Logits of some positions of what the last block gave, row by row.
    async fn rows(&self, hidden: &Tensor<3>, from: &[usize]) -> Result<Vec<f32>> {
        let vocab = self.vocab();
        let mut rows = Vec::with_capacity(from.len() * vocab);
        for part in from.chunks((MOST_LOGITS / vocab).max(1)) {
            let places = part.iter().map(|&place| place as i32).collect();
            let logits = self.model.logits_of(hidden.clone(), places);
            rows.extend(read(logits.reshape([part.len() * vocab])).await?);
        }
        Ok(rows)
    }

    /// How many ids each pass reads of finished blocks: whole ones, as the tokens of a block see each other.
    fn pieces(&self, ids: usize, past: usize, block: usize) -> Vec<usize> {
        let heads = self.model.config().num_attention_heads;
        let (mut pieces, mut done) = (Vec::new(), 0);
        while done < ids {
            let most = longest_piece(ids - done, past + done, heads);
            pieces.push((most / block * block).max(block).min(ids - done));
            done += pieces[pieces.len() - 1];
        }
        pieces
    }

    async fn predict_in_block(
        &mut self,
        side: Side,
        canvas: &[u32],
        block: &Range<usize>,
        places: &[usize],
    ) -> Result<Vec<f32>> {
        let shift = usize::from(self.diffusion.shift_logits);
        let edge = shift == 1 && places.first() == Some(&block.start);
        let mut rows = if edge { self.sides[side as usize].last.clone() } else { Vec::new() };
        let inside = &places[usize::from(edge)..];
        if inside.is_empty() {
            return Ok(rows);
        }
        let hidden = self.hidden_behind(side, &canvas[block.clone()], &AttentionMask::bidirectional());
        self.sides[side as usize].cache.truncate(0, block.start);
        let from: Vec<usize> = inside.iter().map(|place| place - shift - block.start).collect();
        rows.extend(self.rows(&hidden, &from).await?);
        Ok(rows)
    }

    /// With the keys and values of what stands before the block as they were when it began: Fast-dLLM's prefix cache (Wu et
    /// al., 2025, <https://arxiv.org/abs/2505.22618>). They saw the block's masks, so this is an approximation.
    async fn predict_behind_prefix(
        &mut self,
        side: Side,
        canvas: &[u32],
        block: &Range<usize>,
        places: &[usize],
    ) -> Result<Vec<f32>> {
        let shift = usize::from(self.diffusion.shift_logits);
        // A shifted block's first token is predicted by the position before it.
        let prefix = block.start.saturating_sub(shift);
        let begins = self.sides[side as usize].prefix != Some(prefix);
        let start = if begins { 0 } else { prefix };
        self.sides[side as usize].cache.truncate(0, start);
        let hidden = self.hidden_behind(side, &canvas[start..], &AttentionMask::bidirectional());
        let held = &mut self.sides[side as usize];
        held.cache.truncate(0, prefix);
        held.prefix = Some(prefix);
        let from: Vec<usize> = places.iter().map(|place| place - shift - start).collect();
        self.rows(&hidden, &from).await
    }
}

impl Predictor for MaskedModel {
    fn diffusion(&self) -> &DiffusionConfig {
        &self.diffusion
    }

    fn vocab(&self) -> usize {
        self.model.config().vocab_size
    }

    fn context(&self) -> usize {
        self.context
    }

    fn held(&self) -> usize {
        match self.diffusion.block_length {
            Some(_) => self.sides[Side::Prompted as usize].cache.len(0),
            None => 0,
        }
    }

    fn begin(&mut self, reuse: usize, prompt: usize, positions: usize, prefix_cache: bool) {
        // Only whole blocks are alike, and the prompt's last token is read in any case where its logits are needed.
        let most = prompt.saturating_sub(usize::from(self.diffusion.shift_logits));
        let kept = self.diffusion.block_length.map_or(0, |block| reuse.min(most) / block * block);
        for (held, kept) in self.sides.iter_mut().zip([kept, 0]) {
            held.cache.truncate(0, kept);
            (held.last, held.prefix) = (Vec::new(), None);
        }
        (self.positions, self.prefix_cache) = (positions, prefix_cache);
    }

    async fn read(&mut self, side: Side, canvas: &[u32], end: usize) -> Result<usize> {
        let Some(block) = self.diffusion.block_length else { return Ok(0) };
        let begun = self.sides[side as usize].cache.len(0);
        let mut start = begun;
        for piece in self.pieces(end.saturating_sub(begun), begun, block) {
            let mask = block_mask(start, piece, block);
            let hidden = self.hidden_behind(side, &canvas[start..start + piece], &mask);
            start += piece;
            if start == end && self.diffusion.shift_logits {
                self.sides[side as usize].last = self.rows(&hidden, &[piece - 1]).await?;
            }
            breathe().await;
        }
        Ok(start - begun)
    }

    async fn predict(
        &mut self,
        side: Side,
        canvas: &[u32],
        block: &Range<usize>,
        places: &[usize],
    ) -> Result<Vec<f32>> {
        if self.diffusion.block_length.is_some() {
            return self.predict_in_block(side, canvas, block, places).await;
        }
        if self.prefix_cache {
            return self.predict_behind_prefix(side, canvas, block, places).await;
        }
        let hidden = self.model.hidden_of_text(canvas);
        let shift = usize::from(self.diffusion.shift_logits);
        let from: Vec<usize> = places.iter().map(|place| place - shift).collect();
        self.rows(&hidden, &from).await
    }
}
