//! A low-rank adapter: made, attached to a model, read back, merged into the base.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};

use super::names::{part, path};
use super::scope::ends_in;
use super::whole::{Pair, Pairs};
use super::{Fingerprint, LoraConfig, LoraInit};
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
    /// `<layer>.lora.0.a` of shape `[rank, in]` and `<layer>.lora.0.b` of shape `[out, rank]`; with DoRA
    /// `<layer>.lora.0.magnitude` of shape `[out]`; `saved.embed_tokens` and `saved.lm_head`, `[vocab, hidden]`, where these
    /// train whole.
    pub weights: Vec<NamedTensor>,
    /// What the paths began as, under the same names, where the adapter gives the difference to that (PiSSA).
    pub(super) start: Vec<NamedTensor>,
    /// What its file repeats of the base, until it is compared with the base at hand.
    pub(super) copies: Vec<NamedTensor>,
}

impl Adapter {
    /// An adapter of these weights, by their names in a model's walk, which are checked where it meets its base.
    pub fn new(config: AdapterConfig, weights: Vec<NamedTensor>) -> Self {
        let (weights, start) = part(weights);
        Self { config, weights, start, copies: Vec::new() }
    }

    /// A fresh adapter: `A` uniform within `±1/√in` as in PEFT, `B` zero, so that the base is unchanged. What its settings
    /// take from the base's values comes with [`Adapter::begun`].
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

    /// With what its settings take from the base's values: DoRA's magnitudes, PiSSA's start, and the modules that train
    /// whole. It leaves the base's answers as they are; without such settings it stays as it is.
    ///
    /// # Errors
    /// The device cannot be read; a rank that a weight does not have.
    pub async fn begun(self, base: &Transformer, seed: u64) -> Result<Self> {
        let lora = &self.config.lora;
        let (dora, pissa) = (lora.dora, lora.init_lora == LoraInit::Pissa);
        let adapter = if pissa { self.with_leading_parts(base, seed).await? } else { self };
        let adapter = if dora { adapter.with_magnitudes(base).await? } else { adapter };
        adapter.with_modules(base).await
    }

    /// The base's weights `[out, in]` of the layers that get a path, by the layers' names.
    pub(super) async fn adapted_weights(&self, base: &Transformer) -> Result<Vec<(String, NamedTensor)>> {
        let suffix = path("", 'a');
        let mut found = Vec::new();
        for layer in self.weights.iter().filter_map(|tensor| tensor.name.strip_suffix(&suffix)) {
            let weight = base.weight(&format!("{layer}.weight")).await?.ok_or_else(|| no_layer(layer))?;
            found.push((layer.to_string(), weight));
        }
        Ok(found)
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
        Pairs::of(&self.config.lora, &self.weights)?;
        if self.starts_elsewhere() {
            Pairs::of(&self.config.lora, &self.start)?;
        }
        self.check_modules()
    }

    /// Whether it gives the difference to what it began as.
    pub(crate) fn starts_elsewhere(&self) -> bool {
        !self.start.is_empty()
    }

    pub(super) fn refuse_copies(&self) -> Result<()> {
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

    /// The number of values that stand beside those, and do not train.
    pub fn parameters_of_start(&self) -> u64 {
        self.start.iter().map(|tensor| tensor.values.len() as u64).sum()
    }

    /// The model with this adapter beside its layers, at `strength` times its own scale. Where the device has
    /// autodiff, only the adapter trains.
    ///
    /// # Errors
    /// Layers or shapes that the model does not have; layers of the model that the adapter is for and has no weights of;
    /// copies of the base that were not compared with it; adapters that do not act beside each other.
    pub fn attach(&self, model: Transformer, strength: f64) -> Result<Transformer> {
        self.refuse_copies()?;
        self.check_modules()?;
        let mut model = if model.device().is_autodiff() { model.map(&mut Freeze) } else { model };
        self.refuse_mixture(&mut model)?;
        self.attach_paths(&mut model, &self.weights, strength, true)?;
        match (self.starts_elsewhere(), self.config.lora.init_lora) {
            (true, _) => self.attach_paths(&mut model, &self.start, -strength, false)?,
            (false, LoraInit::Default) => {}
            (false, LoraInit::Pissa) => return Err(no_start()),
        }
        self.attach_modules(model, strength)
    }

    /// Puts paths beside the layers, which may train.
    fn attach_paths(
        &self,
        model: &mut Transformer,
        weights: &[NamedTensor],
        strength: f64,
        trains: bool,
    ) -> Result<()> {
        let device = model.device();
        let mut pairs = Pairs::of(&self.config.lora, weights)?;
        let layers: Vec<String> = model.linears_mut().into_iter().map(|(layer, _)| layer).collect();
        pairs.check_whole(&layers)?;
        for (layer, linear) in model.linears_mut() {
            if let Some(pair) = pairs.take(&layer) {
                let path = self.low_rank((layer.as_str(), &*linear), &pair, strength, trains, &device)?;
                linear.lora.push(path);
            }
        }
        match pairs.left() {
            Some(layer) => Err(no_layer(layer)),
            None => Ok(()),
        }
    }

    fn low_rank(
        &self,
        (layer, linear): (&str, &Linear),
        pair: &Pair,
        strength: f64,
        trains: bool,
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
        let (a, b) = (half(pair.a, [inputs, rank], device), half(pair.b, [rank, outputs], device));
        let [a, b] = match trains || !device.is_autodiff() {
            true => [a, b],
            false => [a, b].map(|half| half.set_require_grad(false)),
        };
        let dropout = if trains { self.config.lora.dropout } else { 0.0 };
        let path = LowRank::new(a, b, pair.scale, dropout).with_strength(strength);
        Ok(match pair.magnitude {
            None => path,
            Some(magnitude) => {
                let values = TensorData::new(magnitude.values.clone(), [outputs]);
                path.with_magnitude(Param::from_data(values, device), || {
                    linear.dense(&device.clone().inner())
                })
            }
        })
    }
}

fn half(tensor: &NamedTensor, shape: [usize; 2], device: &Device) -> Param<Tensor<2>> {
    Param::from_data(TensorData::new(from_named(tensor), shape), device)
}

/// What an adapter lacks that says it began as PiSSA.
pub(super) fn no_start() -> Error {
    Error::Checkpoint(told!(
        "adapter.no_start",
        "the adapter's settings say that it began as PiSSA, and what it began as is not there; it was not saved whole: save it \
         again"
    ))
}

pub(super) fn no_layer(layer: &str) -> Error {
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
