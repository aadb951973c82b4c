//! Published sizes by name, and two small ones for laptops and tabs.

use serde_json::Map;

use super::{Balance, Experts, ModelConfig, RopeScaling};
use crate::error::{Error, Result};
use crate::told::told;

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// The name on the command line.
    pub name: &'static str,
    hidden_size: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    vocab_size: usize,
    max_len: usize,
    theta: f64,
    eps: f64,
    qk_norm: bool,
    ffn: usize,
    initializer_range: f64,
    embedding_range: f64,
    experts: Option<Mixture>,
}

/// What all layers of a preset are routed to; each expert is as wide as the feed-forward of a dense size.
#[derive(Clone, Copy, Debug)]
struct Mixture {
    count: usize,
    per_token: usize,
    shared: usize,
    balance: Balance,
}

/// Feed-forward width of the first three MiniMind generations: 8/3 of the width, up to a multiple of 64.
const fn ffn(hidden_size: usize) -> usize {
    (2 * (4 * hidden_size) / 3).div_ceil(64) * 64
}

const fn row(name: &'static str, shape: [usize; 5], max_len: usize, theta: f64) -> Preset {
    let [hidden_size, layers, heads, kv_heads, vocab_size] = shape;
    let (eps, qk_norm) = (1e-5, false);
    Preset {
        name,
        hidden_size,
        layers,
        heads,
        kv_heads,
        vocab_size,
        max_len,
        theta,
        eps,
        qk_norm,
        ffn: ffn(hidden_size),
        initializer_range: 0.02,
        embedding_range: 0.02,
        experts: None,
    }
}

/// MiniMind 1 and 2: four experts of which a token gets two, and one that all get; balanced in each sequence.
const fn mixture(aux_loss_alpha: f64) -> Option<Mixture> {
    let balance =
        Balance { aux_loss_alpha, seq_aux: true, router_aux_loss_coef: 0.0, router_z_loss_coef: 0.0 };
    Some(Mixture { count: 4, per_token: 2, shared: 1, balance })
}

/// MiniMind 3: one of four, balanced over the whole step.
const MIXTURE3: Mixture = Mixture {
    count: 4,
    per_token: 1,
    shared: 0,
    balance: Balance {
        aux_loss_alpha: 0.0,
        seq_aux: true,
        router_aux_loss_coef: 5e-4,
        router_z_loss_coef: 0.0,
    },
};

/// Our own: two of four a token, balanced over the whole step.
const MIXTURE_NANO: Mixture = Mixture {
    count: 4,
    per_token: 2,
    shared: 0,
    balance: Balance {
        aux_loss_alpha: 0.0,
        seq_aux: true,
        router_aux_loss_coef: 0.01,
        router_z_loss_coef: 0.0,
    },
};

/// Our own sizes for laptops and tabs.
const fn small(name: &'static str, shape: [usize; 5]) -> Preset {
    Preset { qk_norm: true, initializer_range: 0.04, embedding_range: 0.3, ..row(name, shape, 1024, 1e4) }
}

/// MiniMind 3: QK-norm, and a feed-forward of ceil(π·d / 64)·64.
const MINIMIND3: Preset =
    Preset { eps: 1e-6, qk_norm: true, ffn: 2432, ..row("minimind3", [768, 8, 8, 4, 6400], 32768, 1e6) };

const PRESETS: [Preset; 15] = [
    small("nano", [128, 4, 4, 2, 2048]),
    small("micro", [192, 5, 6, 2, 6400]),
    Preset { experts: Some(MIXTURE_NANO), ..small("nano-moe", [128, 4, 4, 2, 2048]) },
    row("minimind2-small", [512, 8, 8, 2, 6400], 8192, 1e6),
    row("minimind2", [768, 16, 8, 2, 6400], 8192, 1e6),
    Preset { experts: mixture(0.1), ..row("minimind2-moe", [640, 8, 8, 2, 6400], 8192, 1e6) },
    row("minimind-v1-small", [512, 8, 16, 8, 6400], 512, 1e4),
    row("minimind-v1", [768, 16, 16, 8, 6400], 512, 1e4),
    Preset { experts: mixture(0.01), ..row("minimind-v1-moe", [512, 8, 16, 8, 6400], 512, 1e4) },
    row("minimind-768x8", [768, 8, 8, 2, 6400], 32768, 1e6),
    MINIMIND3,
    Preset { name: "minimind3-moe", experts: Some(MIXTURE3), ..MINIMIND3 },
    row("spongebob", [512, 8, 8, 8, 6400], 1024, 1e6),
    row("tiny-llm", [1024, 18, 16, 8, 6144], 512, 1e4),
    row("tiny-llm-82m", [768, 12, 16, 8, 6144], 512, 1e4),
];

