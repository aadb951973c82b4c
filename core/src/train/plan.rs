//! What a run will need, before it starts.

use burn::tensor::Device;
use serde::Serialize;

use super::{TrainConfig, TrainOptions};
use crate::device::is_processor;
use crate::kernels::{ATTENTION_ROWS, AttentionBlocks};
use crate::loss::Beside;
use crate::model::{ActivationCheckpointing, ModelConfig};

/// Sizes and times estimated from the shapes alone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// The model's weights.
    pub parameters: u64,
    /// Those that train: all, or an adapter's.
    pub trained: u64,
    /// Weights, and gradients, moments and copies of those that train, in bytes (f32 each).
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
        let options = &config.options;
        // The average of the weights, and the best ones; Muon keeps one moment of its matrices.
        let copies = u64::from(options.ema > 0.0) + u64::from(options.early_stop > 0);
        let spared = if options.muon && adapter.is_none() { model.layer_matrices() } else { 0 };
        // Of the three passes of a step those forward through some layers are made twice.
        let layers = model.num_hidden_layers;
        let recomputed = (0..layers).filter(|&i| options.activation_checkpointing.recomputes(i)).count();
        let again = recomputed as f64 / (3 * layers.max(1)) as f64;
        let rows = config.batch_size as u64;
        // A block model reads its rows noised and clean.
        let block = model.diffusion.as_ref().and_then(|diffusion| diffusion.block_length);
        let passes = if block.is_some_and(|block| block < config.max_seq_len) { 2 } else { 1 };
        let tokens = (steps as f64 * (rows * config.grad_accum as u64) as f64 * row.mean) as u64;
        Self {
            parameters,
            trained,
            state_bytes: (held + (3 + copies) * trained - spared) * 4,
            activation_bytes: activation_floats(model, options, row.longest, device)
                .saturating_mul(4 * passes)
                .saturating_mul(rows),
            steps,
            tokens,
            flops: passes as f64
                * tokens as f64
                * model.training_flops_per_token(row.longest)
                * (share + again),
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
            let logits = (4 * wide(row.longest) * wide(teacher.vocab_size)).saturating_mul(wide(rows));
            self.activation_bytes = self.activation_bytes.saturating_add(logits);
        }
        self.flops += flops;
    }

    /// All memory together.
    pub fn bytes(&self) -> u64 {
        self.state_bytes.saturating_add(self.activation_bytes)
    }
}

/// In 64 bits, which a browser's numbers of memory have not: a run may be too large for it.
fn wide(size: usize) -> u64 {
    size as u64
}

/// Floats kept for one row: the layers' intermediate results, the attention scores with their softmax, and the logits with
/// theirs and their gradient. Of what is computed again one layer's stands beside the rest at a time.
fn activation_floats(model: &ModelConfig, options: &TrainOptions, seq: usize, device: &Device) -> u64 {
    let (hidden, length) = (wide(model.hidden_size), wide(seq));
    let heads = wide(model.num_attention_heads * model.head_dim);
    let narrow = wide(model.num_key_value_heads * model.head_dim);
    let (everywhere, of_attention) = model.dropped(options.dropout);
    // Dropout keeps what it multiplied by, and of attention what is left, too.
    let halves = if everywhere > 0.0 { 2 * hidden } else { 0 };
    let stream = 8 * hidden + 6 * heads + 8 * narrow + halves;
    // Of routed layers what the processor keeps, where an expert sees its own tokens alone.
    let rest = |layer: usize| length * (stream + 4 * wide(model.active_width(layer)));
    let strategy = options.activation_checkpointing;
    let fine = strategy == ActivationCheckpointing::FineGrained;
    let (scores, passing) = score_floats(model, of_attention, seq, device, fine);
    let (mut kept, mut again) = (3 * length * wide(model.vocab_size), 0);
    for layer in 0..model.num_hidden_layers {
        let whole = rest(layer) + scores;
        let (stays, comes_back) = match (strategy.recomputes(layer), fine) {
            (true, _) => (length * hidden, whole),
            (false, true) => (rest(layer), scores),
            (false, false) => (whole, 0),
        };
        kept += stays;
        again = again.max(comes_back + passing);
    }
    kept + again
}

