//! What is heard while a model writes.

use serde::{Deserialize, Serialize};

use super::super::generation::Piece;

/// One token that a step filled.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unmasked {
    /// Where it stands, from 0 at the first id after the prompt; of an infill, in the whole canvas.
    pub place: usize,
    /// The token.
    pub id: u32,
    /// Its probability under the model, before temperature and filters.
    pub confidence: f32,
}

/// What a step changed.
#[derive(Clone, Copy, Debug)]
pub struct UnmaskStep<'a> {
    /// Its number, from 1.
    pub step: usize,
    /// How many there are at most.
    pub steps: usize,
    /// The tokens that it filled, the surest first.
    pub filled: &'a [Unmasked],
    /// The new ids so far, masks included; of an infill the whole canvas.
    pub canvas: &'a [u32],
}

/// What is heard while a model writes.
#[derive(Clone, Copy, Debug)]
pub enum Written<'a> {
    /// Text that became final. A causal model tells each token of it; a masked predictor only text, from the left as far
    /// as no mask stands before it.
    Piece(Piece<'a>),
    /// A step of a masked predictor; the text that it made final follows.
    Step(UnmaskStep<'a>),
}
