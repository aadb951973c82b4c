//! A whole checkpoint in one safetensors file: the directory's texts in its metadata, all tensors behind them.

use super::training::{OPTIMIZER, PROGRESS};
use crate::error::{Error, Result};
use crate::formats::{Files, parse, refuse_adapter, texts, write_views};
use crate::tokenizer::TOKENIZER_FILES;
use crate::told::{Told, told};

/// The mark of such a file, and the only version of its layout.
const FORMAT: (&str, &str) = ("kindling.format", "1");
const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
/// Files beside the tokenizer's that keep their names in the metadata, as those do.
const KEPT: [&str; 2] = [CONFIG, "generation_config.json"];
/// The metadata's name for a run's progress.
const TRAINING: &str = "training.json";
/// Before the names of the optimizer's tensors.
const STATE: &str = "optimizer.";

/// One file from those of a directory. Tensors keep their types; equal files make equal bytes.
///
/// # Errors
/// Files that are missing or damaged; an adapter, which is no whole model.
pub fn to_single_file(files: &Files) -> Result<Vec<u8>> {
    refuse_adapter(files)?;
    let weights = bytes_of(files, WEIGHTS)?;
    let mut tensors = parse(WEIGHTS, weights)?.tensors();
    if let Some((name, _)) = tensors.iter().find(|(name, _)| name.starts_with(STATE)) {
        return Err(Error::Checkpoint(told!(
            "single.reserved",
            "{weights}: tensor '{name}' has a name that a single file keeps for the optimizer; a model has none such",
            weights = WEIGHTS,
            name
        )));
    }
    let mut metadata = texts(WEIGHTS, weights)?;
    metadata.retain(|key, _| key != FORMAT.0 && key != TRAINING && kept().all(|name| name != key));
    metadata.insert(FORMAT.0.into(), FORMAT.1.into());
    bytes_of(files, CONFIG)?;
    for name in kept().filter(|name| files.contains_key(*name)) {
        metadata.insert(name.into(), text_of(files, name)?);
    }
    if files.contains_key(PROGRESS) {
        metadata.insert(TRAINING.into(), text_of(files, PROGRESS)?);
        let state = parse(OPTIMIZER, bytes_of(files, OPTIMIZER)?)?.tensors();
        tensors.extend(state.into_iter().map(|(name, view)| (format!("{STATE}{name}"), view)));
    }
    write_views(tensors, &metadata)
}

/// The directory's files again.
///
/// # Errors
/// A file that is cut off or damaged, of a later layout, or no checkpoint of this kind.
pub fn from_single_file(bytes: &[u8]) -> Result<Files> {
    let tensors = parse("the file", bytes)?.tensors();
    let mut metadata = texts("the file", bytes)?;
    check_format(metadata.remove(FORMAT.0).as_deref())?;
    let mut files = Files::new();
    for name in kept() {
        if let Some(text) = metadata.remove(name) {
            files.insert(name.into(), text.into_bytes());
        }
    }
    if !files.contains_key(CONFIG) {
        return Err(damaged(told!("single.no_config", "has no config.json in its metadata")));
    }
    let progress = metadata.remove(TRAINING);
    // `transformers` asks for it.
    metadata.entry("format".into()).or_insert_with(|| "pt".into());
    let (mut state, weights): (Vec<_>, Vec<_>) =
        tensors.into_iter().partition(|(name, _)| name.starts_with(STATE));
    files.insert(WEIGHTS.into(), write_views(weights, &metadata)?);
    if let Some(progress) = progress {
        state.iter_mut().for_each(|(name, _)| *name = name.replacen(STATE, "", 1));
        let format = [("format".to_string(), "pt".to_string())];
        files.insert(PROGRESS.into(), progress.into_bytes());
        files.insert(OPTIMIZER.into(), write_views(state, &format.into())?);
    } else if !state.is_empty() {
        return Err(damaged(told!(
            "single.no_training",
            "holds an optimizer's state without training.json in its metadata"
        )));
    }
    Ok(files)
}

/// The files whose texts stand in the metadata.
fn kept() -> impl Iterator<Item = &'static str> {
    KEPT.into_iter().chain(TOKENIZER_FILES)
}

fn check_format(found: Option<&str>) -> Result<()> {
    let (key, known) = FORMAT;
    match found {
        Some(version) if version == known => Ok(()),
        Some(version) => Err(Error::Checkpoint(told!(
            "single.version",
            "this single-file checkpoint is of version {version}; version {known} can be read: take a newer Kindling",
            version,
            known
        ))),
        None => Err(Error::Checkpoint(told!(
            "single.not_one",
            "this is not a single-file checkpoint: its metadata has no {key}. Weights alone do not tell the model's \
            shape; a Hugging Face directory has config.json beside them: give that directory",
            key
        ))),
    }
}

fn damaged(what: Told) -> Error {
    Error::Checkpoint(told!(
        "single.damaged",
        "this single-file checkpoint {what}; it is damaged: export it again",
        what
    ))
}

fn bytes_of<'a>(files: &'a Files, name: &str) -> Result<&'a [u8]> {
    files.get(name).map(Vec::as_slice).ok_or_else(|| {
        Error::Checkpoint(told!(
            "single.file_missing",
            "there is no {name}, which a single-file checkpoint is made from",
            name
        ))
    })
}

