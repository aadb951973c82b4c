//! The names that requests call models and adapters by, and where their files lie.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kindling::api::ModelEntry;
use kindling::told::Told;

use super::models::entry_of_files;
use crate::hub;

/// Most bytes of a name.
pub const LONGEST_NAME: usize = 128;

/// What a name stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// What a request calls it.
    pub name: String,
    /// Where its files lie, in any form that `--model` or `--adapter` takes.
    pub place: PathBuf,
    /// Of an adapter, the name of the model that it belongs to.
    pub base: Option<String>,
}

/// All names, shared by the engine, which adds and takes away, and by those who list them.
#[derive(Clone, Debug, Default)]
pub struct Names {
    known: Arc<Mutex<Vec<Listed>>>,
}

/// A name as it is listed.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// What it stands for.
    pub named: Named,
    /// What is known of it; more once it was loaded.
    pub entry: ModelEntry,
}

impl Names {
    /// Names of the command line: `NAME=PLACE`, or a place alone, whose last part is the name; of adapters also
    /// `NAME@MODEL=PLACE`, else the first model is meant.
    ///
    /// # Errors
    /// All names that do not hold.
    pub fn new(models: &[String], adapters: &[String]) -> Result<Self, Vec<Told>> {
        let mut problems = Vec::new();
        let mut named: Vec<Named> = models.iter().map(|text| split(text)).collect();
        let first = named.first().map(|named| named.name.clone()).unwrap_or_default();
        for text in adapters {
            let mut adapter = split(text);
            let (name, base) = match adapter.name.split_once('@') {
                Some((name, base)) => (name.to_string(), base.to_string()),
                None => (adapter.name.clone(), first.clone()),
            };
            if !named.iter().any(|known| known.base.is_none() && known.name == base) {
                problems.push(format!("--adapter {text}: there is no --model named '{base}'").into());
            }
            (adapter.name, adapter.base) = (name, Some(base));
            named.push(adapter);
        }
        problems.extend(unsound(&named));
        if !problems.is_empty() {
            return Err(problems);
        }
        let names = Self::default();
        named.into_iter().for_each(|named| names.add(named));
        Ok(names)
    }

    fn known(&self) -> MutexGuard<'_, Vec<Listed>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one, which is not there yet.
    pub fn add(&self, named: Named) {
        let entry = entry_of_files(&named);
        self.known().push(Listed { named, entry });
    }

    /// Takes one away.
    pub fn remove(&self, name: &str) {
        self.known().retain(|listed| listed.named.name != name);
    }

    /// Keeps what is known of one now that it is loaded.
    pub fn loaded(&self, name: &str, complete: impl Fn(ModelEntry) -> ModelEntry) {
        for listed in self.known().iter_mut().filter(|listed| listed.named.name == name) {
            listed.entry = complete(std::mem::take(&mut listed.entry));
        }
    }

    /// All of them in the order in which they were named; the first is the default.
    pub fn all(&self) -> Vec<Listed> {
        self.known().clone()
    }

    /// The names alone.
    pub fn texts(&self) -> Vec<String> {
        self.known().iter().map(|listed| listed.named.name.clone()).collect()
    }

    /// What a request means: the default where it names none, and Ollama's clients write `:latest` behind each name.
    pub fn find(&self, name: Option<&str>) -> Option<Listed> {
        let known = self.known();
        let Some(name) = name.filter(|name| !name.is_empty()) else { return known.first().cloned() };
        let named = |name: &str| known.iter().find(|listed| listed.named.name == name).cloned();
        named(name).or_else(|| named(name.strip_suffix(":latest")?))
    }
}

/// Names that cannot be names, or are there twice.
fn unsound(named: &[Named]) -> Vec<Told> {
    let (mut seen, mut problems) = (BTreeSet::new(), Vec::new());
    for Named { name, place, .. } in named {
        let place = place.display();
        if let Err(problem) = check(name) {
            problems.push(format!("{place}: {problem}").into());
        } else if !seen.insert(name) {
            let told =
                format!("two models or adapters are named '{name}'; give one another name with NAME={place}");
            problems.push(told.into());
        }
    }
    problems
}

