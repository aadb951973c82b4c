//! A loss before it is divided: batches of unequal weight add up exactly.

use burn::tensor::Tensor;

/// A sum over targets and what to divide it by.
#[derive(Debug)]
pub struct Loss {
    /// Sum over the targets, `[1]`, differentiable.
    pub sum: Tensor<1>,
    /// The number of targets.
    pub weight: f64,
}
