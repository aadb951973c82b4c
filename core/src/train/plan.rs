//! What a run will need, before it starts.

use burn::tensor::Device;
use serde::Serialize;

use super::TrainConfig;
use crate::kernels::AttentionBlocks;
use crate::loss::Beside;
use crate::model::ModelConfig;

/// Sizes and times estimated from the shapes alone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// The model's weights.
    pub parameters: u64,
    /// Those that train: all, or an adapter's.
    pub trained: u64,
    /// Weights, and gradients and two moments of those that train, in bytes (f32 each).
    pub state_bytes: u64,
    /// What a forward pass keeps for the backward pass, in bytes.
    pub activation_bytes: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// Tokens of the whole run.
    pub tokens: u64,
    /// Floating-point operations of the whole run.
    pub flops: f64,
}

/// Tokens that rows of a batch take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowTokens {
    /// On average.
    pub mean: f64,
    /// At most.
    pub longest: usize,
}

impl RowTokens {
    /// Rows that are all full.
    pub fn full(config: &TrainConfig) -> Self {
        Self { mean: config.max_seq_len as f64, longest: config.max_seq_len }
    }
}

impl Plan {
    /// Estimates a run of `steps` steps on a device; `adapter` is the number of an adapter's weights, where one trains.
    pub fn new(
        model: &ModelConfig,
        config: &TrainConfig,
        steps: u64,
        adapter: Option<u64>,
        row: RowTokens,
        device: &Device,
    ) -> Self {
        let parameters = model.parameters();
        let (trained, held) = match adapter {
            Some(adapter) => (adapter, parameters + adapter),
            None => (parameters, parameters),
        };
        // Forward and backward through the activations; the gradients of frozen matrices are not made.
        let share = if adapter.is_some() { 2.0 / 3.0 } else { 1.0 };
        let rows = config.batch_size as u64;
        let tokens = (steps as f64 * (rows * config.grad_accum as u64) as f64 * row.mean) as u64;
        Self {
            parameters,
            trained,
            state_bytes: (held + 3 * trained) * 4,
            activation_bytes: rows * activation_floats(model, row.longest, device) * 4,
            steps,
            tokens,
            flops: tokens as f64 * model.training_flops_per_token(row.longest) * share,
        }
    }

    /// Reckons with rows that are mixed into every step and take this share of it, as long as the others.
    pub(super) fn add_share(&mut self, share: f64) {
        let factor = 1.0 / (1.0 - share);
        self.tokens = (self.tokens as f64 * factor) as u64;
        self.flops *= factor;
    }

    /// Reckons with what the objective needs beside what trains; a batch has so many rows.
    pub(super) fn add_beside(&mut self, beside: &Beside, model: &ModelConfig, rows: usize, row: RowTokens) {
        self.state_bytes += beside.bytes;
        // Forward and backward are three passes forward.
        let forward =
            |model: &ModelConfig| self.tokens as f64 * model.training_flops_per_token(row.longest) / 3.0;
        let mut flops = f64::from(beside.forwards) * forward(model);
        if let Some(teacher) = &beside.teacher {
            flops += forward(teacher);
            self.activation_bytes += (4 * rows * row.longest * teacher.vocab_size) as u64;
        }
        self.flops += flops;
    }

    /// All memory together.
    pub fn bytes(&self) -> u64 {
        self.state_bytes + self.activation_bytes
    }
}

/// Floats kept for one row: the block's intermediate results, the attention scores with their softmax, and
/// the logits with theirs and their gradient.
fn activation_floats(model: &ModelConfig, seq: usize, device: &Device) -> u64 {
    let wide = model.num_attention_heads * model.head_dim;
    let narrow = model.num_key_value_heads * model.head_dim;
    // Of routed layers what the processor keeps, where an expert sees its own tokens alone.
    let inner: usize = (0..model.num_hidden_layers).map(|layer| model.active_width(layer)).sum();
    let stream = 8 * model.hidden_size + 6 * wide + 8 * narrow;
    let block = seq * stream;
    let scores = score_floats(model, seq, device);
    (model.num_hidden_layers * block + scores + 4 * seq * inner + 3 * seq * model.vocab_size) as u64
}

/// Floats of the attention scores of all layers: those of all queries in each, or those of one block of queries while it
/// is computed.
fn score_floats(model: &ModelConfig, seq: usize, device: &Device) -> usize {
    let (heads, layers) = (model.num_attention_heads, model.num_hidden_layers);
    // Dropout keeps which weights it dropped, and what is left of them, and takes all queries at once.
    if model.attention_dropout > 0.0 {
        return 5 * heads * seq * seq * layers;
    }
    match AttentionBlocks::ByLength.of(seq, device) {
        Some(block) => 3 * heads * block * seq,
        None => 3 * heads * seq * seq * layers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::preset;

    #[test]
    fn in_blocks_the_scores_of_a_row_grow_with_its_length() {
        let (device, mut model) = (Device::flex(), preset("nano").unwrap().config(None));
        (model.num_attention_heads, model.num_hidden_layers) = (4, 5);
        let floats = |model: &ModelConfig, seq: usize| score_floats(model, seq, &device);
        assert_eq!(floats(&model, 256), 3 * 4 * 256 * 256 * 5);
        assert_eq!(floats(&model, 1024), 3 * 4 * 128 * 1024);
        assert_eq!(floats(&model, 4096), 4 * floats(&model, 1024));
        model.attention_dropout = 0.1;
        assert_eq!(floats(&model, 1024), 5 * 4 * 1024 * 1024 * 5);
    }
}
