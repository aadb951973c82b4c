//! A model's weights: one safetensors file, or several that an index divides them into.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::formats::{Bytes, StoredFloat, TensorFile, TensorNames, is_same, state_dict_weights, write_views};
use crate::model::ModelConfig;
use crate::told::{Told, told};

const WHOLE: &str = "model.safetensors";
/// A model's weights as transformers wrote them before 2023.
pub const TORCH_WEIGHTS: &str = "pytorch_model.bin";
const TORCH_INDEX: &str = "pytorch_model.bin.index.json";
/// Where a divided model names the files of its tensors.
pub const WEIGHTS_INDEX: &str = "model.safetensors.index.json";

/// `model.safetensors.index.json`, as `transformers` writes it.
#[derive(Deserialize)]
struct Index {
    /// The file of each tensor.
    weight_map: BTreeMap<String, String>,
}

/// The open files, and which holds what.
pub(super) struct Shards {
    files: Vec<TensorFile>,
    /// The file of each tensor, by its name there; empty where there is one file.
    places: BTreeMap<String, usize>,
    names: TensorNames,
}

impl Shards {
    /// Opens the weights of a directory.
    ///
    /// # Errors
    /// Files that are missing or damaged, by name; an index that leads out of the directory; two tensors that are one
    /// weight.
    pub(super) fn open<B: Into<Bytes>>(mut read: impl FnMut(&str) -> Result<Option<B>>) -> Result<Self> {
        if let Some(bytes) = read(WHOLE)? {
            return Self::whole(TensorFile::open(WHOLE, bytes)?);
        }
        if let Some(index) = read(WEIGHTS_INDEX)? {
            let index: Bytes = index.into();
            return Self::divided(&index, read);
        }
        if let Some(bytes) = read(TORCH_WEIGHTS)? {
            let bytes: Bytes = bytes.into();
            let weights = state_dict_weights(&bytes)?;
            return Self::whole(TensorFile::open(TORCH_WEIGHTS, weights)?);
        }
        Err(Error::Checkpoint(match read(TORCH_INDEX)? {
            Some(_) => told!(
                "checkpoint.torch_shards",
                "its weights are PyTorch's, divided by {torch_index}, which is not read; save them as {whole} with \
                transformers: AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(DIR)",
                torch_index = TORCH_INDEX,
                whole = WHOLE
            ),
            None => told!(
                "checkpoint.no_weights",
                "there is no {whole} (and no {weights_index} for a divided one); a checkpoint is a Hugging Face directory \
                with config.json and {whole}",
                whole = WHOLE,
                weights_index = WEIGHTS_INDEX
            ),
        }))
    }

    fn whole(file: TensorFile) -> Result<Self> {
        let names = TensorNames::new(file.names().iter().map(String::as_str))?;
        Ok(Self { files: vec![file], places: BTreeMap::new(), names })
    }

    fn divided<B: Into<Bytes>>(
        index: &[u8],
        mut read: impl FnMut(&str) -> Result<Option<B>>,
    ) -> Result<Self> {
        let index: Index = serde_json::from_slice(index).map_err(|e| {
            Error::Checkpoint(told!(
                "checkpoint.index_damaged",
                "{weights_index} is damaged: {e}",
                weights_index = WEIGHTS_INDEX,
                e
            ))
        })?;
        let mut names: Vec<&String> = index.weight_map.values().collect();
        names.sort();
        names.dedup();
        let mut files = Vec::with_capacity(names.len());
        for name in &names {
            check_name(name)?;
            let bytes = read(name)?.ok_or_else(|| {
                Error::Checkpoint(told!(
                    "checkpoint.shard_missing",
                    "there is no {name}, which {weights_index} names; copy all files of the directory",
                    name,
                    weights_index = WEIGHTS_INDEX
                ))
            })?;
            files.push(TensorFile::open(name, bytes)?);
        }
        let place = |file: &String| names.binary_search(&file).unwrap_or_default();
        let places = index.weight_map.iter().map(|(tensor, file)| (tensor.clone(), place(file))).collect();
        let names = TensorNames::new(index.weight_map.keys().map(String::as_str))?;
        Ok(Self { files, places, names })
    }

