//! The shape of a model: every number that its weights depend on.

use crate::error::{Error, Result};
use crate::tokenizer::Tokenizer;

/// Sizes and constants of a Llama-family model. `config.json` is its outside form
/// (see [`ModelConfig::from_hugging_face`] and [`ModelConfig::to_hugging_face`]).
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Number of token ids.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the SwiGLU.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; each serves `num_attention_heads / num_key_value_heads` query heads.
    pub num_key_value_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Longest sequence, in tokens.
    pub max_position_embeddings: usize,
    /// Added to the mean square in RMSNorm.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Biases on the query, key, value and output projections.
    pub attention_bias: bool,
    /// RMSNorm over each head of q and k before the rotation (Qwen3, MiniMind 3).
    pub qk_norm: bool,
    /// The output projection is the embedding, transposed.
    pub tie_word_embeddings: bool,
    /// Standard deviation of the initial weights.
    pub initializer_range: f64,
    /// Standard deviation of the initial embedding. Narrow models learn to copy from their context far sooner
    /// with a large one; the published sizes use `initializer_range`.
    pub embedding_range: f64,
    /// First token of a text, where the tokenizer has one.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a generation.
    pub eos_token_ids: Vec<u32>,
    /// Padding token.
    pub pad_token_id: Option<u32>,
}

impl ModelConfig {
    /// Number of weights; a tied embedding counts once.
    pub fn parameters(&self) -> u64 {
        let (d, heads) = (self.hidden_size, self.num_attention_heads * self.head_dim);
        let kv = self.num_key_value_heads * self.head_dim;
        let bias = if self.attention_bias { heads + 2 * kv + d } else { 0 };
        let qk_norm = if self.qk_norm { 2 * self.head_dim } else { 0 };
        let attention = 2 * d * heads + 2 * d * kv + bias + qk_norm;
        let layer = attention + 3 * d * self.intermediate_size + 2 * d;
        let head = if self.tie_word_embeddings { 0 } else { self.vocab_size * d };
        (self.vocab_size * d + self.num_hidden_layers * layer + d + head) as u64
    }

    /// Floating-point operations of one training token (forward and backward): 6 per matrix weight, and
    /// the two attention products, with the causal half not subtracted (PaLM, appendix B).
    pub fn training_flops_per_token(&self, seq_len: usize) -> f64 {
        let heads = self.num_attention_heads * self.head_dim;
        let matrices = self.parameters() as f64
            + if self.tie_word_embeddings { 0.0 } else { -((self.vocab_size * self.hidden_size) as f64) };
        6.0 * matrices + 12.0 * (self.num_hidden_layers * heads * seq_len) as f64
    }

    /// Everything that does not hold, as sentences; empty when the shape is sound.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let positive = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("head_dim", self.head_dim),
            ("max_position_embeddings", self.max_position_embeddings),
        ];
        for (name, value) in positive {
            if value == 0 || value > 1 << 24 {
                problems.push(format!("{name} is {value}; it must be between 1 and 16777216"));
            }
        }
        if self.num_key_value_heads > 0 && !self.num_attention_heads.is_multiple_of(self.num_key_value_heads)
        {
            problems.push(format!(
                "num_attention_heads ({}) must be a multiple of num_key_value_heads ({})",
                self.num_attention_heads, self.num_key_value_heads
            ));
        }
        if !self.head_dim.is_multiple_of(2) {
            problems.push(format!("head_dim ({}) must be even: rotary embedding turns pairs", self.head_dim));
        }
        if self.rope_theta <= 0.0 || !self.rope_theta.is_finite() {
            problems.push(format!("rope_theta is {}; it must be a positive number", self.rope_theta));
        }
        if self.rms_norm_eps <= 0.0 || !self.rms_norm_eps.is_finite() {
            problems
                .push(format!("rms_norm_eps is {}; it must be a small positive number", self.rms_norm_eps));
        }
        problems
    }

    /// `Err` with all problems at once.
    pub fn validate(&self) -> Result<()> {
        match self.problems() {
            problems if problems.is_empty() => Ok(()),
            problems => Err(Error::Config(problems)),
        }
    }

    /// Refuses a tokenizer whose ids the model does not have.
    ///
    /// # Errors
    /// Names both sizes.
    pub fn check_vocabulary(&self, tokenizer: &Tokenizer) -> Result<()> {
        if tokenizer.vocab_size() <= self.vocab_size {
            return Ok(());
        }
        Err(Error::Model(format!(
            "the tokenizer has {} ids, the model only {}; use the tokenizer that the model was trained with",
            tokenizer.vocab_size(),
            self.vocab_size
        )))
    }

    /// The same shape for another vocabulary.
    pub fn with_vocab_size(mut self, vocab_size: usize) -> Self {
        self.vocab_size = vocab_size;
        self
    }
}
