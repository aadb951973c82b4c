//! From a GGUF file's metadata to Hugging Face's `config.json` and `generation_config.json`.

use serde_json::{Map, Value as Json, json};

use super::vocabulary::Ids;
use super::{Architecture, Array, Gguf, Metadata, MetadataValue, rope_freqs};
use crate::error::{Error, Result};
use crate::model::RopeScaling;
use crate::told::told;

/// What a family of these names computes, and no model here does.
const FOREIGN: [&str; 7] = [
    "logit_scale",
    "embedding_scale",
    "residual_scale",
    "attention.scale",
    "attention.clamp_kqv",
    "attn_logit_softcapping",
    "final_logit_softcapping",
];

/// The contents of `config.json`, with the keys of `transformers` 4.
///
/// # Errors
/// A size that is missing or of a wrong type, or a feature that would silently compute something else, by name.
pub fn config_json(gguf: &Gguf, architecture: Architecture) -> Result<Json> {
    let keys = Keys { metadata: &gguf.metadata, family: architecture.name() };
    keys.refuse_foreign(architecture)?;
    let (hidden, heads) = (keys.size("embedding_length")?, keys.size("attention.head_count")?);
    let head_dim = keys.head_dim(hidden, heads)?;
    let embedding = gguf.tensors.get("token_embd.weight").ok_or_else(|| {
        Error::Checkpoint(told!(
            "gguf.no_embedding",
            "the GGUF file has no tensor 'token_embd.weight'; it holds no language model"
        ))
    })?;
    let has = |name: &str| gguf.tensors.contains_key(name);
    let theta = keys.number("rope.freq_base")?.unwrap_or(10_000.0);
    let ids = Ids::of(&gguf.metadata)?;
    let config = json!({
        "architectures": [architecture.class()],
        "model_type": architecture.model_type(),
        "vocab_size": embedding.shape[0],
        "hidden_size": hidden,
        "intermediate_size": keys.size("feed_forward_length")?,
        "num_hidden_layers": keys.size("block_count")?,
        "num_attention_heads": heads,
        "num_key_value_heads": keys.optional("attention.head_count_kv")?.unwrap_or(heads),
        "head_dim": head_dim,
        "max_position_embeddings": keys.size("context_length")?,
        "rms_norm_eps": keys.number("attention.layer_norm_rms_epsilon")?.unwrap_or(1e-6),
        "hidden_act": "silu",
        "attention_bias": architecture == Architecture::Llama && has("blk.0.attn_q.bias"),
        "attention_dropout": 0.0,
        "tie_word_embeddings": !has("output.weight"),
        "use_cache": true,
        "rope_theta": theta,
        "rope_scaling": keys.rope_scaling(rope_freqs::scaling(gguf, head_dim, theta)?)?,
        "bos_token_id": ids.bos,
        "eos_token_id": ids.eos(),
        "pad_token_id": ids.pad,
        "torch_dtype": "float32",
    });
    keys.finish(config, architecture)
}

/// The contents of `generation_config.json`: the special tokens.
///
/// # Errors
/// Ids of a wrong type.
pub fn generation_json(metadata: &Metadata) -> Result<Json> {
    let ids = Ids::of(metadata)?;
    Ok(json!({"bos_token_id": ids.bos, "eos_token_id": ids.eos(), "pad_token_id": ids.pad}))
}

/// Metadata of a family, by names without the family's.
struct Keys<'a> {
    metadata: &'a Metadata,
    family: &'static str,
}