    /// Fits names and config to each other, and says what is odd.
    ///
    /// # Errors
    /// As [`TensorNames::fit`].
    pub(super) fn fit(&mut self, config: &mut ModelConfig) -> Result<Vec<Told>> {
        let mut names = std::mem::take(&mut self.names);
        names.fit(config, |first, second| Ok(self.is_same(first, second)))?;
        let warnings = std::mem::take(&mut names.warnings);
        self.names = names;
        Ok(warnings)
    }

    fn is_same(&self, first: &str, second: &str) -> bool {
        let view = |own: &str| self.file(own).and_then(|file| file.view(own));
        view(first).zip(view(second)).is_some_and(|(first, second)| is_same(&first, &second))
    }

    /// The file of a tensor, by its name there.
    fn file(&self, own: &str) -> Option<&TensorFile> {
        self.files.get(self.places.get(own).copied().unwrap_or_default())
    }

    /// The narrowest type that holds all weights exactly.
    pub(super) fn stored_float(&self) -> StoredFloat {
        let own = self.names.weights.values();
        let types = own.filter_map(|own| Some(self.file(own)?.types([own.as_str()]))).flatten();
        StoredFloat::holding(&types.collect::<Vec<_>>())
    }

    /// Reads one weight as f32, by its plain name.
    ///
    /// # Errors
    /// As [`TensorFile::read`].
    pub(super) fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let own = self.names.weights.get(name);
        match own.and_then(|own| Some((own, self.file(own)?))) {
            Some((own, file)) => file.read(own, shape),
            None => {
                let list = if self.places.is_empty() { WHOLE } else { WEIGHTS_INDEX };
                Err(Error::Checkpoint(told!(
                    "tensor.missing",
                    "{list} has no tensor '{name}', which the config asks for",
                    list,
                    name
                )))
            }
        }
    }
}

/// The weights of a directory in one file, from one or several; types stay.
///
/// # Errors
/// As a checkpoint is opened; two tensors of one name.
pub fn whole_weights<B: Into<Bytes>>(read: impl FnMut(&str) -> Result<Option<B>>) -> Result<Vec<u8>> {
    let shards = Shards::open(read)?;
    let mut tensors = Vec::new();
    for file in &shards.files {
        tensors.extend(file.views()?);
    }
    write_views(tensors, &BTreeMap::from([("format".to_string(), "pt".to_string())]))
}