/// What may be a name: it stands in addresses and in lines of metrics.
///
/// # Errors
/// Why not.
pub fn check(name: &str) -> Result<(), String> {
    let sound = |c: char| c.is_alphanumeric() || "-_.:/+".contains(c);
    match !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(sound) {
        true => Ok(()),
        false => Err(format!(
            "'{name}' cannot be a name: letters, digits and -_.:/+ can, at most {LONGEST_NAME} bytes of them; give one with NAME=PLACE"
        )),
    }
}

/// `NAME=PLACE`; a place that has such a sign of its own is a place.
fn split(text: &str) -> Named {
    let whole = || Named { name: last_part(text), place: text.into(), base: None };
    if Path::new(text).exists() {
        return whole();
    }
    let is_name = |name: &str, place: &str| {
        !name.contains(['/', '\\']) && !place.is_empty() || Path::new(place).exists()
    };
    match text.split_once('=').filter(|(name, place)| is_name(name, place)) {
        Some((name, place)) => Named { name: name.into(), place: place.into(), base: None },
        None => whole(),
    }
}

/// The name of a place that has none: the last part of its path, without the ending of a file.
fn last_part(place: &str) -> String {
    let trimmed = place.trim_end_matches(['/', '\\']);
    let last = trimmed.rsplit(['/', '\\']).next().unwrap_or(trimmed);
    let endings = [".gguf", ".safetensors", ".zip", ".bin", ".pth"];
    let without = endings.iter().find_map(|ending| last.strip_suffix(ending)).unwrap_or(last);
    let without = without.split('@').next().unwrap_or(without);
    hub::Site::split(without).map_or(without, |(_, name)| name).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(models: &[&str], adapters: &[&str]) -> Result<Names, Vec<Told>> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_string()).collect::<Vec<_>>();
        Names::new(&owned(models), &owned(adapters))
    }

    #[test]
    fn a_name_is_said_or_is_the_last_part_of_the_place() {
        for (text, name, place) in [
            ("small=my/model", "small", "my/model"),
            ("my/model/", "model", "my/model/"),
            ("/x/tiny.gguf", "tiny", "/x/tiny.gguf"),
            ("hub:owner/name@main", "name", "hub:owner/name@main"),
            ("hub:gpt2", "gpt2", "hub:gpt2"),
            ("ms:owner/name", "name", "ms:owner/name"),
            ("a=b=c", "a", "b=c"),
            ("runs/lr=3/model", "model", "runs/lr=3/model"),
        ] {
            assert_eq!(split(text), Named { name: name.into(), place: place.into(), base: None }, "{text}");
        }
    }

    #[test]
    fn adapters_belong_to_the_first_model_or_to_the_one_that_is_said() {
        let names = names(&["a=x", "b=y"], &["one=z", "two@b=w"]).unwrap();
        let bases: Vec<_> = names.all().into_iter().map(|listed| listed.named.base).collect();
        assert_eq!(bases, [None, None, Some("a".to_string()), Some("b".to_string())]);
        let find = |name| names.find(name).map(|listed| listed.named.name);
        assert_eq!((find(None), find(Some("b:latest"))), (Some("a".into()), Some("b".into())));
        assert_eq!((find(Some("c")), find(Some(""))), (None, Some("a".into())));
        names.loaded("b", |entry| ModelEntry { context: 7, ..entry });
        names.remove("a");
        assert_eq!((find(None), names.find(None).unwrap().entry.context), (Some("b".into()), 7));
    }

    #[test]
    fn names_that_do_not_hold_are_told_all_at_once() {
        let problems = names(&["a=x", "a=y", "b c=z"], &["n@none=w"]).unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:?}");
    }
}
