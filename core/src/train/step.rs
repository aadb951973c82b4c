//! One optimizer step: some batches forward and backward, clipping, AdamW.

use burn::tensor::Tensor;

use super::Objective;
use crate::batch::Batch;
use crate::model::Transformer;
use crate::optim::{AdamW, NamedGradients};

/// What a step leaves on the device, to be read back when it is reported.
pub(crate) struct StepTensors {
    /// Mean loss a target, `[1]`.
    pub loss: Tensor<1>,
    /// Gradient norm before clipping, `[1]`.
    pub grad_norm: Tensor<1>,
}

/// Takes one step on `batches` (micro-batches of one optimizer step). The loss is divided by all their
/// targets together, so that many small batches equal one big one exactly.
pub(crate) fn optimizer_step(
    model: Transformer,
    optimizer: &mut AdamW,
    objective: &impl Objective,
    batches: &[Batch],
    learning_rate: f64,
    grad_clip: f64,
) -> (Transformer, StepTensors) {
    let targets: usize = batches.iter().map(Batch::targets_counted).sum();
    let mut gradients = NamedGradients::default();
    let mut total: Option<Tensor<1>> = None;
    for batch in batches {
        let loss = objective.loss(&model, batch).sum / targets.max(1) as f64;
        let mut grads = loss.backward();
        gradients.add(NamedGradients::collect(&model, &mut grads));
        let loss = loss.inner();
        total = Some(match total {
            Some(total) => total + loss,
            None => loss,
        });
    }
    let zero = || Tensor::zeros([1], &model.device().inner());
    let grad_norm = gradients.norm().unwrap_or_else(zero);
    let loss = total.unwrap_or_else(zero);
    if grad_clip > 0.0 {
        gradients = gradients.clip(&grad_norm, grad_clip);
    }
    (optimizer.step(model, gradients, learning_rate), StepTensors { loss, grad_norm })
}
