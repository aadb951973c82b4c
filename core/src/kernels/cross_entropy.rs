//! The loss of next-token prediction.

use std::sync::Arc;

use burn::tensor::{Int, Tensor, TensorData, activation};

use super::host::{HostOp, input, run};
use super::slices::{exp, max, rows, sum};

/// Negative log-likelihood of the targets that count, summed:
/// `−Σ_counts log softmax(logits)[target]`.
///
/// # Shapes
/// `logits [batch, seq, vocab]`, `targets` and `counts` of `batch · seq` values → `[1]`.
pub fn cross_entropy(logits: Tensor<3>, targets: &[u32], counts: &[bool]) -> Tensor<1> {
    let [batch, seq, vocab] = logits.dims();
    if let Some(a) = input(&logits) {
        let op = CrossEntropy { targets: targets.into(), counts: counts.into(), vocab };
        if let Some(loss) = run(op, [a], [1]) {
            return loss;
        }
    }
    let (tokens, device) = (batch * seq, logits.device());
    let ids: Vec<i32> = targets.iter().map(|&id| id as i32).collect();
    let ones: Vec<f32> = counts.iter().map(|&counts| f32::from(u8::from(counts))).collect();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [tokens, 1]), &device);
    let mask = Tensor::<1>::from_data(TensorData::new(ones, [tokens]), &device).cast(logits.dtype());
    let log_probs = activation::log_softmax(logits.reshape([tokens, vocab]), 1);
    (log_probs.gather(1, ids).reshape([tokens]) * mask).sum().neg()
}

#[derive(Clone, Debug)]
struct CrossEntropy {
    targets: Arc<[u32]>,
    counts: Arc<[bool]>,
    vocab: usize,
}

impl HostOp<1> for CrossEntropy {
    fn forward(&self, [logits]: [&[f32]; 1]) -> Vec<f32> {
        let vocab = self.vocab;
        let mut losses = vec![0.0; self.targets.len()];
        // One value a row: rows of one, in tasks that are large all the same.
        rows(&mut losses, 1, |i, loss| {
            if self.counts[i] {
                let x = &logits[i * vocab..][..vocab];
                let highest = max(x);
                let total = sum(vocab, |j| exp(x[j] - highest));
                loss[0] = total.ln() + highest - x[self.targets[i] as usize];
            }
        });
        vec![losses.iter().map(|&loss| f64::from(loss)).sum::<f64>() as f32]
    }

    /// `dx = g · (softmax(x) − one_hot(target))` on the rows that count.
    fn backward(&self, [logits]: [&[f32]; 1], _loss: &[f32], grad: &[f32]) -> [Vec<f32>; 1] {
        let vocab = self.vocab;
        let mut dx = vec![0.0; logits.len()];
        rows(&mut dx, vocab, |i, dx| {
            if !self.counts[i] {
                return;
            }
            let x = &logits[i * vocab..][..vocab];
            let highest = max(x);
            for (dx, &x) in dx.iter_mut().zip(x) {
                *dx = exp(x - highest);
            }
            let scale = grad[0] / sum(vocab, |j| dx[j]);
            dx.iter_mut().for_each(|dx| *dx *= scale);
            dx[self.targets[i] as usize] -= grad[0];
        });
        [dx]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn masked_cross_entropy_by_hand() {
        // Logits whose softmax is (1/2, 1/2), (1/4, 3/4) and, masked out, something else.
        let logits = vec![0.0f32, 0.0, 0.0, 3f32.ln(), 9.0, -9.0];
        let logits = Tensor::<3>::from_data(TensorData::new(logits, [1, 3, 2]), &Device::flex());
        let sum: f32 = cross_entropy(logits, &[0, 1, 1], &[true, true, false]).into_scalar();
        let expected = 2f32.ln() - 0.75f32.ln();
        assert!((sum - expected).abs() < 1e-6, "{sum} {expected}");
    }

    #[test]
    fn the_gradient_is_softmax_minus_one_hot() {
        let device = Device::flex().autodiff();
        let logits = TensorData::new(vec![0.0f32, 3f32.ln(), 1.0, 2.0], [1, 2, 2]);
        let logits = Tensor::<3>::from_data(logits, &device).require_grad();
        let grads = (cross_entropy(logits.clone(), &[0, 1], &[true, false]) * 2.0).backward();
        let grad: Vec<f32> = logits.grad(&grads).unwrap().into_data().iter::<f32>().collect();
        for (found, expected) in grad.iter().zip([-1.5, 1.5, 0.0, 0.0]) {
            assert!((found - expected).abs() < 1e-6, "{grad:?}");
        }
    }
}
