//! A dense layer whose weight is stored `[in, out]`, so that no product needs a transposed copy.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::{LowRank, Weight};
use crate::kernels::in_dtype;

/// `y = x·W + b`, with `W: [in, out]` (Hugging Face files hold `[out, in]`), and what adapters add to it.
#[derive(Module, Debug)]
pub struct Linear {
    /// Dense: `[in, out]`.
    pub weight: Weight,
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
        let [_, out] = self.shape();
        // One product of two matrices is faster than a batch of them.
        let x = x.reshape([batch * seq, width]);
        let y = match &self.weight {
            Weight::Dense(weight) => x.clone().matmul(in_dtype(weight.val(), x.dtype())),
            Weight::Quantized(weight) => weight.matrix.multiply(x.clone()),
        };
        let y = match &self.bias {
            Some(bias) => y.clone() + in_dtype(bias.val(), y.dtype()).unsqueeze(),
            None => y,
        };
        let y = self.lora.iter().fold(y, |y, path| y + path.forward(x.clone(), batch));
        y.reshape([batch, seq, out])
    }

    /// Whether an adapter of it drops inputs now.
    pub(super) fn drops(&self) -> bool {
        self.lora.iter().any(|path| path.dropout_key.is_some())
    }

    /// The numbers of inputs and outputs.
    pub fn shape(&self) -> [usize; 2] {
        match &self.weight {
            Weight::Dense(weight) => weight.val().dims(),
            Weight::Quantized(weight) => {
                let [out, inputs] = weight.matrix.shape();
                [inputs, out]
            }
        }
    }
}
