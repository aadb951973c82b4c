//! The end of a loss: values a token, weighed and added.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};

use super::host::{HostOp, Kept, input, run};

/// `Σ weight · value`. On the processor it is added in f64, so that the length of a batch costs no digits.
///
/// # Shapes
/// `values [batch, seq]`, `weights` of `batch · seq` values → `[1]`.
pub fn weighted_sum(values: Tensor<2>, weights: &[f32]) -> Tensor<1> {
    if let Some(a) = input(&values) {
        let op = WeightedSum { weights: weights.into() };
        if let Some(sum) = run(op, [a], [1]) {
            return sum;
        }
    }
    let weights = TensorData::new(weights.to_vec(), values.dims());
    let weights = Tensor::<2>::from_data(weights, &values.device()).cast(values.dtype());
    (values * weights).sum()
}

#[derive(Clone, Debug)]
struct WeightedSum {
    weights: Arc<[f32]>,
}

impl HostOp<1> for WeightedSum {
    const KEPT: Kept = Kept::Nothing;

    fn forward(&self, [values]: [&[f32]; 1]) -> Vec<f32> {
        let product = |(&value, &weight): (&f32, &f32)| match weight {
            // What does not count is not looked at, be it infinite.
            0.0 => 0.0,
            weight => f64::from(value) * f64::from(weight),
        };
        vec![values.iter().zip(self.weights.iter()).map(product).sum::<f64>() as f32]
    }

    fn backward(&self, _values: [&[f32]; 1], _sum: &[f32], grad: &[f32]) -> [Vec<f32>; 1] {
        [self.weights.iter().map(|&weight| grad[0] * weight).collect()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn values_are_weighed_and_so_are_their_gradients() {
        let device = Device::flex().autodiff();
        let values = TensorData::new(vec![2.0f32, 3.0, f32::NEG_INFINITY, 5.0], [2, 2]);
        let values = Tensor::<2>::from_data(values, &device).require_grad();
        let weights = [1.0, 0.5, 0.0, 2.0];
        let sum = weighted_sum(values.clone(), &weights);
        assert_eq!(sum.clone().into_data().iter::<f32>().collect::<Vec<_>>(), [13.5]);
        let grads = (sum * 3.0).backward();
        let grad: Vec<f32> = values.grad(&grads).unwrap().into_data().iter::<f32>().collect();
        assert_eq!(grad, [3.0, 1.5, 0.0, 6.0]);
    }
}
