//! The files of a Hugging Face directory: config, weights, tokenizer, generation settings.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::Device;
use serde_json::{Value, json};

use super::gguf::{GgufWeights, from_gguf};
use super::shards::Shards;
use super::{Bytes, from_single_file, from_zip, write_tensors};
use crate::adapter::Fingerprint;
use crate::error::{Error, Result};
use crate::kernels::Quantization;
use crate::model::{ModelConfig, NamedTensor, Transformer, WeightSource};
use crate::tokenizer::{Tokenizer, TokenizerFiles};

/// File names (with `/` below the directory) and their contents.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Takes a file apart into those of the directory that it holds.
pub type TakeApart = fn(&[u8]) -> Result<Files>;

/// Files that hold a whole directory, with its tokenizer, by the endings of their names.
const FORMS: [(&str, TakeApart); 3] =
    [(".safetensors", from_single_file), (".zip", from_zip), (".gguf", from_gguf)];

/// How a file of this name is taken apart, if it is one that holds a directory.
pub fn form_of(name: &str) -> Option<TakeApart> {
    FORMS.iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, take_apart)| *take_apart)
}

/// What the model in a file is called: the file's name without the ending of such a form.
pub fn model_name(name: &str) -> &str {
    FORMS.iter().find_map(|(ending, _)| name.strip_suffix(ending)).unwrap_or(name)
}

/// An opened checkpoint.
pub struct Checkpoint {
    /// The model's shape, with the end tokens of `generation_config.json`.
    pub config: ModelConfig,
    /// The tokenizer, where the directory has one.
    pub tokenizer: Option<Tokenizer>,
    weights: Weights,
}

/// Where the weights are read from, one by one.
enum Weights {
    Files(Shards),
    Gguf(GgufWeights),
}

impl Weights {
    fn read<T>(&self, take: impl FnOnce(&mut WeightSource) -> Result<T>) -> Result<T> {
        match self {
            Self::Files(shards) => take(&mut |name, shape| shards.read(name, shape)),
            Self::Gguf(gguf) => gguf.read(take),
        }
    }
}

impl Checkpoint {
    /// Opens a directory; `read` gives a file's bytes, or `None` where it is absent.
    ///
    /// # Errors
    /// A missing or damaged file, an unsupported model, a tokenizer with more ids than the model.
    pub fn open<B: Into<Bytes>>(mut read: impl FnMut(&str) -> Result<Option<B>>) -> Result<Self> {
        let mut read = |name: &str| Ok(read(name)?.map(B::into));
        Self::assemble(&mut read, |read| Shards::open(read).map(Weights::Files))
    }

    /// Opens a GGUF file, whose weights become f32 only one by one.
    ///
    /// # Errors
    /// As [`from_gguf`].
    pub fn open_gguf(bytes: impl Into<Bytes>) -> Result<Self> {
        let (mut files, weights) = GgufWeights::open(bytes)?;
        Self::assemble(&mut |name| Ok(files.remove(name).map(Bytes::from)), |_| Ok(Weights::Gguf(weights)))
    }

    fn assemble<R: FnMut(&str) -> Result<Option<Bytes>>>(
        read: &mut R,
        weights: impl FnOnce(&mut R) -> Result<Weights>,
    ) -> Result<Self> {
        let config = read("config.json")?.ok_or_else(|| {
            Error::Checkpoint(
                "there is no config.json; a checkpoint is a Hugging Face directory with config.json and \
                model.safetensors"
                    .into(),
            )
        })?;
        let mut config = ModelConfig::from_hugging_face(&config)?;
        let weights = weights(read)?;
        let tokenizer = open_tokenizer(read)?;
        if let Some(generation) = read("generation_config.json")? {
            add_end_tokens(&mut config, &generation);
        }
        if let Some(tokenizer) = &tokenizer {
            config.check_vocabulary(tokenizer)?;
            for id in tokenizer.stop_ids() {
                if !config.eos_token_ids.contains(&id) {
                    config.eos_token_ids.push(id);
                }
            }
        }
        Ok(Self { config, tokenizer, weights })
    }

