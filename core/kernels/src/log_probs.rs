//! How likely a model holds given tokens: what every loss of a language model is made of.

use std::sync::Arc;

use burn::tensor::{Int, Tensor, TensorData, activation};

use super::host::{HostOp, Kept, input, run};
use super::slices::{exp, max, rows, sum};

/// A target that is none: its log-probability is 0 and has no gradient (PyTorch's `ignore_index`).
pub const IGNORED: u32 = u32::MAX;

/// `log softmax(logits)[target]` of every position.
///
/// # Shapes
/// `logits [batch, seq, vocab]`, `targets` of `batch · seq` ids or [`IGNORED`] → `[batch, seq]`.
pub fn token_log_probs(logits: Tensor<3>, targets: &[u32]) -> Tensor<2> {
    let [batch, seq, vocab] = logits.dims();
    if let Some(a) = input(&logits) {
        let op = LogProbs { targets: targets.into(), vocab };
        if let Some(log_probs) = run(op, [a], [batch, seq]) {
            return log_probs;
        }
    }
    let (tokens, device) = (batch * seq, logits.device());
    let ids: Vec<i32> = targets.iter().map(|&id| if id == IGNORED { 0 } else { id as i32 }).collect();
    let counts: Vec<f32> = targets.iter().map(|&id| f32::from(u8::from(id != IGNORED))).collect();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [tokens, 1]), &device);
    let counts = Tensor::<2>::from_data(TensorData::new(counts, [batch, seq]), &device).cast(logits.dtype());
    let log_probs = activation::log_softmax(logits.reshape([tokens, vocab]), 1);
    log_probs.gather(1, ids).reshape([batch, seq]) * counts
}

#[derive(Clone, Debug)]
struct LogProbs {
    targets: Arc<[u32]>,
    vocab: usize,
}

impl HostOp<1> for LogProbs {
    const KEPT: Kept = Kept::Inputs;

    fn forward(&self, [logits]: [&[f32]; 1]) -> Vec<f32> {
        let vocab = self.vocab;
        let mut log_probs = vec![0.0; self.targets.len()];
        // One value a row: rows of one, in tasks that are large all the same.
        rows(&mut log_probs, 1, |i, log_prob| {
            if self.targets[i] != IGNORED {
                let x = &logits[i * vocab..][..vocab];
                let highest = max(x);
                let total = sum(vocab, |j| exp(x[j] - highest));
                log_prob[0] = x[self.targets[i] as usize] - highest - total.ln();
            }
        });
        log_probs
    }

    /// `dx = g · (one_hot(target) − softmax(x))`, row by row; rows without a gradient cost nothing.
    fn backward(&self, [logits]: [&[f32]; 1], _log_probs: &[f32], grad: &[f32]) -> [Vec<f32>; 1] {
        let vocab = self.vocab;
        let mut dx = vec![0.0; logits.len()];
        rows(&mut dx, vocab, |i, dx| {
            let (target, g) = (self.targets[i], grad[i]);
            if target == IGNORED || g == 0.0 {
                return;
            }
            let x = &logits[i * vocab..][..vocab];
            let highest = max(x);
            for (dx, &x) in dx.iter_mut().zip(x) {
                *dx = exp(x - highest);
            }
            let scale = -g / sum(vocab, |j| dx[j]);
            dx.iter_mut().for_each(|dx| *dx *= scale);
            dx[target as usize] += g;
        });
        [dx]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn log_probabilities_by_hand() {
        // Logits whose softmax is (1/2, 1/2), (1/4, 3/4) and, ignored, something else.
        let logits = vec![0.0f32, 0.0, 0.0, 3f32.ln(), 9.0, -9.0];
        let logits = Tensor::<3>::from_data(TensorData::new(logits, [1, 3, 2]), &Device::flex());
        let found: Vec<f32> = token_log_probs(logits, &[0, 1, IGNORED]).into_data().iter::<f32>().collect();
        for (found, expected) in found.iter().zip([0.5f32.ln(), 0.75f32.ln(), 0.0]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn the_gradient_is_one_hot_minus_softmax() {
        let device = Device::flex().autodiff();
        let logits = TensorData::new(vec![0.0f32, 3f32.ln(), 1.0, 2.0], [1, 2, 2]);
        let logits = Tensor::<3>::from_data(logits, &device).require_grad();
        let grads = (token_log_probs(logits.clone(), &[0, IGNORED]) * 2.0).sum().backward();
        let grad: Vec<f32> = logits.grad(&grads).unwrap().into_data().iter::<f32>().collect();
        for (found, expected) in grad.iter().zip([1.5, -1.5, 0.0, 0.0]) {
            assert!((found - expected).abs() < 1e-6, "{grad:?}");
        }
    }
}
