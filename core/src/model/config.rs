//! The shape of a model: every number that its weights depend on.

use serde_json::{Map, Value};

use super::diffusion::Surroundings;
use super::keys::MOST_LAYERS;
use super::{DiffusionConfig, Experts, RopeScaling};
use crate::error::{Error, Result};
use crate::tokenizer::Tokenizer;
use crate::told::{Counted, Told, told};

/// The most that any other size may be.
const MOST: usize = 1 << 24;

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
    /// How the rotary frequencies are stretched for longer contexts.
    pub rope_scaling: RopeScaling,
    /// Biases on the query, key and value projections.
    pub attention_bias: bool,
    /// A bias on the output projection of attention.
    pub attention_output_bias: bool,
    /// Share of the attention weights that training drops (`attention_dropout`).
    pub attention_dropout: f64,
    /// Share of embeddings, attention weights and what each half of a layer adds that training drops (MiniMind's
    /// `dropout`).
    pub dropout: f64,
    /// The keys of its `config.json` that act in training with transformers and not here, such as `hidden_dropout`:
    /// training refuses them, and what is made of the model keeps them.
    pub untrained: Map<String, Value>,
    /// RMSNorm over each head of q and k before the rotation (Qwen3, MiniMind 3).
    pub qk_norm: bool,
    /// Layers that see only the last keys.
    pub sliding_window: Option<SlidingWindow>,
    /// Layers whose feed-forward is routed.
    pub experts: Option<Experts>,
    /// A masked predictor; `None` where the model predicts the next token.
    pub diffusion: Option<DiffusionConfig>,
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
    /// The keys of `generation_config.json`, which what is made of the model keeps; the tokens above count before them.
    pub generation: Map<String, Value>,
}

/// Attention to the last keys only (Beltagy et al., 2020, <https://arxiv.org/abs/2004.05150>).
#[derive(Clone, Debug, PartialEq)]
pub struct SlidingWindow {
    /// Keys that a position sees, itself included.
    pub window: usize,
    /// Which layers; the others see everything.
    pub layers: Vec<bool>,
}

impl ModelConfig {
    /// Number of weights; a tied embedding counts once.
    pub fn parameters(&self) -> u64 {
        self.count(self.experts.as_ref().map_or(0, |experts| experts.count))
    }

    /// Number of weights that one token meets: of routed experts only its own.
    pub fn active_parameters(&self) -> u64 {
        self.count(self.experts.as_ref().map_or(0, |experts| experts.per_token))
    }

    /// In 64 bits, which a browser's numbers of memory have not: a shape may be too large for it.
    fn count(&self, experts_of_a_layer: usize) -> u64 {
        let wide = |size: usize| size as u64;
        let (d, heads) = (wide(self.hidden_size), wide(self.num_attention_heads * self.head_dim));
        let kv = wide(self.num_key_value_heads * self.head_dim);
        let bias = if self.attention_bias { heads + 2 * kv } else { 0 };
        let bias = bias + if self.attention_output_bias { d } else { 0 };
        let qk_norm = if self.qk_norm { 2 * wide(self.head_dim) } else { 0 };
        let attention = 2 * d * heads + 2 * d * kv + bias + qk_norm;
        let feed_forward = |layer: usize| match &self.experts {
            Some(experts) if experts.layers[layer] => experts.parameters(d, experts_of_a_layer),
            _ => 3 * d * wide(self.intermediate_size),
        };
        let layers: u64 = (0..self.num_hidden_layers).map(|i| attention + feed_forward(i) + 2 * d).sum();
        let embedding = wide(self.vocab_size) * d;
        let head = if self.tie_word_embeddings { 0 } else { embedding };
        embedding + layers + d + head
    }

    /// Width inside a layer's feed-forward that one token meets.
    pub fn active_width(&self, layer: usize) -> usize {
        match &self.experts {
            Some(experts) if experts.layers[layer] => experts.active_width(),
            _ => self.intermediate_size,
        }
    }

    /// The dense shape whose tokens meet as many weights, gates aside; `None` where the layers differ in that, or none
    /// is routed.
    pub fn dense_twin(&self) -> Option<Self> {
        let width = self.experts.as_ref()?.active_width();
        let same = (0..self.num_hidden_layers).all(|layer| self.active_width(layer) == width);
        same.then(|| Self { intermediate_size: width, experts: None, ..self.clone() })
    }

    /// Weights of the matrices inside the layers, routers aside.
    pub fn layer_matrices(&self) -> u64 {
        let (d, heads) = (self.hidden_size, self.num_attention_heads * self.head_dim);
        let attention = 2 * d * (heads + self.num_key_value_heads * self.head_dim);
        let feed_forward = |layer: usize| match &self.experts {
            Some(experts) if experts.layers[layer] => {
                3 * d * experts.intermediate_size * (experts.count + experts.shared)
            }
            _ => 3 * d * self.intermediate_size,
        };
        (0..self.num_hidden_layers).map(|layer| (attention + feed_forward(layer)) as u64).sum()
    }

    /// Shares that training drops: of embeddings and of what layers add, and of attention weights; `asked` stands in place
    /// of what the config says of both.
    pub fn dropped(&self, asked: Option<f64>) -> (f64, f64) {
        match asked {
            Some(share) => (share, share),
            None => (self.dropout, self.dropout.max(self.attention_dropout)),
        }
    }

    /// Longest sequence that can be read: with a scaling that grows with the text, more than the pretraining's.
    pub fn context(&self) -> usize {
        self.rope_scaling.longest(self.max_position_embeddings)
    }