/// Floats of the attention scores of a layer: those that are kept for the backward pass, and those of one block of queries,
/// which stand there while it is computed. With `again` they are computed again by the composed form.
fn score_floats(model: &ModelConfig, dropped: f64, seq: usize, device: &Device, again: bool) -> (u64, u64) {
    let (heads, length) = (wide(model.num_attention_heads), wide(seq));
    // Dropout keeps which weights it dropped, and what is left of them, and takes all queries at once.
    if dropped > 0.0 {
        return (5 * heads * length * length, 0);
    }
    match AttentionBlocks::ByLength.of(seq, device) {
        Some(block) => (0, 3 * heads * wide(block) * length),
        // The one operation on the processor keeps the weights alone, of causal rows little more than their half.
        None if is_processor(device) && !again => match model.diffusion {
            None => (heads * length * (length + wide(ATTENTION_ROWS).min(length)) / 2, 0),
            Some(_) => (heads * length * length, 0),
        },
        None => (3 * heads * length * length, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::preset;
    use crate::train::Stage;

    fn plan(options: TrainOptions) -> Plan {
        let config = TrainConfig { batch_size: 1, options, ..TrainConfig::of(Stage::Pretrain) };
        let row = RowTokens { mean: 16.0, longest: 16 };
        Plan::new(&model(), &config, 1, None, row, &Device::flex())
    }

    /// Four layers of two heads of width 2, a hidden and an inner width of 4, and a vocabulary of 8.
    fn model() -> ModelConfig {
        ModelConfig {
            hidden_size: 4,
            intermediate_size: 4,
            num_hidden_layers: 4,
            num_attention_heads: 2,
            num_key_value_heads: 2,
            head_dim: 2,
            experts: None,
            ..preset("nano").unwrap().config(Some(8))
        }
    }

    #[test]
    fn activations_by_hand() {
        let bytes = |activation_checkpointing| {
            plan(TrainOptions { activation_checkpointing, ..TrainOptions::default() }).activation_bytes / 4
        };
        // 16 positions of 8·4 + 6·4 + 8·4 + 4·4, and 2 heads · 16² weights; 3 · 16 · 8 for the logits.
        let (rest, weights, input, logits) = (16 * 104, 512, 16 * 4, 384);
        let whole = rest + weights;
        for (strategy, expected) in [
            (ActivationCheckpointing::None, 4 * whole),
            (ActivationCheckpointing::WholeLayer, 4 * input + whole),
            (ActivationCheckpointing::OneInTwo, 2 * input + 2 * whole + whole),
            (ActivationCheckpointing::OneInFour, input + 3 * whole + whole),
            (ActivationCheckpointing::FineGrained, 4 * rest + 3 * weights),
        ] {
            assert_eq!(bytes(strategy), expected + logits, "{strategy:?}");
        }
    }

    #[test]
    fn what_no_memory_holds_is_told_all_the_same() {
        let model = ModelConfig { vocab_size: 1 << 17, num_attention_heads: 32, ..model() };
        let row = RowTokens { mean: 2048.0, longest: 2048 };
        let bytes = |batch_size| {
            let config = TrainConfig { batch_size, ..TrainConfig::of(Stage::Pretrain) };
            Plan::new(&model, &config, 1, None, row, &Device::flex()).activation_bytes
        };
        // The logits alone are 3 · 2048 · 2¹⁷ floats a row.
        assert!(bytes(1) > 4 * 3 * (2048 << 17));
        assert_eq!(bytes(1 << 20), bytes(1) << 20);
        assert_eq!(bytes(1 << 40), u64::MAX);
    }

    #[test]
    fn copies_and_moments_by_hand() {
        let (all, matrices) = (model().parameters(), model().layer_matrices());
        // Four matrices of attention and three of the feed-forward, 4 × 4 each.
        assert_eq!(matrices, 4 * 7 * 16);
        let state = |options| plan(options).state_bytes / 4;
        assert_eq!(state(TrainOptions::default()), 4 * all);
        let copies = TrainOptions { ema: 0.9, early_stop: 2, ..TrainOptions::default() };
        assert_eq!(state(copies), 6 * all);
        assert_eq!(state(TrainOptions { muon: true, ..TrainOptions::default() }), 4 * all - matrices);
        let flops = |activation_checkpointing| {
            plan(TrainOptions { activation_checkpointing, ..TrainOptions::default() }).flops
        };
        let more = flops(ActivationCheckpointing::OneInTwo) / flops(ActivationCheckpointing::None);
        assert!((more - 7.0 / 6.0).abs() < 1e-9, "half of the layers, one of three passes: {more}");
    }

    #[test]
    fn in_blocks_the_scores_of_a_row_grow_with_its_length() {
        let (device, mut model) = (Device::flex(), model());
        model.num_attention_heads = 4;
        let floats = |seq: usize, dropped: f64| score_floats(&model, dropped, seq, &device, false);
        // A causal row of 256: on average half of the keys of earlier blocks of 64 queries, and those of its own.
        assert_eq!(floats(256, 0.0), (4 * 256 * (256 + 64) / 2, 0));
        assert_eq!(score_floats(&model, 0.0, 256, &device, true), (3 * 4 * 256 * 256, 0));
        assert_eq!(floats(1024, 0.0), (0, 3 * 4 * 128 * 1024));
        assert_eq!(floats(4096, 0.0), (0, 4 * floats(1024, 0.0).1));
        assert_eq!(floats(1024, 0.1), (5 * 4 * 1024 * 1024, 0));
    }

    #[test]
    fn blocks_of_one_layer_stand_there_at_a_time_whatever_is_computed_again() {
        let row = RowTokens { mean: 1024.0, longest: 1024 };
        let floats = |options: TrainOptions| {
            let config = TrainConfig { batch_size: 1, options, ..TrainConfig::of(Stage::Pretrain) };
            Plan::new(&model(), &config, 1, None, row, &Device::flex()).activation_bytes / 4
        };
        // As above, but 1024 positions, of whose scores those of 128 queries stand there.
        let (rest, block, input, logits) = (1024 * 104, 3 * 2 * 128 * 1024, 1024 * 4, 24 * 1024);
        for (activation_checkpointing, expected) in [
            (ActivationCheckpointing::None, 4 * rest),
            (ActivationCheckpointing::FineGrained, 4 * rest),
            (ActivationCheckpointing::WholeLayer, 4 * input + rest),
        ] {
            let options = TrainOptions { activation_checkpointing, ..TrainOptions::default() };
            assert_eq!(floats(options), expected + block + logits, "{activation_checkpointing:?}");
        }
        // Dropout takes all queries at once, and keeps what it multiplied by, of both halves of a layer, too.
        let dropped = TrainOptions { dropout: Some(0.1), ..TrainOptions::default() };
        assert_eq!(floats(dropped), 4 * (rest + 1024 * 8 + 5 * 2 * 1024 * 1024) + logits);
    }
}
