//! Attention weights: softmax over the keys that a query sees.

use burn::tensor::{Bool, DType, Tensor, activation};

use super::host::{HostOp, Kept, input, on_slices, run};
use super::mask::MaskPart;
use super::slices::{exp, max, rows, sum};
use super::{AttentionMask, in_dtype};

/// `softmax(scale · scores)` over the last dimension, zero where the mask hides.
///
/// # Shapes
/// `scores [batch, heads, queries, keys]` → the same.
pub fn masked_softmax(scores: Tensor<4>, scale: f64, mask: &AttentionMask) -> Tensor<4> {
    if let Some(weights) = on_processor(&scores, scale, mask) {
        return weights;
    }
    let ([_, _, queries, keys], dtype) = (scores.dims(), scores.dtype());
    let hidden = mask.hidden(queries, keys, &scores.device());
    in_dtype(plain(scores, scale, hidden), dtype)
}

/// The same of the queries and keys of a part of a mask, outside of any graph and in f32.
pub(super) fn part_softmax(scores: Tensor<4>, scale: f64, part: &MaskPart) -> Tensor<4> {
    if let Some(weights) = on_processor(&scores, scale, &part.mask) {
        return weights;
    }
    let hidden = part.hidden(&scores.device());
    plain(scores, scale, hidden)
}

/// The gradient of a part's scores, from its weights and theirs: `scale · y · (g − Σ g·y)`, all in f32.
pub(super) fn part_gradient(weights: Tensor<4>, grad: Tensor<4>, scale: f64, part: &MaskPart) -> Tensor<4> {
    let op = MaskedSoftmax::new(weights.dims(), scale, &part.mask);
    if let Some(dx) = on_slices([&weights, &grad], |[y, g]| op.gradient(y, g)) {
        return dx;
    }
    let products = weights.clone() * grad;
    let dots = products.clone().sum_dim(3);
    (products - weights * dots) * scale
}

fn on_processor(scores: &Tensor<4>, scale: f64, mask: &AttentionMask) -> Option<Tensor<4>> {
    run(MaskedSoftmax::new(scores.dims(), scale, mask), [input(scores)?], scores.dims())
}

/// The softmax out of the backend's operations, in f32.
fn plain(scores: Tensor<4>, scale: f64, hidden: Option<Tensor<4, Bool>>) -> Tensor<4> {
    let shape = scores.dims();
    let scores = scores * scale;
    let scores = match hidden {
        // Low enough in every float type, and never the lowest score of a row that sees anything.
        Some(hidden) => scores.mask_fill(hidden.expand(shape), -3e4),
        None => scores,
    };
    activation::softmax(in_dtype(scores, DType::F32), 3)
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
    fn new([_, heads, queries, keys]: [usize; 4], scale: f64, mask: &AttentionMask) -> Self {
        Self { scale: scale as f32, mask: mask.clone(), heads, queries, keys }
    }

    /// The runs of keys that row `i` of all rows sees.
    #[inline(always)]
    fn runs(&self, i: usize) -> [(usize, usize); 2] {
        let (batch, query) = (i / self.queries / self.heads, i % self.queries);
        self.mask.runs(batch, query, self.queries, self.keys)
    }

    /// `dx = scale · y · (g − Σ g·y)`
    fn gradient(&self, output: &[f32], grad: &[f32]) -> Vec<f32> {
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
        dx
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

    fn backward(&self, _x: [&[f32]; 1], output: &[f32], grad: &[f32]) -> [Vec<f32>; 1] {
        [self.gradient(output, grad)]
    }
}
