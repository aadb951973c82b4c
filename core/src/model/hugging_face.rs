//! `config.json` as Hugging Face `transformers` reads and writes it, versions 4 and 5.
//!
//! Version 4 has `rope_theta`, `rope_scaling`, `torch_dtype`; version 5 has `rope_parameters` (with
//! `rope_theta` inside), `dtype`, `layer_types`. Both are read, and both sets of keys are written.

use serde_json::{Map, Value, json};

use super::ModelConfig;
use crate::error::{Error, Result};

const FAMILIES: [&str; 3] = ["llama", "mistral", "qwen3"];

impl ModelConfig {
    /// Reads `config.json`; unknown keys are ignored.
    ///
    /// # Errors
    /// Broken JSON, a missing size, or an unsupported `model_type`, `rope_type` or `hidden_act`, each by name.
    pub fn from_hugging_face(json: &[u8]) -> Result<Self> {
        let root: Map<String, Value> = serde_json::from_slice(json)
            .map_err(|e| Error::Model(format!("config.json is not a JSON object: {e}")))?;
        let keys = Keys(&root);
        let family = keys.text("model_type").unwrap_or("llama");
        refuse_unknown(&keys, family)?;
        let initializer_range = keys.number("initializer_range").unwrap_or(0.02);
        let heads = keys.size("num_attention_heads")?;
        let hidden_size = keys.size("hidden_size")?;
        let config = Self {
            vocab_size: keys.size("vocab_size")?,
            hidden_size,
            intermediate_size: keys.size("intermediate_size")?,
            num_hidden_layers: keys.size("num_hidden_layers")?,
            num_attention_heads: heads,
            num_key_value_heads: keys.optional_size("num_key_value_heads")?.unwrap_or(heads),
            head_dim: keys.optional_size("head_dim")?.unwrap_or(hidden_size / heads.max(1)),
            max_position_embeddings: keys.optional_size("max_position_embeddings")?.unwrap_or(2048),
            rms_norm_eps: keys.number("rms_norm_eps").unwrap_or(1e-6),
            rope_theta: rope_theta(&keys),
            attention_bias: keys.flag("attention_bias").unwrap_or(false),
            qk_norm: family == "qwen3",
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

    /// The text of a `config.json` that both generations of `transformers` open.
    pub fn to_hugging_face(&self) -> String {
        let (family, class) =
            if self.qk_norm { ("qwen3", "Qwen3ForCausalLM") } else { ("llama", "LlamaForCausalLM") };
        let eos = match self.eos_token_ids.as_slice() {
            [] => Value::Null,
            [one] => json!(one),
            many => json!(many),
        };
        let mut root = json!({
            "architectures": [class],
            "model_type": family,
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
            "mlp_bias": false,
            "tie_word_embeddings": self.tie_word_embeddings,
            "initializer_range": self.initializer_range,
            "embedding_range": self.embedding_range,
            "use_cache": true,
            "bos_token_id": self.bos_token_id,
            "eos_token_id": eos,
            "pad_token_id": self.pad_token_id,
            "rope_theta": self.rope_theta,
            "rope_scaling": null,
            "rope_parameters": {"rope_type": "default", "rope_theta": self.rope_theta},
            "torch_dtype": "float32",
            "dtype": "float32",
        });
        if self.qk_norm
            && let Some(root) = root.as_object_mut()
        {
            root.remove("mlp_bias");
            root.insert("use_sliding_window".into(), json!(false));
            root.insert("sliding_window".into(), Value::Null);
            root.insert("layer_types".into(), json!(vec!["full_attention"; self.num_hidden_layers]));
        }
        format!("{root:#}\n")
    }
}

/// Refuses by name what would silently compute something else.
fn refuse_unknown(keys: &Keys, family: &str) -> Result<()> {
    let refuse = |what: &str, found: &str, known: &str| {
        Err(Error::Model(format!("config.json: {what} '{found}' is not supported; supported: {known}")))
    };
    if !FAMILIES.contains(&family) {
        return refuse("model_type", family, &FAMILIES.join(", "));
    }
    if let Some(act) = keys.text("hidden_act").filter(|act| !["silu", "swish"].contains(act)) {
        return refuse("hidden_act", act, "silu");
    }
    for block in ["rope_parameters", "rope_scaling"] {
        let Some(Value::Object(rope)) = keys.0.get(block) else {
            continue;
        };
        let kind = rope.get("rope_type").or(rope.get("type")).and_then(Value::as_str).unwrap_or("default");
        if kind != "default" {
            return refuse("rope_type", kind, "default");
        }
    }
    if keys.flag("mlp_bias") == Some(true) {
        return refuse("mlp_bias", "true", "false");
    }
    let window = keys.number("sliding_window").filter(|_| keys.flag("use_sliding_window") != Some(false));
    let context = keys.number("max_position_embeddings").unwrap_or(2048.0);
    if let Some(window) = window.filter(|window| *window < context) {
        return refuse("sliding_window", &window.to_string(), "null, or at least max_position_embeddings");
    }
    Ok(())
}

/// Version 5 keeps the base inside `rope_parameters`, version 4 at the top.
fn rope_theta(keys: &Keys) -> f64 {
    let inside = keys.0.get("rope_parameters").and_then(|rope| rope.get("rope_theta"));
    inside.and_then(Value::as_f64).or(keys.number("rope_theta")).unwrap_or(10_000.0)
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
    fn the_unsupported_is_refused_by_name() {
        let cases = [
            (r#""model_type":"gpt2""#, "model_type 'gpt2'"),
            (r#""model_type":"llama","hidden_act":"gelu""#, "hidden_act 'gelu'"),
            (r#""rope_scaling":{"rope_type":"yarn","factor":4.0}"#, "rope_type 'yarn'"),
            (r#""rope_scaling":{"type":"linear","factor":2.0}"#, "rope_type 'linear'"),
            (r#""rope_parameters":{"rope_type":"llama3","rope_theta":1e4}"#, "rope_type 'llama3'"),
            (r#""model_type":"mistral","sliding_window":64"#, "sliding_window '64'"),
            (r#""head_dim":7"#, "head_dim (7) must be even"),
            (r#""hidden_size":"wide""#, "hidden_size is \"wide\""),
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
