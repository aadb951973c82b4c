//! Attention weights: softmax over the keys that a query sees.

use burn::tensor::{DType, Tensor, activation};

use super::AttentionMask;
use super::host::{HostOp, Kept, input, run};
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
    /// The runs of keys that row `i` of all rows sees.
    #[inline(always)]
    fn runs(&self, i: usize) -> [(usize, usize); 2] {
        let (batch, query) = (i / self.queries / self.heads, i % self.queries);
        self.mask.runs(batch, query, self.queries, self.keys)
    }
}

impl HostOp<1> for MaskedSoftmax {
    const KEPT: Kept = Kept::Output;

    fn forward(&self, [scores]: [&[f32]; 1]) -> Vec<f32> {
        let keys = self.keys;
        let mut out = vec![0.0; scores.len()];
        rows(&mut out, keys, |i, y| {
            let (x, runs) = (&scores[i * keys..][..keys], self.runs(i));
            let highest = runs.iter().fold(f32::NEG_INFINITY, |a, &(start, end)| a.max(max(&x[start..end])));
            let mut total = 0.0;
            for (start, end) in runs {
                let (x, y) = (&x[start..end], &mut y[start..end]);
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = exp((x - highest) * self.scale);
                }
                total += sum(y.len(), |j| y[j]);
            }
            let share = 1.0 / total;
            for (start, end) in runs {
                y[start..end].iter_mut().for_each(|y| *y *= share);
            }
        });
        out
    }

    /// `dx = scale · y · (g − Σ g·y)`
    fn backward(&self, _x: [&[f32]; 1], output: &[f32], grad: &[f32]) -> [Vec<f32>; 1] {
        let keys = self.keys;
        let mut dx = vec![0.0; output.len()];
        rows(&mut dx, keys, |i, dx| {
            let (y, g) = (&output[i * keys..][..keys], &grad[i * keys..][..keys]);
            let runs = self.runs(i);
            let mut dot = 0.0;
            for (start, end) in runs {
                let (y, g) = (&y[start..end], &g[start..end]);
                dot += sum(y.len(), |j| y[j] * g[j]);
            }
            for (start, end) in runs {
                for ((dx, &y), &g) in dx[start..end].iter_mut().zip(&y[start..end]).zip(&g[start..end]) {
                    *dx = self.scale * y * (g - dot);
                }
            }
        });
        [dx]
    }
}
