//! Grouped-query attention (Ainslie et al., 2023, <https://arxiv.org/abs/2305.13245>).

use burn::module::Module;
use burn::tensor::Tensor;

use super::cache::{LayerCache, Places};
use super::dropout::DropoutKey;
use super::tape::Tape;
use super::{Linear, RmsNorm, Trace};
use crate::kernels::{
    Angles, AttentionBlocks, AttentionMask, attend_in_blocks, attend_last, attend_rows, masked_softmax,
    rotate,
};

/// Projections of one block; the fields are named as in Hugging Face checkpoints.
#[derive(Module, Debug)]
pub struct Attention {
    pub(super) q_proj: Linear,
    pub(super) k_proj: Linear,
    pub(super) v_proj: Linear,
    pub(super) o_proj: Linear,
    pub(super) q_norm: Option<RmsNorm>,
    pub(super) k_norm: Option<RmsNorm>,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    /// Share of the attention weights that training drops.
    pub(super) dropout: f64,
    /// Which weights those are; `None` outside of training.
    #[module(skip)]
    pub(super) dropout_key: Option<DropoutKey>,
    /// Where what stands between queries and output is computed again in the backward pass.
    #[module(skip)]
    pub(super) tape: Option<Tape>,
    /// How many queries are taken at a time.
    #[module(skip)]
    pub(super) blocks: AttentionBlocks,
}

impl Attention {
    /// # Shapes
    /// `x [batch, seq, hidden]` → the same. With a cache, keys and values of earlier positions come from it
    /// and this call's are added.
    pub(super) fn forward(
        &self,
        x: Tensor<3>,
        angles: &Angles,
        mask: &AttentionMask,
        cache: Option<(&mut LayerCache, &Places)>,
        trace: &mut Trace,
    ) -> Tensor<3> {
        let [batch, seq, _] = x.dims();
        let (q, k, v) = self.project(x, angles);
        let blocks = self.blocks.of(seq, &q.device());
        if cache.is_none()
            && let Some(context) = self.attend_rows([&q, &k, &v], mask, blocks, trace)
        {
            return self.o_proj.forward(context);
        }
        // [batch, kv_heads, keys, hd]
        let (k, v) = (k.swap_dims(1, 2), v.swap_dims(1, 2));
        let (k, v) = match cache {
            Some((cache, places)) => cache.append(k, v, places),
            None => (k, v),
        };
        if let Some(context) = self.attend_last([&q, &k, &v], mask, trace) {
            return self.o_proj.forward(context);
        }
        let dropped = self.dropout_key.map(|key| (key, self.dropout));
        let in_blocks = blocks.and_then(|block| self.attend_in_blocks([&q, &k, &v], mask, block, trace));
        let tape = self.tape.as_ref().filter(|_| trace.attention.is_none() && trace.hidden.is_none());
        let context = match (in_blocks, tape) {
            // Blocks keep no more than the tape would, and compute their weights again by themselves.
            (Some(context), _) => context,
            (None, Some(tape)) => attend_again(tape, [q, k, v], mask, dropped),
            (None, None) => attend(q, k, v, mask, dropped, trace),
        };
        let width = context.dims()[2];
        self.o_proj.forward(context.reshape([batch, seq, width]))
    }

    /// Whether all the weights are needed: where dropout draws a number for each of them, or the trace asks for them.
    fn needs_weights(&self, trace: &Trace) -> bool {
        self.dropout_key.is_some() || trace.attention.is_some()
    }

    /// As [`attend`], in one operation on the processor. `None` elsewhere, and where all the weights are needed or kept out of
    /// memory by the tape.
    fn attend_rows(
        &self,
        [q, k, v]: [&Tensor<4>; 3],
        mask: &AttentionMask,
        blocks: Option<usize>,
        trace: &Trace,
    ) -> Option<Tensor<3>> {
        let taped = blocks.is_none() && self.tape.is_some();
        if self.needs_weights(trace) || taped {
            return None;
        }
        let [batch, seq, heads, head_dim] = q.dims();
        let context = attend_rows([q, k, v], scale(head_dim), mask, blocks)?;
        Some(context.reshape([batch, seq, heads * head_dim]))
    }

    /// As [`attend`], for the one token of each sequence that a model which writes is fed. `None` where [`attend_last`] does not
    /// take it, and where all the weights are needed.
    fn attend_last(&self, inputs: [&Tensor<4>; 3], mask: &AttentionMask, trace: &Trace) -> Option<Tensor<3>> {
        if self.needs_weights(trace) {
            return None;
        }
        attend_last(inputs, scale(inputs[0].dims()[3]), mask)
    }

    /// As [`attend`], for some queries at a time. `None` where all the weights are needed.
    fn attend_in_blocks(
        &self,
        [q, k, v]: [&Tensor<4>; 3],
        mask: &AttentionMask,
        block: usize,
        trace: &Trace,
    ) -> Option<Tensor<3>> {
        if self.needs_weights(trace) {
            return None;
        }
        let [batch, seq, heads, head_dim] = q.dims();
        let inputs = [q.clone().swap_dims(1, 2), k.clone(), v.clone()];
        let context = attend_in_blocks(inputs, scale(head_dim), mask, block)?;
        Some(context.swap_dims(1, 2).reshape([batch, seq, heads * head_dim]))
    }

