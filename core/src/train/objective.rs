//! What is minimised: the one thing in which stages differ.

use burn::tensor::Device;

use crate::batch::Batch;
use crate::loss::{Loss, cross_entropy};
use crate::model::{AttentionMask, Transformer};

/// A loss of a model on a batch.
pub trait Objective {
    /// The summed loss and its weight; nothing is read back from the device.
    fn loss(&self, model: &Transformer, batch: &Batch) -> Loss;
}

/// Next-token prediction: pretraining and supervised fine-tuning, which differ in their masks only.
#[derive(Clone, Copy, Debug, Default)]
pub struct NextToken;

impl Objective for NextToken {
    fn loss(&self, model: &Transformer, batch: &Batch) -> Loss {
        let device = model.device();
        let logits = model.forward(batch.inputs_tensor(&device), &causal_mask(batch, &device));
        let sum = cross_entropy(logits, batch.targets_tensor(&device), batch.mask_tensor(&device));
        Loss {
            sum,
            weight: batch.targets_counted() as f64,
        }
    }
}

/// The causal mask of a batch; where rows hold several examples, they do not see each other.
fn causal_mask(batch: &Batch, device: &Device) -> AttentionMask {
    // Padding stands to the right, where a causal row never looks.
    if batch.segments.iter().all(|&segment| segment <= 1) {
        return AttentionMask::causal(batch.seq, 0, device);
    }
    AttentionMask::segments(&batch.segments, [batch.batch, batch.seq], true, device)
}
