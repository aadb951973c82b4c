//! The model of tests: one layer of two heads, which takes no time.

use burn::tensor::{Device, Tensor};

use super::{ModelConfig, Transformer, preset};

/// Its shape, with a vocabulary of this size.
pub(crate) fn tiny(vocab: usize) -> ModelConfig {
    ModelConfig {
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        num_key_value_heads: 2,
        head_dim: 8,
        max_position_embeddings: 32,
        ..preset("nano").unwrap().config(Some(vocab))
    }
}

/// A model of this shape with 32 tokens and drawn weights.
pub(crate) fn tiny_model(device: &Device) -> Transformer {
    Transformer::init(&tiny(32), 5, device).unwrap()
}

/// The numbers of a tensor in their order.
pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}
