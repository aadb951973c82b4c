//! What unmasking needs of a model.

use std::ops::Range;

use crate::error::Result;
use crate::model::DiffusionConfig;

/// Which of the two texts of a guided answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The prompt and the answer.
    Prompted,
    /// The same answer behind masks in the place of the prompt.
    Unprompted,
}

/// A model that predicts masked tokens.
// Generation runs on one thread, in the browser and in the command line, so no `Send` is promised.
#[allow(async_fn_in_trait)]
pub trait Predictor {
    /// How it reads, and its mask token.
    fn diffusion(&self) -> &DiffusionConfig;

    /// Ids of its vocabulary.
    fn vocab(&self) -> usize;

    /// Most positions that it holds.
    fn context(&self) -> usize;

    /// How many of the first ids of what it read last need not be read again.
    fn held(&self) -> usize;

    /// Begins a canvas of so many `positions` behind a `prompt` of so many, of which the first `reuse` are those that were
    /// read before. `prefix_cache` asks for what stands before a block to be read once a block, where every position sees
    /// every position.
    fn begin(&mut self, reuse: usize, prompt: usize, positions: usize, prefix_cache: bool);

    /// Reads what stands before `end`, which is final from now on; returns how many ids were read.
    async fn read(&mut self, side: Side, canvas: &[u32], end: usize) -> Result<usize>;

    /// Logits that predict the tokens at `places` of a block; what stands before it was read.
    ///
    /// # Shapes
    /// `n` places → `n · vocab` values.
    async fn predict(
        &mut self,
        side: Side,
        canvas: &[u32],
        block: &Range<usize>,
        places: &[usize],
    ) -> Result<Vec<f32>>;
}
