//! The run of an adapter in the place of a model: what it learned is added to the weights of the model that it was trained
//! beside, so that the next stage takes it as it is.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use kindling::adapter::{Adapter, Fingerprint};
use kindling::checkpoint::Checkpoint;
use kindling::error::{Error, Result};
use kindling::formats::{Files, is_adapter_alone};
use toml::{Table, Value};

use crate::beside_model::BesideModel;
use crate::commands::talking;
use crate::hub;
use crate::model_files::{at, open_adapter};
use crate::output;
use crate::run_dir::run_of;
use crate::run_kind::{RunKind, STAGE};
use crate::written::SETTINGS;

/// Adapters that lie on one another, at most: settings that were changed by hand may lead round in a circle.
const DEEPEST: usize = 16;

/// Adapters added to a model.
pub struct Merged {
    /// The model's files.
    pub files: Files,
    /// Which weights they were added to.
    pub base: Fingerprint,
    /// Tokens that end an answer now and did not before, in words.
    pub remark: Option<String>,
}

/// Adds adapters to the weights of a model that lies at `path`.
///
/// # Errors
/// What is damaged, or an adapter of another model.
pub fn merge(checkpoint: Checkpoint, path: &Path, adapters: &[PathBuf]) -> Result<Merged> {
    merge_as(checkpoint, path, adapters, Ok)
}

/// The same of what `join` makes of the adapters, each with the path that it is named by.
///
/// # Errors
/// As [`merge`]; what `join` says.
pub fn merge_as(
    mut checkpoint: Checkpoint,
    path: &Path,
    adapters: &[PathBuf],
    join: impl FnOnce(Vec<(PathBuf, Adapter)>) -> Result<Vec<(PathBuf, Adapter)>>,
) -> Result<Merged> {
    let model = checkpoint.model(&Device::flex()).map_err(|e| at(path, e))?;
    let mut weights = pollster::block_on(model.weights())?;
    let base = Fingerprint::of(&weights).read_by(&checkpoint.config);
    let opened = adapters.iter().map(|path| Ok((path.clone(), open_adapter(path, &checkpoint, &base)?)));
    let (paths, opened): (Vec<PathBuf>, Vec<Adapter>) =
        join(opened.collect::<Result<Vec<_>>>()?)?.into_iter().unzip();
    Adapter::refuse_mixtures(&opened)?;
    for (adapter, path) in opened.iter().zip(&paths) {
        adapter.merge(&mut weights, 1.0).map_err(|e| at(path, e))?;
        // Both ends have their own weights now.
        checkpoint.config.tie_word_embeddings &= !adapter.parts_ends();
    }
    let (tokenizer, ends) = talking(&checkpoint, adapters)?;
    (checkpoint.tokenizer, checkpoint.config.eos_token_ids) = (tokenizer, ends);
    let gained = checkpoint.tokenizer.as_ref();
    let gained =
        gained.and_then(|own| own.gained_ends(&checkpoint.told_ends, &checkpoint.config.eos_token_ids));
    Ok(Merged { files: checkpoint.files_with(&weights)?, base, remark: gained.map(|told| told.to_string()) })
}

/// The model of an adapter's run with what the adapter learned; `None` for all else, also where the run's model is not
/// there any more.
///
/// # Errors
/// A model or an adapter that is damaged; a chain of stages, which is no model.
pub fn open(path: &Path) -> Result<Option<Checkpoint>> {
    open_at(path, DEEPEST)
}

fn open_at(path: &Path, depth: usize) -> Result<Option<Checkpoint>> {
    let Some(settings) = run_of(path).and_then(|run| settings(&run)) else { return Ok(None) };
    refuse_chain(path, &settings)?;
    if !is_adapter_alone(|name| path.join(name).is_file()) {
        return Ok(None);
    }
    let Some(base) = text(&settings, "model").and_then(|model| place_of(path, model)) else {
        return Ok(None);
    };
    if depth == 0 {
        return Err(Error::Checkpoint(
            format!(
                "{}: more than {DEEPEST} adapters lie on one another; `kindling merge` some of them",
                path.display()
            )
            .into(),
        ));
    }
    output::warn(&format!(
        "{} is an adapter; it is used together with its model {}, as if they were merged",
        path.display(),
        base.display()
    ));
    let beside = BesideModel {
        preset: text(&settings, "preset").map(String::from),
        model_config: text(&settings, "model-config").map(PathBuf::from),
        tokenizer: text(&settings, "tokenizer").map(PathBuf::from),
    };
    let below = match open_at(&base, depth - 1)? {
        Some(below) => beside.with_tokenizer(below)?,
        None => beside.open_plain(&base)?,
    };
    let mut files = merge(below, &base, &[path.to_path_buf()])?.files;
    Ok(Some(Checkpoint::open(|name| Ok(files.remove(name))).map_err(|e| at(path, e))?))
}

