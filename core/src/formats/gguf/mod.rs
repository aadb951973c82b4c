//! GGUF, the format of llama.cpp: a model in one file, with its tokenizer, often in few bits.
//!
//! Reading: [`Gguf`] (the file), [`Weights`] (its tensors as Hugging Face has them), [`config_json`] and
//! [`tokenizer_json`]; [`from_gguf`] does all of it at once, [`GgufWeights`] the weights one by one. Writing is
//! [`to_gguf`]; [`tokenizer_warnings()`] tells what it leaves out.

mod architecture;
mod assemble;
mod block_type;
mod config;
mod config_metadata;
mod cursor;
mod dequantize;
mod export;
mod names;
mod pre_tokenizer;
mod quantize;
mod reader;
mod rope_freqs;
mod sentencepiece;
mod sentencepiece_metadata;
mod space_prefix;
mod table;
mod tokenizer;
mod tokenizer_metadata;
mod tokenizer_warnings;
mod value;
mod vocabulary;
mod weights;
mod writer;

use serde_json::Value as Json;

use super::tensors::parse;
use super::{Bytes, Files, plain_files, refuse_adapter};
use crate::error::{Error, Result};
use crate::model::{ModelConfig, WeightSource};
use crate::tokenizer::TokenizerFiles;
use crate::told::{Told, told};
use config::generation_json;
use config_metadata::{Config, resolved};
use tokenizer_metadata::TokenizerSource;

pub(super) use space_prefix::{decoder, normalizer};

pub use architecture::Architecture;
pub use block_type::BlockType;
pub use config::config_json;
pub use dequantize::dequantize;
pub use quantize::{WeightType, quantize};
pub use reader::Gguf;
pub use table::TensorInfo;
pub use tokenizer::{TokenizerJson, tokenizer_json};
pub use tokenizer_warnings::tokenizer_warnings;
pub use value::{Array, Metadata, MetadataValue};
pub use weights::Weights;

const CONFIG: &str = "config.json";
const GENERATION: &str = "generation_config.json";
const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const WEIGHTS: &str = "model.safetensors";

/// Whether bytes begin as a GGUF file does.
pub fn is_gguf(bytes: &[u8]) -> bool {
    bytes.starts_with(b"GGUF")
}

/// The files of a Hugging Face directory from a GGUF file. Weights become f32, which holds every stored value exactly.
///
/// # Errors
/// A file that is damaged, or of a family, a tokenizer or a block format that is not supported, by name.
pub fn from_gguf(bytes: &[u8]) -> Result<Files> {
    let gguf = Gguf::open(bytes)?;
    let (mut files, architecture, heads) = without_weights(&gguf)?;
    files.insert(WEIGHTS.into(), Weights::new(&gguf, architecture, heads)?.to_safetensors()?);
    Ok(files)
}

/// The weights of a GGUF file, decoded one by one as they are asked for.
pub struct GgufWeights {
    bytes: Bytes,
    architecture: Architecture,
    heads: [u64; 2],
}

impl GgufWeights {
    /// The other files of the directory, and the weights.
    ///
    /// # Errors
    /// As [`from_gguf`].
    pub fn open(bytes: impl Into<Bytes>) -> Result<(Files, Self)> {
        let bytes = bytes.into();
        let gguf = Gguf::open(&bytes)?;
        let (files, architecture, heads) = without_weights(&gguf)?;
        Weights::new(&gguf, architecture, heads)?;
        Ok((files, Self { bytes, architecture, heads }))
    }

    /// Calls `take` with what reads a weight by its name and shape.
    ///
    /// # Errors
    /// What `take` says; a weight that is missing or has another shape.
    pub fn read<T>(&self, take: impl FnOnce(&mut WeightSource) -> Result<T>) -> Result<T> {
        let gguf = Gguf::open(&self.bytes)?;
        let weights = Weights::new(&gguf, self.architecture, self.heads)?;
        take(&mut |name, shape| {
            let tensor = weights.read(name)?;
            match tensor.shape == shape {
                true => Ok(tensor.values),
                false => Err(Error::Checkpoint(told!(
                    "gguf.shape_differs",
                    "the GGUF file's weight for '{name}' has shape {found}, its metadata asks for {shape}",
                    name,
                    found = format!("{:?}", tensor.shape),
                    shape = format!("{shape:?}")
                ))),
            }
        })
    }
}

