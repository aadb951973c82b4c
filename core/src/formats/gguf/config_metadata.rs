//! From Hugging Face's `config.json` to a GGUF file's metadata, with the names and types of llama.cpp's
//! `convert_hf_to_gguf.py`.

use serde_json::Value as Json;

use super::{Architecture, Metadata, MetadataValue, WeightType, rope_freqs};
use crate::error::{Error, Result};
use crate::model::{ModelConfig, RopeScaling};
use crate::told::told;

/// YaRN's numbers: GGUF, Hugging Face.
pub(super) const YARN: [(&str, &str); 3] = [
    ("yarn_attn_factor", "attention_factor"),
    ("yarn_beta_fast", "beta_fast"),
    ("yarn_beta_slow", "beta_slow"),
];

/// Sizes: GGUF, Hugging Face.
const SIZES: [(&str, &str); 6] = [
    ("context_length", "max_position_embeddings"),
    ("embedding_length", "hidden_size"),
    ("block_count", "num_hidden_layers"),
    ("feed_forward_length", "intermediate_size"),
    ("attention.head_count", "num_attention_heads"),
    ("vocab_size", "vocab_size"),
];

/// Sizes of a mixture of experts.
const EXPERTS: [(&str, &str); 3] = [
    ("expert_count", "num_experts"),
    ("expert_used_count", "num_experts_per_tok"),
    ("expert_feed_forward_length", "moe_intermediate_size"),
];

/// The scaling that a tensor holds.
const LLAMA3: &str = "llama3";

/// The version of ggml's block formats.
const QUANTIZATION_VERSION: u32 = 2;

/// The settings of a `config.json` as they are read of it everywhere else, whoever wrote it; `written` is its contents.
///
/// # Errors
/// As [`ModelConfig::from_hugging_face`]; a masked predictor.
pub fn resolved(written: &Json, bytes: &[u8]) -> Result<Json> {
    let config = ModelConfig::from_hugging_face(bytes)?;
    config.check_causal("a .gguf file")?;
    let read = config.to_hugging_face();
    let mut read: Json = serde_json::from_str(&read).map_err(|e| {
        Error::Checkpoint(told!("gguf.config_unread", "config.json cannot be read again: {e}", e))
    })?;
    read["_name_or_path"] = written["_name_or_path"].clone();
    Ok(read)
}

/// A model's configuration, as far as its GGUF file depends on it.
pub struct Config<'a> {
    json: &'a Json,
    /// The family.
    pub architecture: Architecture,
    /// Query heads.
    pub heads: u64,
    /// Key and value heads.
    pub key_value_heads: u64,
    /// The width of a head.
    pub head_dim: u64,
    /// Rows of the embedding.
    pub vocab_size: u64,
    /// The output projection is the embedding.
    pub tied: bool,
}

impl<'a> Config<'a> {
    /// Reads the contents of `config.json`.
    ///
    /// # Errors
    /// A missing size; a family or a feature that GGUF cannot express, or not yet, by name.
    pub fn new(json: &'a Json) -> Result<Self> {
        let model_type = json["model_type"].as_str().unwrap_or_default();
        let architecture = Architecture::from_model_type(model_type)?;
        refuse(json, architecture)?;
        let heads = size(json, "num_attention_heads")?;
        let head_dim = match json["head_dim"].as_u64() {
            Some(head_dim) => head_dim,
            None => size(json, "hidden_size")? / heads.max(1),
        };
        Ok(Self {
            architecture,
            heads,
            key_value_heads: json["num_key_value_heads"].as_u64().unwrap_or(heads),
            head_dim,
            vocab_size: size(json, "vocab_size")?,
            tied: json["tie_word_embeddings"].as_bool().unwrap_or(false),
            json,
        })
    }

