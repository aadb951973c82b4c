//! A dense layer whose weight is stored `[in, out]`, so that no product needs a transposed copy.

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor};

use super::LowRank;

/// `y = x·W + b`, with `W: [in, out]` (Hugging Face files hold `[out, in]`), and what adapters add to it.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[in, out]`.
    pub weight: Param<Tensor<2>>,
    /// `[out]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// The low-rank paths of the adapters that are attached.
    pub lora: Vec<LowRank>,
}

impl Linear {
    /// # Shapes
    /// `x [batch, seq, in]` → `[batch, seq, out]`, computed in `x`'s dtype.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, seq, width] = x.dims();
        let weight = in_dtype(self.weight.val(), x.dtype());
        let [_, out] = weight.dims();
        // One product of two matrices is faster than a batch of them.
        let x = x.reshape([batch * seq, width]);
        let y = x.clone().matmul(weight);
        let y = match &self.bias {
            Some(bias) => y.clone() + in_dtype(bias.val(), y.dtype()).unsqueeze(),
            None => y,
        };
        let y = self.lora.iter().fold(y, |y, path| y + path.forward(x.clone(), batch));
        y.reshape([batch, seq, out])
    }
}

/// Master weights stay f32; the product runs in the activations' dtype.
pub(super) fn in_dtype<const D: usize>(tensor: Tensor<D>, dtype: DType) -> Tensor<D> {
    if tensor.dtype() == dtype { tensor } else { tensor.cast(dtype) }
}
