//! One optimizer step: some batches forward and backward, clipping, AdamW.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;

use super::Objective;
use crate::batch::Batch;
use crate::device::is_processor;
use crate::model::Transformer;
use crate::optim::{AdamW, NamedGradients};
use crate::platform::{map_in_threads, threads};

/// What a step leaves on the device, to be read back when it is reported.
pub(crate) struct StepTensors {
    /// Mean loss a target, `[1]`.
    pub loss: Tensor<1>,
    /// Gradient norm before clipping, `[1]`.
    pub grad_norm: Tensor<1>,
}

/// The numbers of one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepSettings {
    /// From the schedule.
    pub learning_rate: f64,
    /// Largest global norm of the gradient; 0 leaves it alone.
    pub grad_clip: f64,
    /// Seed of what dropout drops.
    pub noise: u64,
}

/// Takes one step on `batches` (micro-batches of one optimizer step). The loss is divided by all their
/// targets together, so that many small batches equal one big one exactly.
pub(crate) fn optimizer_step(
    model: Transformer,
    optimizer: &mut AdamW,
    objective: &impl Objective,
    batches: &[Batch],
    settings: StepSettings,
) -> (Transformer, StepTensors) {
    let targets: usize = batches.iter().map(Batch::targets_counted).sum();
    let targets = targets.max(1) as f64;
    let mut gradients = NamedGradients::default();
    let mut total: Option<Tensor<1>> = None;
    let mut first_row = 0;
    for batch in batches {
        let noise = (settings.noise, first_row);
        first_row += batch.batch;
        for (loss, part) in backward(&model, objective, batch, targets, noise) {
            gradients.add(part);
            total = Some(match total {
                Some(total) => total + loss,
                None => loss,
            });
        }
    }
    let zero = || Tensor::zeros([1], &model.device().inner());
    let grad_norm = gradients.norm().unwrap_or_else(zero);
    let loss = total.unwrap_or_else(zero);
    if settings.grad_clip > 0.0 {
        gradients = gradients.clip(&grad_norm, settings.grad_clip);
    }
    (optimizer.step(model, gradients, settings.learning_rate), StepTensors { loss, grad_norm })
}

/// Loss and gradients of a batch. The processor's threads take some of its rows each, which keeps them busy
/// where one small product after the other would not; a graphics device takes it whole.
fn backward(
    model: &Transformer,
    objective: &impl Objective,
    batch: &Batch,
    targets: f64,
    (noise, first_row): (u64, usize),
) -> Vec<(Tensor<1>, NamedGradients)> {
    let shard = |batch: Batch, model: Transformer| {
        let loss = objective.loss(&model, &batch).sum / targets;
        let mut grads = loss.backward();
        (loss.inner(), NamedGradients::collect(&model, &mut grads))
    };
    let parts = if is_processor(&model.device()) { batch.split(threads()) } else { vec![batch.clone()] };
    let mut rows = first_row;
    let prepare = |part: Batch| {
        // Leaves of its own give each part a graph of its own, which no other thread locks.
        let model = model.clone().map(&mut FreshLeaves).with_noise(noise, rows);
        rows += part.batch;
        (part, model)
    };
    let parts = parts.into_iter().map(prepare).collect();
    map_in_threads(parts, |(part, model)| shard(part, model))
}

struct FreshLeaves;

impl ModuleMapper for FreshLeaves {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let trains = param.is_require_grad();
        param.map(|weight| Tensor::from_inner(weight.inner()).set_require_grad(trains))
    }
}
