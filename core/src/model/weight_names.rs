//! Which weights a model of a shape has, by their Hugging Face names.

use super::ModelConfig;

impl ModelConfig {
    /// Whether a model of this shape has a weight of this name. What else a checkpoint holds, nothing reads.
    pub fn has_weight(&self, name: &str) -> bool {
        match name {
            "model.embed_tokens.weight" | "model.norm.weight" => return true,
            "lm_head.weight" => return !self.tie_word_embeddings,
            _ => {}
        }
        let inside = name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.'));
        let Some((layer, part)) = inside.and_then(|(layer, part)| Some((number(layer)?, part))) else {
            return false;
        };
        let experts = self.experts.as_ref().filter(|experts| experts.layers.get(layer) == Some(&true));
        let among = |expert: &str, count: usize| number(expert).is_some_and(|expert| expert < count);
        let has = match part.split('.').collect::<Vec<_>>().as_slice() {
            ["input_layernorm" | "post_attention_layernorm", "weight"] => true,
            ["self_attn", "q_proj" | "k_proj" | "v_proj" | "o_proj", "weight"] => true,
            ["self_attn", "q_proj" | "k_proj" | "v_proj", "bias"] => self.attention_bias,
            ["self_attn", "o_proj", "bias"] => self.attention_output_bias,
            ["self_attn", "q_norm" | "k_norm", "weight"] => self.qk_norm,
            ["mlp", "gate_proj" | "up_proj" | "down_proj", "weight"] => experts.is_none(),
            ["mlp", "gate", "weight"] => experts.is_some(),
            ["mlp", group, expert, "gate_proj" | "up_proj" | "down_proj", "weight"] => {
                experts.is_some_and(|experts| match *group {
                    "experts" => among(expert, experts.count),
                    "shared_experts" => among(expert, experts.shared),
                    _ => false,
                })
            }
            _ => false,
        };
        has && layer < self.num_hidden_layers
    }
}

/// A number as names have it: digits, without zeros in front.
fn number(text: &str) -> Option<usize> {
    text.parse::<usize>().ok().filter(|number| number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use burn::tensor::Device;

    use super::*;
    use crate::model::{Balance, Experts, Transformer, fresh_weights, preset};

    fn shapes() -> Vec<ModelConfig> {
        let plain =
            ModelConfig { hidden_size: 16, intermediate_size: 8, ..preset("nano").unwrap().config(Some(8)) };
        let plain = ModelConfig { num_hidden_layers: 2, qk_norm: false, ..plain };
        let experts = Experts {
            count: 2,
            per_token: 1,
            shared: 1,
            intermediate_size: 4,
            normalize: false,
            layers: vec![false, true],
            balance: Balance::default(),
        };
        vec![
            ModelConfig { attention_bias: true, ..plain.clone() },
            ModelConfig { attention_output_bias: true, tie_word_embeddings: false, ..plain.clone() },
            ModelConfig { qk_norm: true, experts: Some(experts), ..plain },
        ]
    }

    #[test]
    fn it_is_every_weight_that_a_model_is_built_of_and_no_other() {
        let mut all = BTreeSet::new();
        let mut asked = Vec::new();
        for config in shapes() {
            let mut names = BTreeSet::new();
            let mut fresh = fresh_weights(&config, 1);
            let mut source = |name: &str, shape: &[usize]| {
                names.insert(name.to_string());
                fresh(name, shape)
            };
            Transformer::build(&config, &Device::flex(), &mut source).unwrap();
            all.extend(names.iter().cloned());
            drop(fresh);
            asked.push((config, names));
        }
        for stranger in [
            "model.layers.2.input_layernorm.weight",
            "model.layers.01.input_layernorm.weight",
            "model.layers.1.mlp.experts.2.up_proj.weight",
            "model.layers.1.self_attn.rotary_emb.inv_freq",
            "model.norm.bias",
            "score.weight",
            "",
        ] {
            all.insert(stranger.to_string());
        }
        for (config, names) in asked {
            for name in &all {
                assert_eq!(config.has_weight(name), names.contains(name), "{name} of {config:?}");
            }
        }
    }
}
