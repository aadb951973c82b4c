//! Losses: tensors in, a sum and its weight out; they know no model.

use burn::tensor::{Int, Tensor, activation};

/// A loss before it is divided: batches of unequal weight add up exactly.
#[derive(Debug)]
pub struct Loss {
    /// Sum over the targets, `[1]`, differentiable.
    pub sum: Tensor<1>,
    /// What to divide by: the number of targets.
    pub weight: f64,
}

/// Negative log-likelihood of the targets where the mask is one, summed.
///
/// `−Σ mask · log softmax(logits)[target]`
///
/// # Shapes
/// `logits [batch, seq, vocab]`, `targets [batch, seq]`, `mask [batch, seq]` → `[1]`.
pub fn cross_entropy(logits: Tensor<3>, targets: Tensor<2, Int>, mask: Tensor<2>) -> Tensor<1> {
    let [batch, seq, vocab] = logits.dims();
    let tokens = batch * seq;
    let log_probs = activation::log_softmax(logits.reshape([tokens, vocab]), 1);
    let picked = log_probs.gather(1, targets.reshape([tokens, 1]));
    (picked.reshape([tokens]) * mask.reshape([tokens])).sum().neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    #[test]
    fn masked_cross_entropy_by_hand() {
        let device = Device::flex();
        // Logits whose softmax is (1/2, 1/2), (1/4, 3/4) and, masked out, something else.
        let logits = vec![0.0f32, 0.0, 0.0, 3f32.ln(), 9.0, -9.0];
        let logits = Tensor::<3>::from_data(TensorData::new(logits, [1, 3, 2]), &device);
        let targets = Tensor::<2, Int>::from_data(TensorData::new(vec![0i32, 1, 1], [1, 3]), &device);
        let mask = Tensor::<2>::from_data(TensorData::new(vec![1.0f32, 1.0, 0.0], [1, 3]), &device);
        let sum: f32 = cross_entropy(logits, targets, mask).into_scalar();
        let expected = 2f32.ln() - 0.75f32.ln();
        assert!((sum - expected).abs() < 1e-6, "{sum} {expected}");
    }

    #[test]
    fn the_gradient_is_softmax_minus_one_hot() {
        let device = Device::flex().autodiff();
        let logits = Tensor::<3>::from_data(TensorData::new(vec![0.0f32, 3f32.ln()], [1, 1, 2]), &device)
            .require_grad();
        let targets = Tensor::<2, Int>::from_data(TensorData::new(vec![0i32], [1, 1]), &device);
        let mask = Tensor::<2>::from_data(TensorData::new(vec![1.0f32], [1, 1]), &device);
        let grads = cross_entropy(logits.clone(), targets, mask).backward();
        let grad: Vec<f32> = logits.grad(&grads).unwrap().into_data().iter::<f32>().collect();
        assert!(
            (grad[0] + 0.75).abs() < 1e-6 && (grad[1] - 0.75).abs() < 1e-6,
            "{grad:?}"
        );
    }
}