fn text_of(files: &Files, name: &str) -> Result<String> {
    let text = std::str::from_utf8(bytes_of(files, name)?);
    text.map(ToString::to_string)
        .map_err(|e| Error::Checkpoint(told!("file.damaged", "{name} is damaged: {e}", name, e)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use safetensors::tensor::{Dtype, TensorView};

    use super::*;
    use crate::formats::{ADAPTER_CONFIG, TensorFile, write_tensors};
    use crate::model::NamedTensor;

    /// An edit that spoils a run's files, and what must be said about it.
    type Spoiled = (fn(&mut Files), &'static str);

    fn tensor(name: &str, values: &[f32]) -> NamedTensor {
        NamedTensor { name: name.into(), shape: vec![values.len()], values: values.to_vec() }
    }

    fn model() -> Files {
        let weights =
            [tensor("model.norm.weight", &[1.0, -2.5]), tensor("lm_head.weight", &[f32::MIN_POSITIVE])];
        let mut files = Files::new();
        files.insert(WEIGHTS.into(), write_tensors(&weights, &[("made.by", "a test".into())]).unwrap());
        for (name, text) in [
            (CONFIG, "{\"a\": 1}\n"),
            ("generation_config.json", "{}"),
            ("tokenizer.json", "{\"词\": \"\\u0000\"}"),
            ("chat_template.jinja", "{{ messages }}\n"),
            ("additional_chat_templates/tool_use.jinja", "{{ tools }}"),
        ] {
            files.insert(name.into(), text.into());
        }
        files
    }

    fn run() -> Files {
        let state = [tensor("first.model.norm.weight", &[0.1, 0.2]), tensor("second.lm_head.weight", &[3.0])];
        let mut files = model();
        files.insert(PROGRESS.into(), "{\n  \"step\": 3\n}".into());
        files.insert(OPTIMIZER.into(), write_tensors(&state, &[]).unwrap());
        files
    }

    fn refused(bytes: &[u8]) -> String {
        from_single_file(bytes).unwrap_err().to_string()
    }

    #[test]
    fn models_and_runs_come_back_as_they_were() {
        for files in [model(), run()] {
            let file = to_single_file(&files).unwrap();
            assert!(from_single_file(&file).unwrap() == files);
            assert!(to_single_file(&files).unwrap() == file, "equal files make equal bytes");
        }
        let open = TensorFile::open("x", to_single_file(&run()).unwrap()).unwrap();
        assert_eq!(open.metadata("kindling.format"), Some("1"));
        assert_eq!(open.metadata("training.json"), Some("{\n  \"step\": 3\n}"));
        assert_eq!(open.metadata("chat_template.jinja"), Some("{{ messages }}\n"));
        let mut names = open.names();
        names.sort();
        assert_eq!(
            names,
            [
                "lm_head.weight",
                "model.norm.weight",
                "optimizer.first.model.norm.weight",
                "optimizer.second.lm_head.weight"
            ]
        );
    }

    #[test]
    fn a_run_that_has_taken_no_step_has_an_empty_state() {
        let mut files = run();
        files.insert(OPTIMIZER.into(), write_tensors(&[], &[]).unwrap());
        assert!(from_single_file(&to_single_file(&files).unwrap()).unwrap() == files);
    }

    #[test]
    fn tensors_keep_their_types() {
        let mut files = run();
        let view = TensorView::new(Dtype::BF16, vec![2, 1], &[1, 2, 3, 4]).unwrap();
        let format = BTreeMap::from([("format".to_string(), "pt".to_string())]);
        files.insert(WEIGHTS.into(), write_views(vec![("lm_head.weight".into(), view)], &format).unwrap());
        assert!(from_single_file(&to_single_file(&files).unwrap()).unwrap() == files);
    }

    #[test]
    fn other_and_damaged_files_are_told_apart() {
        let plain = refused(&model()[WEIGHTS]);
        assert!(plain.contains("not a single-file checkpoint") && plain.contains("config.json"), "{plain}");
        let file = to_single_file(&run()).unwrap();
        for length in [0, 7, 100, file.len() - 1] {
            let message = refused(&file[..length]);
            assert!(message.contains("is not a whole safetensors file"), "{length}: {message}");
        }
        let spoiled = |key: &str, value: Option<&str>| {
            let mut metadata = texts("x", &file).unwrap();
            metadata.remove(key);
            metadata.extend(value.map(|value| (key.to_string(), value.to_string())));
            refused(&write_views(parse("x", &file).unwrap().tensors(), &metadata).unwrap())
        };
        for (key, value, told) in [
            ("kindling.format", Some("2"), "is of version 2; version 1 can be read"),
            (CONFIG, None, "has no config.json"),
            (TRAINING, None, "without training.json"),
        ] {
            let message = spoiled(key, value);
            assert!(message.contains(told), "{message}");
        }
    }

    #[test]
    fn what_does_not_fit_into_one_file_is_refused_by_name() {
        let refused = |spoil: fn(&mut Files)| {
            let mut files = run();
            spoil(&mut files);
            to_single_file(&files).unwrap_err().to_string()
        };
        let cases: [Spoiled; 5] = [
            (|files| drop(files.remove(WEIGHTS)), "there is no model.safetensors"),
            (|files| drop(files.remove(CONFIG)), "there is no config.json"),
            (|files| drop(files.remove(OPTIMIZER)), "there is no training/optimizer.safetensors"),
            (|files| drop(files.insert(CONFIG.into(), vec![0xff])), "config.json is damaged"),
            (
                |files| {
                    let weights = write_tensors(&[tensor("optimizer.first.x", &[1.0])], &[]).unwrap();
                    files.insert(WEIGHTS.into(), weights);
                },
                "'optimizer.first.x'",
            ),
        ];
        for (spoil, told) in cases {
            let message = refused(spoil);
            assert!(message.contains(told), "{message}");
        }
        let adapter = Files::from([(ADAPTER_CONFIG.to_string(), b"{}".to_vec())]);
        let message = to_single_file(&adapter).unwrap_err().to_string();
        assert!(message.contains("LoRA adapter") && message.contains("kindling merge"), "{message}");
    }
}
