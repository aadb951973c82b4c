//! Gradients by weight name, flat: they add up over micro-batches and have one global norm.

use std::collections::HashMap;

use burn::module::Param;
use burn::tensor::{Gradients, Tensor};

use crate::kernels::{scaled, sum_of_squares};
use crate::model::{AtWeight, Transformer};

/// One flat gradient per trained weight, in the order of the model's walk.
#[derive(Clone, Debug, Default)]
pub struct NamedGradients(Vec<(String, Tensor<1>)>);

impl NamedGradients {
    /// Takes the gradients of the model's weights out of a backward pass.
    pub fn collect(model: &Transformer, grads: &mut Gradients) -> Self {
        let mut taken = Taken { grads, found: Vec::new() };
        model.each_weight(&mut taken);
        Self(taken.found)
    }

    /// Gradients that were read back and put on the device again, in the order of the model's walk.
    pub(crate) fn of(named: Vec<(String, Tensor<1>)>) -> Self {
        Self(named)
    }

    /// A gradient of `value` everywhere, on the model's device without autodiff.
    pub fn filled(model: &Transformer, value: f32) -> Self {
        let mut filled = Filled { value, found: Vec::new() };
        model.each_weight(&mut filled);
        Self(filled.found)
    }

    /// Adds another micro-batch's gradients, name by name: a part of a batch may leave a weight without one (an expert
    /// that none of its tokens chose).
    pub fn add(&mut self, other: Self) {
        let order: Vec<String> = other.0.iter().map(|(name, _)| name.clone()).collect();
        let mut left: HashMap<String, Tensor<1>> = other.0.into_iter().collect();
        let add = |(name, mine)| match left.remove(&name) {
            Some(more) => (name, mine + more),
            None => (name, mine),
        };
        self.0 = std::mem::take(&mut self.0).into_iter().map(add).collect();
        self.0.extend(order.into_iter().filter_map(|name| left.remove_entry(&name)));
    }

    /// The same in the order of the model's walk, in which sums over them are taken.
    pub(crate) fn in_order_of(self, model: &Transformer) -> Self {
        let mut left: HashMap<String, Tensor<1>> = self.0.into_iter().collect();
        let mut names = Names::default();
        model.each_weight(&mut names);
        Self(names.0.into_iter().filter_map(|name| left.remove_entry(&name)).collect())
    }

    /// The norm over all gradients together, `[1]`, left on the device.
    pub fn norm(&self) -> Option<Tensor<1>> {
        let squares = self.0.iter().map(|(_, grad)| sum_of_squares(grad));
        squares.reduce(|a, b| a + b).map(Tensor::sqrt)
    }

    /// Scales all gradients so that their global norm is at most `max_norm`, as PyTorch's
    /// `clip_grad_norm_` does: `· min(1, max_norm / (norm + 1e-6))`.
    pub fn clip(self, norm: &Tensor<1>, max_norm: f64) -> Self {
        let factor = (norm.clone() + 1e-6).recip().mul_scalar(max_norm).clamp_max(1.0);
        Self(self.0.into_iter().map(|(name, grad)| (name, scaled(grad, &factor))).collect())
    }

    /// All gradients times a factor.
    pub fn scale(self, factor: f64) -> Self {
        Self(self.0.into_iter().map(|(name, grad)| (name, grad * factor)).collect())
    }

    /// The gradients, by name.
    pub fn into_inner(self) -> Vec<(String, Tensor<1>)> {
        self.0
    }
}

/// Takes the gradients of what trains.
struct Taken<'a> {
    grads: &'a mut Gradients,
    found: Vec<(String, Tensor<1>)>,
}

impl AtWeight for Taken<'_> {
    fn at<const D: usize>(&mut self, name: String, weight: &Param<Tensor<D>>) {
        if !weight.is_require_grad() {
            return;
        }
        if let Some(grad) = weight.val().grad_remove(self.grads) {
            let count = grad.shape().num_elements();
            self.found.push((name, grad.reshape([count])));
        }
    }
}

/// The names of all weights.
#[derive(Default)]
struct Names(Vec<String>);

impl AtWeight for Names {
    fn at<const D: usize>(&mut self, name: String, _weight: &Param<Tensor<D>>) {
        self.0.push(name);
    }
}

struct Filled {
    value: f32,
    found: Vec<(String, Tensor<1>)>,
}

impl AtWeight for Filled {
    fn at<const D: usize>(&mut self, name: String, weight: &Param<Tensor<D>>) {
        let weight = weight.val();
        let count = weight.shape().num_elements();
        self.found.push((name, Tensor::full([count], self.value, &weight.device().inner())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn gradients(values: &[(&str, f32)]) -> NamedGradients {
        let full = |value: f32| Tensor::full([1], value, &Device::flex());
        NamedGradients(values.iter().map(|&(name, value)| (name.to_string(), full(value))).collect())
    }

    #[test]
    fn gradients_add_up_by_name_where_one_side_lacks_some() {
        let mut sum = NamedGradients::default();
        sum.add(gradients(&[("a", 1.0), ("c", 2.0)]));
        sum.add(gradients(&[("c", 10.0), ("b", 20.0), ("a", 30.0)]));
        let found: Vec<(String, f32)> =
            sum.into_inner().into_iter().map(|(name, grad)| (name, grad.into_scalar::<f32>())).collect();
        assert_eq!(found, [("a".to_string(), 31.0), ("c".to_string(), 12.0), ("b".to_string(), 20.0)]);
    }
}