    /// The metadata of the model, without its tokenizer.
    ///
    /// # Errors
    /// A missing size.
    pub fn metadata(&self, weights: WeightType) -> Result<Metadata> {
        let (json, mut metadata) = (self.json, Metadata::default());
        let name = json["_name_or_path"].as_str().unwrap_or_default();
        // A path on somebody's disk is nobody's business.
        let name = name.rsplit(['/', '\\']).next().filter(|name| !name.is_empty()).unwrap_or("Kindling");
        metadata.insert("general.architecture", MetadataValue::Text(self.architecture.name().into()));
        metadata.insert("general.type", MetadataValue::Text("model".into()));
        metadata.insert("general.name", MetadataValue::Text(name.into()));
        metadata.insert("general.file_type", MetadataValue::U32(weights.file_type()));
        metadata.insert("general.quantization_version", MetadataValue::U32(QUANTIZATION_VERSION));
        let mut insert =
            |key: &str, value| metadata.insert(format!("{}.{key}", self.architecture.name()), value);
        for (gguf, hf) in SIZES {
            insert(gguf, count(size(json, hf)?, hf)?);
        }
        for key in ["attention.key_length", "attention.value_length", "rope.dimension_count"] {
            insert(key, count(self.head_dim, "head_dim")?);
        }
        insert("attention.head_count_kv", count(self.key_value_heads, "num_key_value_heads")?);
        let eps = json["rms_norm_eps"].as_f64().unwrap_or(1e-6);
        insert("attention.layer_norm_rms_epsilon", MetadataValue::F32(eps as f32));
        insert("rope.freq_base", MetadataValue::F32(rope_theta(json) as f32));
        if self.architecture == Architecture::Qwen3Moe {
            for (gguf, hf) in EXPERTS {
                insert(gguf, count(size(json, hf)?, hf)?);
            }
        }
        for (key, value) in rope_scaling(json, self.architecture)? {
            insert(&format!("rope.scaling.{key}"), value);
        }
        Ok(metadata)
    }

    /// What each frequency of the rotary embedding is divided by, where that is written as a tensor.
    ///
    /// # Errors
    /// Numbers of Llama 3's scaling that are missing.
    pub fn rope_divisors(&self) -> Result<Option<Vec<f32>>> {
        if rope_type(self.json) != LLAMA3 {
            return Ok(None);
        }
        let map = rope(self.json).as_object().cloned().unwrap_or_default();
        let context = size(self.json, "max_position_embeddings")? as usize;
        let scaling = RopeScaling::from_hugging_face(&map, context)?;
        rope_freqs::divisors(&scaling, self.head_dim, rope_theta(self.json)).map(Some)
    }
}

fn count(size: u64, key: &str) -> Result<MetadataValue> {
    let size = u32::try_from(size);
    size.map(MetadataValue::U32).map_err(|_| {
        Error::Checkpoint(told!("gguf.config_large", "config.json: {key} is larger than 32 bits hold", key))
    })
}

fn size(json: &Json, key: &str) -> Result<u64> {
    // Version 5 of `transformers` has one name for the experts of all families.
    let alias = if key == "num_experts" { "num_local_experts" } else { key };
    json[key].as_u64().or(json[alias].as_u64()).ok_or_else(|| {
        Error::Checkpoint(told!("gguf.config_missing", "config.json has no {key}; GGUF needs it", key))
    })
}

/// The rotary embedding's block: version 5 of `transformers` has the first, version 4 the second.
fn rope(json: &Json) -> &Json {
    if json["rope_parameters"].is_object() { &json["rope_parameters"] } else { &json["rope_scaling"] }
}

fn rope_theta(json: &Json) -> f64 {
    let theta = rope(json)["rope_theta"].as_f64();
    theta.or(json["rope_theta"].as_f64()).unwrap_or(10_000.0)
}

fn rope_type(json: &Json) -> &str {
    let rope = rope(json);
    rope["rope_type"].as_str().or(rope["type"].as_str()).unwrap_or("default")
}

fn rope_scaling(json: &Json, architecture: Architecture) -> Result<Vec<(&'static str, MetadataValue)>> {
    let (rope, kind) = (rope(json), rope_type(json));
    // llama.cpp reads the tensor of the latter in this family alone.
    if kind == "default" || kind == LLAMA3 && architecture == Architecture::Llama {
        return Ok(Vec::new());
    }
    let factor = rope["factor"].as_f64().filter(|_| ["linear", "yarn"].contains(&kind));
    let Some(factor) = factor else {
        return Err(Error::Checkpoint(told!(
            "gguf.rope_unwritten",
            "config.json: the rope_type '{kind}' is not written to GGUF; default, linear and yarn with a factor are, and \
            llama3 in the family llama",
            kind
        )));
    };
    let mut values =
        vec![("type", MetadataValue::Text(kind.into())), ("factor", MetadataValue::F32(factor as f32))];
    if kind == "yarn" {
        let length = rope["original_max_position_embeddings"].as_u64();
        let length = length.map_or_else(|| size(json, "max_position_embeddings"), Ok)?;
        values.push(("original_context_length", count(length, "original_max_position_embeddings")?));
        let usual = [("beta_fast", 32.0), ("beta_slow", 1.0), ("attention_factor", own_factor(factor))];
        for (gguf, hf) in YARN {
            let value = rope[hf].as_f64();
            let value = value.filter(|value| !usual.contains(&(hf, *value)));
            values.extend(value.map(|value| (gguf, MetadataValue::F32(value as f32))));
        }
        values.extend(attention_factor(rope, factor)?);
    }
    Ok(values)
}

