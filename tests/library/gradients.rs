//! Backward passes against finite differences of the loss.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor};
use kindling::batch::Batch;
use kindling::loss::{NextToken, Objective};
use kindling::model::Transformer;
use kindling::optim::NamedGradients;

use crate::tiny::{model, values};

fn batch() -> Batch {
    let mut batch = Batch::new(6);
    batch.push(&[3, 1, 4, 1, 5, 9, 2], &[0.0, 1.0, 0.5, 0.0, 1.0, 2.0, 1.0], &[1, 1, 1, 2, 2, 2, 2]);
    batch.push(&[6, 5, 3, 5], &[0.0, 0.0, 1.0, 1.0], &[1, 1, 1, 1]);
    batch
}

fn loss(model: &Transformer) -> f64 {
    f64::from(values(NextToken.loss(model, &batch()).sum)[0])
}

/// Moves every weight a little along a direction.
struct Step<'a> {
    directions: &'a [Tensor<1>],
    next: usize,
    size: f64,
}

impl ModuleMapper for Step<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let direction = self.directions[self.next].clone();
        self.next += 1;
        param.map(|weight| {
            let shape = weight.shape();
            weight + direction.reshape(shape) * self.size
        })
    }
}

#[test]
fn the_directional_derivative_of_every_weight_is_right() {
    let device = Device::flex();
    let model = model(&device.clone().autodiff());
    let mut grads = NextToken.loss(&model, &batch()).sum.backward();
    let gradients = NamedGradients::collect(&model, &mut grads).into_inner();
    let plain = model.valid();
    for (chosen, (name, gradient)) in gradients.iter().enumerate() {
        // Along the gradient itself the derivative is its norm.
        let norm = f64::from(values(gradient.clone().square().sum().sqrt())[0]);
        assert!(norm > 1e-4, "{name} has no gradient");
        let direction = |(i, (_, g)): (usize, &(String, Tensor<1>))| match i == chosen {
            true => gradient.clone() / norm,
            false => g.zeros_like(),
        };
        let directions: Vec<_> = gradients.iter().enumerate().map(direction).collect();
        let moved =
            |size: f64| loss(&plain.clone().map(&mut Step { directions: &directions, next: 0, size }));
        let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
        assert!((slope - norm).abs() < 0.02 * norm + 2e-3, "{name}: {slope} against {norm}");
    }
}
