//! Opening a Hugging Face directory, or one file that holds it: config, weights, tokenizer, generation settings.

use std::collections::BTreeSet;

use burn::tensor::Device;
use serde_json::{Value, json};

use super::from_single_file;
use super::shards::Shards;
use crate::adapter::Fingerprint;
use crate::error::{Error, Result};
use crate::formats::gguf::{GgufWeights, from_gguf};
use crate::formats::{Bytes, Files, GENERATION, StoredFloat, directory_files, from_zip};
use crate::kernels::Quantization;
use crate::model::{ModelConfig, NamedTensor, Transformer, WeightSource, odd_token_ids};
use crate::tokenizer::{TOKENIZER_FILES, Tokenizer, TokenizerFiles};
use crate::told::{Told, told};

/// Takes a file apart into those of the directory that it holds.
pub type TakeApart = fn(&[u8]) -> Result<Files>;

/// Files that hold a whole directory, with its tokenizer, by the endings of their names.
const FORMS: [(&str, TakeApart); 3] =
    [(".safetensors", from_single_file), (".zip", from_zip), (".gguf", from_gguf)];

/// The embedding in checkpoints.
const EMBEDDING: &str = "model.embed_tokens.weight";

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
    /// The model's shape, with the end tokens and the settings of `generation_config.json`.
    pub config: ModelConfig,
    /// Tokens that end an answer by these two files alone; the config has the tokenizer's, too.
    pub told_ends: Vec<u32>,
    /// The tokenizer, where the directory has one.
    pub tokenizer: Option<Tokenizer>,
    /// What a person should know: keys and tensors that nothing reads, contradictions and how they were read.
    pub warnings: Vec<Told>,
    weights: WeightFiles,
}

/// Where the weights are read from, one by one.
enum WeightFiles {
    Files(Shards),
    Gguf(GgufWeights),
}

impl WeightFiles {
    fn read<T>(&self, take: impl FnOnce(&mut WeightSource) -> Result<T>) -> Result<T> {
        match self {
            Self::Files(shards) => {
                take(&mut |name, shape| shards.read(name, shape).and_then(|values| finite(name, values)))
            }
            Self::Gguf(gguf) => gguf.read(|source| {
                take(&mut |name, shape| source(name, shape).and_then(|values| finite(name, values)))
            }),
        }
    }
}

/// Refuses what makes every answer of the model no number.
fn finite(name: &str, values: Vec<f32>) -> Result<Vec<f32>> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(values),
        Some(place) => Err(Error::Checkpoint(told!(
            "tensor.not_finite",
            "tensor '{name}' holds {value} (value {place} of {count}), with which the model answers nothing; the run that wrote it \
            diverged, or its file is damaged: take an earlier save, or copy it again",
            name,
            value = values[place],
            place,
            count = values.len()
        ))),
    }
}

impl Checkpoint {
    /// Opens a directory; `read` gives a file's bytes, or `None` where it is absent.
    ///
    /// # Errors
    /// A missing or damaged file, an unsupported model, a tokenizer with more ids than the model.
    pub fn open<B: Into<Bytes>>(mut read: impl FnMut(&str) -> Result<Option<B>>) -> Result<Self> {
        let mut read = |name: &str| Ok(read(name)?.map(B::into));
        Self::assemble(&mut read, |read| Shards::open(read).map(WeightFiles::Files))
    }

    /// Opens a GGUF file, whose weights become f32 only one by one.
    ///
    /// # Errors
    /// As [`from_gguf`].
    pub fn open_gguf(bytes: impl Into<Bytes>) -> Result<Self> {
        let (mut files, weights) = GgufWeights::open(bytes)?;
        Self::assemble(&mut |name| Ok(files.remove(name).map(Bytes::from)), |_| {
            Ok(WeightFiles::Gguf(weights))
        })
    }

    fn assemble<R: FnMut(&str) -> Result<Option<Bytes>>>(
        read: &mut R,
        weights: impl FnOnce(&mut R) -> Result<WeightFiles>,
    ) -> Result<Self> {
        let json = read("config.json")?.ok_or_else(|| {
            Error::Checkpoint(told!(
                "checkpoint.no_config",
                "there is no config.json; a checkpoint is a Hugging Face directory with config.json and \
                model.safetensors"
            ))
        })?;
        let (mut config, remarks) = ModelConfig::read_hugging_face(&json)?;
        let (mut weights, mut warnings) = (weights(read)?, remarks.warnings);
        if let WeightFiles::Files(shards) = &mut weights {
            warnings.extend(shards.fit(&mut config)?);
        }
        let tokenizer = open_tokenizer(read)?;
        // transformers opens no tokenizer of a .gguf by its class.
        if let (WeightFiles::Files(_), Some(tokenizer)) = (&weights, &tokenizer) {
            warnings.extend(class_warning(&json, tokenizer));
        }
        if let Some(bytes) = read(GENERATION)? {
            match serde_json::from_slice(&bytes) {
                Ok(kept) => config.generation = kept,
                Err(e) => warnings.push(told!(
                    "checkpoint.generation_damaged",
                    "{generation} is damaged ({e}), and is not read",
                    generation = GENERATION,
                    e
                )),
            }
        }
        warnings.extend(config.card_warning());
        warnings.extend(add_end_tokens(&mut config));
        let told_ends = config.eos_token_ids.clone();
        let checkpoint = Self { config, told_ends, tokenizer: None, warnings, weights };
        match tokenizer {
            Some(tokenizer) => checkpoint.with_tokenizer(tokenizer),
            None => Ok(checkpoint),
        }
    }