    /// The model on a device.
    ///
    /// # Errors
    /// A tensor that is missing or has the wrong shape.
    pub fn model(&self, device: &Device) -> Result<Transformer> {
        self.weights.read(|source| Transformer::build(&self.config, device, source))
    }

    /// The model with its matrices in few bits; no more than one of them is ever there in f32.
    ///
    /// # Errors
    /// As [`Self::model`]; a model without any matrix that fits blocks.
    pub fn quantized_model(&self, bits: Quantization, device: &Device) -> Result<Transformer> {
        self.weights.read(|source| Transformer::build_quantized(&self.config, bits, device, source))
    }

    /// Which weights the checkpoint holds, in whatever bits `model`, which is made of it, has them.
    ///
    /// # Errors
    /// As [`Self::model`].
    pub fn fingerprint(&self, model: &Transformer) -> Result<Fingerprint> {
        self.weights.read(|source| Fingerprint::of_each(model.shapes(), source))
    }

    /// The files of a directory that `transformers` opens as it is.
    ///
    /// # Errors
    /// A tokenizer that cannot be written.
    pub fn files(
        config: &ModelConfig,
        weights: &[NamedTensor],
        tokenizer: Option<&Tokenizer>,
    ) -> Result<Files> {
        let mut files = Files::new();
        files.insert("config.json".into(), config.to_hugging_face().into_bytes());
        files.insert("generation_config.json".into(), generation_config(config).into_bytes());
        files.insert("model.safetensors".into(), write_tensors(weights, &[])?);
        if let Some(tokenizer) = tokenizer {
            files.extend(tokenizer.to_files()?);
        }
        Ok(files)
    }
}

/// Reads `tokenizer.json` and `tokenizer_config.json`, where they are.
///
/// # Errors
/// Damaged files.
pub fn open_tokenizer<B: Into<Bytes>>(
    read: &mut impl FnMut(&str) -> Result<Option<B>>,
) -> Result<Option<Tokenizer>> {
    let mut read = |name: &str| Ok(read(name)?.map(|bytes| bytes.into().to_vec()));
    let Some(tokenizer_json) = read("tokenizer.json")? else {
        return Ok(None);
    };
    let tokenizer_config_json = read("tokenizer_config.json")?;
    Tokenizer::from_files(&TokenizerFiles { tokenizer_json, tokenizer_config_json }).map(Some)
}

/// A chat model may end its turn with several tokens; `generation_config.json` lists them.
fn add_end_tokens(config: &mut ModelConfig, generation: &[u8]) {
    let Ok(generation) = serde_json::from_slice::<Value>(generation) else {
        return;
    };
    let ids = match generation.get("eos_token_id") {
        Some(Value::Array(ids)) => ids.clone(),
        Some(id) => vec![id.clone()],
        None => Vec::new(),
    };
    let mut seen: BTreeSet<u32> = config.eos_token_ids.iter().copied().collect();
    let ids = ids.iter().filter_map(Value::as_u64).filter_map(|id| u32::try_from(id).ok());
    config.eos_token_ids.extend(ids.filter(|id| seen.insert(*id)));
}

fn generation_config(config: &ModelConfig) -> String {
    let eos = match config.eos_token_ids.as_slice() {
        [one] => json!(one),
        many => json!(many),
    };
    let generation = json!({
        "bos_token_id": config.bos_token_id,
        "eos_token_id": eos,
        "pad_token_id": config.pad_token_id,
    });
    format!("{generation:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_told_by_the_ending() {
        for name in ["a.safetensors", "b/c.zip", "d.e.gguf"] {
            assert!(form_of(name).is_some(), "{name}");
        }
        for name in ["a.bin", "safetensors", "b.gguf.txt"] {
            assert!(form_of(name).is_none(), "{name}");
        }
        assert_eq!(["a.gguf", "b.zip.gguf", "c.txt"].map(model_name), ["a", "b.zip", "c.txt"]);
    }
}
