//! One layer: attention and feed-forward, each behind a norm and added to the stream.

use burn::module::Module;
use burn::tensor::Tensor;

use super::cache::{LayerCache, Places};
use super::{Attention, FeedForward, RmsNorm, Trace};
use crate::kernels::{Angles, AttentionMask};

/// `h = x + attention(norm(x))`, `y = h + mlp(norm(h))`.
#[derive(Module, Debug)]
pub struct Block {
    pub(super) input_layernorm: RmsNorm,
    pub(super) self_attn: Attention,
    pub(super) post_attention_layernorm: RmsNorm,
    pub(super) mlp: FeedForward,
    /// Whether a position sees no more than the config's window.
    pub(super) slides: bool,
}

impl Block {
    /// # Shapes
    /// `x [batch, seq, hidden]` → the same.
    pub(super) fn forward(
        &self,
        x: Tensor<3>,
        angles: &Angles,
        mask: &AttentionMask,
        cache: Option<(&mut LayerCache, &Places)>,
        trace: &mut Trace,
    ) -> Tensor<3> {
        let normed = self.input_layernorm.forward(x.clone());
        let h = x + self.self_attn.forward(normed, angles, mask, cache, trace);
        let fed = self.mlp.forward(self.post_attention_layernorm.forward(h.clone()), trace);
        let y = h + fed;
        if let Some(kept) = &mut trace.hidden {
            kept.push(y.clone());
        }
        y
    }
}
