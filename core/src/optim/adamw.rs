//! AdamW (Loshchilov & Hutter, 2019, <https://arxiv.org/abs/1711.05101>) with PyTorch's definitions; beside it, where that is
//! asked for, Muon for the matrices of the layers.

use std::collections::{HashMap, HashSet};

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;

use super::NamedGradients;
use super::muon::direction;
use super::saved::{Weight, foreign, take, trained};
use crate::error::Result;
use crate::kernels::{AdamWState, AdamWStep, adamw};
use crate::model::{NamedTensor, Path, Transformer, is_linear, is_of_layer, read, to_named};

/// Constants of AdamW; the defaults are PyTorch's.
#[derive(Clone, Copy, Debug)]
pub struct AdamWConfig {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Pull of matrix weights towards zero; norms, biases and embeddings have none.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 }
    }
}

/// The optimizer's state: two moments per weight, of which Muon keeps one, and the number of steps taken.
#[derive(Clone, Debug)]
pub struct AdamW {
    config: AdamWConfig,
    muon: bool,
    moments: HashMap<String, Moments>,
    /// Of the matrices that Muon trains.
    momenta: HashMap<String, Tensor<2>>,
    steps: u64,
    /// The weights whose step it takes, where other ranks take that of the others.
    own: Option<HashSet<String>>,
}

/// Running means of the gradient and of its square, flat.
#[derive(Clone, Debug)]
struct Moments {
    first: Tensor<1>,
    second: Tensor<1>,
}

impl Moments {
    /// Those of a weight before its first step.
    fn zeros(weight: &Tensor<1>) -> Self {
        let zeros = || Tensor::zeros(weight.shape(), &weight.device());
        Self { first: zeros(), second: zeros() }
    }
}

/// The names of what is saved of a weight.
const MOMENTS: [&str; 2] = ["first", "second"];
const MOMENTUM: [&str; 1] = ["momentum"];

impl AdamW {
    /// An optimizer that has taken no step.
    pub fn new(config: AdamWConfig) -> Self {
        Self { config, muon: false, moments: HashMap::new(), momenta: HashMap::new(), steps: 0, own: None }
    }

    /// The same with Muon for the matrices of the layers, each expert's for itself; embeddings, the head, norms, routers and
    /// what adapters train stay AdamW's. The learning rate and the weight decay are one for both.
    pub fn with_muon(mut self, muon: bool) -> Self {
        self.muon = muon;
        self
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// One step: weights without a gradient stay as they are.
    pub fn step(&mut self, model: Transformer, gradients: NamedGradients, learning_rate: f64) -> Transformer {
        self.steps += 1;
        let is_own = |name: &String| self.own.as_ref().is_none_or(|own| own.contains(name));
        let gradients = gradients.into_inner().into_iter().filter(|(name, _)| is_own(name)).collect();
        model.map(&mut Update { optimizer: self, gradients, learning_rate, path: Path::default() })
    }

    /// `θ ← θ(1 − lr·wd) − lr/(1−β1ᵗ) · m / (√v/√(1−β2ᵗ) + ε)`, all flat.
    fn update(&mut self, name: &str, weight: Tensor<1>, grad: Tensor<1>, learning_rate: f64) -> Tensor<1> {
        let AdamWConfig { beta1, beta2, eps, weight_decay } = self.config;
        let steps = self.steps as f64;
        let (correct1, correct2) = (1.0 - libm::pow(beta1, steps), 1.0 - libm::pow(beta2, steps));
        let decay = if is_linear(name) { learning_rate * weight_decay } else { 0.0 };
        let (root, rate) = (libm::sqrt(correct2), learning_rate / correct1);
        let moments = self.moments.remove(name).unwrap_or_else(|| Moments::zeros(&weight));
        let state = AdamWState { weight, first: moments.first, second: moments.second };
        let AdamWState { weight, first, second } =
            adamw(state, grad, AdamWStep { beta1, beta2, eps, root, rate, decay });
        self.moments.insert(name.to_string(), Moments { first, second });
        weight
    }

    /// The same of a matrix of a layer: `θ ← θ(1 − lr·wd) − lr · direction`.
    fn update_matrix(
        &mut self,
        name: &str,
        weight: Tensor<2>,
        grad: Tensor<1>,
        learning_rate: f64,
    ) -> Tensor<2> {
        let grad = grad.reshape(weight.dims());
        let (momentum, direction) = direction(self.momenta.remove(name), grad);
        self.momenta.insert(name.to_string(), momentum);
        weight * (1.0 - learning_rate * self.config.weight_decay) - direction * learning_rate
    }

    /// Reads the state back: `first.<weight>` and `second.<weight>`, or Muon's `momentum.<weight>`, in the checkpoint's
    /// orientation.
    ///
    /// # Errors
    /// The device cannot be read.
    pub async fn state(&self, model: &[NamedTensor]) -> Result<Vec<NamedTensor>> {
        let mut state = Vec::new();
        for weight in model {
            let mut kept = Vec::new();
            if let Some(momentum) = self.momenta.get(&weight.name) {
                let count = momentum.shape().num_elements();
                kept.push(("momentum", momentum.clone().reshape([count])));
            }
            if let Some(Moments { first, second }) = self.moments.get(&weight.name) {
                kept.extend([("first", first.clone()), ("second", second.clone())]);
            }
            for (prefix, tensor) in kept {
                let values = read(tensor).await?;
                let dims: Vec<usize> = match is_linear(&weight.name) {
                    true => weight.shape.iter().rev().copied().collect(),
                    false => weight.shape.clone(),
                };
                let mut tensor = to_named(weight.name.clone(), &dims, values);
                tensor.name = format!("{prefix}.{}", weight.name);
                state.push(tensor);
            }
        }
        Ok(state)
    }

    /// Puts back what [`AdamW::state`] gave of `model` after so many steps.
    ///
    /// # Errors
    /// A trained weight without all that is kept of it in its own shape, by name; what is kept of anything else.
    pub fn restore(&mut self, steps: u64, state: Vec<NamedTensor>, model: &Transformer) -> Result<()> {
        let mut saved: HashMap<String, NamedTensor> =
            state.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        let device = model.device().inner();
        // Before its first step an optimizer has no moments.
        let weights = if steps > 0 { trained(model) } else { Vec::new() };
        let (mut moments, mut momenta) = (HashMap::new(), HashMap::new());
        for weight in weights {
            let name = weight.name.clone();
            if self.is_muons(&weight) {
                let [momentum] = take(&mut saved, &weight, MOMENTUM, &device)?;
                momenta.insert(name, momentum.reshape(weight.own_shape()));
            } else {
                let [first, second] = take(&mut saved, &weight, MOMENTS, &device)?;
                moments.insert(name, Moments { first, second });
            }
        }
        foreign(&saved)?;
        (self.steps, self.moments, self.momenta) = (steps, moments, momenta);
        Ok(())
    }

    /// From here on takes the step of these weights alone, and forgets the state of all others.
    pub(crate) fn keep(&mut self, own: HashSet<String>) {
        self.moments.retain(|name, _| own.contains(name));
        self.momenta.retain(|name, _| own.contains(name));
        self.own = Some(own);
    }

    /// The weights whose step it takes; `None` where it takes that of all.
    pub(crate) fn own(&self) -> Option<&HashSet<String>> {
        self.own.as_ref()
    }

    fn is_muons(&self, weight: &Weight) -> bool {
        self.muon && is_of_layer(&weight.name) && weight.shape.len() == 2
    }
}

struct Update<'a> {
    optimizer: &'a mut AdamW,
    gradients: HashMap<String, Tensor<1>>,
    learning_rate: f64,
    path: Path,
}

