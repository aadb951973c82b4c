//! One layer: attention and feed-forward, each behind a norm and added to the stream.

use burn::module::Module;
use burn::tensor::Tensor;

use super::cache::{LayerCache, Places};
use super::dropout::DropoutKey;
use super::{Attention, FeedForward, RmsNorm, Trace};
use crate::kernels::{Angles, AttentionMask};

/// `h = x + dropout(attention(norm(x)))`, `y = h + dropout(mlp(norm(h)))`.
#[derive(Module, Debug)]
pub struct Block {
    pub(super) input_layernorm: RmsNorm,
    pub(super) self_attn: Attention,
    pub(super) post_attention_layernorm: RmsNorm,
    pub(super) mlp: FeedForward,
    /// Whether a position sees no more than the config's window.
    pub(super) slides: bool,
    /// What training drops of what attention and feed-forward add; `None` outside of it.
    #[module(skip)]
    pub(super) dropped: Option<BlockDropout>,
}

/// What a layer drops.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockDropout {
    pub(super) share: f64,
    pub(super) attention: DropoutKey,
    pub(super) feed_forward: DropoutKey,
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
        let attended = self.self_attn.forward(normed, angles, mask, cache, trace);
        let h = x + self.dropped(attended, |dropped| dropped.attention);
        let fed = self.mlp.forward(self.post_attention_layernorm.forward(h.clone()), trace);
        let y = h + self.dropped(fed, |dropped| dropped.feed_forward);
        if let Some(kept) = &mut trace.hidden {
            kept.push(y.clone());
        }
        y
    }

    /// What is left of what one half adds.
    fn dropped(&self, added: Tensor<3>, half: fn(&BlockDropout) -> DropoutKey) -> Tensor<3> {
        match &self.dropped {
            Some(dropped) => {
                let rows = added.dims()[0];
                half(dropped).drop(added, dropped.share, rows)
            }
            None => added,
        }
    }
}