    /// Floating-point operations of one training token (forward and backward): 6 per matrix weight, and
    /// the two attention products, with the causal half not subtracted (PaLM, appendix B).
    pub fn training_flops_per_token(&self, seq_len: usize) -> f64 {
        let heads = self.num_attention_heads * self.head_dim;
        let matrices = self.active_parameters() as f64
            + if self.tie_word_embeddings { 0.0 } else { -((self.vocab_size * self.hidden_size) as f64) };
        6.0 * matrices + 12.0 * (self.num_hidden_layers * heads * seq_len) as f64
    }

    /// Everything that does not hold, as sentences; empty when the shape is sound.
    pub fn problems(&self) -> Vec<Told> {
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
            let most = if name == "num_hidden_layers" { MOST_LAYERS } else { MOST };
            if value == 0 || value > most {
                problems.push(told!(
                    "config.size",
                    "{name} is {value}; it must be between 1 and {most}",
                    name,
                    value,
                    most
                ));
            }
        }
        problems.extend(self.number_problems());
        problems.extend(self.layer_problems());
        let masked = self.diffusion.iter();
        problems.extend(masked.flat_map(|diffusion| diffusion.problems(&self.surroundings())));
        problems
    }

    /// What a masked predictor must agree with.
    fn surroundings(&self) -> Surroundings {
        let others = [("bos_token_id", self.bos_token_id), ("pad_token_id", self.pad_token_id)];
        let mut tokens: Vec<_> = self.eos_token_ids.iter().map(|id| ("eos_token_id", *id)).collect();
        tokens.extend(others.into_iter().filter_map(|(key, id)| Some((key, id?))));
        Surroundings {
            vocab_size: self.vocab_size,
            context: self.context(),
            window: self.sliding_window.as_ref().map(|sliding| sliding.window),
            tokens,
        }
    }

    fn number_problems(&self) -> Vec<Told> {
        let mut problems = Vec::new();
        if self.num_key_value_heads > 0 && !self.num_attention_heads.is_multiple_of(self.num_key_value_heads)
        {
            problems.push(told!(
                "config.heads",
                "num_attention_heads ({heads}) must be a multiple of num_key_value_heads ({kv_heads})",
                heads = self.num_attention_heads,
                kv_heads = self.num_key_value_heads
            ));
        }
        if !self.head_dim.is_multiple_of(2) {
            problems.push(told!(
                "config.head_dim",
                "head_dim ({head_dim}) must be even: rotary embedding turns pairs",
                head_dim = self.head_dim
            ));
        }
        if self.rope_theta <= 0.0 || !self.rope_theta.is_finite() {
            problems.push(told!(
                "config.rope_theta",
                "rope_theta is {theta}; it must be a positive number",
                theta = self.rope_theta
            ));
        }
        if self.rms_norm_eps <= 0.0 || !self.rms_norm_eps.is_finite() {
            problems.push(told!(
                "config.eps",
                "rms_norm_eps is {eps}; it must be a small positive number",
                eps = self.rms_norm_eps
            ));
        }
        for (key, dropout) in [("attention_dropout", self.attention_dropout), ("dropout", self.dropout)] {
            if !(0.0..1.0).contains(&dropout) {
                problems.push(told!(
                    "config.dropout",
                    "{key} is {dropout}; it must be at least 0 and below 1",
                    key,
                    dropout
                ));
            }
        }
        problems
    }

    fn layer_problems(&self) -> Vec<Told> {
        let mut problems = Vec::new();
        let (layers, experts) = (self.num_hidden_layers, self.experts.as_ref());
        let lists = [
            ("sliding_window", self.sliding_window.as_ref().map(|sliding| sliding.layers.len())),
            ("experts", experts.map(|experts| experts.layers.len())),
        ];
        for (name, len) in lists {
            if let Some(len) = len.filter(|len| *len != layers) {
                problems.push(told!(
                    "config.lists",
                    "{name} names {len}, but there are {layers}",
                    name,
                    len = Counted::new(len as u64, ["layer", "layers"]),
                    layers
                ));
            }
        }
        if self.sliding_window.as_ref().is_some_and(|sliding| sliding.window == 0) {
            problems.push(told!("config.window", "sliding_window is 0; a position sees at least itself"));
        }
        problems.extend(experts.map(Experts::problems).unwrap_or_default());
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
        Err(Error::Model(told!(
            "model.vocabulary",
            "the tokenizer has {ids} ids, the model only {rows}; use the tokenizer that the model was trained with",
            ids = tokenizer.vocab_size(),
            rows = self.vocab_size
        )))
    }

    /// The same with the tokenizer's ends of a text among the tokens that end an answer, behind its own.
    #[must_use]
    pub fn with_ends_of(mut self, tokenizer: &Tokenizer) -> Self {
        for id in tokenizer.stop_ids() {
            if !self.eos_token_ids.contains(&id) {
                self.eos_token_ids.push(id);
            }
        }
        self
    }

    /// The same with the tokenizer's special ids, as functions that generate expect them elsewhere; the tokens that end
    /// an answer stay where there are any.
    #[must_use]
    pub fn with_token_ids(mut self, tokenizer: &Tokenizer) -> Self {
        self.bos_token_id = tokenizer.bos().or(self.bos_token_id);
        self.pad_token_id = tokenizer.pad().or(self.pad_token_id);
        if self.eos_token_ids.is_empty() {
            self.eos_token_ids = tokenizer.stop_ids();
        }
        self
    }

    /// The same shape for another vocabulary.
    pub fn with_vocab_size(mut self, vocab_size: usize) -> Self {
        self.vocab_size = vocab_size;
        self
    }
}
