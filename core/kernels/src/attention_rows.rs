//! Attention of whole rows on the processor, in one operation: products of parts of slices, without turning queries, keys or
//! values around, and without scores of keys that no query of a block sees.
//!
//! A block's softmax is a whole one, so that the result is what `masked_softmax` between two products gives. The weights are
//! kept for the backward pass, or computed again there, block by block.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::NoCheckpointing;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};
use burn_backend::tensor::FloatTensor;
use burn_flex::{Flex, FlexTensor};

use super::AttentionMask;
use super::chunks::map_each;
use super::host::{Graph, Input, input, slices};
use super::mask::MaskPart;
use super::matrix::{Matrix, Target, multiply};
use super::softmax::{row_gradient, row_softmax};

/// Queries of a block whose weights are kept: few enough that a causal row skips nearly half of the products.
pub const ATTENTION_ROWS: usize = 64;

/// `softmax(scale · q·kᵀ)·v` under a mask; query head `h` reads key head `h / (heads / kv_heads)`. With `again`, the weights
/// of so many queries at a time are computed again in the backward pass; without it they are kept. `None` on other devices
/// and in other types than f32.
///
/// # Shapes
/// `q [batch, queries, heads, hd]`, `k, v [batch, keys, kv_heads, hd]` → as `q`.
pub fn attend_rows(
    [q, k, v]: [&Tensor<4>; 3],
    scale: f64,
    mask: &AttentionMask,
    again: Option<usize>,
) -> Option<Tensor<4>> {
    let ([batch, queries, heads, width], [_, keys, kv_heads, _]) = (q.dims(), k.dims());
    let (block, keeps) = again.map_or((ATTENTION_ROWS, true), |block| (block, false));
    let parts = mask.parts(queries, keys, block);
    let op = Rows { scale: scale as f32, parts, batch, queries, keys, heads, kv_heads, width, keeps };
    let (mut nodes, mut plain) = (Vec::new(), Vec::new());
    for tensor in [q, k, v] {
        match input(tensor)? {
            Input::Graph(node) => nodes.push(node),
            Input::Plain(tensor) => plain.push(tensor.to_contiguous()),
        }
    }
    if let Ok(plain) = <[FlexTensor; 3]>::try_from(plain) {
        let op = Rows { keeps: false, ..op };
        return Some(Tensor::from_primitive::<Flex>(op.output(&plain)?.0));
    }
    let nodes = <[_; 3]>::try_from(nodes).ok()?;
    let inputs = nodes.each_ref().map(|node: &FloatTensor<Graph>| node.primitive().to_contiguous());
    let (output, weights) = op.output(&inputs)?;
    let guards = nodes.each_ref().map(|node| node.node());
    let recorded = match Recorded.prepare::<NoCheckpointing>(guards).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(State { op, inputs, weights: Arc::new(weights) }, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    };
    Some(Tensor::from_primitive::<Graph>(recorded))
}

/// The operation on a batch.
#[derive(Clone, Debug)]
struct Rows {
    scale: f32,
    parts: Arc<[MaskPart]>,
    batch: usize,
    queries: usize,
    keys: usize,
    heads: usize,
    kv_heads: usize,
    width: usize,
    /// Whether the weights are kept for the backward pass.
    keeps: bool,
}

impl Rows {
    /// Query heads of a key head.
    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// The output, and of each key head of each batch row the weights, where they are kept.
    fn output(&self, inputs: &[FlexTensor; 3]) -> Option<(FlexTensor, Vec<Vec<f32>>)> {
        let inputs = slices(inputs)?;
        let done = map_each(self.batch * self.kv_heads, |i| self.forward(inputs, i));
        let (outputs, weights): (Vec<_>, Vec<_>) = done.into_iter().unzip();
        let outputs: Vec<&[f32]> = outputs.iter().map(Vec::as_slice).collect();
        let values = self.gathered(&outputs, self.queries, self.group() * self.width);
        let shape = [self.batch, self.queries, self.heads, self.width];
        Some((FlexTensor::from_data(TensorData::new(values, shape)), weights))
    }

