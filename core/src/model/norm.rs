//! The norm before each part of a block.

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor};

use crate::kernels::rms_norm;

/// `y = x / sqrt(mean(x²) + eps) · weight`, over the last dimension.
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// `[width]`.
    pub weight: Param<Tensor<1>>,
    /// Added to the mean square.
    pub eps: f64,
}

impl RmsNorm {
    /// # Shapes
    /// `x [.., width]` → the same; computed in f32, returned in `x`'s dtype.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let dtype = x.dtype();
        if dtype == DType::F32 {
            return rms_norm(x, self.weight.val(), self.eps);
        }
        rms_norm(x.cast(DType::F32), self.weight.val(), self.eps).cast(dtype)
    }
}
