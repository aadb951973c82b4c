//! One optimizer step: some batches forward and backward, clipping, AdamW.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;

use crate::batch::Batch;
use crate::device::is_processor;
use crate::loss::{Metric, Objective};
use crate::model::Transformer;
use crate::optim::{AdamW, NamedGradients};
use crate::platform::{map_in_threads, threads};

/// What a step leaves on the device, to be read back when it is reported.
pub(crate) struct StepTensors {
    /// Mean loss, `[1]`.
    pub loss: Tensor<1>,
    /// Gradient norm before clipping, `[1]`.
    pub grad_norm: Tensor<1>,
    /// What the objective reports beside the loss, of every part of the step.
    pub metrics: Vec<Metric>,
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
    /// What the loss is multiplied by before the backward pass, and the gradients are divided by after it.
    pub loss_scale: f64,
}

/// A step computed and not yet taken.
pub(crate) struct Step {
    pub tensors: StepTensors,
    gradients: NamedGradients,
    settings: StepSettings,
}

impl Step {
    /// Loss and gradients of `batches` (micro-batches of one optimizer step). The loss is divided by the weight of all
    /// of them together, so that many small batches equal one big one exactly.
    pub(crate) fn of(
        model: &Transformer,
        objective: &dyn Objective,
        batches: &[Batch],
        settings: StepSettings,
    ) -> Self {
        let weight: f64 = batches.iter().map(|batch| objective.weight(batch)).sum();
        let weight = if weight > 0.0 { weight } else { 1.0 };
        let mut gradients = NamedGradients::default();
        let mut total: Option<Tensor<1>> = None;
        let (mut metrics, mut first_row) = (Vec::new(), 0);
        for batch in batches {
            let scales = Scales { weight, loss: settings.loss_scale };
            for part in backward(model, objective, batch, scales, (settings.noise, first_row)) {
                gradients.add(part.gradients);
                metrics.extend(part.metrics);
                total = Some(match total {
                    Some(total) => total + part.loss,
                    None => part.loss,
                });
            }
            first_row += batch.batch;
        }
        if settings.loss_scale != 1.0 {
            gradients = gradients.scale(1.0 / settings.loss_scale);
        }
        let zero = || Tensor::zeros([1], &model.device().inner());
        let grad_norm = gradients.norm().unwrap_or_else(zero);
        let loss = total.unwrap_or_else(zero);
        Self { tensors: StepTensors { loss, grad_norm, metrics }, gradients, settings }
    }

    /// Clips and takes it.
    pub(crate) fn take(self, model: Transformer, optimizer: &mut AdamW) -> (Transformer, StepTensors) {
        let Self { tensors, gradients, settings } = self;
        let gradients = match settings.grad_clip > 0.0 {
            true => gradients.clip(&tensors.grad_norm, settings.grad_clip),
            false => gradients,
        };
        (optimizer.step(model, gradients, settings.learning_rate), tensors)
    }
}

/// What a loss is divided by, and multiplied by for the backward pass alone.
#[derive(Clone, Copy)]
struct Scales {
    weight: f64,
    loss: f64,
}

/// What some rows of a batch bring to a step.
struct Part {
    loss: Tensor<1>,
    gradients: NamedGradients,
    metrics: Vec<Metric>,
}

/// Loss and gradients of a batch. The processor's threads take some of its rows each, which keeps them busy
/// where one small product after the other would not; a graphics device takes it whole.
fn backward(
    model: &Transformer,
    objective: &dyn Objective,
    batch: &Batch,
    scales: Scales,
    (noise, first_row): (u64, usize),
) -> Vec<Part> {
    let shard = |batch: Batch, model: Transformer| {
        let loss = objective.loss(&model, &batch);
        let sum = loss.sum / scales.weight;
        let mut grads = match scales.loss == 1.0 {
            true => sum.backward(),
            false => (sum.clone() * scales.loss).backward(),
        };
        let gradients = NamedGradients::collect(&model, &mut grads);
        Part { loss: sum.inner(), gradients, metrics: loss.metrics }
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
