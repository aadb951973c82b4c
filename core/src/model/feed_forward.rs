//! What stands behind a block's attention: one expert, or several of which each token gets a few.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Linear, Mlp, Moe, Trace};

/// What stands behind a block's attention.
#[allow(clippy::large_enum_variant, reason = "there is one a layer, and a module cannot be boxed")]
#[derive(Module, Debug)]
pub enum FeedForward {
    /// One expert for all tokens.
    Dense(Mlp),
    /// Several, of which each token gets a few.
    Sparse(Moe),
}

impl FeedForward {
    /// # Shapes
    /// `x [batch, seq, hidden]` → the same.
    pub(super) fn forward(&self, x: Tensor<3>, trace: &mut Trace) -> Tensor<3> {
        match self {
            Self::Dense(mlp) => mlp.forward(x),
            Self::Sparse(moe) => moe.forward(x, trace),
        }
    }

    /// The dense layers that adapters may join, by their names below `mlp`.
    pub(super) fn linears_mut(&mut self) -> Vec<(String, &mut Linear)> {
        match self {
            Self::Dense(mlp) => mlp.linears_mut(""),
            Self::Sparse(moe) => {
                let experts = moe.experts.iter_mut().enumerate();
                let shared = moe.shared_experts.iter_mut().enumerate();
                let experts = experts.flat_map(|(i, expert)| expert.linears_mut(&format!("experts.{i}.")));
                let shared =
                    shared.flat_map(|(i, expert)| expert.linears_mut(&format!("shared_experts.{i}.")));
                experts.chain(shared).collect()
            }
        }
    }
}