/// What llama.cpp multiplies YaRN's own attention factor by, where a model has another. It passes over the one in
/// `yarn_attn_factor`, which brings the model back unchanged.
fn attention_factor(rope: &Json, factor: f64) -> Result<Vec<(&'static str, MetadataValue)>> {
    let map = rope.as_object().cloned().unwrap_or_default();
    let RopeScaling::Yarn { attention_factor, truncate, .. } = RopeScaling::from_hugging_face(&map, 1)?
    else {
        return Ok(Vec::new());
    };
    if !truncate {
        return Err(Error::Checkpoint(told!(
            "gguf.yarn_truncate",
            "config.json: YaRN with truncate false is not written to GGUF; llama.cpp truncates always"
        )));
    }
    let own = own_factor(factor);
    if (attention_factor - own).abs() < 1e-6 {
        return Ok(Vec::new());
    }
    let values = [("yarn_attn_factor", attention_factor), ("attn_factor", attention_factor / own)];
    Ok(values.map(|(key, value)| (key, MetadataValue::F32(value as f32))).to_vec())
}

/// What YaRN multiplies cosines and sines by where nothing else is said.
fn own_factor(factor: f64) -> f64 {
    if factor > 1.0 { 0.1 * libm::log(factor) + 1.0 } else { 1.0 }
}