/// All files but the weights, and what reading those takes.
fn without_weights(gguf: &Gguf) -> Result<(Files, Architecture, [u64; 2])> {
    let name = gguf.metadata.text("general.architecture")?;
    let architecture = Architecture::from_name(name.unwrap_or("(none)"))?;
    let config = config_json(gguf, architecture)?;
    let mut files = Files::new();
    files.insert(CONFIG.into(), text(&config));
    files.insert(GENERATION.into(), text(&generation_json(&gguf.metadata)?));
    if let Some(tokenizer) = tokenizer_json(&gguf.metadata)? {
        files.insert(TOKENIZER.into(), text(&tokenizer.tokenizer));
        files.insert(TOKENIZER_CONFIG.into(), text(&tokenizer.config));
    }
    let heads = ["num_attention_heads", "num_key_value_heads"].map(|key| config[key].as_u64().unwrap_or(0));
    Ok((files, architecture, heads))
}

/// A GGUF file from the files of a Hugging Face directory. Equal files make equal bytes.
///
/// # Errors
/// Files that are missing or damaged; a family, a feature or a tokenizer that GGUF does not express, by name; values
/// that the type cannot hold.
pub fn to_gguf(files: &Files, weights: WeightType) -> Result<Vec<u8>> {
    refuse_adapter(files)?;
    let json = |name: &str| match files.get(name) {
        None => Ok(Json::Null),
        Some(bytes) => serde_json::from_slice(bytes).map_err(|e| {
            Error::Checkpoint(told!("gguf.file_damaged", "{name} is damaged ({e}); copy it again", name, e))
        }),
    };
    for needed in [CONFIG, TOKENIZER, WEIGHTS] {
        if !files.contains_key(needed) {
            return Err(Error::Checkpoint(told!(
                "gguf.file_missing",
                "there is no {needed}; a GGUF file is made of {config}, {tokenizer} and {weights}",
                needed,
                config = CONFIG,
                tokenizer = TOKENIZER,
                weights = WEIGHTS
            )));
        }
    }
    let model = json(CONFIG)?;
    let plain = plain_files(files)?.files;
    let files = plain.as_ref().unwrap_or(files);
    let model = resolved(&model, files.get(CONFIG).map_or(&[][..], Vec::as_slice))?;
    let config = Config::new(&model)?;
    let mut metadata = config.metadata(weights)?;
    let (tokenizer, tokenizer_config) = (json(TOKENIZER)?, tokenizer_config(files)?);
    let generation = json(GENERATION)?;
    let source = TokenizerSource {
        tokenizer: &tokenizer,
        config: &tokenizer_config,
        model: &model,
        generation: &generation,
    };
    let tensors = parse(WEIGHTS, files.get(WEIGHTS).map_or(&[][..], Vec::as_slice))?;
    // The vocabulary gets a token for each row, and a config may claim any number of rows.
    export::check_rows(&tensors, config.vocab_size)?;
    source.write(config.vocab_size, &mut metadata)?;
    export::write(&tensors, &config, &metadata, weights)
}

/// Why no model of this shape can be written as GGUF, whatever its weights and its tokenizer; none where one can.
pub fn refusal(config: &ModelConfig) -> Option<Told> {
    let json = config.to_hugging_face();
    let resolved = resolved(&Json::Null, json.as_bytes());
    resolved.and_then(|json| Config::new(&json).map(drop)).err().map(|e| e.told())
}

/// `tokenizer_config.json` with what the files beside it say.
fn tokenizer_config(files: &Files) -> Result<Json> {
    let gathered = TokenizerFiles::gather(|name| Ok(files.get(name).cloned()))?;
    let Some(bytes) = gathered.and_then(|files| files.tokenizer_config_json) else { return Ok(Json::Null) };
    serde_json::from_slice(&bytes).map_err(|e| {
        Error::Checkpoint(told!(
            "gguf.tokenizer_config_damaged",
            "{tokenizer_config} is damaged ({e}); copy it again",
            tokenizer_config = TOKENIZER_CONFIG,
            e
        ))
    })
}

