//! `config.json` as Hugging Face `transformers` reads and writes it, versions 4 and 5.
//!
//! Version 4 has `rope_theta`, `rope_scaling`, `torch_dtype`; version 5 has `rope_parameters` (with
//! `rope_theta` inside), `dtype`, `layer_types`. Both are read, and both sets of keys are written.

use serde_json::{Map, Value, json};

use super::diffusion::DiffusionConfig;
use super::expert_keys;
use super::family::Family;
use super::key_rules::{Remarks, refuse_acting, untrained};
use super::keys::{Keys, token_ids};
use super::layer_types::sliding_window;
use super::llada;
use super::quantization_config::refuse_quantized;
use super::rope_parameters::rope;
use super::{Experts, ModelConfig, RopeScaling};
use crate::error::{Error, Result};
use crate::told::told;

impl ModelConfig {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// Broken JSON, a missing size, a `model_type`, `rope_type` or `hidden_act` that is not supported, and every other key
    /// that would change the numbers, each by name.
    pub fn from_hugging_face(json: &[u8]) -> Result<Self> {
        Self::read_hugging_face(json).map(|(config, _)| config)
    }

    /// The same of a model that is yet to be made, which needs no `model_type`: without one it is a Llama.
    ///
    /// # Errors
    /// As [`Self::from_hugging_face`].
    pub fn of_new_model(json: &[u8]) -> Result<Self> {
        let mut root = parse(json)?;
        if !["model_type", "architectures"].iter().any(|key| root.contains_key(*key)) {
            root.insert("model_type".into(), Family::Llama.name().into());
        }
        Self::from_hugging_face(Value::Object(root).to_string().as_bytes())
    }

    /// As [`Self::from_hugging_face`], with what else the file says.
    ///
    /// # Errors
    /// As [`Self::from_hugging_face`].
    pub fn read_hugging_face(json: &[u8]) -> Result<(Self, Remarks)> {
        let root = parse(json)?;
        let keys = Keys(&root);
        if llada::is_llada(keys)? {
            refuse_quantized(keys)?;
            return llada::read(keys);
        }
        let family = Family::of_keys(keys)?;
        refuse_quantized(keys)?;
        let config = read(keys, family)?;
        config.validate()?;
        refuse_acting(keys, family, &config)?;
        let remarks = Remarks::of(keys, family, config.max_position_embeddings);
        Ok((config, remarks))
    }

    /// The text of the `config.json` that this was read of, where that lacks the family, is wrong about the output
    /// projection or has LLaDA's keys; `None` where it says what is computed.
    ///
    /// # Errors
    /// As [`Self::from_hugging_face`].
    pub fn corrected(&self, json: &[u8]) -> Result<Option<String>> {
        let mut root = parse(json)?;
        let keys = Keys(&root);
        if llada::is_llada(keys)? {
            let dtype = keys.text("torch_dtype")?.or(keys.text("dtype")?);
            return Ok(Some(self.to_hugging_face_in(dtype.unwrap_or("float32"))));
        }
        let named = keys.text("model_type")?.is_some_and(|name| !name.is_empty());
        let tied = keys.flag("tie_word_embeddings")?.unwrap_or(false);
        if named && tied == self.tie_word_embeddings {
            return Ok(None);
        }
        let family = Family::of_keys(keys)?;
        root.insert("model_type".into(), family.name().into());
        root.insert("tie_word_embeddings".into(), self.tie_word_embeddings.into());
        Ok(Some(format!("{:#}\n", Value::Object(root))))
    }

    /// The text of a `config.json` with these positions in the place of its own; other keys stay.
    ///
    /// # Errors
    /// What is no JSON object.
    pub(super) fn positions_in(&self, json: &[u8]) -> Result<String> {
        let mut root = parse(json)?;
        // One at the top would count before the block's own.
        root.remove("original_max_position_embeddings");
        let [scaling, rope] = self.rope_blocks();
        root.insert("max_position_embeddings".into(), self.max_position_embeddings.into());
        root.insert("rope_theta".into(), self.rope_theta.into());
        root.insert("rope_scaling".into(), scaling);
        root.insert("rope_parameters".into(), rope);
        Ok(format!("{:#}\n", Value::Object(root)))
    }