impl Keys<'_> {
    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.family)
    }

    fn number(&self, key: &str) -> Result<Option<f64>> {
        self.metadata.number(&self.name(key))
    }

    /// A size; some files have one for each block, which must then be the same.
    fn optional(&self, key: &str) -> Result<Option<u64>> {
        let name = self.name(key);
        let same = match self.metadata.get(&name) {
            Some(MetadataValue::Array(Array::I32(sizes))) => same(sizes).map(|size| u64::try_from(size).ok()),
            Some(MetadataValue::Array(Array::U32(sizes))) => same(sizes).map(|size| Some(u64::from(size))),
            _ => return self.metadata.integer(&name),
        };
        same.flatten().map(Some).ok_or_else(|| {
            Error::Checkpoint(told!(
                "gguf.blocks_differ",
                "the GGUF file's '{name}' differs from block to block; models with equal blocks are supported",
                name
            ))
        })
    }

    fn size(&self, key: &str) -> Result<u64> {
        self.optional(key)?.ok_or_else(|| {
            Error::Checkpoint(told!(
                "gguf.key_missing",
                "the GGUF file has no '{key}'; it holds no whole model",
                key = self.name(key)
            ))
        })
    }

    /// The width of a head, of which all parts must be the same.
    fn head_dim(&self, hidden: u64, heads: u64) -> Result<u64> {
        let head_dim = match self.optional("attention.key_length")? {
            Some(length) => length,
            None => hidden / heads.max(1),
        };
        for key in ["attention.value_length", "rope.dimension_count"] {
            if let Some(other) = self.optional(key)?.filter(|&other| other != head_dim) {
                return Err(Error::Checkpoint(told!(
                    "gguf.head_width",
                    "the GGUF file's '{key}' is {other}, the width of a head is {head_dim}; only equal ones are supported",
                    key = self.name(key),
                    other,
                    head_dim
                )));
            }
        }
        Ok(head_dim)
    }

    /// `of_tensor` is what the file's tensor of frequencies stands for.
    fn rope_scaling(&self, of_tensor: Option<RopeScaling>) -> Result<Json> {
        let kind = self.metadata.text(&self.name("rope.scaling.type"))?.unwrap_or("none");
        let factor = self.number("rope.scaling.factor")?;
        // Files of 2023 have the factor alone.
        let factor = factor.or(self.number("rope.scale_linear")?).filter(|&factor| factor != 0.0);
        let mut scaling = Map::new();
        match (kind, factor) {
            ("none", None | Some(1.0)) | ("linear", Some(1.0)) => {
                let stretched = of_tensor.filter(|scaling| *scaling != RopeScaling::Default);
                return Ok(stretched.map_or(Json::Null, |scaling| Json::Object(scaling.to_hugging_face())));
            }
            _ if of_tensor.is_some() => {
                return Err(Error::Checkpoint(told!(
                    "gguf.rope_twice",
                    "the GGUF file stretches its frequencies twice, by '{key}' and by the tensor '{tensor}'; that is not \
                    supported",
                    key = self.name("rope.scaling.type"),
                    tensor = rope_freqs::NAME
                )));
            }
            ("none" | "linear", Some(factor)) => {
                scaling.insert("rope_type".into(), "linear".into());
                scaling.insert("factor".into(), json!(factor));
            }
            ("yarn", Some(factor)) => {
                scaling.insert("rope_type".into(), "yarn".into());
                scaling.insert("factor".into(), json!(factor));
                self.yarn(&mut scaling)?;
            }
            _ => {
                return Err(Error::Checkpoint(told!(
                    "gguf.rope_kind",
                    "the GGUF file's '{key}' is '{kind}' with the factor {factor}; linear and yarn with a factor are \
                    supported",
                    key = self.name("rope.scaling.type"),
                    kind,
                    factor = format!("{factor:?}")
                )));
            }
        }
        Ok(Json::Object(scaling))
    }

    fn yarn(&self, scaling: &mut Map<String, Json>) -> Result<()> {
        // 1 is YaRN whole, a negative number llama.cpp's default, which is the same.
        let extrapolation = self.number("rope.scaling.yarn_ext_factor")?;
        if let Some(other) = extrapolation.filter(|factor| *factor >= 0.0 && *factor != 1.0) {
            return Err(Error::Checkpoint(told!(
                "gguf.only_one",
                "the GGUF file's '{key}' is {other}; only 1 is supported",
                key = self.name("rope.scaling.yarn_ext_factor"),
                other
            )));
        }
        for (gguf, hf) in super::config_metadata::YARN {
            if let Some(value) = self.number(&format!("rope.scaling.{gguf}"))? {
                scaling.insert(hf.into(), json!(value));
            }
        }
        if let Some(length) = self.optional("rope.scaling.original_context_length")? {
            scaling.insert("original_max_position_embeddings".into(), json!(length));
        }
        Ok(())
    }

    fn refuse_foreign(&self, architecture: Architecture) -> Result<()> {
        let mut foreign =
            FOREIGN.map(|key| self.name(key)).into_iter().filter(|name| self.metadata.get(name).is_some());
        let causal = self.name("attention.causal");
        let experts = self.name("expert_count");
        let name = if let Some(name) = foreign.next() {
            name
        } else if self.metadata.flag(&causal)? == Some(false) {
            causal
        } else if architecture != Architecture::Qwen3Moe && self.metadata.integer(&experts)?.unwrap_or(0) > 0
        {
            experts
        } else {
            return Ok(());
        };
        Err(Error::Checkpoint(told!(
            "gguf.variant_key",
            "the GGUF file has '{name}', which a plain {family} model does not; such variants are not supported",
            name,
            family = self.family
        )))
    }

    /// Keys that not every family has.
    fn finish(&self, mut config: Json, architecture: Architecture) -> Result<Json> {
        if architecture == Architecture::Llama {
            config["mlp_bias"] = json!(false);
        }
        if let Some(window) = self.optional("attention.sliding_window")?.filter(|&window| window > 0) {
            config["sliding_window"] = json!(window);
            config["use_sliding_window"] = json!(true);
        }
        if architecture == Architecture::Qwen3Moe {
            config["num_experts"] = json!(self.size("expert_count")?);
            config["num_experts_per_tok"] = json!(self.size("expert_used_count")?);
            config["moe_intermediate_size"] = json!(self.size("expert_feed_forward_length")?);
            // What llama.cpp computes for this family; the file does not say it.
            config["norm_topk_prob"] = json!(true);
            config["decoder_sparse_step"] = json!(1);
            config["mlp_only_layers"] = json!([]);
        }
        if let Some(name) = self.metadata.text("general.name")? {
            config["_name_or_path"] = json!(name);
        }
        Ok(config)
    }
}

