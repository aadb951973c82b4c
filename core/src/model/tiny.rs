//! The model of tests: one layer of two heads, which takes no time.

use super::{ModelConfig, preset};

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
