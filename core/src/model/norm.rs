//! Root-mean-square normalisation (Zhang & Sennrich, 2019, <https://arxiv.org/abs/1910.07467>).

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor};

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
        let x = if dtype == DType::F32 {
            x
        } else {
            x.cast(DType::F32)
        };
        let scale = (x.clone().square().mean_dim(D - 1) + self.eps).sqrt();
        let y = x / scale * self.weight.val().unsqueeze();
        if dtype == DType::F32 { y } else { y.cast(dtype) }
    }
}
