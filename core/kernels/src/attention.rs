//! Attention in blocks of queries: its memory grows with the length of a row, not with the square of it.
//!
//! A block's softmax is a whole one, over all keys that any of its queries sees, so that the result is what one large
//! softmax gives; keys that none of them sees are not touched, which saves a causal row nearly half of the products. For
//! the backward pass queries, keys and values are kept and a block's weights are computed again (Rabe and Staats, 2021,
//! <https://arxiv.org/abs/2112.05682>; Dao et al., 2022, <https://arxiv.org/abs/2205.14135>).

use std::ops::Range;

use burn::backend::{DispatchKindConversion, DispatchTensor};
use burn::tensor::{DType, Device, Tensor};
use burn_autodiff::Autodiff;
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::NoCheckpointing;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};
use burn_backend::Backend;
use burn_flex::Flex;

use super::mask::MaskPart;
use super::softmax::{part_gradient, part_softmax};
use super::{AttentionMask, in_dtype, is_processor};

type Graph<B> = Autodiff<B, NoCheckpointing>;

/// Queries from which blocks pay, and queries of one: on the processor a block stays in its caches.
const ON_PROCESSOR: (usize, usize) = (512, 128);
/// The same on graphics devices, where every operation of a block has to be started.
const ON_GRAPHICS: (usize, usize) = (1024, 256);

/// How many queries attention takes at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AttentionBlocks {
    /// All, until so many stand in a row that blocks pay on the device.
    #[default]
    ByLength,
    /// All, whatever the length.
    Whole,
    /// So many, at least one.
    Of(usize),
}

impl AttentionBlocks {
    /// The queries of a block, where so many of them stand in a row; `None` where all are taken at once.
    pub fn of(self, queries: usize, device: &Device) -> Option<usize> {
        let (from, block) = match self {
            Self::ByLength if is_processor(device) => ON_PROCESSOR,
            Self::ByLength => ON_GRAPHICS,
            Self::Whole => return None,
            Self::Of(block) => (0, block.max(1)),
        };
        (queries >= from).then_some(block)
    }
}

/// `softmax(scale · q·kᵀ)·v` under a mask, for `block` queries at a time; query head `h` reads key head
/// `h / (heads / kv_heads)`. `None` inside a graph of a kind that takes no operations of ours.
///
/// # Shapes
/// `q [batch, heads, queries, hd]`, `k, v [batch, kv_heads, keys, hd]` → as `q`.
pub fn attend_in_blocks(
    [q, k, v]: [Tensor<4>; 3],
    scale: f64,
    mask: &AttentionMask,
    block: usize,
) -> Option<Tensor<4>> {
    let op = InBlocks { scale, mask: mask.clone(), block };
    let inputs = [q, k, v];
    if let Some(recorded) = record::<Flex>(&op, &inputs) {
        return Some(recorded);
    }
    #[cfg(any(feature = "wgpu", feature = "webgpu", feature = "cuda"))]
    if let Some(recorded) = record::<burn::backend::Cube>(&op, &inputs) {
        return Some(recorded);
    }
    let device = inputs[0].device();
    (device.clone().inner() == device).then(|| op.forward(&inputs))
}

/// Runs the operation and records its backward pass; `None` for tensors outside of this backend's graph.
fn record<B: Backend>(op: &InBlocks, inputs: &[Tensor<4>; 3]) -> Option<Tensor<4>>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Graph<B>>,
{
    let [q, k, v] = inputs.each_ref().map(|tensor| tensor.clone().try_into_primitive::<Graph<B>>().ok());
    let nodes = [q?, k?, v?];
    let inputs = nodes.each_ref().map(|node| Tensor::<4>::from_primitive::<B>(node.primitive().clone()));
    let output = op.forward(&inputs).try_into_primitive::<B>().ok()?;
    let guards = nodes.each_ref().map(|node| node.node());
    let prepared = Backward::<B, 3>::prepare::<NoCheckpointing>(Recorded, guards);
    let recorded = match prepared.compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(State { op: op.clone(), inputs }, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    };
    Some(Tensor::from_primitive::<Graph<B>>(recorded))
}

/// The backward step of the operation.
#[derive(Debug)]
struct Recorded;

/// What it needs of the forward pass.
#[derive(Clone, Debug)]
struct State {
    op: InBlocks,
    inputs: [Tensor<4>; 3],
}