/// An index from elsewhere must not name files of another directory.
fn check_name(name: &str) -> Result<()> {
    match name.ends_with(".safetensors") && !name.contains(['/', '\\', ':']) {
        true => Ok(()),
        false => Err(Error::Checkpoint(told!(
            "checkpoint.shard_name",
            "{weights_index} names the file '{name}'; parts of a checkpoint are .safetensors files beside it",
            weights_index = WEIGHTS_INDEX,
            name
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{Files, TorchFloat, write_state_dict, write_tensors};
    use crate::model::NamedTensor;

    fn file(name: &str, value: f32) -> Vec<u8> {
        let tensor = NamedTensor { name: name.into(), shape: vec![1], values: vec![value] };
        write_tensors(&[tensor], &[]).unwrap()
    }

    fn open(files: &Files) -> Result<Shards> {
        Shards::open(|name| Ok(files.get(name).cloned()))
    }

    fn divided(index: &str) -> Files {
        Files::from([
            ("a.safetensors".to_string(), file("x", 1.0)),
            ("b.safetensors".to_string(), file("y", 2.0)),
            (WEIGHTS_INDEX.to_string(), index.as_bytes().to_vec()),
        ])
    }

    #[test]
    fn tensors_are_found_in_their_parts() {
        let files = divided(r#"{"weight_map":{"x":"a.safetensors","y":"b.safetensors"}}"#);
        let shards = open(&files).unwrap();
        assert_eq!(shards.read("x", &[1]).unwrap(), [1.0]);
        assert_eq!(shards.read("y", &[1]).unwrap(), [2.0]);
        let one =
            TensorFile::open("one", whole_weights(|name| Ok(files.get(name).cloned())).unwrap()).unwrap();
        assert_eq!((one.read("x", &[1]).unwrap(), one.read("y", &[1]).unwrap()), (vec![1.0], vec![2.0]));
        assert!(shards.read("z", &[1]).unwrap_err().to_string().contains("no tensor 'z'"));
    }

    #[test]
    fn weights_of_any_prefix_are_found_and_a_head_of_its_own_unties_it() {
        let tensor = |name: &str, values: &[f32]| NamedTensor {
            name: name.into(),
            shape: vec![values.len()],
            values: values.to_vec(),
        };
        let tied = crate::model::preset("nano").unwrap().config(None);
        for (head, is_tied) in [([1.0, 2.0], true), ([1.0, 3.0], false)] {
            let names =
                ["module.embed_tokens.weight", "module.lm_head.weight", "module.norm.weight", "value.weight"];
            let tensors = [names[0], names[2], names[3]].map(|name| tensor(name, &[1.0, 2.0]));
            let tensors = [tensors.to_vec(), vec![tensor(names[1], &head)]].concat();
            let files = Files::from([(WHOLE.to_string(), write_tensors(&tensors, &[]).unwrap())]);
            let (mut shards, mut config) = (open(&files).unwrap(), tied.clone());
            let warnings = shards.fit(&mut config).unwrap();
            assert_eq!(config.tie_word_embeddings, is_tied);
            assert_eq!(warnings.len(), if is_tied { 1 } else { 2 }, "{warnings:?}");
            assert!(warnings.last().unwrap().contains("'value.weight'"), "{warnings:?}");
            assert_eq!(shards.read("model.embed_tokens.weight", &[2]).unwrap(), [1.0, 2.0]);
            assert_eq!(shards.read("lm_head.weight", &[2]).ok(), (!is_tied).then(|| head.to_vec()));
        }
    }

    #[test]
    fn weights_of_torch_are_read_and_divided_ones_refused_with_a_remedy() {
        let tensors = [NamedTensor { name: "norm.weight".into(), shape: vec![2], values: vec![1.0, -2.0] }];
        let file = write_state_dict(&tensors, &[], TorchFloat::F32).unwrap();
        let shards = open(&Files::from([(TORCH_WEIGHTS.to_string(), file)])).unwrap();
        assert_eq!(shards.read("model.norm.weight", &[2]).unwrap(), [1.0, -2.0]);
        let divided = Files::from([(TORCH_INDEX.to_string(), b"{}".to_vec())]);
        assert!(open(&divided).err().unwrap().to_string().contains("save_pretrained"));
    }

    #[test]
    fn what_the_index_says_is_not_believed() {
        for (index, told) in [
            (r#"{"weight_map":{"x":"../a.safetensors"}}"#, "'../a.safetensors'"),
            (r#"{"weight_map":{"x":"/etc/passwd"}}"#, "'/etc/passwd'"),
            (r#"{"weight_map":{"x":"c.safetensors"}}"#, "there is no c.safetensors"),
            (r#"{"weight_map":"#, "is damaged"),
        ] {
            let message = open(&divided(index)).err().unwrap().to_string();
            assert!(message.contains(told), "{message}");
        }
        let moved = open(&divided(r#"{"weight_map":{"x":"b.safetensors"}}"#)).unwrap();
        assert!(moved.read("x", &[1]).unwrap_err().to_string().contains("b.safetensors has no tensor 'x'"));
        let empty = open(&divided(r#"{"weight_map":{}}"#)).unwrap();
        assert!(empty.read("x", &[1]).is_err());
        assert!(open(&Files::new()).err().unwrap().to_string().contains("there is no model.safetensors"));
    }
}
