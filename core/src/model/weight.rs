//! What a matrix of a model is held as.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::kernels::{Activations, QuantizedMatrix};

/// Numbers that may train, or blocks of few bits that only compute.
#[derive(Module, Debug)]
pub enum Weight {
    /// In f32, in the layout of its layer.
    Dense(Param<Tensor<2>>),
    /// In the layout of Hugging Face files, `[out, in]`.
    Quantized(Quantized),
}

impl Weight {
    /// Chooses what it is multiplied by where it has few bits.
    pub(super) fn set_activations(&mut self, activations: Activations) {
        if let Self::Quantized(weight) = self {
            weight.matrix.set_activations(activations);
        }
    }
}

/// A quantized matrix as a part of a module: no parameter, so nothing that a walk over parameters finds.
#[derive(Module, Debug)]
pub struct Quantized {
    #[module(skip)]
    pub(super) matrix: QuantizedMatrix,
}