    /// `rope_scaling` of version 4, which is null where nothing is stretched, and `rope_parameters` of version 5.
    fn rope_blocks(&self) -> [Value; 2] {
        let mut rope = self.rope_scaling.to_hugging_face();
        let scaling = if self.rope_scaling == RopeScaling::Default { Value::Null } else { json!(rope) };
        rope.insert("rope_theta".into(), json!(self.rope_theta));
        [scaling, Value::Object(rope)]
    }

    /// What Hugging Face calls models of this kind: the `model_type` of its `config.json`.
    pub fn model_type(&self) -> &'static str {
        Family::of(self).name()
    }

    /// The text of a `config.json` that both generations of `transformers` open, where they know such a model.
    pub fn to_hugging_face(&self) -> String {
        self.to_hugging_face_in("float32")
    }

    /// The same beside weights of the type `dtype`, as PyTorch calls it.
    pub fn to_hugging_face_in(&self, dtype: &str) -> String {
        let eos = match self.eos_token_ids.as_slice() {
            [] => Value::Null,
            [one] => json!(one),
            many => json!(many),
        };
        let family = Family::of(self);
        let [scaling, rope] = self.rope_blocks();
        let mut root = json!({
            "architectures": [family.class()],
            "model_type": family.name(),
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "head_dim": self.head_dim,
            "max_position_embeddings": self.max_position_embeddings,
            "rms_norm_eps": self.rms_norm_eps,
            "hidden_act": "silu",
            "attention_bias": self.attention_bias,
            "attention_dropout": self.attention_dropout,
            "tie_word_embeddings": self.tie_word_embeddings,
            "initializer_range": self.initializer_range,
            "embedding_range": self.embedding_range,
            "use_cache": true,
            "bos_token_id": self.bos_token_id,
            "eos_token_id": eos,
            "pad_token_id": self.pad_token_id,
            "rope_theta": self.rope_theta,
            "rope_scaling": scaling,
            "rope_parameters": rope,
            "torch_dtype": dtype,
            "dtype": dtype,
        });
        if let Some(root) = root.as_object_mut() {
            root.extend(family.keys(self));
            root.extend(self.untrained.clone());
            // A key of MiniMind's: elsewhere nothing reads it.
            if self.dropout > 0.0 {
                root.insert("dropout".into(), json!(self.dropout));
            }
        }
        format!("{root:#}\n")
    }
}

fn parse(json: &[u8]) -> Result<Map<String, Value>> {
    serde_json::from_slice(json).map_err(|e| {
        Error::Model(told!(
            "model.config_damaged",
            "config.json is not a JSON object ({e}); copy it again",
            e
        ))
    })
}

