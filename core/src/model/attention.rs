//! Grouped-query attention (Ainslie et al., 2023, <https://arxiv.org/abs/2305.13245>).

use burn::module::Module;
use burn::tensor::Tensor;

use super::cache::{LayerCache, Places};
use super::{Linear, RmsNorm, Trace};
use crate::kernels::{Angles, AttentionMask, masked_softmax, rotate};

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
        // [batch, kv_heads, keys, hd]
        let (k, v) = (k.swap_dims(1, 2), v.swap_dims(1, 2));
        let (k, v) = match cache {
            Some((cache, places)) => cache.append(k, v, places),
            None => (k, v),
        };
        let context = attend(q, k, v, mask, trace);
        let width = context.dims()[2];
        self.o_proj.forward(context.reshape([batch, seq, width]))
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

/// `softmax(q·kᵀ / √hd)·v`; query head `h` reads key head `h / (heads / kv_heads)`.
///
/// # Shapes
/// `q [batch, seq, heads, hd]`, `k, v [batch, kv_heads, keys, hd]` → `[batch, seq, heads·hd]`.
fn attend(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, mask: &AttentionMask, trace: &mut Trace) -> Tensor<3> {
    let [batch, seq, heads, head_dim] = q.dims();
    let [_, kv_heads, keys, _] = k.dims();
    let group = heads / kv_heads;
    // The queries of one key head stand below each other, so keys and values are never copied per query head.
    let q = q.swap_dims(1, 2).reshape([batch, kv_heads, group * seq, head_dim]);
    let scores = q.matmul(k.swap_dims(2, 3)).reshape([batch, heads, seq, keys]);
    let weights = masked_softmax(scores, 1.0 / (head_dim as f64).sqrt(), mask);
    if let Some(kept) = &mut trace.attention {
        kept.push(weights.clone());
    }
    let weights = weights.reshape([batch, kv_heads, group * seq, keys]);
    let context = weights.matmul(v).reshape([batch, heads, seq, head_dim]);
    context.swap_dims(1, 2).reshape([batch, seq, heads * head_dim])
}
