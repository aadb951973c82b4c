//! The loss of hidden tokens: masked diffusion (LLaDA: Nie et al., 2025, <https://arxiv.org/abs/2502.09992>), and block
//! diffusion (Arriola et al., 2025, <https://arxiv.org/abs/2503.09573>), which differ in what a model sees.

use burn::tensor::{Int, Tensor, TensorData};

use super::routed::masked_logits;
use super::targets::Targets;
use super::{DiffusionSettings, Loss, LossWeight, Masking, Metric, Objective, StepTotals};
use crate::batch::Batch;
use crate::kernels::token_log_probs;
use crate::model::{MaskedRows, Transformer};
use crate::told::Told;

/// The key of the share of hidden tokens that the model holds most likely.
const ACCURACY: &str = "masked_accuracy";

/// Cross-entropy of hidden tokens, weighed: the batches are those that [`Masking::hide`] gives, and another one counts
/// nothing.
#[derive(Clone, Copy, Debug)]
pub struct Diffusion {
    masking: Masking,
}

impl Diffusion {
    /// Learns what this hides.
    pub fn new(masking: Masking) -> Self {
        Self { masking }
    }
}

impl Objective for Diffusion {
    fn weight(&self, batch: &Batch) -> f64 {
        batch.noised.iter().flat_map(|noised| &noised.counts).map(|&count| f64::from(count)).sum()
    }

    fn part_loss(&self, model: &Transformer, batch: &Batch, totals: &StepTotals) -> Loss {
        let (targets, clean) = match &batch.noised {
            Some(noised) => (Targets::of(batch), &noised.clean),
            None => (Targets::none(), &batch.inputs),
        };
        let rows = MaskedRows { seq: batch.seq, noised: &batch.inputs, clean, segments: &batch.segments };
        let (logits, routed) = masked_logits(model, batch, &rows, &targets.places, totals);
        let metrics = vec![accuracy(&logits, batch, &targets)];
        let [n, vocab] = logits.dims();
        let log_probs = token_log_probs(logits.reshape([1, n, vocab]), &targets.ids);
        Loss { sum: targets.sum(log_probs.reshape([n])).neg(), metrics, routed }
    }

    fn problems(&self, _adapts: bool) -> Vec<Told> {
        let (holds, problem) = self.masking.settings.check();
        if holds { Vec::new() } else { vec![problem] }
    }

    fn masking(&self) -> Option<&Masking> {
        Some(&self.masking)
    }

    fn is_likelihood(&self) -> bool {
        self.masking.settings.is_bound()
    }

    /// One token weighed by `1/p` may count as much as all others together.
    fn diverged(&self, loss: f64, mean: f64) -> bool {
        let settings = &self.masking.settings;
        let scale = match settings.loss_weight {
            LossWeight::InverseT => settings.probability(0.0),
            LossWeight::Uniform => 1.0,
        };
        loss * scale > 2.0 * mean + 3.0
    }
}

/// How many of the hidden tokens are the model's first choice, each counted once.
fn accuracy(logits: &Tensor<2>, batch: &Batch, targets: &Targets) -> Metric {
    let device = logits.device();
    let logits = if device.is_autodiff() { logits.clone().inner() } else { logits.clone() };
    let n = targets.ids.len();
    let ids: Vec<i32> = targets.ids.iter().map(|&id| id as i32).collect();
    let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [n]), &logits.device());
    let right = logits.argmax(1).reshape([n]).equal(ids).float();
    // What stands there where nothing is hidden is the first choice of none.
    Metric { name: ACCURACY, sum: right.sum(), weight: batch.targets_counted() as f64 }
}