fn read(keys: Keys, family: Family) -> Result<ModelConfig> {
    let initializer_range = keys.number("initializer_range")?.unwrap_or(0.02);
    let heads = keys.size("num_attention_heads")?;
    let hidden_size = keys.size("hidden_size")?;
    let context = keys.optional_size("max_position_embeddings")?.unwrap_or(2048);
    let (rope_theta, rope_scaling) = rope(keys, context)?;
    let attention_bias = match family {
        Family::Qwen2 => true,
        _ => keys.flag("attention_bias")?.unwrap_or(false),
    };
    Ok(ModelConfig {
        vocab_size: keys.size("vocab_size")?,
        hidden_size,
        intermediate_size: keys.size("intermediate_size")?,
        num_hidden_layers: keys.layers()?,
        num_attention_heads: heads,
        num_key_value_heads: keys.optional_size("num_key_value_heads")?.unwrap_or(heads),
        head_dim: keys.optional_size("head_dim")?.unwrap_or(hidden_size / heads.max(1)),
        max_position_embeddings: context,
        rms_norm_eps: keys.number("rms_norm_eps")?.unwrap_or(1e-6),
        rope_theta,
        rope_scaling,
        attention_bias,
        attention_output_bias: match family {
            Family::Qwen2 => false,
            _ => keys.flag("attention_output_bias")?.unwrap_or(attention_bias),
        },
        attention_dropout: keys.number("attention_dropout")?.unwrap_or(0.0),
        dropout: keys.number("dropout")?.unwrap_or(0.0),
        untrained: untrained(keys.0, family),
        qk_norm: match family {
            Family::Own | Family::Diffusion => keys.flag("qk_norm")?.unwrap_or(false),
            _ => matches!(family, Family::Qwen3 | Family::Qwen3Moe),
        },
        sliding_window: sliding_window(keys, family, rope_scaling.longest(context))?,
        experts: match family {
            Family::Qwen3Moe => expert_keys::read(keys, true)?,
            Family::Own => expert_keys::read(keys, false)?,
            // Whatever family it was converted from: what its file says is what was computed.
            Family::Diffusion => {
                let normalize = keys.flag("norm_topk_prob")?.unwrap_or(false);
                expert_keys::read(keys, false)?.map(|experts| Experts { normalize, ..experts })
            }
            _ => None,
        },
        diffusion: match family {
            Family::Diffusion => Some(DiffusionConfig::read(keys)?),
            _ => None,
        },
        tie_word_embeddings: keys.flag("tie_word_embeddings")?.unwrap_or(false),
        initializer_range,
        embedding_range: keys.number("embedding_range")?.unwrap_or(initializer_range),
        bos_token_id: token_ids(keys.value("bos_token_id")).first().copied(),
        eos_token_ids: token_ids(keys.value("eos_token_id")),
        pad_token_id: token_ids(keys.value("pad_token_id")).first().copied(),
        generation: Map::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::preset;

    const SIZES: &str = r#""model_type":"llama","vocab_size":512,"hidden_size":64,"intermediate_size":172,"num_hidden_layers":5,
        "num_attention_heads":8,"num_key_value_heads":4,"unknown_key":[1,2]"#;

    fn read(extra: &str) -> Result<ModelConfig> {
        ModelConfig::from_hugging_face(format!("{{{SIZES},{extra}}}").as_bytes())
    }

    #[test]
    fn both_generations_read_the_same() {
        let four =
            read(r#""model_type":"llama","rope_theta":5e5,"torch_dtype":"bfloat16","rope_scaling":null"#);
        let five = read(
            r#""model_type":"llama","dtype":"bfloat16","layer_types":["full_attention","full_attention","full_attention","full_attention","full_attention"],
            "rope_parameters":{"rope_type":"default","rope_theta":500000.0}"#,
        );
        let four = four.unwrap();
        assert_eq!(four.rope_theta, 500_000.0);
        assert_eq!(four.head_dim, 8);
        assert_eq!(four, five.unwrap());
    }

    #[test]
    fn what_is_written_reads_back_equal() {
        for name in ["minimind2", "minimind3"] {
            let mut config = preset(name).unwrap().config(None);
            config.eos_token_ids = vec![2];
            let text = config.to_hugging_face();
            assert_eq!(ModelConfig::from_hugging_face(text.as_bytes()).unwrap(), config);
        }
    }

    #[test]
    fn each_family_has_its_own_defaults() {
        let qwen2 = read(r#""model_type":"qwen2""#).unwrap();
        assert!(qwen2.attention_bias && !qwen2.attention_output_bias && !qwen2.qk_norm);
        let llama = read(r#""model_type":"llama","attention_bias":true,"sliding_window":8"#).unwrap();
        assert!(llama.attention_bias && llama.attention_output_bias && llama.sliding_window.is_none());
        let window = |extra: &str| read(extra).unwrap().sliding_window.map(|s| (s.window, s.layers));
        let all = vec![true; 5];
        assert_eq!(
            window(r#""model_type":"mistral","max_position_embeddings":9999"#),
            Some((4096, all.clone()))
        );
        assert_eq!(window(r#""model_type":"mistral","sliding_window":8"#), Some((8, all.clone())));
        assert_eq!(window(r#""model_type":"mistral","sliding_window":null"#), None);
        let qwen = r#""model_type":"qwen3","use_sliding_window":true,"sliding_window":8"#;
        assert_eq!(window(qwen), None, "the first 28 layers see everything");
        let last = vec![false, false, false, true, true];
        assert_eq!(window(&format!("{qwen},\"max_window_layers\":3")), Some((8, last)));
        let types = r#""layer_types":["full_attention","sliding_attention","full_attention","full_attention","full_attention"]"#;
        let second = vec![false, true, false, false, false];
        assert_eq!(window(&format!("{qwen},{types}")), Some((8, second)));
        assert_eq!(window(r#""model_type":"qwen2","sliding_window":8"#), None);
    }

    #[test]
    fn routed_layers_are_told_apart() {
        let moe =
            r#""model_type":"qwen3_moe","num_experts":4,"num_experts_per_tok":2,"moe_intermediate_size":16"#;
        let experts = |extra: &str| read(&format!("{moe}{extra}")).unwrap().experts.unwrap();
        assert_eq!(experts("").layers, [true; 5]);
        let some = experts(r#","decoder_sparse_step":2,"mlp_only_layers":[3],"norm_topk_prob":true"#);
        assert_eq!(some.layers, [false, true, false, false, false]);
        assert!(some.normalize && some.count == 4 && some.shared == 0);
    }

    #[test]
    fn every_shape_reads_back_equal() {
        for extra in [
            r#""model_type":"llama","attention_bias":true,"rope_scaling":{"type":"linear","factor":2.0}"#,
            r#""model_type":"mistral","sliding_window":8,"head_dim":16"#,
            r#""model_type":"qwen2","tie_word_embeddings":true,"rope_scaling":{"rope_type":"dynamic","factor":2.0}"#,
            r#""model_type":"qwen2","use_sliding_window":true,"sliding_window":8,"max_window_layers":3"#,
            r#""model_type":"qwen3","attention_bias":true,"use_sliding_window":true,"sliding_window":8,"max_window_layers":1"#,
            r#""model_type":"qwen3_moe","num_experts":4,"num_experts_per_tok":2,"moe_intermediate_size":16,"mlp_only_layers":[0]"#,
            r#""model_type":"kindling","num_experts":4,"n_shared_experts":1,"num_experts_per_tok":2,"moe_intermediate_size":16"#,
            r#""model_type":"kindling","attention_bias":true,"attention_output_bias":false,"qk_norm":true"#,
            r#""model_type":"llama","resid_pdrop":0.1,"output_router_logits":true,"layerdrop":0.0"#,
        ] {
            let config = read(extra).unwrap();
            let text = config.to_hugging_face();
            assert_eq!(ModelConfig::from_hugging_face(text.as_bytes()).unwrap(), config, "{text}");
            let family = extra.split('"').nth(3).unwrap();
            assert!(text.contains(&format!("\"model_type\": \"{family}\"")), "{extra}: {text}");
        }
    }

    #[test]
    fn the_unsupported_is_refused_by_name() {
        let cases = [
            (r#""model_type":"gpt2""#, "model_type 'gpt2'"),
            (r#""model_type":"llama","hidden_act":"gelu""#, "hidden_act 'gelu'"),
            (r#""rope_scaling":{"rope_type":"longrope","factor":4.0}"#, "rope_type 'longrope'"),
            (r#""rope_parameters":{"rope_type":"llama3","rope_theta":1e4}"#, "needs factor"),
            (r#""partial_rotary_factor":0.5"#, "partial_rotary_factor '0.5'"),
            (
                r#""model_type":"qwen3_moe","num_experts":2,"num_experts_per_tok":3"#,
                "num_experts_per_tok (3)",
            ),
            (r#""head_dim":7"#, "head_dim (7) must be even"),
            (r#""hidden_size":"wide""#, "hidden_size is \"wide\""),
            // The last of two equal keys counts.
            (r#""model_type":"mistral","num_hidden_layers":9223372036854775807"#, "4096 are the most"),
            (r#""model_type":"qwen3_moe","num_hidden_layers":5000"#, "num_hidden_layers is 5000"),
        ];
        for (extra, expected) in cases {
            let message = read(extra).unwrap_err().to_string();
            assert!(message.contains(expected), "{extra}: {message}");
        }
        for (json, told) in [
            ("{}", "has no model_type; add it, as one of llama, mistral"),
            (r#"{"architectures":["GPT2LMHeadModel"]}"#, "its architectures name 'GPT2LMHeadModel'"),
            (r#"{"model_type":"llama"}"#, "has no num_attention_heads"),
            (
                r#"{"model_type":"llama","rms_norm_eps":"1e-5","num_attention_heads":"8"}"#,
                "\"8\", not a whole number",
            ),
        ] {
            let message = ModelConfig::from_hugging_face(json.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(told), "{message}");
        }
        assert!(ModelConfig::from_hugging_face(b"[1").is_err());
    }
}
