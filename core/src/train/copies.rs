//! Copies of the weights that a run keeps beside those that train: a moving average, and the best ones so far.

use std::collections::HashMap;

use burn::tensor::{Tensor, TensorData};

use super::TrainOptions;
use crate::adapter::AdapterConfig;
use crate::error::Result;
use crate::model::{NamedTensor, Transformer, from_named};
use crate::optim::{AdamW, Ema, take_saved};

/// The prefixes of what is saved beside the optimizer's state: the weights that train, where the average stands in their
/// place, and the best ones.
const TRAINED: &str = "trained";
const BEST: &str = "best";

/// What of a model is saved: its weights, or those of the adapter beside it.
///
/// # Errors
/// The device cannot be read.
pub(super) async fn saved_weights(
    model: &Transformer,
    adapter: Option<&AdapterConfig>,
) -> Result<Vec<NamedTensor>> {
    match adapter {
        Some(_) => model.adapter_weights().await,
        None => model.weights().await,
    }
}

/// The copies of a run; none unless its settings ask for them.
#[derive(Clone, Debug, Default)]
pub struct Copies {
    ema: Option<Ema>,
    /// As they are saved; kept where a run may end early.
    best: Vec<NamedTensor>,
}

impl Copies {
    /// Those of a run that begins, or goes on, with these weights.
    pub(super) fn of(model: &Transformer, options: &TrainOptions) -> Self {
        Self { ema: (options.ema > 0.0).then(|| Ema::new(model, options.ema)), best: Vec::new() }
    }

    /// Takes a step's weights into the average.
    pub(super) fn after_step(&mut self, model: &Transformer, optimizer: &AdamW) {
        if let Some(ema) = &mut self.ema {
            ema.update(model, optimizer.steps());
        }
    }

    /// The model that is measured, saved and given in the end: with the average where there is one.
    pub(super) fn measured(&self, model: &Transformer) -> Transformer {
        match &self.ema {
            Some(ema) => ema.model(model),
            None => model.clone(),
        }
    }

    /// Keeps weights as the best so far.
    pub(super) fn keep_best(&mut self, weights: Vec<NamedTensor>) {
        self.best = weights;
    }

    /// Whether the best weights are at hand.
    pub(super) fn has_best(&self) -> bool {
        !self.best.is_empty()
    }

    /// Puts the best weights in place of those that are measured, and so of those that are saved; they are no copy then.
    pub(super) fn back_to_best(&mut self, model: Transformer) -> Transformer {
        let device = model.device().inner();
        let on_device = |tensor: NamedTensor| {
            let values = from_named(&tensor);
            let count = values.len();
            let values = Tensor::<1>::from_data(TensorData::new(values, [count]), &device);
            (tensor.name, values)
        };
        let trained: HashMap<String, Tensor<1>> = model.trained().into_iter().collect();
        let best = std::mem::take(&mut self.best).into_iter();
        let best = best.filter(|tensor| trained.contains_key(&tensor.name)).map(on_device).collect();
        match &mut self.ema {
            Some(ema) => {
                ema.set(best);
                model
            }
            None => model.with_trained(best),
        }
    }

    /// What is saved beside the optimizer's state, so that a run can go on: the weights that train, where `saved`, the
    /// measured model's, are others, and the best ones, unless these are they.
    ///
    /// # Errors
    /// The device cannot be read.
    pub(super) async fn state(
        &self,
        model: &Transformer,
        adapter: Option<&AdapterConfig>,
        saved_is_best: bool,
    ) -> Result<Vec<NamedTensor>> {
        let named = |prefix: &str, tensor: NamedTensor| NamedTensor {
            name: format!("{prefix}.{}", tensor.name),
            ..tensor
        };
        let mut state = Vec::new();
        if self.ema.is_some() {
            let trained: HashMap<String, Tensor<1>> = model.trained().into_iter().collect();
            let own = saved_weights(model, adapter).await?.into_iter();
            let own = own.filter(|tensor| trained.contains_key(&tensor.name));
            state.extend(own.map(|tensor| named(TRAINED, tensor)));
        }
        if !saved_is_best {
            state.extend(self.best.iter().map(|tensor| named(BEST, tensor.clone())));
        }
        Ok(state)
    }

    /// Takes what [`Copies::state`] gave out of a saved state; gives the model with the weights that train, where it was
    /// opened with their average.
    ///
    /// # Errors
    /// Weights that are missing, or of other shapes, by name.
    pub(super) fn restore(
        &mut self,
        model: Transformer,
        state: &mut Vec<NamedTensor>,
    ) -> Result<Transformer> {
        let begin = format!("{BEST}.");
        let is_best = |tensor: &NamedTensor| tensor.name.starts_with(&begin);
        let (best, others): (Vec<_>, Vec<_>) = std::mem::take(state).into_iter().partition(is_best);
        *state = others;
        let plain =
            |tensor: NamedTensor| NamedTensor { name: tensor.name[begin.len()..].to_string(), ..tensor };
        self.best = best.into_iter().map(plain).collect();
        match self.ema {
            Some(_) => {
                let trained = take_saved(state, TRAINED, &model)?;
                Ok(model.with_trained(trained))
            }
            None => Ok(model),
        }
    }
}
