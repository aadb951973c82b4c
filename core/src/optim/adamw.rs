//! AdamW (Loshchilov & Hutter, 2019, <https://arxiv.org/abs/1711.05101>) with PyTorch's definitions.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};

use super::NamedGradients;
use crate::error::Result;
use crate::model::{NamedTensor, Path, Transformer, from_named, is_linear, read, to_named};

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

/// The optimizer's state: two moments per weight and the number of steps taken.
#[derive(Clone, Debug)]
pub struct AdamW {
    config: AdamWConfig,
    moments: HashMap<String, Moments>,
    steps: u64,
}

/// Running means of the gradient and of its square, flat.
#[derive(Clone, Debug)]
struct Moments {
    first: Tensor<1>,
    second: Tensor<1>,
}

impl AdamW {
    /// An optimizer that has taken no step.
    pub fn new(config: AdamWConfig) -> Self {
        Self { config, moments: HashMap::new(), steps: 0 }
    }

    /// Optimizer steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// One step: weights without a gradient stay as they are.
    pub fn step(&mut self, model: Transformer, gradients: NamedGradients, learning_rate: f64) -> Transformer {
        self.steps += 1;
        let gradients = gradients.into_inner().into_iter().collect();
        model.map(&mut Update { optimizer: self, gradients, learning_rate, path: Path::default() })
    }

    /// `θ ← θ(1 − lr·wd) − lr/(1−β1ᵗ) · m / (√v/√(1−β2ᵗ) + ε)`, all flat.
    fn update(&mut self, name: &str, weight: Tensor<1>, grad: Tensor<1>, learning_rate: f64) -> Tensor<1> {
        let AdamWConfig { beta1, beta2, eps, weight_decay } = self.config;
        let steps = self.steps as f64;
        let (correct1, correct2) = (1.0 - libm::pow(beta1, steps), 1.0 - libm::pow(beta2, steps));
        let square = grad.clone().square() * (1.0 - beta2);
        let grad = grad * (1.0 - beta1);
        let (first, second) = match self.moments.remove(name) {
            Some(Moments { first, second }) => (first * beta1 + grad, second * beta2 + square),
            None => (grad, square),
        };
        let denominator = second.clone().sqrt() / libm::sqrt(correct2) + eps;
        let delta = first.clone() / denominator * (learning_rate / correct1);
        self.moments.insert(name.to_string(), Moments { first, second });
        let decay = if is_linear(name) { learning_rate * weight_decay } else { 0.0 };
        let weight = if decay == 0.0 { weight } else { weight * (1.0 - decay) };
        weight - delta
    }

    /// Reads the state back: `first.<weight>` and `second.<weight>`, in the checkpoint's orientation.
    ///
    /// # Errors
    /// The device cannot be read.
    pub async fn state(&self, model: &[NamedTensor]) -> Result<Vec<NamedTensor>> {
        let mut state = Vec::new();
        for weight in model {
            let Some(moments) = self.moments.get(&weight.name) else {
                continue;
            };
            for (prefix, tensor) in [("first", &moments.first), ("second", &moments.second)] {
                let values = read(tensor.clone()).await?;
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

    /// Puts back what [`AdamW::state`] gave.
    pub fn restore(&mut self, steps: u64, state: Vec<NamedTensor>, device: &Device) {
        self.steps = steps;
        let mut firsts = HashMap::new();
        for mut tensor in state {
            let Some((prefix, name)) = tensor.name.split_once('.') else {
                continue;
            };
            let (first, name) = (prefix == "first", name.to_string());
            tensor.name.clone_from(&name);
            let values = from_named(&tensor);
            let count = values.len();
            let moment = Tensor::<1>::from_data(TensorData::new(values, [count]), device);
            if first {
                firsts.insert(name, moment);
            } else if let Some(first) = firsts.remove(&name) {
                self.moments.insert(name, Moments { first, second: moment });
            }
        }
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
        param.map(|weight| {
            let shape = weight.shape();
            let flat = weight.inner().reshape([shape.num_elements()]);
            let updated = self.optimizer.update(&name, flat, grad, self.learning_rate).reshape(shape);
            Tensor::from_inner(updated).require_grad()
        })
    }
}
