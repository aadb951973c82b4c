//! Attention weights: softmax over the keys that a query sees.

use burn::tensor::{DType, Tensor, activation};

use super::AttentionMask;
use super::host::{HostOp, input, run};
use super::slices::{exp, max, rows, sum};

/// `softmax(scale · scores)` over the last dimension, zero where the mask hides.
///
/// # Shapes
/// `scores [batch, heads, queries, keys]` → the same.
pub fn masked_softmax(scores: Tensor<4>, scale: f64, mask: &AttentionMask) -> Tensor<4> {
    let [batch, heads, queries, keys] = scores.dims();
    if let Some(a) = input(&scores) {
        let op = MaskedSoftmax { scale: scale as f32, mask: mask.clone(), heads, queries, keys };
        if let Some(y) = run(op, [a], scores.dims()) {
            return y;
        }
    }
    let scores = scores * scale;
    let scores = match mask.hidden(queries, keys, &scores.device()) {
        // Low enough in every float type, and never the lowest score of a row that sees anything.
        Some(hidden) => scores.mask_fill(hidden.expand([batch, heads, queries, keys]), -3e4),
        None => scores,
    };
    let dtype = scores.dtype();
    match dtype {
        DType::F32 => activation::softmax(scores, 3),
        _ => activation::softmax(scores.cast(DType::F32), 3).cast(dtype),
    }
}

#[derive(Clone, Debug)]
struct MaskedSoftmax {
    scale: f32,
    mask: AttentionMask,
    heads: usize,
    queries: usize,
    keys: usize,
}

impl MaskedSoftmax {
    /// The keys that row `i` of all rows sees.
    #[inline(always)]
    fn run(&self, i: usize) -> (usize, usize) {
        let (batch, query) = (i / self.queries / self.heads, i % self.queries);
        self.mask.run(batch, query, self.queries, self.keys)
    }
}

impl HostOp<1> for MaskedSoftmax {
    fn forward(&self, [scores]: [&[f32]; 1]) -> Vec<f32> {
        let keys = self.keys;
        let mut out = vec![0.0; scores.len()];
        rows(&mut out, keys, |i, y| {
            let (start, end) = self.run(i);
            let (x, y) = (&scores[i * keys + start..i * keys + end], &mut y[start..end]);
            let highest = max(x);
            for (y, &x) in y.iter_mut().zip(x) {
                *y = exp((x - highest) * self.scale);
            }
            let total = 1.0 / sum(y.len(), |j| y[j]);
            y.iter_mut().for_each(|y| *y *= total);
        });
        out
    }

    /// `dx = scale · y · (g − Σ g·y)`
    fn backward(&self, _x: [&[f32]; 1], output: &[f32], grad: &[f32]) -> [Vec<f32>; 1] {
        let keys = self.keys;
        let mut dx = vec![0.0; output.len()];
        rows(&mut dx, keys, |i, dx| {
            let (start, end) = self.run(i);
            let at = i * keys + start..i * keys + end;
            let (y, g) = (&output[at.clone()], &grad[at]);
            let dot = sum(y.len(), |j| y[j] * g[j]);
            for ((dx, &y), &g) in dx[start..end].iter_mut().zip(y).zip(g) {
                *dx = self.scale * y * (g - dot);
            }
        });
        [dx]
    }
}
