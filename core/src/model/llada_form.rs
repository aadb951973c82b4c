//! Writes the `config.json` of LLaDA's published code, which opens a masked predictor of ours where it can compute it.

use serde_json::{Value, json};

use super::family::LLADA;
use super::llada::{CLASS, fixed};
use super::{ModelConfig, RopeScaling};
use crate::error::{Error, Result};
use crate::told::told;

/// The repository whose code opens what is written; `auto_map` names it.
const CODE: &str = "GSAI-ML/LLaDA-8B-Base";

impl ModelConfig {
    /// The text of a `config.json` that LLaDA's published code opens, beside weights of the type `dtype`. What its code does
    /// not do of a model that it opens, shifted logits and blocks, stands there under the keys of ours.
    ///
    /// # Errors
    /// A causal model; one with parts that the code does not have, by name.
    pub fn to_llada(&self, dtype: &str) -> Result<String> {
        let diffusion = self.check_masked("LLaDA's form")?;
        self.check_llada()?;
        let eos = match self.eos_token_ids.as_slice() {
            [] => Value::Null,
            [one] => json!(one),
            many => json!(many),
        };
        let attention = if self.dropout > 0.0 { self.dropout } else { self.attention_dropout };
        let mut root = json!({
            "architectures": [CLASS],
            "auto_map": {
                "AutoConfig": format!("{CODE}--configuration_llada.LLaDAConfig"),
                "AutoModelForCausalLM": format!("{CODE}--modeling_llada.LLaDAModelLM"),
                "AutoModel": format!("{CODE}--modeling_llada.LLaDAModelLM"),
            },
            "model_type": LLADA,
            "d_model": self.hidden_size,
            "n_heads": self.num_attention_heads,
            "n_kv_heads": self.num_key_value_heads,
            "n_layers": self.num_hidden_layers,
            "mlp_ratio": 4,
            "mlp_hidden_size": self.intermediate_size,
            "max_sequence_length": self.max_position_embeddings,
            "vocab_size": self.vocab_size,
            "embedding_size": self.vocab_size,
            "weight_tying": self.tie_word_embeddings,
            "rope_theta": self.rope_theta,
            "rope_full_precision": true,
            "rms_norm_eps": self.rms_norm_eps,
            "include_qkv_bias": self.attention_bias,
            "bias_for_layer_norm": false,
            "multi_query_attention": Value::Null,
            "alibi_bias_max": 8.0,
            "flash_attention": false,
            "attention_dropout": attention,
            "residual_dropout": self.dropout,
            "embedding_dropout": self.dropout,
            "init_fn": "normal",
            "init_std": self.initializer_range,
            "embedding_range": self.embedding_range,
            "init_device": "cpu",
            "init_cutoff_factor": Value::Null,
            "precision": Value::Null,
            "mask_token_id": diffusion.mask_token_id,
            "bos_token_id": self.bos_token_id,
            "eos_token_id": eos,
            "pad_token_id": self.pad_token_id,
            "use_cache": false,
            "torch_dtype": dtype,
        });
        if let Some(root) = root.as_object_mut() {
            root.extend(fixed().map(|(key, _, known)| (key.to_string(), known)));
            root.extend(self.untrained.clone());
            if diffusion.block_length.is_some() || diffusion.shift_logits {
                root.extend(diffusion.write());
            }
        }
        Ok(format!("{root:#}\n"))
    }

    /// Refuses parts that LLaDA's code does not have.
    fn check_llada(&self) -> Result<()> {
        let parts = [
            ("norms of queries and keys (qk_norm)", self.qk_norm),
            ("experts", self.experts.is_some()),
            ("stretched positions (rope_scaling)", self.rope_scaling != RopeScaling::Default),
            ("biases behind attention (attention_output_bias)", self.attention_output_bias),
            ("sliding windows", self.sliding_window.is_some()),
            (
                "heads of another width than their share (head_dim)",
                self.head_dim * self.num_attention_heads != self.hidden_size,
            ),
        ];
        let lacking: Vec<&str> = parts.into_iter().filter(|(_, has)| *has).map(|(part, _)| part).collect();
        match lacking.is_empty() {
            true => Ok(()),
            false => Err(Error::Model(told!(
                "model.not_llada",
                "LLaDA's published code has no {parts}; this model stays in Kindling's own form",
                parts = lacking.join(", ")
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::model::DiffusionConfig;

    const UNTIED: &str = include_str!("../../../tests/golden/llada/untied/config.json");
    const TIED: &str = include_str!("../../../tests/golden/llada/tied-biased/config.json");

    fn read(text: &str) -> ModelConfig {
        ModelConfig::from_hugging_face(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_is_written_reads_back_equal() {
        for text in [UNTIED, TIED] {
            let config = read(text);
            let written = config.to_llada("float32").unwrap();
            assert_eq!(read(&written), config, "{written}");
            let (written, published): (Map<String, Value>, Map<String, Value>) =
                (serde_json::from_str(&written).unwrap(), serde_json::from_str(text).unwrap());
            let lacking: Vec<_> = published.keys().filter(|key| !written.contains_key(*key)).collect();
            assert!(lacking.is_empty(), "{lacking:?}");
            assert!(!written.contains_key("shift_logits"), "a plain LLaDA has no keys of ours");
        }
        let base = read(UNTIED);
        let diffusion = DiffusionConfig { mask_token_id: 63, block_length: Some(8), shift_logits: true };
        for config in [
            ModelConfig { diffusion: Some(diffusion), ..base.clone() },
            ModelConfig { dropout: 0.1, ..base.clone() },
            ModelConfig { attention_dropout: 0.2, ..base.clone() },
            ModelConfig { eos_token_ids: vec![2, 5], bos_token_id: Some(1), embedding_range: 1.0, ..base },
        ] {
            assert_eq!(read(&config.to_llada("float32").unwrap()), config);
        }
    }

    #[test]
    fn a_model_that_the_code_cannot_compute_is_refused_with_all_its_parts() {
        let config = ModelConfig { qk_norm: true, head_dim: 8, ..read(UNTIED) };
        let message = config.to_llada("float32").unwrap_err().to_string();
        assert!(message.contains("qk_norm") && message.contains("head_dim"), "{message}");
        let causal = ModelConfig { diffusion: None, ..read(UNTIED) };
        assert!(causal.to_llada("float32").unwrap_err().to_string().contains("predicts the next token"));
    }
}
