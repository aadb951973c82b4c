//! What is minimised: the one thing in which stages differ.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Loss, cross_entropy};
use crate::batch::Batch;
use crate::kernels::AttentionMask;
use crate::model::Transformer;

/// A loss of a model on a batch. Threads share it.
pub trait Objective: Send + Sync {
    /// What the batch counts beside others of the same optimizer step: its number of targets or pairs, or what their
    /// weights add up to. It is known before the model is asked, so that a step can be divided over threads.
    fn weight(&self, batch: &Batch) -> f64;

    /// The summed loss of a batch that is a part of an optimizer step; nothing is read back from the device.
    fn part_loss(&self, model: &Transformer, batch: &Batch, totals: &StepTotals) -> Loss;

    /// The summed loss of a batch that is a step of its own.
    fn loss(&self, model: &Transformer, batch: &Batch) -> Loss {
        self.part_loss(model, batch, &StepTotals::of(self, model, batch))
    }

    /// What must be counted over the whole step before it is divided, such as the tokens of each expert; `None` where
    /// parts need to know nothing of each other, which costs nothing.
    fn step_counts(&self, _model: &Transformer) -> Option<&dyn StepCounts> {
        None
    }

    /// Whether a finite loss has jumped so far above its running mean that the run is lost.
    fn diverged(&self, loss: f64, mean: f64) -> bool {
        loss > 2.0 * mean + 3.0
    }
}

/// Counts of a part of a step that add up over its parts.
pub trait StepCounts: Send + Sync {
    /// The counts, as many and as long for every part; `model` is without autodiff.
    fn counts(&self, model: &Transformer, batch: &Batch) -> Vec<Tensor<1>>;
}

/// What is known of all batches of an optimizer step together.
#[derive(Clone, Debug, Default)]
pub struct StepTotals {
    /// What all its batches weigh together: their summed losses are divided by it.
    pub weight: f64,
    /// What [`Objective::step_counts`] counts, added up over all of it. The counts stay on the device and outside of the
    /// graph, where they are constants of whatever they are combined with.
    pub counts: Vec<Tensor<1>>,
}

impl StepTotals {
    /// A step of one batch.
    pub fn of<O: Objective + ?Sized>(objective: &O, model: &Transformer, batch: &Batch) -> Self {
        let counter = objective.step_counts(model);
        let counts = counter.map(|counter| counter.counts(&model.valid(), batch)).unwrap_or_default();
        Self { weight: objective.weight(batch), counts }
    }
}

/// Next-token prediction: pretraining and supervised fine-tuning, which differ in their weights only.
#[derive(Clone, Copy, Debug, Default)]
pub struct NextToken;

impl Objective for NextToken {
    fn weight(&self, batch: &Batch) -> f64 {
        batch.weight()
    }

    fn part_loss(&self, model: &Transformer, batch: &Batch, _totals: &StepTotals) -> Loss {
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