impl<B: Backend> Backward<B, 3> for Recorded
where
    DispatchTensor: DispatchKindConversion<B>,
{
    type State = State;

    fn backward(self, ops: Ops<State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let State { op, inputs } = ops.state;
        let grad = Tensor::<4>::from_primitive::<B>(grads.consume::<B>(&ops.node));
        for (parent, gradient) in ops.parents.into_iter().zip(op.backward(&inputs, grad)) {
            if let (Some(parent), Ok(gradient)) = (parent, gradient.try_into_primitive::<B>()) {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

#[derive(Clone, Debug)]
struct InBlocks {
    scale: f64,
    mask: AttentionMask,
    block: usize,
}

impl InBlocks {
    fn forward(&self, [q, k, v]: &[Tensor<4>; 3]) -> Tensor<4> {
        let (heads, kv_heads) = (q.dims()[1], k.dims()[1]);
        let parts = self.mask.parts(q.dims()[2], k.dims()[2], self.block);
        let blocks = parts.iter().map(|part| {
            let q = grouped(rows(q, &part.queries), kv_heads);
            let weights = self.weights(q, rows(k, &part.keys), heads, part);
            let weights = grouped(in_dtype(weights, v.dtype()), kv_heads);
            ungrouped(weights.matmul(rows(v, &part.keys)), heads)
        });
        Tensor::cat(blocks.collect(), 2)
    }

    /// A block's weights in f32, `[batch, heads, queries, keys]`.
    fn weights(&self, q: Tensor<4>, k: Tensor<4>, heads: usize, part: &MaskPart) -> Tensor<4> {
        let scores = ungrouped(q.matmul(k.swap_dims(2, 3)), heads);
        part_softmax(scores, self.scale, part)
    }

    /// With `y` the weights, `g` the output's gradient and `s` the scores: `dv = yᵀ·g`, `dy = g·vᵀ`,
    /// `ds = scale · y · (dy − Σ dy·y)`, `dq = ds·k`, `dk = dsᵀ·q`.
    fn backward(&self, [q, k, v]: &[Tensor<4>; 3], grad: Tensor<4>) -> [Tensor<4>; 3] {
        let (heads, kv_heads, dtype) = (q.dims()[1], k.dims()[1], q.dtype());
        // Many blocks add to a key; in a half type each would round what came before.
        let wide = if dtype.size() < DType::F32.size() { DType::F32 } else { dtype };
        let zeros = |like: &Tensor<4>| Tensor::<4>::zeros(like.dims(), (&like.device(), wide));
        let (mut dk, mut dv) = (zeros(k), zeros(v));
        let mut dq = Vec::new();
        for part in self.mask.parts(q.dims()[2], k.dims()[2], self.block).iter() {
            let q = grouped(rows(q, &part.queries), kv_heads);
            let (k, v) = (rows(k, &part.keys), rows(v, &part.keys));
            let grad = grouped(rows(&grad, &part.queries), kv_heads);
            let weights = self.weights(q.clone(), k.clone(), heads, part);
            let in_groups = grouped(in_dtype(weights.clone(), dtype), kv_heads);
            dv = add(dv, &part.keys, in_groups.swap_dims(2, 3).matmul(grad.clone()));
            let dy = in_dtype(ungrouped(grad.matmul(v.swap_dims(2, 3)), heads), weights.dtype());
            let ds = in_dtype(part_gradient(weights, dy, self.scale, part), dtype);
            let ds = grouped(ds, kv_heads);
            dk = add(dk, &part.keys, ds.clone().swap_dims(2, 3).matmul(q));
            dq.push(ungrouped(ds.matmul(k), heads));
        }
        [Tensor::cat(dq, 2), in_dtype(dk, dtype), in_dtype(dv, dtype)]
    }
}

/// Some positions of all heads.
fn rows(x: &Tensor<4>, positions: &Range<usize>) -> Tensor<4> {
    x.clone().narrow(2, positions.start, positions.len())
}

/// `[batch, heads, n, width]` → `[batch, kv_heads, heads / kv_heads · n, width]`: the queries of one key head stand below
/// each other, so that keys and values are never copied per query head.
fn grouped(x: Tensor<4>, kv_heads: usize) -> Tensor<4> {
    let [batch, heads, n, width] = x.dims();
    x.reshape([batch, kv_heads, heads / kv_heads * n, width])
}

/// The way back.
fn ungrouped(x: Tensor<4>, heads: usize) -> Tensor<4> {
    let [batch, kv_heads, n, width] = x.dims();
    x.reshape([batch, heads, n * kv_heads / heads, width])
}

/// Adds to some positions of all heads.
fn add(sums: Tensor<4>, positions: &Range<usize>, x: Tensor<4>) -> Tensor<4> {
    let [batch, heads, _, width] = sums.dims();
    let sum = rows(&sums, positions) + in_dtype(x, sums.dtype());
    sums.slice_assign([0..batch, 0..heads, positions.clone(), 0..width], sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_rows_are_taken_in_blocks_and_what_is_said_counts() {
        let device = Device::flex().autodiff();
        let by_length = AttentionBlocks::ByLength;
        assert_eq!([511, 512, 4096].map(|len| by_length.of(len, &device)), [None, Some(128), Some(128)]);
        assert_eq!(AttentionBlocks::Whole.of(4096, &device), None);
        assert_eq!(
            [AttentionBlocks::Of(0), AttentionBlocks::Of(7)].map(|own| own.of(3, &device)),
            [Some(1), Some(7)]
        );
    }
}
