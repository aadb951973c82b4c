//! Gradients by weight name, flat: they add up over micro-batches and have one global norm.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};

use crate::model::{Path, Transformer};

/// One flat gradient per trained weight, in the order of the model's walk.
#[derive(Clone, Debug, Default)]
pub struct NamedGradients(Vec<(String, Tensor<1>)>);

impl NamedGradients {
    /// Takes the gradients of the model's weights out of a backward pass.
    pub fn collect(model: &Transformer, grads: &mut Gradients) -> Self {
        let mut visitor = Visitor { path: Path::default(), grads, found: Vec::new() };
        model.visit(&mut visitor);
        Self(visitor.found)
    }

    /// A gradient of `value` everywhere, on the model's device without autodiff.
    pub fn filled(model: &Transformer, value: f32) -> Self {
        let mut visitor = Filler { path: Path::default(), value, found: Vec::new() };
        model.visit(&mut visitor);
        Self(visitor.found)
    }

    /// Adds another micro-batch's gradients.
    pub fn add(&mut self, other: Self) {
        if self.0.is_empty() {
            self.0 = other.0;
            return;
        }
        let mine = std::mem::take(&mut self.0);
        self.0 = mine.into_iter().zip(other.0).map(|((name, a), (_, b))| (name, a + b)).collect();
    }

    /// The norm over all gradients together, `[1]`, left on the device.
    pub fn norm(&self) -> Option<Tensor<1>> {
        let squares = self.0.iter().map(|(_, grad)| grad.clone().square().sum());
        squares.reduce(|a, b| a + b).map(Tensor::sqrt)
    }

    /// Scales all gradients so that their global norm is at most `max_norm`, as PyTorch's
    /// `clip_grad_norm_` does: `· min(1, max_norm / (norm + 1e-6))`.
    pub fn clip(self, norm: &Tensor<1>, max_norm: f64) -> Self {
        let factor = (norm.clone() + 1e-6).recip().mul_scalar(max_norm).clamp_max(1.0);
        let scale = |grad: Tensor<1>| {
            let factor = factor.clone().expand(grad.shape());
            grad * factor
        };
        Self(self.0.into_iter().map(|(name, grad)| (name, scale(grad))).collect())
    }

    /// The gradients, by name.
    pub fn into_inner(self) -> Vec<(String, Tensor<1>)> {
        self.0
    }
}

struct Visitor<'a> {
    path: Path,
    grads: &'a mut Gradients,
    found: Vec<(String, Tensor<1>)>,
}

impl ModuleVisitor for Visitor<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !param.is_require_grad() {
            return;
        }
        if let Some(grad) = param.val().grad_remove(self.grads) {
            let count = grad.shape().num_elements();
            self.found.push((self.path.name(), grad.reshape([count])));
        }
    }
}

struct Filler {
    path: Path,
    value: f32,
    found: Vec<(String, Tensor<1>)>,
}

impl ModuleVisitor for Filler {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let weight = param.val();
        let count = weight.shape().num_elements();
        self.found.push((self.path.name(), Tensor::full([count], self.value, &weight.device().inner())));
    }
}
