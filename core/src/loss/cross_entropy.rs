//! The loss of next-token prediction.

use burn::tensor::Tensor;

use crate::kernels::{IGNORED, token_log_probs, weighted_sum};

/// Negative log-likelihood of the targets, weighed and summed: `−Σ weight · log softmax(logits)[target]`.
///
/// # Shapes
/// `logits [batch, seq, vocab]`, `targets` and `weights` of `batch · seq` values → `[1]`.
pub fn cross_entropy(logits: Tensor<3>, targets: &[u32], weights: &[f32]) -> Tensor<1> {
    // Targets without a weight are not computed: of a conversation they are the larger part.
    let counted = |(&target, &weight): (&u32, &f32)| if weight == 0.0 { IGNORED } else { target };
    let targets: Vec<u32> = targets.iter().zip(weights).map(counted).collect();
    weighted_sum(token_log_probs(logits, &targets), weights).neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    #[test]
    fn weighted_cross_entropy_by_hand() {
        // Logits whose softmax is (1/2, 1/2), (1/4, 3/4) and, without weight, something else.
        let logits = vec![0.0f32, 0.0, 0.0, 3f32.ln(), 9.0, -9.0];
        let logits = Tensor::<3>::from_data(TensorData::new(logits, [1, 3, 2]), &Device::flex());
        let sum: f32 = cross_entropy(logits, &[0, 1, 1], &[1.0, 0.5, 0.0]).into_scalar();
        let expected = 2f32.ln() - 0.5 * 0.75f32.ln();
        assert!((sum - expected).abs() < 1e-6, "{sum} {expected}");
    }
}
