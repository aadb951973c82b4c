//! Steps on given batches: what a comparison with another trainer needs.

use std::collections::BTreeMap;

use burn::tensor::DType;

use super::TrainConfig;
use super::metrics::Metrics;
use super::step::{Step, StepSettings};
use crate::adapter::Adapter;
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::loss::Objective;
use crate::model::{Transformer, read};

/// Steps that were taken.
#[derive(Debug)]
pub struct Replay {
    /// The model after them, its adapter attached.
    pub model: Transformer,
    /// The mean loss of each step.
    pub losses: Vec<f64>,
    /// The gradient norm of each step, before clipping.
    pub grad_norms: Vec<f64>,
    /// What is reported beside the loss of each step.
    pub metrics: Vec<BTreeMap<&'static str, f64>>,
}

/// Takes the steps of a run of `steps.len()` steps whose batches are given, a list of micro-batches each.
///
/// # Errors
/// An adapter of another model; a model that computes in f16; a device that cannot be read.
pub async fn replay(
    model: Transformer,
    adapter: Option<&Adapter>,
    objective: &dyn Objective,
    config: &TrainConfig,
    steps: &[Vec<Batch>],
) -> Result<Replay> {
    if model.dtype() == DType::F16 {
        return Err(Error::Config(vec![
            "given steps are taken without loss scaling; compute in f32 or bf16".into(),
        ]));
    }
    let schedule = config.schedule(steps.len() as u64);
    let mut optimizer = config.optimizer();
    let mut model = match adapter {
        Some(adapter) => adapter.attach(model, 1.0)?,
        None => model.freeze(&config.freeze),
    };
    model = model.with_checkpointing(config.options.activation_checkpointing);
    let (mut losses, mut grad_norms, mut reported) = (Vec::new(), Vec::new(), Vec::new());
    for (number, batches) in (0u64..).zip(steps) {
        let settings = StepSettings {
            learning_rate: schedule.at(number),
            grad_clip: config.grad_clip,
            noise: config.noise(number, objective.rollouts()),
            loss_scale: 1.0,
        };
        let step = Step::of(&model, objective, batches, settings, None).await?;
        let (next, tensors) = step.take(model, &mut optimizer);
        model = next;
        losses.extend(read(tensors.loss).await?.into_iter().map(f64::from));
        grad_norms.extend(read(tensors.grad_norm).await?.into_iter().map(f64::from));
        let mut metrics = Metrics::default();
        metrics.add(tensors.metrics).await?;
        reported.push(metrics.means());
    }
    Ok(Replay { model, losses, grad_norms, metrics: reported })
}
