//! What is minimised: the one thing in which stages differ.

use super::{Loss, cross_entropy};
use crate::batch::Batch;
use crate::kernels::AttentionMask;
use crate::model::Transformer;

/// A loss of a model on a batch. Threads share it.
pub trait Objective: Send + Sync {
    /// What the batch counts beside others of the same optimizer step: its number of targets or pairs, or what their
    /// weights add up to. It is known before the model is asked, so that a step can be divided over threads.
    fn weight(&self, batch: &Batch) -> f64;

    /// The summed loss; nothing is read back from the device.
    fn loss(&self, model: &Transformer, batch: &Batch) -> Loss;

    /// Whether a finite loss has jumped so far above its running mean that the run is lost.
    fn diverged(&self, loss: f64, mean: f64) -> bool {
        loss > 2.0 * mean + 3.0
    }
}

/// Next-token prediction: pretraining and supervised fine-tuning, which differ in their weights only.
#[derive(Clone, Copy, Debug, Default)]
pub struct NextToken;

impl Objective for NextToken {
    fn weight(&self, batch: &Batch) -> f64 {
        batch.weight()
    }

    fn loss(&self, model: &Transformer, batch: &Batch) -> Loss {
        let logits = model.forward(batch.inputs_tensor(&model.device()), &causal_mask(batch));
        Loss { sum: cross_entropy(logits, &batch.targets, &batch.weights), metrics: Vec::new() }
    }
}

/// The causal mask of a batch; where rows hold several examples, they do not see each other.
fn causal_mask(batch: &Batch) -> AttentionMask {
    // Padding stands to the right, where a causal row never looks.
    if batch.segments.iter().all(|&segment| segment <= 1) {
        return AttentionMask::causal(batch.seq, 0);
    }
    AttentionMask::segments(&batch.segments, batch.seq, true)
}
