//! A low-rank adapter: made, attached to a model, read back, merged into the base.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};

use super::{Fingerprint, LoraConfig};
use crate::error::{Error, Result};
use crate::model::{Linear, LowRank, NamedTensor, Transformer, from_named, stream_of};
use crate::random::Random;

/// What an adapter is and belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterConfig {
    /// Its settings.
    pub lora: LoraConfig,
    /// The base's weights; `None` where another program wrote the adapter.
    pub base: Option<Fingerprint>,
    /// Where the base came from, for people.
    pub base_name: Option<String>,
}

/// A low-rank adapter on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// What it is.
    pub config: AdapterConfig,
    /// `<layer>.lora.0.a` of shape `[rank, in]` and `<layer>.lora.0.b` of shape `[out, rank]`.
    pub weights: Vec<NamedTensor>,
}

/// One layer's pair.
struct Pair<'a> {
    a: &'a NamedTensor,
    b: &'a NamedTensor,
}

impl Adapter {
    /// A fresh adapter: `A` uniform within `±1/√in` as in PEFT, `B` zero, so that the base is unchanged.
    ///
    /// # Errors
    /// Settings that do not hold, or targets that the model does not have.
    pub fn init(model: &Transformer, config: AdapterConfig, seed: u64) -> Result<Self> {
        let problems = config.lora.problems();
        if !problems.is_empty() {
            return Err(Error::Config(problems));
        }
        let (rank, mut weights) = (config.lora.rank, Vec::new());
        for (layer, linear) in model.clone().linears_mut() {
            if !config.lora.adapts(&layer) {
                continue;
            }
            let [inputs, outputs] = linear.shape();
            let name = path(&layer, 'a');
            let bound = 1.0 / (inputs as f64).sqrt();
            let mut random = Random::new(seed, stream_of(&name));
            let values = (0..rank * inputs).map(|_| ((2.0 * random.uniform() - 1.0) * bound) as f32);
            weights.push(NamedTensor { name, shape: vec![rank, inputs], values: values.collect() });
            let name = path(&layer, 'b');
            weights.push(NamedTensor { name, shape: vec![outputs, rank], values: vec![0.0; outputs * rank] });
        }
        match config.lora.targets.iter().find(|target| !weights.iter().any(|w| names(&w.name, target))) {
            Some(missing) => Err(Error::Config(vec![format!(
                "--lora-targets names '{missing}', which this model does not have (its output projection is the embedding)"
            )])),
            None => Ok(Self { config, weights }),
        }
    }

    /// The adapter that is attached to a model, read back from the device.
    ///
    /// # Errors
    /// The device cannot be read.
    pub async fn of(model: &Transformer, config: AdapterConfig) -> Result<Self> {
        Ok(Self { config, weights: model.adapter_weights().await? })
    }

    /// The number of trained values.
    pub fn parameters(&self) -> u64 {
        self.weights.iter().map(|tensor| tensor.values.len() as u64).sum()
    }

    /// The model with this adapter beside its layers, at `strength` times its own scale. Where the device has
    /// autodiff, only the adapter trains.
    ///
    /// # Errors
    /// Layers or shapes that the model does not have.
    pub fn attach(&self, model: Transformer, strength: f64) -> Result<Transformer> {
        let device = model.device();
        let mut model = if device.is_autodiff() { model.map(&mut Freeze) } else { model };
        let mut pairs = self.pairs()?;
        for (layer, linear) in model.linears_mut() {
            if let Some(pair) = pairs.remove(layer.as_str()) {
                let path = self.low_rank(&layer, linear, &pair, strength, &device)?;
                linear.lora.push(path);
            }
        }
        match pairs.into_keys().next() {
            Some(layer) => Err(Error::Checkpoint(format!(
                "the adapter has weights for '{layer}', a layer that the model does not have; it belongs to another base"
            ))),
            None => Ok(model),
        }
    }

    fn low_rank(
        &self,
        layer: &str,
        linear: &Linear,
        pair: &Pair,
        strength: f64,
        device: &Device,
    ) -> Result<LowRank> {
        let [inputs, outputs] = linear.shape();
        let rank = pair.a.shape[0];
        if pair.a.shape != [rank, inputs] || pair.b.shape != [outputs, rank] {
            return Err(Error::Checkpoint(format!(
                "the adapter's shapes for '{layer}' are {:?} and {:?}, the layer takes [rank, {inputs}] and [{outputs}, rank]; \
                 it belongs to another base",
                pair.a.shape, pair.b.shape
            )));
        }
        let parameter = |tensor: &NamedTensor, shape: [usize; 2]| {
            Param::from_data(TensorData::new(from_named(tensor), shape), device)
        };
        let (a, b) = (parameter(pair.a, [inputs, rank]), parameter(pair.b, [rank, outputs]));
        let lora = &self.config.lora;
        Ok(LowRank::new(a, b, lora.scale(rank) * strength, lora.dropout))
    }

    /// Adds `scale · B·A` to the base's weights (matrices `[out, in]`).
    ///
    /// # Errors
    /// As [`Adapter::attach`].
    pub fn merge(&self, weights: &mut [NamedTensor], strength: f64) -> Result<()> {
        for (layer, Pair { a, b }) in self.pairs()? {
            let name = format!("{layer}.weight");
            let rank = a.shape[0];
            let scale = (self.config.lora.scale(rank) * strength) as f32;
            let fits = |base: &&mut NamedTensor| base.name == name && base.shape == [b.shape[0], a.shape[1]];
            let base = weights.iter_mut().find(fits).ok_or_else(|| {
                Error::Checkpoint(format!(
                    "the base has no '{name}' of the adapter's shape; it belongs to another base"
                ))
            })?;
            let inputs = a.shape[1];
            for (row, factors) in base.values.chunks_exact_mut(inputs).zip(b.values.chunks_exact(rank)) {
                for (&factor, a) in factors.iter().zip(a.values.chunks_exact(inputs)) {
                    let factor = factor * scale;
                    row.iter_mut().zip(a).for_each(|(weight, a)| *weight += factor * a);
                }
            }
        }
        Ok(())
    }

    /// Both halves of every layer, by the layer's name.
    fn pairs(&self) -> Result<HashMap<&str, Pair<'_>>> {
        let half = |which: char| {
            let suffix = path("", which);
            let found = self.weights.iter().filter(|tensor| tensor.shape.len() == 2);
            found
                .filter_map(|tensor| Some((tensor.name.strip_suffix(&suffix)?, tensor)))
                .collect::<HashMap<_, _>>()
        };
        let (firsts, mut seconds) = (half('a'), half('b'));
        let mut pairs = HashMap::new();
        for (layer, a) in firsts {
            let Some(b) = seconds.remove(layer) else {
                return Err(Error::Checkpoint(format!(
                    "the adapter has lora_A of '{layer}' without its lora_B"
                )));
            };
            pairs.insert(layer, Pair { a, b });
        }
        match seconds.into_keys().next() {
            Some(layer) => {
                Err(Error::Checkpoint(format!("the adapter has lora_B of '{layer}' without its lora_A")))
            }
            None => Ok(pairs),
        }
    }
}

/// The name of one half in the model's walk over its weights, where training has one adapter.
pub(crate) fn path(layer: &str, half: char) -> String {
    format!("{layer}.lora.0.{half}")
}

fn names(weight: &str, target: &str) -> bool {
    weight.strip_suffix(".lora.0.a").is_some_and(|layer| layer.rsplit('.').next() == Some(target))
}

struct Freeze;

impl ModuleMapper for Freeze {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.set_require_grad(false)
    }
}