/// The preset of that name.
///
/// # Errors
/// An unknown name, with the known ones.
pub fn preset(name: &str) -> Result<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name).ok_or_else(|| {
        let names: Vec<_> = PRESETS.iter().map(|preset| preset.name).collect();
        Error::Config(vec![told!(
            "preset.unknown",
            "there is no preset '{name}'; choose one of {names}",
            name,
            names = names.join(", ")
        )])
    })
}

impl Preset {
    /// The configuration; `vocab_size` replaces the preset's own where a tokenizer brings another.
    pub fn config(&self, vocab_size: Option<usize>) -> ModelConfig {
        ModelConfig {
            vocab_size: vocab_size.unwrap_or(self.vocab_size),
            hidden_size: self.hidden_size,
            intermediate_size: self.ffn,
            num_hidden_layers: self.layers,
            num_attention_heads: self.heads,
            num_key_value_heads: self.kv_heads,
            head_dim: self.hidden_size / self.heads,
            max_position_embeddings: self.max_len,
            rms_norm_eps: self.eps,
            rope_theta: self.theta,
            rope_scaling: RopeScaling::Default,
            attention_bias: false,
            attention_output_bias: false,
            attention_dropout: 0.0,
            dropout: 0.0,
            untrained: Map::new(),
            sliding_window: None,
            diffusion: None,
            experts: self.experts.map(|mixture| self.experts(mixture)),
            qk_norm: self.qk_norm,
            tie_word_embeddings: true,
            initializer_range: self.initializer_range,
            embedding_range: self.embedding_range,
            bos_token_id: None,
            eos_token_ids: Vec::new(),
            pad_token_id: None,
            generation: Map::new(),
        }
    }

    fn experts(&self, mixture: Mixture) -> Experts {
        Experts {
            count: mixture.count,
            per_token: mixture.per_token,
            shared: mixture.shared,
            intermediate_size: self.ffn,
            // MiniMind 3 divides the weight of one expert by itself, too; then nothing that a text teaches reaches its gate.
            normalize: mixture.per_token > 1,
            layers: vec![true; self.layers],
            balance: mixture.balance,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_counts_are_the_published_ones() {
        let expected = [
            ("nano", 1_049_984),
            ("nano-moe", 2_821_504),
            ("micro", 3_197_312),
            ("minimind2-small", 25_829_888),
            ("minimind2", 104_030_976),
            ("minimind2-moe", 145_029_760),
            ("minimind-v1-small", 26_878_464),
            ("minimind-v1", 108_749_568),
            ("minimind-v1-moe", 96_100_864),
            ("minimind-768x8", 54_473_472),
            ("minimind3", 63_912_192),
            ("minimind3-moe", 198_416_640),
            ("spongebob", 28_975_616),
            ("tiny-llm", 215_127_040),
            ("tiny-llm-82m", 82_594_560),
        ];
        assert_eq!(expected.len(), PRESETS.len());
        for (name, parameters) in expected {
            let config = preset(name).unwrap().config(None);
            assert_eq!(config.parameters(), parameters, "{name}");
            assert_eq!(config.problems(), Vec::<crate::told::Told>::new(), "{name}");
        }
    }

    #[test]
    fn of_a_mixture_a_token_meets_a_part() {
        for (name, active) in
            [("nano-moe", 1_641_856), ("minimind2-moe", 91_945_600), ("minimind3-moe", 63_936_768)]
        {
            let config = preset(name).unwrap().config(None);
            assert_eq!(config.active_parameters(), active, "{name}");
            let twin = config.dense_twin().unwrap();
            let gates = (config.num_hidden_layers * 4 * config.hidden_size) as u64;
            assert_eq!(twin.parameters() + gates, active, "{name}");
        }
        assert!(preset("nano").unwrap().config(None).dense_twin().is_none());
        let experts = preset("minimind3-moe").unwrap().config(None).experts.unwrap();
        assert!(!experts.normalize && experts.shared == 0 && experts.balance.router_aux_loss_coef == 5e-4);
        let experts = preset("minimind2-moe").unwrap().config(None).experts.unwrap();
        assert!(experts.normalize && experts.shared == 1 && experts.balance.of_sequences() == 0.1);
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        assert!(preset("huge").unwrap_err().to_string().contains("choose one of nano, micro"));
    }
}