    /// What the key heads have, `[positions, width]` each, side by side: `[batch, positions, kv_heads · width]`.
    fn gathered(&self, of_heads: &[&[f32]], positions: usize, width: usize) -> Vec<f32> {
        let mut all = Vec::with_capacity(self.batch * positions * self.kv_heads * width);
        for heads in of_heads.chunks_exact(self.kv_heads) {
            for at in (0..positions).map(|position| position * width) {
                heads.iter().for_each(|values| all.extend_from_slice(&values[at..at + width]));
            }
        }
        all
    }

    /// A query head's rows of a part: head `g` of the key head `i % kv_heads` of batch row `i / kv_heads`.
    fn rows_of<'a>(&self, q: &'a [f32], i: usize, g: usize, part: &MaskPart) -> Matrix<'a> {
        let (step, head) = (self.heads * self.width, (i % self.kv_heads) * self.group() + g);
        let start = (i / self.kv_heads * self.queries + part.queries.start) * step + head * self.width;
        Matrix::with_step(&q[start..], [part.queries.len(), self.width], step)
    }

    /// A key head's rows of a part, of keys or of values.
    fn keys_of<'a>(&self, k: &'a [f32], i: usize, part: &MaskPart) -> Matrix<'a> {
        let step = self.kv_heads * self.width;
        let start = (i / self.kv_heads * self.keys + part.keys.start) * step + i % self.kv_heads * self.width;
        Matrix::with_step(&k[start..], [part.keys.len(), self.width], step)
    }

    /// The weights of a query head's rows of a part.
    fn weigh(&self, weights: &mut [f32], i: usize, q: Matrix<'_>, k: Matrix<'_>, part: &MaskPart) {
        let (queries, keys) = (part.queries.len(), part.keys.len());
        multiply(Target { values: weights, step: keys, adds: false }, q, k.transposed());
        pulp::Arch::new().dispatch(|| {
            for (query, row) in weights.chunks_exact_mut(keys).enumerate() {
                row_softmax(row, part.mask.runs(i / self.kv_heads, query, queries, keys), self.scale);
            }
        });
    }

    /// The outputs of the query heads of one key head of one batch row, `[queries, group · hd]`, and their weights.
    fn forward(&self, [q, k, v]: [&[f32]; 3], i: usize) -> (Vec<f32>, Vec<f32>) {
        let step = self.group() * self.width;
        let mut output = vec![0.0; self.queries * step];
        let sizes = self.parts.iter().map(MaskPart::weights);
        let room = if self.keeps { self.group() * sizes.sum::<usize>() } else { sizes.max().unwrap_or(0) };
        let (mut all, mut at) = (vec![0.0; room], 0);
        for part in self.parts.iter() {
            let (keys, values) = (self.keys_of(k, i, part), self.keys_of(v, i, part));
            for g in 0..self.group() {
                let weights = &mut all[at..at + part.weights()];
                self.weigh(weights, i, self.rows_of(q, i, g, part), keys, part);
                let weights = Matrix::new(weights, [part.queries.len(), part.keys.len()]);
                let target = &mut output[part.queries.start * step + g * self.width..];
                multiply(Target { values: target, step, adds: false }, weights, values);
                at += if self.keeps { part.weights() } else { 0 };
            }
        }
        if !self.keeps {
            all.clear();
        }
        (output, all)
    }

    /// The gradients of the queries of one key head of one batch row, of its keys and of its values. With `y` the weights, `g`
    /// the output's gradient and `s` the scores: `dv = yᵀ·g`, `dy = g·vᵀ`, `ds = scale · y · (dy − Σ dy·y)`, `dq = ds·k`,
    /// `dk = dsᵀ·q`.
    fn backward(&self, [q, k, v]: [&[f32]; 3], grad: &[f32], kept: &[f32], i: usize) -> [Vec<f32>; 3] {
        let step = self.group() * self.width;
        let mut dq = vec![0.0; self.queries * step];
        let (mut dk, mut dv) = (vec![0.0; self.keys * self.width], vec![0.0; self.keys * self.width]);
        let most = self.parts.iter().map(MaskPart::weights).max().unwrap_or(0);
        let (mut scores, mut again) = (vec![0.0; most], vec![0.0; if self.keeps { 0 } else { most }]);
        let mut at = 0;
        for part in self.parts.iter() {
            let (keys, values) = (self.keys_of(k, i, part), self.keys_of(v, i, part));
            let shape = [part.queries.len(), part.keys.len()];
            let first_key = part.keys.start * self.width;
            for g in 0..self.group() {
                let (queries, grad) = (self.rows_of(q, i, g, part), self.rows_of(grad, i, g, part));
                let y = match self.keeps {
                    true => &kept[at..at + part.weights()],
                    false => {
                        let weights = &mut again[..part.weights()];
                        self.weigh(weights, i, queries, keys, part);
                        weights
                    }
                };
                at += part.weights();
                let weights = Matrix::new(y, shape);
                let target = Target { values: &mut dv[first_key..], step: self.width, adds: true };
                multiply(target, weights.transposed(), grad);
                let ds = &mut scores[..part.weights()];
                multiply(Target { values: ds, step: shape[1], adds: false }, grad, values.transposed());
                self.to_scores(y, ds, i, part);
                let ds = Matrix::new(ds, shape);
                let target = Target { values: &mut dk[first_key..], step: self.width, adds: true };
                multiply(target, ds.transposed(), queries);
                let target = &mut dq[part.queries.start * step + g * self.width..];
                multiply(Target { values: target, step, adds: false }, ds, keys);
            }
        }
        [dq, dk, dv]
    }

    /// The gradients of a part's weights `y` into those of its scores.
    fn to_scores(&self, y: &[f32], gradients: &mut [f32], i: usize, part: &MaskPart) {
        let (queries, keys) = (part.queries.len(), part.keys.len());
        pulp::Arch::new().dispatch(|| {
            for (query, (y, g)) in y.chunks_exact(keys).zip(gradients.chunks_exact_mut(keys)).enumerate() {
                row_gradient(y, g, part.mask.runs(i / self.kv_heads, query, queries, keys), self.scale);
            }
        });
    }
}

