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
        let mut dx = grad.to_vec();
        rows(&mut dx, keys, |i, dx| row_gradient(&output[i * keys..][..keys], dx, self.runs(i), self.scale));
        dx
    }
}

/// Scores of a query into its weights, in their place: `softmax(scale · x)` over the runs of keys that it sees, zero elsewhere.
#[inline(always)]
pub(super) fn row_softmax(x: &mut [f32], runs: [(usize, usize); 2], scale: f32) {
    let highest = runs.iter().fold(f32::NEG_INFINITY, |a, &(start, end)| a.max(max(&x[start..end])));
    let mut total = 0.0;
    for (start, end) in runs {
        let x = &mut x[start..end];
        x.iter_mut().for_each(|x| *x = exp((*x - highest) * scale));
        total += sum(x.len(), |j| x[j]);
    }
    let share = 1.0 / total;
    for (start, end) in runs {
        x[start..end].iter_mut().for_each(|x| *x *= share);
    }
    hide(x, runs);
}

/// The gradient of a query's weights `y` into that of its scores, in its place: `scale · y · (g − Σ g·y)`.
#[inline(always)]
pub(super) fn row_gradient(y: &[f32], g: &mut [f32], runs: [(usize, usize); 2], scale: f32) {
    let mut dot = 0.0;
    for (start, end) in runs {
        let (y, g) = (&y[start..end], &g[start..end]);
        dot += sum(y.len(), |j| y[j] * g[j]);
    }
    for (start, end) in runs {
        for (g, &y) in g[start..end].iter_mut().zip(&y[start..end]) {
            *g = scale * y * (*g - dot);
        }
    }
    hide(g, runs);
}

/// Zeros outside of two runs; an empty one stands anywhere.
#[inline(always)]
fn hide(x: &mut [f32], [first, second]: [(usize, usize); 2]) {
    let first = if first.0 < first.1 { first } else { (0, 0) };
    let second = if second.0 < second.1 { second } else { (x.len(), x.len()) };
    x[..first.0].fill(0.0);
    x[first.1..second.0].fill(0.0);
    x[second.1..].fill(0.0);
}

impl HostOp<1> for MaskedSoftmax {
    const KEPT: Kept = Kept::Output;

    fn forward(&self, [scores]: [&[f32]; 1]) -> Vec<f32> {
        let keys = self.keys;
        let mut out = scores.to_vec();
        rows(&mut out, keys, |i, x| row_softmax(x, self.runs(i), self.scale));
        out
    }

    fn backward(&self, _x: [&[f32]; 1], output: &[f32], grad: &[f32]) -> [Vec<f32>; 1] {
        [self.gradient(output, grad)]
    }
}