fn text(json: &Json) -> Vec<u8> {
    format!("{json:#}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NamedTensor;

    /// A Llama of one block, as the PyPI package `gguf` writes it (tests/golden/gguf/make.py).
    const TINY: &[u8] = include_bytes!("../../../../tests/golden/gguf/tiny.gguf");
    /// Its tensors in the order of that script.
    const NAMES: [&str; 11] = [
        "model.embed_tokens",
        "model.layers.0.input_layernorm",
        "model.layers.0.self_attn.q_proj",
        "model.layers.0.self_attn.k_proj",
        "model.layers.0.self_attn.v_proj",
        "model.layers.0.self_attn.o_proj",
        "model.layers.0.post_attention_layernorm",
        "model.layers.0.mlp.gate_proj",
        "model.layers.0.mlp.up_proj",
        "model.layers.0.mlp.down_proj",
        "model.norm",
    ];

    fn json(files: &Files, name: &str) -> Json {
        serde_json::from_slice(&files[name]).unwrap()
    }

    /// The values that the script gave the n-th tensor.
    fn check(tensor: &NamedTensor, n: usize) {
        let width = *tensor.shape.last().unwrap();
        for (i, value) in tensor.values.iter().enumerate() {
            let expected = ((7 * (i / width) + 3 * (i % width) + 5 * n) % 29) as f32 / 8.0 - 14.0 / 8.0;
            assert_eq!(*value, expected, "{} value {i}", tensor.name);
        }
    }

    #[test]
    fn a_file_of_another_writer_becomes_a_directory() {
        let files = from_gguf(TINY).unwrap();
        let config = json(&files, CONFIG);
        for (key, value) in
            [("hidden_size", 32), ("vocab_size", 272), ("head_dim", 8), ("num_key_value_heads", 2)]
        {
            assert_eq!(config[key], value, "{key}");
        }
        assert_eq!((&config["model_type"], &config["tie_word_embeddings"]), (&"llama".into(), &true.into()));
        assert_eq!(config["rms_norm_eps"], 1e-5);
        let tokenizer = json(&files, TOKENIZER);
        assert_eq!(tokenizer["model"]["vocab"].as_object().unwrap().len(), 263);
        assert_eq!(tokenizer["model"]["merges"][1], serde_json::json!(["he", "l"]));
        assert_eq!(json(&files, TOKENIZER_CONFIG)["eos_token"], "<|im_end|>");
        assert_eq!(json(&files, GENERATION)["eos_token_id"], 2);

        let (gguf, llama) = (Gguf::open(TINY).unwrap(), Architecture::Llama);
        let weights = Weights::new(&gguf, llama, [4, 2]).unwrap();
        let written = parse("tiny", &files[WEIGHTS]).unwrap();
        assert_eq!((weights.names().count(), written.len()), (11, 11));
        for (n, name) in NAMES.iter().enumerate() {
            let tensor = weights.read(&format!("{name}.weight")).unwrap();
            check(&tensor, n);
            let view = written.tensor(&tensor.name).unwrap();
            let bytes: Vec<u8> = tensor.values.iter().flat_map(|x| x.to_le_bytes()).collect();
            assert!(view.shape() == tensor.shape && view.data() == bytes, "{name}");
        }
        assert!(weights.read("lm_head.weight").is_err());
        assert!(Weights::new(&gguf, llama, [4, 3]).err().unwrap().to_string().contains("attn_k"));
        assert!(Weights::new(&gguf, Architecture::Qwen3Moe, [4, 2]).is_err());
    }

    #[test]
    fn the_way_back_loses_nothing() {
        let files = from_gguf(TINY).unwrap();
        // 32 and 64 values a row are whole blocks of all these types.
        for (kind, exact) in [
            (WeightType::F32, true),
            (WeightType::F16, true),
            (WeightType::Bf16, true),
            (WeightType::Q8_0, false),
        ] {
            let bytes = to_gguf(&files, kind).unwrap();
            assert!(bytes == to_gguf(&files, kind).unwrap());
            let gguf = Gguf::open(&bytes).unwrap();
            assert_eq!(gguf.tensors["blk.0.attn_q.weight"].block_type, kind.block_type());
            assert_eq!(gguf.tensors["blk.0.attn_norm.weight"].block_type, BlockType::F32);
            let again = from_gguf(&bytes).unwrap();
            for (name, content) in &files {
                assert!(!exact && name == WEIGHTS || again[name] == *content, "{name}");
            }
        }
        let bytes = to_gguf(&files, WeightType::Q4_0).unwrap();
        let gguf = Gguf::open(&bytes).unwrap();
        assert_eq!(gguf.tensors["blk.0.ffn_up.weight"].block_type, BlockType::Q4_0);
        assert_eq!(gguf.tensors["token_embd.weight"].block_type, BlockType::Q8_0);
    }

    #[test]
    fn a_template_of_its_own_file_wins_and_others_go_along() {
        let mut files = from_gguf(TINY).unwrap();
        files.insert("chat_template.jinja".into(), b"new".to_vec());
        files.insert("additional_chat_templates/tool_use.jinja".into(), b"tools".to_vec());
        let again = from_gguf(&to_gguf(&files, WeightType::F32).unwrap()).unwrap();
        let named = serde_json::json!([
            {"name": "default", "template": "new"}, {"name": "tool_use", "template": "tools"},
        ]);
        assert_eq!(json(&again, TOKENIZER_CONFIG)["chat_template"], named);
        files.remove("additional_chat_templates/tool_use.jinja");
        let again = from_gguf(&to_gguf(&files, WeightType::F32).unwrap()).unwrap();
        assert_eq!(json(&again, TOKENIZER_CONFIG)["chat_template"], "new");
    }

    #[test]
    fn a_shape_is_refused_as_its_files_are() {
        use crate::model::{DiffusionConfig, preset};

        let causal = preset("nano").unwrap().config(None);
        let diffusion = DiffusionConfig { mask_token_id: 7, block_length: None, shift_logits: true };
        let masked = ModelConfig { diffusion: Some(diffusion), ..causal.clone() };
        assert_eq!(refusal(&causal), None);
        let mixture = preset("minimind3-moe").unwrap().config(None);
        for (config, part) in [(&masked, "predicts masked tokens"), (&mixture, "GGUF")] {
            let told = refusal(config).unwrap();
            assert!(told.contains(part), "{told}");
            let mut files = from_gguf(TINY).unwrap();
            files.insert(CONFIG.into(), config.to_hugging_face().into_bytes());
            assert_eq!(to_gguf(&files, WeightType::F16).unwrap_err().told(), told);
        }
    }

    #[test]
    fn no_changed_byte_panics() {
        let (mut bytes, mut state) = (TINY.to_vec(), 7_u64);
        for _ in 0..2_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let place = (state >> 33) as usize % 9000;
            let old = std::mem::replace(&mut bytes[place], (state >> 20) as u8);
            drop(from_gguf(&bytes));
            bytes[place] = old;
        }
    }

    #[test]
    fn what_is_missing_or_too_much_is_told() {
        let told = |change: &dyn Fn(&mut Files)| {
            let mut files = from_gguf(TINY).unwrap();
            change(&mut files);
            to_gguf(&files, WeightType::F16).unwrap_err().to_string()
        };
        let with = |key: &str, value: Json| {
            told(&|files| {
                let mut config = json(files, CONFIG);
                config[key] = value.clone();
                files.insert(CONFIG.into(), text(&config));
            })
        };
        assert!(told(&|files| drop(files.remove(TOKENIZER))).contains("there is no tokenizer.json"));
        assert!(
            told(&|files| drop(files.insert(CONFIG.into(), vec![b'[']))).contains("config.json is damaged")
        );
        assert!(with("vocab_size", (1_u64 << 20).into()).contains("has 272 rows"));
        assert!(with("vocab_size", (1_u64 << 31).into()).contains("vocab_size is 2147483648"));
        assert!(with("num_key_value_heads", 4.into()).contains("'blk.0.attn_k.weight'"));
        assert!(with("model_type", "qwen3_moe".into()).contains("norm_topk_prob false"));
    }
}