impl ModuleMapper for Update<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.name();
        let Some(grad) = self.gradients.remove(&name) else {
            return param;
        };
        if D == 2 && self.optimizer.muon && is_of_layer(&name) {
            return param.map(|weight| {
                let (shape, dims) = (weight.shape(), weight.dims());
                let matrix: Tensor<2> = weight.inner().reshape([dims[0], dims[1]]);
                let updated = self.optimizer.update_matrix(&name, matrix, grad, self.learning_rate);
                Tensor::from_inner(updated.reshape(shape)).require_grad()
            });
        }
        param.map(|weight| {
            let shape = weight.shape();
            let flat = weight.inner().reshape([shape.num_elements()]);
            let updated = self.optimizer.update(&name, flat, grad, self.learning_rate).reshape(shape);
            Tensor::from_inner(updated).require_grad()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    #[test]
    fn three_steps_on_changing_gradients_are_those_of_torch() {
        // torch.optim.AdamW (2.15, in f64) and the formula by hand:
        // m ← 0.8m + 0.2g, v ← 0.95v + 0.05g², θ ← θ(1 − lr·wd) − lr/(1−0.8ᵗ) · m / (√v/√(1−0.95ᵗ) + 0.01).
        // Other betas, eps, an order of them or a decay of the norm change the third digit.
        let config = AdamWConfig { beta1: 0.8, beta2: 0.95, eps: 0.01, weight_decay: 0.5 };
        let steps: [(f64, [f32; 2], [f32; 4]); 3] = [
            (0.1, [0.5, -1.0], [0.851961, -1.80099, 0.901961, -1.90099]),
            (0.05, [-0.25, 0.02], [0.820303, -1.725368, 0.891602, -1.870393]),
            (0.2, [1.5, 0.0], [0.598894, -1.463507, 0.752223, -1.781068]),
        ];
        let tensor =
            |values: [f32; 2]| Tensor::<1>::from_data(TensorData::new(values.to_vec(), [2]), &Device::flex());
        let (mut matrix, mut norm) = (tensor([1.0, -2.0]), tensor([1.0, -2.0]));
        let mut optimizer = AdamW::new(config);
        for (learning_rate, gradient, expected) in steps {
            optimizer.steps += 1;
            matrix = optimizer.update("lm_head.weight", matrix, tensor(gradient), learning_rate);
            norm = optimizer.update("model.norm.weight", norm, tensor(gradient), learning_rate);
            let found = [&matrix, &norm].map(|weight| weight.clone().into_data());
            let found: Vec<f32> = found.iter().flat_map(|data| data.iter::<f32>()).collect();
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 3e-6, "step {}: {found} {expected}", optimizer.steps);
            }
        }
    }
}
