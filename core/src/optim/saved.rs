//! What was saved of each weight that trains, beside the weight itself.

use std::collections::HashMap;

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};

use crate::error::{Error, Result};
use crate::model::{AtWeight, NamedTensor, Transformer, from_named, is_linear};
use crate::told::{Told, told};

/// A weight that trains.
pub(super) struct Weight {
    pub(super) name: String,
    /// In the checkpoint's orientation.
    pub(super) shape: Vec<usize>,
}

impl Weight {
    /// A matrix's shape as the model holds it.
    pub(super) fn own_shape(&self) -> [usize; 2] {
        let [rows, columns] = [0, 1].map(|i| self.shape.get(i).copied().unwrap_or(1));
        if is_linear(&self.name) { [columns, rows] } else { [rows, columns] }
    }
}

/// The weights that train.
pub(super) fn trained(model: &Transformer) -> Vec<Weight> {
    let mut trained = Trained::default();
    model.each_weight(&mut trained);
    trained.0
}

/// Takes what was saved of a weight under these prefixes, flat and in the model's own layout.
///
/// # Errors
/// What is missing, or of another shape, by name.
pub(super) fn take<const N: usize>(
    saved: &mut HashMap<String, NamedTensor>,
    weight: &Weight,
    prefixes: [&str; N],
    device: &Device,
) -> Result<[Tensor<1>; N]> {
    let Weight { name, shape } = weight;
    let mut taken = Vec::with_capacity(N);
    for prefix in prefixes {
        let key = format!("{prefix}.{name}");
        let tensor =
            saved.remove(&key).ok_or_else(|| misfit(told!("optimizer.lacks", "has no '{key}'", key)))?;
        if tensor.shape != *shape {
            let found = &tensor.shape;
            return Err(misfit(told!(
                "optimizer.shape",
                "holds '{key}' of shape {found}, the weight has {shape}",
                key,
                found = format!("{found:?}"),
                shape = format!("{shape:?}")
            )));
        }
        let values = from_named(&NamedTensor { name: name.clone(), ..tensor });
        let count = values.len();
        taken.push(Tensor::from_data(TensorData::new(values, [count]), device));
    }
    taken.try_into().map_err(|_| misfit("has another number of moments".into()))
}

/// Takes what was saved of all weights that train under one prefix out of `state`, by the weights' names.
///
/// # Errors
/// As [`take`].
pub(crate) fn take_saved(
    state: &mut Vec<NamedTensor>,
    prefix: &str,
    model: &Transformer,
) -> Result<HashMap<String, Tensor<1>>> {
    let begin = format!("{prefix}.");
    let is_own = |tensor: &NamedTensor| tensor.name.starts_with(&begin);
    let (own, others): (Vec<_>, Vec<_>) = std::mem::take(state).into_iter().partition(is_own);
    *state = others;
    let mut own: HashMap<String, NamedTensor> =
        own.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
    let device = model.device().inner();
    let mut found = HashMap::new();
    for weight in trained(model) {
        let [values] = take(&mut own, &weight, [prefix], &device)?;
        found.insert(weight.name, values);
    }
    foreign(&own)?;
    Ok(found)
}

/// Refuses what was saved of something else.
///
/// # Errors
/// Names it.
pub(super) fn foreign(saved: &HashMap<String, NamedTensor>) -> Result<()> {
    match saved.keys().min() {
        None => Ok(()),
        Some(key) => Err(misfit(told!("optimizer.foreign", "holds '{key}', which does not train here", key))),
    }
}

/// What an optimizer's state that does not fit its model is told as.
fn misfit(what: Told) -> Error {
    Error::Checkpoint(told!(
        "optimizer.misfit",
        "the optimizer's state {what}: it is damaged or of another run, and the run cannot go on from it; take an \
         earlier checkpoint, or begin a new run with this one as its --model",
        what
    ))
}

#[derive(Default)]
struct Trained(Vec<Weight>);

impl AtWeight for Trained {
    fn at<const D: usize>(&mut self, name: String, weight: &Param<Tensor<D>>) {
        if !weight.is_require_grad() {
            return;
        }
        let mut shape = weight.val().dims().to_vec();
        if D == 2 && is_linear(&name) {
            shape.reverse();
        }
        self.0.push(Weight { name, shape });
    }
}