/// The backward step of the operation.
#[derive(Debug)]
struct Recorded;

/// What it needs of the forward pass.
#[derive(Clone, Debug)]
struct State {
    op: Rows,
    inputs: [FlexTensor; 3],
    weights: Arc<Vec<Vec<f32>>>,
}

impl Backward<Flex, 3> for Recorded {
    type State = State;

    fn backward(self, ops: Ops<State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let State { op, inputs, weights } = ops.state;
        let grad = grads.consume::<Flex>(&ops.node).to_contiguous();
        // All were made contiguous f32 on the way in, so every slice is there.
        let (Some(inputs), Some(grad)) = (slices(&inputs), grad.as_slice()) else { return };
        let done = map_each(op.batch * op.kv_heads, |i| op.backward(inputs, grad, &weights[i], i));
        let (queries, keys) = ([op.queries, op.heads], [op.keys, op.kv_heads]);
        for (n, (parent, [positions, heads])) in
            ops.parents.into_iter().zip([queries, keys, keys]).enumerate()
        {
            let Some(parent) = parent else { continue };
            let of_heads: Vec<&[f32]> = done.iter().map(|gradients| gradients[n].as_slice()).collect();
            let values = op.gathered(&of_heads, positions, heads / op.kv_heads * op.width);
            let shape = [op.batch, positions, heads, op.width];
            grads.register::<Flex>(parent.id, FlexTensor::from_data(TensorData::new(values, shape)));
        }
    }
}
