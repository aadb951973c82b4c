//! The path that LoRA trains beside a frozen dense layer (Hu et al., 2021, <https://arxiv.org/abs/2106.09685>).

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::dropout::DropoutKey;
use crate::kernels::in_dtype;

/// `s · B(A·dropout(x))`: two thin products, so that neither `B·A` nor a gradient of its shape is ever built.
#[derive(Module, Debug)]
pub struct LowRank {
    /// `[in, rank]`.
    pub a: Param<Tensor<2>>,
    /// `[rank, out]`; zeros at the beginning, so that training starts from the base exactly.
    pub b: Param<Tensor<2>>,
    /// `alpha / rank`, times the strength that was asked for.
    pub scale: f64,
    /// Share of the inputs that training drops.
    pub dropout: f64,
    /// Which inputs those are; `None` outside of training.
    #[module(skip)]
    pub(super) dropout_key: Option<DropoutKey>,
}

impl LowRank {
    /// A path whose dropout is off until training switches it on.
    pub fn new(a: Param<Tensor<2>>, b: Param<Tensor<2>>, scale: f64, dropout: f64) -> Self {
        Self { a, b, scale, dropout, dropout_key: None }
    }

    /// # Shapes
    /// `x [batch·seq, in]`, the rows of each of `batch` sequences together → `[batch·seq, out]`.
    pub(super) fn forward(&self, x: Tensor<2>, batch: usize) -> Tensor<2> {
        let dtype = x.dtype();
        let x = match self.dropout_key {
            Some(key) if self.dropout > 0.0 => key.drop(x, self.dropout, batch),
            _ => x,
        };
        let narrow = x.matmul(in_dtype(self.a.val(), dtype));
        narrow.matmul(in_dtype(self.b.val(), dtype)) * self.scale
    }
}
