//! A dense layer whose weight is stored `[in, out]`, so that no product needs a transposed copy.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::low_rank::without_graph;
use super::{LowRank, Weight};
use crate::kernels::{few_rows, in_dtype, multiply};

/// `y = x·W + b`, with `W: [in, out]` (Hugging Face files hold `[out, in]`), and what adapters add to it.
#[derive(Module, Debug)]
pub struct Linear {
    /// Dense: `[in, out]`.
    pub weight: Weight,
    /// `[out]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// The low-rank paths of the adapters that are attached.
    pub lora: Vec<LowRank>,
    /// Whether it meets only the few rows of tokens that its model wrote itself.
    #[module(skip)]
    pub writes: bool,
}

impl Linear {
    /// # Shapes
    /// `x [batch, seq, in]` → `[batch, seq, out]`, computed in `x`'s dtype.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, seq, width] = x.dims();
        let [_, out] = self.shape();
        // One product of two matrices is faster than a batch of them.
        let x = x.reshape([batch * seq, width]);
        let plain = self.product(x.clone());
        let y = match &self.bias {
            Some(bias) => plain.clone() + in_dtype(bias.val(), plain.dtype()).unsqueeze(),
            None => plain.clone(),
        };
        let change = |path: &LowRank| {
            let base = || self.dense(&x.device().inner());
            path.change(x.clone(), batch, &plain, |x| self.product(x), base)
        };
        let y = self.lora.iter().fold(y, |y, path| y + change(path));
        y.reshape([batch, seq, out])
    }

    /// Products with its own weights alone: `[n, in]` → `[n, out]`.
    fn product(&self, x: Tensor<2>) -> Tensor<2> {
        match &self.weight {
            Weight::Dense(weight) => {
                let weight = in_dtype(weight.val(), x.dtype());
                if self.writes { few_rows(x, weight) } else { multiply(x, weight) }
            }
            Weight::Quantized(weight) => weight.matrix.multiply(x),
        }
    }

    /// Its own weights `[in, out]` in f32, as constants on a device without autodiff: that of its computations.
    pub(crate) fn dense(&self, device: &Device) -> Tensor<2> {
        match &self.weight {
            Weight::Dense(weight) => without_graph(weight.val()),
            Weight::Quantized(weight) => weight.matrix.dense(device).transpose(),
        }
    }

    /// Computes what of its adapters depends on weights alone, for a layer none of which changes any more.
    pub(super) fn settle(&mut self, device: &Device) {
        let paths = std::mem::take(&mut self.lora);
        let settled = paths.into_iter().map(|path| path.settled(|| self.dense(device))).collect();
        self.lora = settled;
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
