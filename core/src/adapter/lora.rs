//! A low-rank adapter: made, attached to a model, read back, merged into the base.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};

use super::scope::ends_in;
use super::whole::{Pair, Pairs, path};
use super::{Fingerprint, LoraConfig};
use crate::error::{Error, Result};
use crate::model::{Linear, LowRank, NamedTensor, Transformer, from_named, stream_of};
use crate::random::Random;
use crate::told::told;

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
    /// What its file repeats of the base, until it is compared with the base at hand.
    pub(super) copies: Vec<NamedTensor>,
}

impl Adapter {
    /// An adapter of these weights, which are checked where it meets its base.
    pub fn new(config: AdapterConfig, weights: Vec<NamedTensor>) -> Self {
        Self { config, weights, copies: Vec::new() }
    }

    /// A fresh adapter: `A` uniform within `±1/√in` as in PEFT, `B` zero, so that the base is unchanged.
    ///
    /// # Errors
    /// Settings that do not hold, or targets that the model does not have.
    pub fn init(model: &Transformer, config: AdapterConfig, seed: u64) -> Result<Self> {
        let problems = config.lora.problems();
        if !problems.is_empty() {
            return Err(Error::Config(problems));
        }
        let (matcher, mut weights) = (config.lora.matcher()?, Vec::new());
        for (layer, linear) in model.clone().linears_mut() {
            if !matcher.adapts(&layer) {
                continue;
            }
            let (rank, [inputs, outputs]) = (matcher.rank(&layer), linear.shape());
            let name = path(&layer, 'a');
            let bound = 1.0 / (inputs as f64).sqrt();
            let mut random = Random::new(seed, stream_of(&name));
            let values = (0..rank * inputs).map(|_| ((2.0 * random.uniform() - 1.0) * bound) as f32);
            weights.push(NamedTensor { name, shape: vec![rank, inputs], values: values.collect() });
            let name = path(&layer, 'b');
            weights.push(NamedTensor { name, shape: vec![outputs, rank], values: vec![0.0; outputs * rank] });
        }
        match config.lora.targets.iter().find(|target| !weights.iter().any(|w| names(&w.name, target))) {
            Some(missing) => Err(Error::Config(vec![told!(
                "lora.target_missing",
                "--lora-targets names '{missing}', which this model does not have (its output projection is the embedding)",
                missing
            )])),
            None => Ok(Self::new(config, weights)),
        }
    }

    /// The adapter that is attached to a model, read back from the device.
    ///
    /// # Errors
    /// The device cannot be read.
    pub async fn of(model: &Transformer, config: AdapterConfig) -> Result<Self> {
        Ok(Self::new(config, model.adapter_weights().await?))
    }

    /// Checks what needs no base: both halves of every layer, of the rank that the settings say, and no weights that the
    /// settings do not name.
    ///
    /// # Errors
    /// What does not hold, with the layer's name.
    pub fn check(&self) -> Result<()> {
        Pairs::of(&self.config.lora, &self.weights).map(drop)
    }

    fn refuse_copies(&self) -> Result<()> {
        match self.copies.first() {
            None => Ok(()),
            Some(copy) => Err(Error::Checkpoint(told!(
                "adapter.copy_unchecked",
                "the adapter brings {name} of its own, which was not compared with the base's",
                name = copy.name
            ))),
        }
    }

    /// The number of trained values.
    pub fn parameters(&self) -> u64 {
        self.weights.iter().map(|tensor| tensor.values.len() as u64).sum()
    }