fn settings(run: &Path) -> Option<Table> {
    fs::read_to_string(run.join(SETTINGS)).ok()?.parse().ok()
}

fn text<'a>(settings: &'a Table, key: &str) -> Option<&'a str> {
    settings.get(key).and_then(Value::as_str)
}

/// A chain of stages keeps no stage of a run's.
fn refuse_chain(path: &Path, settings: &Table) -> Result<()> {
    match text(settings, STAGE) {
        Some(stage @ ("quickstart" | "run")) if RunKind::of_verb(stage).is_none() => {
            let path = path.display();
            Err(Error::Config(vec![
                format!("--model {path} holds several stages; name one of them, as {path}/sft").into(),
            ]))
        }
        _ => Ok(()),
    }
}

/// Where the model of a run lies: as it was named, from here or from a directory above the run.
pub fn place_of(run: &Path, model: &str) -> Option<PathBuf> {
    let named = PathBuf::from(model);
    if hub::is_address(model) || named.exists() {
        return Some(named);
    }
    let home = fs::canonicalize(run).ok()?;
    home.ancestors().skip(1).map(|above| above.join(&named)).find(|place| place.exists())
}

/// The name of a model in the card of one that is made of it at `out`: as it was named where it is found by that from above
/// the new place, which is where `runs` looks for it, else its whole path.
pub fn name_from(out: &Path, model: &Path) -> String {
    let name = model.display().to_string();
    if hub::is_address(&name) || model.is_absolute() {
        return name;
    }
    let Ok(real) = fs::canonicalize(model) else { return name };
    let above = std::path::absolute(out).ok().and_then(|out| {
        // What of the new place is not there yet holds no model.
        out.ancestors().skip(1).find_map(|above| fs::canonicalize(above).ok())
    });
    let mut found = above.iter().flat_map(|above| above.ancestors()).map(|above| above.join(model));
    match found.find_map(|place| fs::canonicalize(place).ok()) {
        Some(found) if found == real => name,
        _ => real.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_named_so_that_it_is_found_from_the_new_place() {
        // Relative names are those of the directory that the tests run in.
        let model = Path::new("src");
        let real = fs::canonicalize(model).unwrap().display().to_string();
        for out in ["new", "target/a/b/new", "./new"] {
            assert_eq!(name_from(Path::new(out), model), "src", "{out}");
        }
        let elsewhere = tempfile::tempdir().unwrap();
        assert_eq!(name_from(&elsewhere.path().join("new"), model), real);
        // Another model has that name there.
        fs::create_dir(elsewhere.path().join("src")).unwrap();
        assert_eq!(name_from(&elsewhere.path().join("new"), model), real);
        for name in ["hub:a/b", &real] {
            assert_eq!(name_from(Path::new("new"), Path::new(name)), name);
        }
    }

    #[test]
    fn a_model_is_found_from_above_the_run_and_a_chain_is_none() {
        let place = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(place.path()).unwrap();
        let run = root.join("runs/lora");
        fs::create_dir_all(run.join("training")).unwrap();
        fs::create_dir_all(root.join("runs/base")).unwrap();
        fs::write(run.join(SETTINGS), "stage = \"sft\"\n").unwrap();
        assert_eq!(place_of(&run, "runs/base"), Some(root.join("runs/base")));
        assert_eq!(place_of(&run, "hub:a/b"), Some("hub:a/b".into()));
        assert_eq!(place_of(&run, "runs/gone"), None);
        assert_eq!(run_of(&run.join("checkpoint-000003")), Some(run.clone()));
        assert_eq!(run_of(&root), None);
        assert!(open(&run).unwrap().is_none(), "it has no adapter");
        fs::write(run.join(SETTINGS), "stage = \"quickstart\"\n").unwrap();
        let message = open(&run).err().unwrap().to_string();
        assert!(message.contains("holds several stages"), "{message}");
    }

    #[test]
    fn adapters_in_a_circle_are_refused() {
        let place = tempfile::tempdir().unwrap();
        for (run, model) in [("a", "b"), ("b", "a")] {
            let run = place.path().join(run);
            fs::create_dir_all(run.join("training")).unwrap();
            fs::write(run.join("adapter_config.json"), "{}").unwrap();
            let model = place.path().join(model);
            fs::write(run.join(SETTINGS), format!("stage = \"sft\"\nlora = true\nmodel = {model:?}\n"))
                .unwrap();
        }
        let message = open(&place.path().join("a")).err().unwrap().to_string();
        assert!(message.contains("more than 16 adapters"), "{message}");
    }
}
