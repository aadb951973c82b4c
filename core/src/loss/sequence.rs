//! How likely a model holds whole sequences: what preferences compare.

use burn::tensor::Tensor;

use super::objective::causal_mask;
use super::{Routed, StepTotals, routed_logits};
use crate::batch::Batch;
use crate::kernels::{IGNORED, grouped_sums, token_log_probs};
use crate::model::Transformer;

/// The log-probability of each example's targets, weighed and summed, in nats.
///
/// # Shapes
/// → `[examples]`, in the order in which they stand in the batch.
pub fn sequence_log_probs(model: &Transformer, batch: &Batch) -> Tensor<1> {
    of_logits(model.forward(batch.inputs_tensor(&model.device()), &causal_mask(batch)), batch)
}

/// The same of a batch that is a part of a step, and what the routed layers of a mixture bring.
pub(super) fn routed_log_probs(
    model: &Transformer,
    batch: &Batch,
    totals: &StepTotals,
) -> (Tensor<1>, Option<Routed>) {
    let (logits, routed) = routed_logits(model, batch, &causal_mask(batch), totals);
    (of_logits(logits, batch), routed)
}

/// `[batch, seq, vocab]` → `[examples]`.
fn of_logits(logits: Tensor<3>, batch: &Batch) -> Tensor<1> {
    let counted = |(&target, &weight): (&u32, &f32)| if weight == 0.0 { IGNORED } else { target };
    let targets: Vec<u32> = batch.targets.iter().zip(&batch.weights).map(counted).collect();
    let log_probs = token_log_probs(logits, &targets);
    grouped_sums(log_probs, &batch.weights, &batch.example_numbers(), batch.examples())
}

/// What the targets of each example count together.
pub(super) fn sequence_weights(batch: &Batch) -> Vec<f32> {
    let mut sums = vec![0.0f64; batch.examples()];
    for (&weight, example) in batch.weights.iter().zip(batch.example_numbers()) {
        if let Some(sum) = sums.get_mut(example as usize) {
            *sum += f64::from(weight);
        }
    }
    sums.into_iter().map(|sum| sum as f32).collect()
}