    /// Queries, keys and values, rotated: `[batch, seq, heads, hd]` each.
    fn project(&self, x: Tensor<3>, angles: &Angles) -> (Tensor<4>, Tensor<4>, Tensor<4>) {
        let [batch, seq, _] = x.dims();
        let split = |y: Tensor<3>, heads: usize| {
            let width = y.dims()[2];
            y.reshape([batch, seq, heads, width / heads])
        };
        let norm = |norm: &Option<RmsNorm>, y: Tensor<4>| match norm {
            Some(norm) => norm.forward(y),
            None => y,
        };
        let q = norm(&self.q_norm, split(self.q_proj.forward(x.clone()), self.heads));
        let k = norm(&self.k_norm, split(self.k_proj.forward(x.clone()), self.kv_heads));
        let v = split(self.v_proj.forward(x), self.kv_heads);
        (rotate(q, angles), rotate(k, angles), v)
    }
}

/// `dropout(softmax(q·kᵀ / √hd))·v`; query head `h` reads key head `h / (heads / kv_heads)`. Dropout acts where and as in
/// transformers; the trace gets the weights before it.
///
/// # Shapes
/// `q [batch, seq, heads, hd]`, `k, v [batch, kv_heads, keys, hd]` → `[batch, seq, heads·hd]`.
fn attend(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    mask: &AttentionMask,
    dropped: Option<(DropoutKey, f64)>,
    trace: &mut Trace,
) -> Tensor<3> {
    let [batch, seq, heads, head_dim] = q.dims();
    let [_, kv_heads, keys, _] = k.dims();
    let group = heads / kv_heads;
    // The queries of one key head stand below each other, so keys and values are never copied per query head.
    let q = q.swap_dims(1, 2).reshape([batch, kv_heads, group * seq, head_dim]);
    let scores = q.matmul(k.swap_dims(2, 3)).reshape([batch, heads, seq, keys]);
    let weights = masked_softmax(scores, scale(head_dim), mask);
    if let Some(kept) = &mut trace.attention {
        kept.push(weights.clone());
    }
    let weights = match dropped {
        Some((key, share)) => key.drop(weights, share, batch),
        None => weights,
    };
    let weights = weights.reshape([batch, kv_heads, group * seq, keys]);
    let context = weights.matmul(v).reshape([batch, heads, seq, head_dim]);
    context.swap_dims(1, 2).reshape([batch, seq, heads * head_dim])
}

/// The same, of which the queries, keys and values alone are kept for the backward pass.
fn attend_again(
    tape: &Tape,
    [q, k, v]: [Tensor<4>; 3],
    mask: &AttentionMask,
    dropped: Option<(DropoutKey, f64)>,
) -> Tensor<3> {
    let attend = move |q, k, v, mask: &AttentionMask| attend(q, k, v, mask, dropped, &mut Trace::default());
    let [inner_q, inner_k, inner_v] = [&q, &k, &v].map(|tensor| tensor.clone().inner());
    let context = attend(inner_q, inner_k, inner_v, mask);
    let (own, mask) = (context.clone(), mask.clone());
    let again = move || vec![attend(q, k, v, &mask)];
    let leaf = tape.record(vec![context], Box::new(again)).pop();
    leaf.unwrap_or_else(|| Tensor::from_inner(own))
}

/// What scores are multiplied by.
fn scale(head_dim: usize) -> f64 {
    1.0 / (head_dim as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use burn::tensor::{Device, TensorData};

    const VALUES: [f32; 4] = [1.0, 10.0, 100.0, 1000.0];

    /// Two positions whose weights are (1, 0) and (1/2, 1/2) before anything is dropped.
    fn attended(dropped: Option<(DropoutKey, f64)>) -> Vec<f32> {
        let device = Device::flex();
        let zeros = || Tensor::<4>::zeros([1, 2, 1, 2], &device);
        let keys = zeros().swap_dims(1, 2);
        let values = Tensor::<4>::from_data(TensorData::new(VALUES.to_vec(), [1, 1, 2, 2]), &device);
        let mask = AttentionMask::causal(2, 0);
        let context = attend(zeros(), keys, values, &mask, dropped, &mut Trace::default());
        context.into_data().iter::<f32>().collect()
    }

    #[test]
    fn dropped_weights_by_hand() {
        let (mut seen, [a, b, c, d]) = ([false; 2], VALUES);
        for seed in 0..8 {
            // One number each of the weights (0, 0), (0, 1), (1, 0) and (1, 1); half of them are dropped, the others double.
            let mut random = Random::new(seed, 3 << 32);
            let kept = [(); 4].map(|()| if random.next_u32() < u32::MAX / 2 { 0.0f32 } else { 2.0 });
            let (first, second) = (kept[2] / 2.0, kept[3] / 2.0);
            let expected = [kept[0] * a, kept[0] * b, first * a + second * c, first * b + second * d];
            assert_eq!(attended(Some((DropoutKey::new(seed, 3, 0), 0.5))), expected, "seed {seed}");
            seen[usize::from(kept[0] == 0.0)] = true;
        }
        assert_eq!(seen, [true; 2]);
    }

    #[test]
    fn the_mean_over_many_seeds_is_what_is_computed_without_dropout() {
        let plain = attended(None);
        assert_eq!(plain, [1.0, 10.0, 50.5, 505.0]);
        assert_eq!(plain, attended(Some((DropoutKey::new(5, 0, 0), 0.0))), "nothing is dropped");
        let mut sum = [0.0f64; 4];
        for seed in 0..4000 {
            let values = attended(Some((DropoutKey::new(seed, 0, 0), 0.25)));
            sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += f64::from(value));
        }
        for (sum, plain) in sum.into_iter().zip(plain) {
            let mean = sum / 4000.0;
            assert!((mean / f64::from(plain) - 1.0).abs() < 0.05, "{mean} {plain}");
        }
    }
}