/// Refuses what llama.cpp would silently compute without.
fn refuse(json: &Json, architecture: Architecture) -> Result<()> {
    let act = json["hidden_act"].as_str().unwrap_or("silu");
    let window = json["sliding_window"].as_u64().filter(|_| json["use_sliding_window"] != Json::Bool(false));
    let context = json["max_position_embeddings"].as_u64().unwrap_or(u64::MAX);
    let moe = architecture == Architecture::Qwen3Moe;
    let cases = [
        (!["silu", "swish"].contains(&act), "hidden_act", "silu"),
        (json["mlp_bias"] == Json::Bool(true), "mlp_bias", "false"),
        (window.is_some_and(|window| window < context), "sliding_window", "null"),
        (
            json["attention_bias"] == Json::Bool(true)
                && matches!(architecture, Architecture::Qwen3 | Architecture::Qwen3Moe),
            "attention_bias",
            "false in this family",
        ),
        (moe && json["norm_topk_prob"] == Json::Bool(false), "norm_topk_prob", "true"),
        (moe && json["decoder_sparse_step"].as_u64().unwrap_or(1) != 1, "decoder_sparse_step", "1"),
    ];
    match cases.into_iter().find(|case| case.0) {
        None => Ok(()),
        Some((_, key, only)) => Err(Error::Checkpoint(told!(
            "gguf.config_value",
            "config.json: {key} {value} cannot be written to GGUF; it can only be {only}",
            key,
            value = json[key],
            only
        ))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config() -> Json {
        json!({
            "model_type": "qwen3", "vocab_size": 300, "hidden_size": 64, "intermediate_size": 128,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
            "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 1e6, "_name_or_path": "/home/me/tiny",
        })
    }

    #[test]
    fn sizes_become_metadata_of_the_family() {
        let json = config();
        let metadata = Config::new(&json).unwrap().metadata(WeightType::Q8_0).unwrap();
        assert_eq!(metadata.text("general.architecture").unwrap(), Some("qwen3"));
        assert_eq!(metadata.text("general.name").unwrap(), Some("tiny"));
        assert_eq!(metadata.get("general.file_type"), Some(&MetadataValue::U32(7)));
        assert_eq!(metadata.get("qwen3.attention.head_count_kv"), Some(&MetadataValue::U32(2)));
        assert_eq!(metadata.get("qwen3.attention.key_length"), Some(&MetadataValue::U32(32)));
        assert_eq!(metadata.get("qwen3.rope.freq_base"), Some(&MetadataValue::F32(1e6)));
        assert_eq!(metadata.get("qwen3.rope.scaling.type"), None);
    }

    #[test]
    fn settings_of_any_generation_are_one() {
        let old = json!({"rope_scaling": {"type": "linear", "factor": 2.0, "rope_theta": 1e6}});
        let new = json!({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e6}});
        let contradiction = json!({
            "rope_scaling": {"type": "linear", "factor": 2.0}, "rope_theta": 1e6,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
        });
        for settings in [old, new, contradiction] {
            let mut json = config();
            json.as_object_mut().unwrap().remove("rope_theta");
            json.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
            let json = resolved(&json, json.to_string().as_bytes()).unwrap();
            let metadata = Config::new(&json).unwrap().metadata(WeightType::F32).unwrap();
            assert_eq!(metadata.text("qwen3.rope.scaling.type").unwrap(), Some("linear"), "{settings}");
            assert_eq!(metadata.number("qwen3.rope.freq_base").unwrap(), Some(1e6), "{settings}");
            assert_eq!(metadata.text("general.name").unwrap(), Some("tiny"));
        }
    }

    #[test]
    fn scaled_rotary_embeddings_are_written() {
        let mut json = config();
        json["rope_parameters"] =
            json!({"rope_type": "yarn", "factor": 4.0, "rope_theta": 5e5, "beta_fast": 16, "beta_slow": 1});
        let metadata = Config::new(&json).unwrap().metadata(WeightType::F16).unwrap();
        assert_eq!(metadata.text("qwen3.rope.scaling.type").unwrap(), Some("yarn"));
        assert_eq!(metadata.integer("qwen3.rope.scaling.original_context_length").unwrap(), Some(512));
        assert_eq!(metadata.number("qwen3.rope.scaling.yarn_beta_fast").unwrap(), Some(16.0));
        assert_eq!(
            metadata.number("qwen3.rope.scaling.yarn_beta_slow").unwrap(),
            None,
            "as llama.cpp has it"
        );
        assert_eq!(metadata.number("qwen3.rope.freq_base").unwrap(), Some(5e5));
    }

    #[test]
    fn an_attention_factor_of_its_own_is_said_in_llama_cpps_way() {
        let number = |rope: Json, key: &str| {
            let mut json = config();
            json["rope_parameters"] = rope;
            let metadata = Config::new(&json).unwrap().metadata(WeightType::F16).unwrap();
            metadata.number(&format!("qwen3.rope.scaling.{key}")).unwrap()
        };
        let yarn = |key: &str, value: f64| json!({"rope_type": "yarn", "factor": 4.0, key: value});
        let own = 0.1 * libm::log(4.0) + 1.0;
        let of_both = json!({"rope_type": "yarn", "factor": 4.0, "mscale": 2.0, "mscale_all_dim": 1.0});
        for (rope, whole) in [(yarn("attention_factor", 1.5), 1.5), (of_both, (2.0 * own - 1.0) / own)] {
            assert!((number(rope.clone(), "yarn_attn_factor").unwrap() - whole).abs() < 1e-6);
            assert!((number(rope, "attn_factor").unwrap() - whole / own).abs() < 1e-6);
        }
        assert_eq!(number(yarn("attention_factor", own), "attn_factor"), None);
    }

    #[test]
    fn the_unsupported_is_refused_by_name() {
        let cases = [
            ("model_type", json!("gemma"), "'gemma'"),
            ("hidden_act", json!("gelu"), "hidden_act \"gelu\""),
            ("sliding_window", json!(64), "sliding_window 64"),
            ("attention_bias", json!(true), "attention_bias true"),
            ("rope_scaling", json!({"rope_type": "llama3", "factor": 8.0}), "rope_type 'llama3'"),
            (
                "rope_scaling",
                json!({"rope_type": "yarn", "factor": 8.0, "truncate": false}),
                "truncate false",
            ),
            ("hidden_size", Json::Null, "no hidden_size"),
        ];
        for (key, value, told) in cases {
            let mut json = config();
            json[key] = value;
            let metadata = Config::new(&json).and_then(|config| config.metadata(WeightType::F32));
            let message = metadata.unwrap_err().to_string();
            assert!(message.contains(told), "{message}");
        }
    }
}