/// The value that all have.
fn same<T: Copy + PartialEq>(values: &[T]) -> Option<T> {
    let first = *values.first()?;
    values.iter().all(|&value| value == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::super::BlockType;
    use super::super::writer::{TensorPlan, begin, pad};
    use super::*;

    /// The config of a file with these values beside the sizes.
    fn config(values: &[(&str, MetadataValue)]) -> Result<Json> {
        let mut metadata = Metadata::default();
        for (key, size) in [
            ("embedding_length", 8),
            ("attention.head_count", 2),
            ("feed_forward_length", 16),
            ("block_count", 1),
            ("context_length", 64),
        ] {
            metadata.insert(format!("llama.{key}"), MetadataValue::U32(size));
        }
        for (key, value) in values {
            metadata.insert(*key, value.clone());
        }
        let plan =
            TensorPlan { name: "token_embd.weight".into(), shape: vec![5, 8], block_type: BlockType::F32 };
        let mut bytes = begin(&metadata, &[plan])?;
        bytes.resize(bytes.len() + 160, 0);
        pad(&mut bytes);
        config_json(&Gguf::open(&bytes)?, Architecture::Llama)
    }

    #[test]
    fn defaults_are_those_of_llama_cpp() {
        let config = config(&[]).unwrap();
        assert_eq!((&config["head_dim"], &config["num_key_value_heads"]), (&json!(4), &json!(2)));
        assert_eq!((&config["rope_theta"], &config["rope_scaling"]), (&json!(10_000.0), &Json::Null));
        assert_eq!((&config["vocab_size"], &config["tie_word_embeddings"]), (&json!(5), &json!(true)));
    }

    #[test]
    fn scaling_and_lists_are_read() {
        let text = |text: &str| MetadataValue::Text(text.into());
        let scaling = |values: &[(&str, MetadataValue)]| config(values).unwrap()["rope_scaling"].clone();
        assert_eq!(
            scaling(&[("llama.rope.scale_linear", MetadataValue::F32(4.0))]),
            json!({"rope_type": "linear", "factor": 4.0})
        );
        let yarn = [
            ("llama.rope.scaling.type", text("yarn")),
            ("llama.rope.scaling.factor", MetadataValue::F32(2.0)),
            ("llama.rope.scaling.original_context_length", MetadataValue::U32(32)),
            ("llama.rope.scaling.yarn_beta_slow", MetadataValue::F32(0.1)),
        ];
        let expected = json!({"rope_type": "yarn", "factor": 2.0, "beta_slow": 0.1, "original_max_position_embeddings": 32});
        assert_eq!(scaling(&yarn), expected);
        let heads = |heads: Vec<i32>| {
            config(&[("llama.attention.head_count_kv", MetadataValue::Array(Array::I32(heads)))])
        };
        assert_eq!(heads(vec![1, 1]).unwrap()["num_key_value_heads"], 1);
        for uneven in [vec![1, 2], vec![-1], vec![]] {
            assert!(heads(uneven).unwrap_err().to_string().contains("differs from block to block"));
        }
    }

    #[test]
    fn variants_are_refused_by_name() {
        for (key, value) in [
            ("llama.logit_scale", MetadataValue::F32(2.0)),
            ("llama.expert_count", MetadataValue::U32(8)),
            ("llama.attention.causal", MetadataValue::Bool(false)),
            ("llama.rope.dimension_count", MetadataValue::U32(2)),
            ("llama.rope.scaling.type", MetadataValue::Text("longrope".into())),
            ("llama.block_count", MetadataValue::Text("1".into())),
        ] {
            let message = config(&[(key, value)]).unwrap_err().to_string();
            assert!(message.contains(key), "{message}");
        }
        let yarn = [
            ("llama.rope.scaling.type", MetadataValue::Text("yarn".into())),
            ("llama.rope.scaling.factor", MetadataValue::F32(2.0)),
            ("llama.rope.scaling.yarn_ext_factor", MetadataValue::F32(0.5)),
        ];
        assert!(config(&yarn).unwrap_err().to_string().contains("yarn_ext_factor' is 0.5"));
    }
}
