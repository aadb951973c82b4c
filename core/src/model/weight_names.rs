//! Which weights a model of a shape has, by their Hugging Face names.

use super::ModelConfig;

impl ModelConfig {
    /// Names and shapes of all weights of a model of this shape, layer by layer.
    pub fn weight_shapes(&self) -> Vec<(String, Vec<usize>)> {
        let d = self.hidden_size;
        let table = vec![self.vocab_size, d];
        let mut all = vec![("model.embed_tokens.weight".to_string(), table.clone())];
        for layer in 0..self.num_hidden_layers {
            let parts = self.layer_shapes(layer).into_iter();
            all.extend(parts.map(|(part, shape)| (format!("model.layers.{layer}.{part}"), shape)));
        }
        all.push(("model.norm.weight".into(), vec![d]));
        if !self.tie_word_embeddings {
            all.push(("lm_head.weight".into(), table));
        }
        all
    }

    /// Those of one layer.
    fn layer_shapes(&self, layer: usize) -> Vec<(String, Vec<usize>)> {
        let d = self.hidden_size;
        let (heads, kv) =
            (self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim);
        let mut parts = vec![("input_layernorm.weight".to_string(), vec![d])];
        for (name, [rows, columns], bias) in [
            ("q_proj", [heads, d], self.attention_bias),
            ("k_proj", [kv, d], self.attention_bias),
            ("v_proj", [kv, d], self.attention_bias),
            ("o_proj", [d, heads], self.attention_output_bias),
        ] {
            parts.push((format!("self_attn.{name}.weight"), vec![rows, columns]));
            if bias {
                parts.push((format!("self_attn.{name}.bias"), vec![rows]));
            }
        }
        if self.qk_norm {
            parts.extend(
                ["q_norm", "k_norm"].map(|norm| (format!("self_attn.{norm}.weight"), vec![self.head_dim])),
            );
        }
        parts.push(("post_attention_layernorm.weight".into(), vec![d]));
        let mut mlp = |path: String, width: usize| {
            for (name, shape) in
                [("gate_proj", [width, d]), ("up_proj", [width, d]), ("down_proj", [d, width])]
            {
                parts.push((format!("mlp.{path}{name}.weight"), shape.to_vec()));
            }
        };
        match self.experts.as_ref().filter(|experts| experts.layers.get(layer) == Some(&true)) {
            None => mlp(String::new(), self.intermediate_size),
            Some(experts) => {
                let width = experts.intermediate_size;
                (0..experts.count).for_each(|expert| mlp(format!("experts.{expert}."), width));
                (0..experts.shared).for_each(|expert| mlp(format!("shared_experts.{expert}."), width));
                parts.push(("mlp.gate.weight".into(), vec![experts.count, d]));
            }
        }
        parts
    }

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
    use std::collections::{BTreeMap, BTreeSet};

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
            let (mut names, mut shapes) = (BTreeSet::new(), BTreeMap::new());
            let mut fresh = fresh_weights(&config, 1);
            let mut source = |name: &str, shape: &[usize]| {
                names.insert(name.to_string());
                shapes.insert(name.to_string(), shape.to_vec());
                fresh(name, shape)
            };
            Transformer::build(&config, &Device::flex(), &mut source).unwrap();
            let listed = config.weight_shapes();
            assert_eq!(listed.len(), shapes.len(), "no weight is listed twice");
            assert_eq!(listed.into_iter().collect::<BTreeMap<_, _>>(), shapes);
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
