//! The files of a Hugging Face directory, and how a model becomes them: config, weights, tokenizer, generation settings.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::write_tensors;
use crate::error::Result;
use crate::model::{ModelConfig, NamedTensor};
use crate::tokenizer::Tokenizer;

/// The settings of generation.
pub const GENERATION: &str = "generation_config.json";

/// File names (with `/` below the directory) and their contents.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The files of a directory that `transformers` opens as it is.
///
/// # Errors
/// A tokenizer that cannot be written.
pub fn directory_files(
    config: &ModelConfig,
    weights: &[NamedTensor],
    tokenizer: Option<&Tokenizer>,
) -> Result<Files> {
    let mut files = directory_texts(config, "float32", tokenizer)?;
    files.insert("model.safetensors".into(), write_tensors(weights, &[])?);
    Ok(files)
}

/// Those of them that hold no weights, which are of the type `dtype`, as PyTorch calls it.
///
/// # Errors
/// A tokenizer that cannot be written.
pub(crate) fn directory_texts(
    config: &ModelConfig,
    dtype: &str,
    tokenizer: Option<&Tokenizer>,
) -> Result<Files> {
    let mut files = Files::new();
    files.insert("config.json".into(), config.to_hugging_face_in(dtype).into_bytes());
    files.insert(GENERATION.into(), generation_config(config).into_bytes());
    if let Some(tokenizer) = tokenizer {
        files.extend(tokenizer.to_files()?);
    }
    Ok(files)
}

/// The special tokens, beside the settings that are kept.
fn generation_config(config: &ModelConfig) -> String {
    let eos = match config.eos_token_ids.as_slice() {
        [one] => json!(one),
        many => json!(many),
    };
    let (bos, pad) = (json!(config.bos_token_id), json!(config.pad_token_id));
    let mut generation = config.generation.clone();
    for (key, id) in [("bos_token_id", bos), ("eos_token_id", eos), ("pad_token_id", pad)] {
        let stays = key != "eos_token_id" && generation.get(key).is_some_and(|id| !id.is_null());
        if !stays {
            generation.insert(key.into(), id);
        }
    }
    format!("{:#}\n", Value::Object(generation))
}
