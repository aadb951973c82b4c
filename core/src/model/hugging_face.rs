//! `config.json` as Hugging Face `transformers` reads and writes it, versions 4 and 5.
//!
//! Version 4 has `rope_theta`, `rope_scaling`, `torch_dtype`; version 5 has `rope_parameters` (with
//! `rope_theta` inside), `dtype`, `layer_types`. Both are read, and both sets of keys are written.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::config::MOST_LAYERS;
use super::family::Family;
use super::{Experts, ModelConfig, RopeScaling, SlidingWindow};
use crate::error::{Error, Result};

impl ModelConfig {
    /// Reads `config.json`; unknown keys are ignored.
    ///
    /// # Errors
    /// Broken JSON, a missing size, or an unsupported `model_type`, `rope_type` or `hidden_act`, each by name.
    pub fn from_hugging_face(json: &[u8]) -> Result<Self> {
        let root: Map<String, Value> = serde_json::from_slice(json)
            .map_err(|e| Error::Model(format!("config.json is not a JSON object: {e}")))?;
        let keys = Keys(&root);
        let family = Family::named(keys.text("model_type").unwrap_or("llama"))?;
        refuse_unknown(&keys)?;
        let initializer_range = keys.number("initializer_range").unwrap_or(0.02);
        let heads = keys.size("num_attention_heads")?;
        let hidden_size = keys.size("hidden_size")?;
        let context = keys.optional_size("max_position_embeddings")?.unwrap_or(2048);
        let attention_bias = match family {
            Family::Qwen2 => true,
            _ => keys.flag("attention_bias").unwrap_or(false),
        };
        let config = Self {
            vocab_size: keys.size("vocab_size")?,
            hidden_size,
            intermediate_size: keys.size("intermediate_size")?,
            num_hidden_layers: keys.layers()?,
            num_attention_heads: heads,
            num_key_value_heads: keys.optional_size("num_key_value_heads")?.unwrap_or(heads),
            head_dim: keys.optional_size("head_dim")?.unwrap_or(hidden_size / heads.max(1)),
            max_position_embeddings: context,
            rms_norm_eps: keys.number("rms_norm_eps").unwrap_or(1e-6),
            rope_theta: rope_theta(&keys),
            rope_scaling: rope_scaling(&keys, context)?,
            attention_bias,
            attention_output_bias: match family {
                Family::Qwen2 => false,
                _ => keys.flag("attention_output_bias").unwrap_or(attention_bias),
            },
            qk_norm: match family {
                Family::Own => keys.flag("qk_norm").unwrap_or(false),
                _ => matches!(family, Family::Qwen3 | Family::Qwen3Moe),
            },
            sliding_window: sliding_window(&keys, family, context)?,
            experts: experts(&keys, family)?,
            tie_word_embeddings: keys.flag("tie_word_embeddings").unwrap_or(false),
            initializer_range,
            embedding_range: keys.number("embedding_range").unwrap_or(initializer_range),
            bos_token_id: token_ids(root.get("bos_token_id")).first().copied(),
            eos_token_ids: token_ids(root.get("eos_token_id")),
            pad_token_id: token_ids(root.get("pad_token_id")).first().copied(),
        };
        config.validate()?;
        Ok(config)
    }

    /// The text of a `config.json` that both generations of `transformers` open, where they know such a model.
    pub fn to_hugging_face(&self) -> String {
        let eos = match self.eos_token_ids.as_slice() {
            [] => Value::Null,
            [one] => json!(one),
            many => json!(many),
        };
        let family = Family::of(self);
        let mut rope = self.rope_scaling.to_hugging_face();
        let scaling = if self.rope_scaling == RopeScaling::Default { Value::Null } else { json!(rope) };
        rope.insert("rope_theta".into(), json!(self.rope_theta));
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
            "attention_dropout": 0.0,
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
            "torch_dtype": "float32",
            "dtype": "float32",
        });
        if let Some(root) = root.as_object_mut() {
            root.extend(family.keys(self));
        }
        format!("{root:#}\n")
    }
}

/// Refuses by name what would silently compute something else.
fn refuse_unknown(keys: &Keys) -> Result<()> {
    let refuse = |what: &str, found: &str, known: &str| {
        Err(Error::Model(format!("config.json: {what} '{found}' is not supported; supported: {known}")))
    };
    if let Some(act) = keys.text("hidden_act").filter(|act| !["silu", "swish"].contains(act)) {
        return refuse("hidden_act", act, "silu");
    }
    if keys.flag("mlp_bias") == Some(true) {
        return refuse("mlp_bias", "true", "false");
    }
    let rope = keys.object("rope_scaling").or(keys.object("rope_parameters"));
    let part = rope.and_then(|rope| rope.get("partial_rotary_factor")).and_then(Value::as_f64);
    if let Some(part) = part.or(keys.number("partial_rotary_factor")).filter(|part| *part != 1.0) {
        return refuse("partial_rotary_factor", &part.to_string(), "1.0");
    }
    Ok(())
}

/// Version 5 keeps the base inside `rope_parameters`, version 4 at the top.
fn rope_theta(keys: &Keys) -> f64 {
    let inside = keys.object("rope_parameters").and_then(|rope| rope.get("rope_theta"));
    inside.and_then(Value::as_f64).or(keys.number("rope_theta")).unwrap_or(10_000.0)
}

/// Where both generations' keys are there, `transformers` 5 follows the older one, too.
fn rope_scaling(keys: &Keys, context: usize) -> Result<RopeScaling> {
    match keys.object("rope_scaling").or(keys.object("rope_parameters")) {
        Some(rope) => RopeScaling::from_hugging_face(rope, context),
        None => Ok(RopeScaling::Default),
    }
}