    /// The model with this adapter beside its layers, at `strength` times its own scale. Where the device has
    /// autodiff, only the adapter trains.
    ///
    /// # Errors
    /// Layers or shapes that the model does not have; layers of the model that the adapter is for and has no weights of;
    /// copies of the base that were not compared with it.
    pub fn attach(&self, model: Transformer, strength: f64) -> Result<Transformer> {
        self.refuse_copies()?;
        let device = model.device();
        let mut model = if device.is_autodiff() { model.map(&mut Freeze) } else { model };
        let mut pairs = Pairs::of(&self.config.lora, &self.weights)?;
        let layers: Vec<String> = model.linears_mut().into_iter().map(|(layer, _)| layer).collect();
        pairs.check_whole(&layers)?;
        for (layer, linear) in model.linears_mut() {
            if let Some(pair) = pairs.take(&layer) {
                let path = self.low_rank(&layer, linear, &pair, strength, &device)?;
                linear.lora.push(path);
            }
        }
        match pairs.left() {
            Some(layer) => Err(no_layer(layer)),
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
        let rank = pair.rank;
        if pair.a.shape != [rank, inputs] || pair.b.shape != [outputs, rank] {
            return Err(Error::Checkpoint(told!(
                "adapter.layer_shapes",
                "the adapter's shapes for '{layer}' are {a} and {b}, the layer takes [rank, {inputs}] and [{outputs}, rank]; \
                 it belongs to another base",
                layer,
                a = format!("{:?}", pair.a.shape),
                b = format!("{:?}", pair.b.shape),
                inputs,
                outputs
            )));
        }
        let parameter = |tensor: &NamedTensor, shape: [usize; 2]| {
            Param::from_data(TensorData::new(from_named(tensor), shape), device)
        };
        let (a, b) = (parameter(pair.a, [inputs, rank]), parameter(pair.b, [rank, outputs]));
        Ok(LowRank::new(a, b, pair.scale * strength, self.config.lora.dropout))
    }

    /// Adds `scale · B·A` to the base's weights (matrices `[out, in]`).
    ///
    /// # Errors
    /// As [`Adapter::attach`].
    pub fn merge(&self, weights: &mut [NamedTensor], strength: f64) -> Result<()> {
        self.refuse_copies()?;
        let pairs = Pairs::of(&self.config.lora, &self.weights)?;
        pairs.check_whole(&dense_layers(weights))?;
        for (layer, Pair { a, b, rank, scale }) in pairs.into_all() {
            let name = format!("{layer}.weight");
            let base = weights.iter_mut().find(|base| base.name == name).ok_or_else(|| no_layer(layer))?;
            let inputs = a.shape[1];
            if base.shape != [b.shape[0], inputs] {
                return Err(Error::Checkpoint(told!(
                    "adapter.merge_shapes",
                    "the adapter's shapes for '{layer}' are {a} and {b}, the layer's is {base}; it belongs to another base",
                    layer,
                    a = format!("{:?}", a.shape),
                    b = format!("{:?}", b.shape),
                    base = format!("{:?}", base.shape)
                )));
            }
            let scale = (scale * strength) as f32;
            for (row, factors) in base.values.chunks_exact_mut(inputs).zip(b.values.chunks_exact(rank)) {
                for (&factor, a) in factors.iter().zip(a.values.chunks_exact(inputs)) {
                    let factor = factor * scale;
                    row.iter_mut().zip(a).for_each(|(weight, a)| *weight += factor * a);
                }
            }
        }
        Ok(())
    }
}

/// The dense layers among a model's weights.
fn dense_layers(weights: &[NamedTensor]) -> Vec<String> {
    let names = weights.iter().filter_map(|tensor| tensor.name.strip_suffix(".weight"));
    names.filter(|name| name.ends_with("_proj")).map(String::from).collect()
}

fn no_layer(layer: &str) -> Error {
    Error::Checkpoint(match layer {
        "lm_head" => told!(
            "adapter.tied_head",
            "the adapter has weights for 'lm_head', but this model's output projection is its embedding: save the \
                      base with tie_word_embeddings false and an lm_head.weight of its own, and give it that"
        ),
        _ => told!(
            "adapter.no_layer",
            "the adapter has weights for '{layer}', a layer that the model does not have; it belongs to another base",
            layer
        ),
    })
}

fn names(weight: &str, target: &str) -> bool {
    weight.strip_suffix(&path("", 'a')).is_some_and(|layer| ends_in(layer, target))
}

struct Freeze;

impl ModuleMapper for Freeze {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.set_require_grad(false)
    }
}
