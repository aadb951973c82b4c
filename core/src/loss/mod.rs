//! What is minimised. A stage is an objective: which weight a batch has, and which loss.

mod cross_entropy;
mod objective;

pub use cross_entropy::cross_entropy;
pub use objective::{NextToken, Objective, StepCounts, StepTotals};

use burn::tensor::Tensor;

/// A loss before it is divided by the [`Objective::weight`] of all batches of a step together: batches of unequal
/// weight add up exactly.
#[derive(Debug)]
pub struct Loss {
    /// Sum over the targets, `[1]`, differentiable.
    pub sum: Tensor<1>,
    /// What is reported beside the loss.
    pub metrics: Vec<Metric>,
}

/// A number to report: the sum of `sum` over batches and steps, divided by the sum of `weight`.
#[derive(Clone, Debug)]
pub struct Metric {
    /// Its key in `log.jsonl`, such as `reward_margin`.
    pub name: &'static str,
    /// Added up, `[1]`; no gradient flows through it.
    pub sum: Tensor<1>,
    /// What to divide by.
    pub weight: f64,
}