    /// The same with another tokenizer, whose ends of a text are then the model's, too.
    ///
    /// # Errors
    /// More ids than the model has; a mask of the model's that is a word of texts.
    pub fn with_tokenizer(mut self, tokenizer: Tokenizer) -> Result<Self> {
        self.config.check_vocabulary(&tokenizer)?;
        self.config.check_mask(&tokenizer)?;
        self.config = self.config.with_ends_of(&tokenizer);
        self.tokenizer = Some(tokenizer);
        Ok(self)
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

    /// Which weights the checkpoint holds, in whatever bits `model`, which is made of it, has them, and how it reads.
    ///
    /// # Errors
    /// As [`Self::model`].
    pub fn fingerprint(&self, model: &Transformer) -> Result<Fingerprint> {
        let weights = self.weights.read(|source| Fingerprint::of_each(model.shapes(), source))?;
        Ok(weights.read_by(&self.config))
    }

    /// The embedding or the output projection by its name, as the files have it; a tied model has one for both.
    ///
    /// # Errors
    /// As [`Self::model`].
    pub fn token_table(&self, name: &str) -> Result<NamedTensor> {
        let name = if self.config.tie_word_embeddings { EMBEDDING } else { name };
        let shape = vec![self.config.vocab_size, self.config.hidden_size];
        let values = self.weights.read(|source| source(name, &shape))?;
        Ok(NamedTensor { name: name.to_string(), shape, values })
    }

    /// The narrowest type that holds the weights exactly; those of few bits are read as f32.
    pub fn stored_float(&self) -> StoredFloat {
        match &self.weights {
            WeightFiles::Files(shards) => shards.stored_float(),
            WeightFiles::Gguf(_) => StoredFloat::F32,
        }
    }

    /// Calls `take` with what reads a weight by its name and shape.
    ///
    /// # Errors
    /// What `take` says.
    pub(super) fn with_weights<T>(&self, take: impl FnOnce(&mut WeightSource) -> Result<T>) -> Result<T> {
        self.weights.read(take)
    }

    /// The files of this checkpoint with other weights.
    ///
    /// # Errors
    /// As [`directory_files`].
    pub fn files_with(&self, weights: &[NamedTensor]) -> Result<Files> {
        directory_files(&self.config, weights, self.tokenizer.as_ref())
    }
}

/// Whether `transformers` makes other ids of texts than the tokenizer beside this `config.json`.
fn class_warning(json: &[u8], tokenizer: &Tokenizer) -> Option<Told> {
    let root: Value = serde_json::from_slice(json).ok()?;
    let text = |key: &str| root[key].as_str();
    tokenizer.class_warning(text("model_type").unwrap_or_default(), text("tokenizer_class"))
}

/// Reads a tokenizer's files, where they are.
///
/// # Errors
/// Damaged files.
pub fn open_tokenizer<B: Into<Bytes>>(
    read: &mut impl FnMut(&str) -> Result<Option<B>>,
) -> Result<Option<Tokenizer>> {
    let files = TokenizerFiles::gather(|name| Ok(read(name)?.map(|bytes| bytes.into().to_vec())))?;
    files.map(|files| Tokenizer::from_files(&files)).transpose()
}

/// Puts a tokenizer in the place of the one among a checkpoint's files, whatever those were called.
///
/// # Errors
/// A tokenizer that cannot be written.
pub fn put_tokenizer(files: &mut Files, tokenizer: &Tokenizer) -> Result<()> {
    let gone = |name: &str| TOKENIZER_FILES.contains(&name) || ["vocab.json", "merges.txt"].contains(&name);
    files.retain(|name, _| !gone(name));
    files.extend(tokenizer.to_files()?);
    Ok(())
}

/// A chat model may end its turn with several tokens; `generation_config.json` lists them. Returns what is odd about those.
fn add_end_tokens(config: &mut ModelConfig) -> Vec<Told> {
    let ids = match config.generation.get("eos_token_id") {
        Some(Value::Array(ids)) => ids.clone(),
        Some(id) => vec![id.clone()],
        None => Vec::new(),
    };
    let known = |id: &Value| {
        id.as_u64().is_some_and(|id| config.eos_token_ids.iter().any(|&own| u64::from(own) == id))
    };
    let more: Value = ids.iter().filter(|id| !known(id)).cloned().collect();
    let odd = odd_token_ids(GENERATION, "eos_token_id", Some(&more), config.vocab_size);
    let mut seen: BTreeSet<u32> = config.eos_token_ids.iter().copied().collect();
    let ids = ids.iter().filter_map(Value::as_u64).filter_map(|id| u32::try_from(id).ok());
    config.eos_token_ids.extend(ids.filter(|id| seen.insert(*id)));
    // What the config holds itself is written from there.
    let (bos, pad) = (json!(config.bos_token_id), json!(config.pad_token_id));
    config.generation.retain(|key, id| match key.as_str() {
        "eos_token_id" => false,
        "bos_token_id" => !id.is_null() && *id != bos,
        "pad_token_id" => !id.is_null() && *id != pad,
        _ => true,
    });
    odd
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{fresh_weights, preset};

    fn tiny() -> ModelConfig {
        let nano = preset("nano").unwrap().config(Some(8));
        ModelConfig { hidden_size: 16, intermediate_size: 8, num_hidden_layers: 1, head_dim: 4, ..nano }
    }

    fn weights(config: &ModelConfig) -> Vec<NamedTensor> {
        let mut weights = Vec::new();
        let mut fresh = fresh_weights(config, 1);
        let mut source = |name: &str, shape: &[usize]| -> Result<Vec<f32>> {
            let values = fresh(name, shape)?;
            weights.push(NamedTensor { name: name.into(), shape: shape.to_vec(), values: values.clone() });
            Ok(values)
        };
        Transformer::build(config, &Device::flex(), &mut source).unwrap();
        weights
    }

    fn open(files: &Files) -> Checkpoint {
        Checkpoint::open(|name| Ok(files.get(name).cloned())).unwrap()
    }

    #[test]
    fn a_weight_that_is_no_number_is_refused_by_name() {
        let mut weights = weights(&tiny());
        weights[1].values[3] = f32::NAN;
        let name = weights[1].name.clone();
        let checkpoint = open(&directory_files(&tiny(), &weights, None).unwrap());
        let message = checkpoint.model(&Device::flex()).err().unwrap().to_string();
        assert!(message.contains(&format!("'{name}' holds NaN (value 3 of 16)")), "{message}");
        assert!(message.contains("an earlier save"), "{message}");
    }

    #[test]
    fn settings_of_generation_stay_with_other_weights() {
        let weights = weights(&tiny());
        let mut files = directory_files(&tiny(), &weights, None).unwrap();
        let settings = br#"{"temperature": 0.6, "top_p": 0.9, "eos_token_id": [5, 6], "bos_token_id": 3, "x": {"y": 1}}"#;
        files.insert(GENERATION.into(), settings.to_vec());
        let made = open(&files).files_with(&weights).unwrap();
        let made: Value = serde_json::from_slice(&made[GENERATION]).unwrap();
        let expected = json!({
            "temperature": 0.6, "top_p": 0.9, "eos_token_id": [5, 6], "bos_token_id": 3, "pad_token_id": null,
            "x": {"y": 1},
        });
        assert_eq!(made, expected);
        // A model that trains keeps them, too, whatever becomes of its ends.
        let model = open(&files).model(&Device::flex()).unwrap().with_end_ids(vec![7]);
        let trained = directory_files(model.config(), &weights, None).unwrap();
        let trained: Value = serde_json::from_slice(&trained[GENERATION]).unwrap();
        assert_eq!((&trained["temperature"], &trained["x"]), (&json!(0.6), &json!({"y": 1})));
        assert_eq!(trained["eos_token_id"], 7);
        // An end that no token is ends nothing, which is said by the file's name.
        files.insert(GENERATION.into(), br#"{"eos_token_id": [5, 8, -1, null]}"#.to_vec());
        let odd = open(&files).warnings;
        assert_eq!(odd.len(), 3, "{odd:?}");
        assert_eq!(
            odd[0],
            "generation_config.json: eos_token_id 8 is beyond the vocabulary of 8 tokens, and never occurs"
        );
        assert!(odd[1].contains("has -1") && odd[2].contains("has null"), "{odd:?}");
        files.insert(GENERATION.into(), b"[".to_vec());
        assert!(open(&files).warnings[0].contains("generation_config.json is damaged"));
    }

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
