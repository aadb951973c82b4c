//! A model's weights: one safetensors file, or several that an index divides them into.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::tensors::write_views;
use super::{Bytes, TensorFile};
use crate::error::{Error, Result};

const WHOLE: &str = "model.safetensors";
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
    /// Empty where there is one file.
    places: BTreeMap<String, usize>,
}

impl Shards {
    /// Opens the weights of a directory.
    ///
    /// # Errors
    /// Files that are missing or damaged, by name; an index that leads out of the directory.
    pub(super) fn open<B: Into<Bytes>>(mut read: impl FnMut(&str) -> Result<Option<B>>) -> Result<Self> {
        if let Some(bytes) = read(WHOLE)? {
            return Ok(Self { files: vec![TensorFile::open(WHOLE, bytes)?], places: BTreeMap::new() });
        }
        let Some(index) = read(WEIGHTS_INDEX)? else {
            return Err(Error::Checkpoint(format!(
                "there is no {WHOLE} (and no {WEIGHTS_INDEX} for a divided one); a checkpoint is a Hugging Face directory with \
                config.json and {WHOLE}"
            )));
        };
        let index: Index = serde_json::from_slice(&index.into())
            .map_err(|e| Error::Checkpoint(format!("{WEIGHTS_INDEX} is damaged: {e}")))?;
        let mut names: Vec<&String> = index.weight_map.values().collect();
        names.sort();
        names.dedup();
        let mut files = Vec::with_capacity(names.len());
        for name in &names {
            check_name(name)?;
            let bytes = read(name)?.ok_or_else(|| {
                Error::Checkpoint(format!(
                    "there is no {name}, which {WEIGHTS_INDEX} names; copy all files of the directory"
                ))
            })?;
            files.push(TensorFile::open(name, bytes)?);
        }
        let place = |file: &String| names.binary_search(&file).unwrap_or_default();
        let places = index.weight_map.iter().map(|(tensor, file)| (tensor.clone(), place(file))).collect();
        Ok(Self { files, places })
    }

    /// Reads one tensor as f32.
    ///
    /// # Errors
    /// As [`TensorFile::read`].
    pub(super) fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let place = self.places.get(name).copied().unwrap_or_default();
        match self.files.get(place) {
            Some(file) if self.places.is_empty() || self.places.contains_key(name) => file.read(name, shape),
            _ => Err(Error::Checkpoint(format!(
                "{WEIGHTS_INDEX} has no tensor '{name}', which the config asks for"
            ))),
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
        false => Err(Error::Checkpoint(format!(
            "{WEIGHTS_INDEX} names the file '{name}'; parts of a checkpoint are .safetensors files beside it"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Files, write_tensors};
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
