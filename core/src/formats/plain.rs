//! A foreign directory's files as they are read here, for the forms that are made of files instead of a model: weights
//! under their plain names and no others, and a config that says what is computed.

use std::collections::BTreeMap;

use safetensors::tensor::TensorView;

use super::Files;
use super::tensor_names::TensorNames;
use super::tensors::{is_same, parse, texts, write_views};
use crate::error::Result;
use crate::model::ModelConfig;
use crate::told::Told;

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";

/// What became of a directory's files.
#[derive(Debug, Default)]
pub struct Plain {
    /// All files, where any of them had to change.
    pub files: Option<Files>,
    /// What a person should know, as an opened checkpoint says it.
    pub warnings: Vec<Told>,
}

/// Makes the files of a directory plain, so that every form made of them computes what the directory does. Those without
/// a model stay.
///
/// # Errors
/// As a checkpoint is opened.
pub fn plain_files(files: &Files) -> Result<Plain> {
    let (Some(json), Some(bytes)) = (files.get(CONFIG), files.get(WEIGHTS)) else {
        return Ok(Plain::default());
    };
    let (mut config, remarks) = ModelConfig::read_hugging_face(json)?;
    let tensors = parse(WEIGHTS, bytes)?;
    let view = |name: &str| tensors.tensor(name).ok();
    let mut names = TensorNames::new(tensors.names())?;
    names.fit(&mut config, |first, second| {
        Ok(view(first).zip(view(second)).is_some_and(|(first, second)| is_same(&first, &second)))
    })?;
    let warnings = [remarks.warnings, names.warnings].concat();
    let as_they_are =
        names.weights.len() == tensors.len() && names.weights.iter().all(|(plain, own)| plain == own);
    let corrected = config.corrected(json)?;
    if as_they_are && corrected.is_none() {
        return Ok(Plain { files: None, warnings });
    }
    let others = files.iter().filter(|(name, _)| *name != WEIGHTS);
    let mut plain: Files = others.map(|(name, bytes)| (name.clone(), bytes.clone())).collect();
    if let Some(config) = corrected {
        plain.insert(CONFIG.into(), config.into_bytes());
    }
    let weights = match as_they_are {
        true => bytes.clone(),
        false => {
            let views = names.weights.into_iter().filter_map(|(plain, own)| Some((plain, view(&own)?)));
            let views: Vec<(String, TensorView<'_>)> = views.collect();
            let texts: BTreeMap<String, String> = texts(WEIGHTS, bytes)?;
            write_views(views, &texts)?
        }
    };
    plain.insert(WEIGHTS.into(), weights);
    Ok(Plain { files: Some(plain), warnings })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::formats::{TensorFile, write_tensors};
    use crate::model::{NamedTensor, preset};

    fn files(tied: bool, tensors: &[(&str, f32)]) -> Files {
        let config = ModelConfig { tie_word_embeddings: tied, ..preset("nano").unwrap().config(None) }
            .to_hugging_face();
        let tensors: Vec<NamedTensor> = tensors
            .iter()
            .map(|(name, value)| NamedTensor { name: (*name).into(), shape: vec![1], values: vec![*value] })
            .collect();
        let weights = write_tensors(&tensors, &[("made.by", "a test".into())]).unwrap();
        Files::from([
            (CONFIG.to_string(), config.into_bytes()),
            (WEIGHTS.to_string(), weights),
            ("tokenizer.json".to_string(), b"{}".to_vec()),
        ])
    }

    fn names(files: &Files) -> Vec<String> {
        let mut names = TensorFile::open("x", files[WEIGHTS].clone()).unwrap().names();
        names.sort();
        names
    }

    fn config(files: &Files) -> Value {
        serde_json::from_slice(&files[CONFIG]).unwrap()
    }

    #[test]
    fn plain_files_stay_as_they_are() {
        let plain = plain_files(&files(true, &[("model.norm.weight", 1.0)])).unwrap();
        assert!(plain.files.is_none() && plain.warnings.is_empty(), "{plain:?}");
        assert!(plain_files(&Files::new()).unwrap().files.is_none());
    }

    #[test]
    fn prefixes_and_buffers_go_and_the_rest_stays() {
        let odd = files(
            true,
            &[
                ("module.norm.weight", 1.0),
                ("module.layers.0.self_attn.rotary_emb.inv_freq", 2.0),
                ("module.score.weight", 3.0),
            ],
        );
        let plain = plain_files(&odd).unwrap();
        assert_eq!(plain.warnings.len(), 1, "{:?}", plain.warnings);
        let made = plain.files.unwrap();
        assert_eq!(names(&made), ["model.norm.weight"]);
        let weights = TensorFile::open("x", made[WEIGHTS].clone()).unwrap();
        assert_eq!(weights.metadata("made.by"), Some("a test"));
        assert!(made[CONFIG] == odd[CONFIG] && made["tokenizer.json"] == odd["tokenizer.json"]);
    }

    #[test]
    fn the_config_says_what_is_computed() {
        let both = [("model.embed_tokens.weight", 1.0), ("lm_head.weight", 2.0)];
        let untied = plain_files(&files(true, &both)).unwrap().files.unwrap();
        assert_eq!(config(&untied)["tie_word_embeddings"], false);
        assert_eq!(names(&untied), ["lm_head.weight", "model.embed_tokens.weight"]);
        let same = [both[0], ("lm_head.weight", 1.0)];
        let tied = plain_files(&files(true, &same)).unwrap().files.unwrap();
        assert_eq!((config(&tied)["tie_word_embeddings"].as_bool(), names(&tied).len()), (Some(true), 1));
        let mut nameless = files(true, &both[..1]);
        let mut without = config(&nameless);
        without.as_object_mut().unwrap().remove("model_type");
        nameless.insert(CONFIG.into(), without.to_string().into_bytes());
        let named = plain_files(&nameless).unwrap().files.unwrap();
        assert_eq!(config(&named)["model_type"], "qwen3");
    }
}