/// As each family's class in `transformers` decides it; a window that no sequence fills is none.
fn sliding_window(keys: &Keys, family: Family, context: usize) -> Result<Option<SlidingWindow>> {
    let layers = keys.layers()?;
    let window = match (family, keys.0.contains_key("sliding_window")) {
        (Family::Mistral, false) => Some(4096),
        (Family::Llama, _) => None,
        (Family::Mistral | Family::Own, true) => keys.optional_size("sliding_window")?,
        (_, named) => match (keys.flag("use_sliding_window"), named) {
            (Some(true), true) => keys.optional_size("sliding_window")?,
            (Some(true), false) => Some(4096),
            _ => None,
        },
    };
    let Some(window) = window.filter(|&window| window < context) else { return Ok(None) };
    let layers = match (family, keys.0.get("layer_types")) {
        (Family::Mistral | Family::Qwen3Moe, _) => vec![true; layers],
        (_, Some(Value::Array(types))) => types.iter().map(|kind| kind == "sliding_attention").collect(),
        _ => {
            let full = keys.optional_size("max_window_layers")?.unwrap_or(28);
            (0..layers).map(|layer| layer >= full).collect()
        }
    };
    Ok(Some(SlidingWindow { window, layers }).filter(|sliding| sliding.layers.contains(&true)))
}

fn experts(keys: &Keys, family: Family) -> Result<Option<Experts>> {
    if family != Family::Qwen3Moe && !(family == Family::Own && keys.0.contains_key("num_experts")) {
        return Ok(None);
    }
    let size = |key: &str, default: usize| Ok::<_, Error>(keys.optional_size(key)?.unwrap_or(default));
    let dense: BTreeSet<usize> = match keys.0.get("mlp_only_layers") {
        Some(Value::Array(layers)) => layers.iter().filter_map(|i| Some(i.as_u64()? as usize)).collect(),
        _ => BTreeSet::new(),
    };
    let count = match keys.optional_size("num_local_experts")? {
        Some(count) => count,
        None => size("num_experts", 128)?,
    };
    let step = size("decoder_sparse_step", 1)?.max(1);
    let routed = |layer: usize| !dense.contains(&layer) && (layer + 1).is_multiple_of(step);
    let per_token = size("num_experts_per_tok", 8)?;
    let normalize = keys.flag("norm_topk_prob").unwrap_or(false);
    let experts = Experts {
        count,
        per_token,
        shared: size("n_shared_experts", 0)?,
        intermediate_size: size("moe_intermediate_size", 768)?,
        // One weight divided by itself is always 1: nothing that is trained here would then reach the gate.
        normalize: normalize && (per_token > 1 || family == Family::Qwen3Moe),
        layers: (0..keys.layers()?).map(routed).collect(),
    };
    Ok(Some(experts).filter(|experts| experts.count > 0 && experts.layers.contains(&true)))
}

/// Reads an id, a list of ids, or null.
fn token_ids(value: Option<&Value>) -> Vec<u32> {
    let one = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match value {
        Some(Value::Array(ids)) => ids.iter().filter_map(one).collect(),
        Some(value) => one(value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// Typed access to the JSON object.
struct Keys<'a>(&'a Map<String, Value>);

impl<'a> Keys<'a> {
    fn text(&self, key: &str) -> Option<&'a str> {
        self.0.get(key).and_then(Value::as_str)
    }

    fn object(&self, key: &str) -> Option<&'a Map<String, Value>> {
        self.0.get(key).and_then(Value::as_object)
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.0.get(key).and_then(Value::as_f64)
    }

    fn flag(&self, key: &str) -> Option<bool> {
        self.0.get(key).and_then(Value::as_bool)
    }

    fn optional_size(&self, key: &str) -> Result<Option<usize>> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64() {
                Some(size) => Ok(Some(size as usize)),
                None => Err(Error::Model(format!("config.json: {key} is {value}, not a whole number"))),
            },
        }
    }

    fn size(&self, key: &str) -> Result<usize> {
        self.optional_size(key)?
            .ok_or_else(|| Error::Model(format!("config.json has no {key}; a Llama-family model needs it")))
    }

    /// The number of blocks, before lists of that length are made.
    fn layers(&self) -> Result<usize> {
        match self.size("num_hidden_layers")? {
            layers if layers > MOST_LAYERS => Err(Error::Model(format!(
                "config.json: num_hidden_layers is {layers}; {MOST_LAYERS} are the most"
            ))),
            layers => Ok(layers),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::preset;

    const SIZES: &str = r#""vocab_size":512,"hidden_size":64,"intermediate_size":172,"num_hidden_layers":5,
        "num_attention_heads":8,"num_key_value_heads":4,"unknown_key":[1,2]"#;

    fn read(extra: &str) -> Result<ModelConfig> {
        ModelConfig::from_hugging_face(format!("{{{SIZES},{extra}}}").as_bytes())
    }

    #[test]
    fn both_generations_read_the_same() {
        let four =
            read(r#""model_type":"llama","rope_theta":5e5,"torch_dtype":"bfloat16","rope_scaling":null"#);
        let five = read(
            r#""model_type":"llama","dtype":"bfloat16","layer_types":["full_attention"],
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
        let missing = ModelConfig::from_hugging_face(b"{}").unwrap_err().to_string();
        assert!(missing.contains("has no num_attention_heads"), "{missing}");
        assert!(ModelConfig::from_hugging_face(b"[1").is_err());
    }
}
