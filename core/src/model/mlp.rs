//! The gated feed-forward layer (Shazeer, 2020, <https://arxiv.org/abs/2002.05202>).

use burn::module::Module;
use burn::tensor::Tensor;

use super::Linear;
use crate::kernels::swiglu;

/// SwiGLU: `down(silu(gate(x)) ⊙ up(x))`.
#[derive(Module, Debug)]
pub struct Mlp {
    pub(super) gate_proj: Linear,
    pub(super) up_proj: Linear,
    pub(super) down_proj: Linear,
}

impl Mlp {
    /// # Shapes
    /// `x [batch, seq, hidden]` → the same.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let gate = self.gate_proj.forward(x.clone());
        self.down_proj.forward(swiglu(gate, self.up_proj.forward(x)))
    }

    /// Whether an adapter of it drops inputs now.
    pub(super) fn drops(&self) -> bool {
        [&self.gate_proj, &self.up_proj, &self.down_proj].into_iter().any(Linear::drops)
    }

    /// The dense layers by their names behind `prefix`.
    pub(super) fn linears_mut(&mut self, prefix: &str) -> Vec<(String, &mut Linear)> {
        let named = [
            ("gate_proj", &mut self.gate_proj),
            ("up_proj", &mut self.up_proj),
            ("down_proj", &mut self.down_proj),
        ];
        named.into_iter().map(|(name, linear)| (format!("{prefix}{name}"), linear)).collect()
    }
}
