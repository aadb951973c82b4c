//! What is minimised: the one thing in which stages differ.

use crate::batch::Batch;
use crate::kernels::{AttentionMask, cross_entropy};
use crate::loss::Loss;
use crate::model::Transformer;

/// A loss of a model on a batch. Threads share it.
pub trait Objective: Sync {
    /// The summed loss and its weight; nothing is read back from the device.
    fn loss(&self, model: &Transformer, batch: &Batch) -> Loss;
}

/// Next-token prediction: pretraining and supervised fine-tuning, which differ in their masks only.
#[derive(Clone, Copy, Debug, Default)]
pub struct NextToken;

impl Objective for NextToken {
    fn loss(&self, model: &Transformer, batch: &Batch) -> Loss {
        let logits = model.forward(batch.inputs_tensor(&model.device()), &causal_mask(batch));
        let sum = cross_entropy(logits, &batch.targets, &batch.mask);
        Loss { sum, weight: batch.targets_counted() as f64 }
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
