//! The list of the files that a run wrote: `--overwrite` removes these, and nothing else of the directory.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path};

use kindling::checkpoint::{OPTIMIZER, PROGRESS};
use kindling::error::{Error, Result};
use kindling::formats::{ADAPTER_CONFIG, ADAPTER_WEIGHTS};
use serde::{Deserialize, Serialize};

use crate::disk::replace;
use crate::failure::io_error;
use crate::model_files::{WEIGHTS, all_files};

/// The list's own place in the run's directory.
const LIST: &str = "training/files.json";
/// Where the command and its settings are kept: the mark of a run that can go on.
pub const SETTINGS: &str = "training/settings.toml";
/// What the process that writes holds locked; its own place, too.
pub const LOCK: &str = "training/lock";
/// The processes that trained the run, and their machines.
pub const SESSIONS: &str = "training/sessions.json";
/// What was found in the data before the run began.
pub const DATA_REPORT: &str = "training/data.json";
/// Which offline run of Weights & Biases is the run's own.
pub const TRACKING: &str = "training/tracking.json";
/// A line for every logged step and event.
pub const LOG: &str = "log.jsonl";
/// The checkpoint with the best held-out loss.
pub const BEST: &str = "best";
/// What the name of a checkpoint's directory begins with, before its step.
const SAVE: &str = "checkpoint-";

/// What a checkpoint held before runs kept a list.
const SAVE_OF_BEFORE: [&str; 12] = [
    "config.json",
    "generation_config.json",
    WEIGHTS,
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
    OPTIMIZER,
    PROGRESS,
];
/// The data of the generated example, before runs kept a list.
const DATA_OF_BEFORE: [&str; 7] = ["pretrain", "sft", "lora", "dpo", "reason", "eval", "eval_choice"];

/// What a run wrote below its directory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    files: BTreeSet<String>,
    /// Directories that hold runs with lists of their own.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    runs: BTreeSet<String>,
    /// Checkpoints that nobody asked for.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    by_time: BTreeSet<u64>,
}

/// Whether a directory holds what a run of ours wrote, even one that was stopped in its first moment.
pub fn is_ours(run: &Path) -> bool {
    [SETTINGS, LIST, LOCK].iter().any(|file| run.join(file).is_file())
}

/// The directory of a step's checkpoint.
pub fn save_name(step: u64) -> String {
    format!("{SAVE}{step:06}")
}

/// The step of a checkpoint's directory; `None` for another name.
pub fn step_of(name: &str) -> Option<u64> {
    name.strip_prefix(SAVE)?.parse().ok()
}

impl Written {
    /// The list of a run that begins.
    pub fn new() -> Self {
        Self { files: [LIST, SETTINGS, LOCK, LOG].map(String::from).into(), ..Self::default() }
    }

    /// The list of a run; one without a list is known by the names that runs used before they kept any.
    ///
    /// # Errors
    /// A list that is damaged.
    pub fn open(run: &Path) -> Result<Self> {
        Ok(Self::kept(run)?.unwrap_or_else(|| Self::of_before(run)))
    }

    fn kept(run: &Path) -> Result<Option<Self>> {
        let path = run.join(LIST);
        let list = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice::<Self>(&bytes).ok(),
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io_error(&path, e)),
        };
        let sound = |list: &Self| list.files.iter().chain(&list.runs).all(|file| is_plain(file));
        list.filter(sound).map(Some).ok_or_else(|| {
            Error::Checkpoint(format!(
                "{}: the list of the run's files is damaged; remove it, and they are known by their names alone",
                path.display()
            ).into())
        })
    }

    fn of_before(run: &Path) -> Self {
        let mut list = Self::new();
        list.files.extend(names_of_before(run, ""));
        if is_example_of_before(run) {
            list.files.extend(names_of_before(&run.join("pretrain"), "pretrain/"));
            list.files.extend(DATA_OF_BEFORE.map(|name| format!("data/{name}.jsonl")));
        }
        let own = Self::new().files;
        list.files.retain(|file| own.contains(file) || forms(file).iter().any(|form| stands(run, form)));
        list
    }

    /// Keeps the list with the run.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn store(&self, run: &Path) -> Result<()> {
        let json = serde_json::to_vec_pretty(self).map_err(|e| {
            Error::Checkpoint(format!("the list of the run's files cannot be written: {e}").into())
        })?;
        replace(&run.join(LIST), &json)
    }

    /// Adds a file.
    pub fn add(&mut self, file: &str) {
        self.files.insert(file.to_string());
    }

    /// Adds a directory with a run that keeps a list of its own.
    pub fn add_run(&mut self, name: &str) {
        self.runs.insert(name.to_string());
    }

    /// Adds a checkpoint of these files in its own directory and in others (`""` is the top).
    pub fn add_save<'a>(&mut self, step: u64, files: impl Iterator<Item = &'a String>, others: &[&str]) {
        let own = save_name(step);
        for file in files {
            for place in others.iter().copied().chain([own.as_str()]) {
                let path = if place.is_empty() { file.clone() } else { format!("{place}/{file}") };
                self.files.insert(path);
            }
        }
    }

    /// Notes whether a step's checkpoint was asked for by nobody.
    pub fn set_by_time(&mut self, step: u64, by_time: bool) {
        match by_time {
            true => self.by_time.insert(step),
            false => self.by_time.remove(&step),
        };
    }

    /// Whether nobody asked for a step's checkpoint.
    pub fn is_by_time(&self, step: u64) -> bool {
        self.by_time.contains(&step)
    }

    /// Takes a checkpoint that was removed off the list.
    pub fn forget(&mut self, step: u64) {
        let place = format!("{}/", save_name(step));
        self.files.retain(|file| !file.starts_with(&place));
        self.by_time.remove(&step);
    }

    /// All listed files, those of the runs below too.
    fn all(&self, run: &Path) -> Result<BTreeSet<String>> {
        let mut all = self.files.clone();
        for name in &self.runs {
            let below = run.join(name);
            if let Some(list) = Self::kept(&below)? {
                all.extend(list.all(&below)?.into_iter().map(|file| format!("{name}/{file}")));
            }
        }
        Ok(all)
    }

    /// Removes what the run wrote, all but its settings, this list and its lock, and the directories that become empty.
    /// `places` are what another run will write beside its checkpoints.
    ///
    /// # Errors
    /// Files of others where the new run would write, all still in their places; what cannot be removed.
    pub fn clear(&self, run: &Path, places: &[String]) -> Result<()> {
        let forms: BTreeSet<String> = self.all(run)?.iter().flat_map(|file| forms(file)).collect();
        refuse_strangers(run, &forms, places)?;
        let kept = |form: &str| [LIST, SETTINGS, LOCK].contains(&form);
        for form in forms.iter().filter(|form| !kept(form) && stands(run, form)) {
            let path = run.join(form);
            match fs::remove_file(&path) {
                Err(e) if e.kind() != ErrorKind::NotFound && !path.is_dir() => {
                    return Err(io_error(&path, e));
                }
                _ => {}
            }
        }
        // The longest paths first, so that a directory is empty once those below it are gone.
        let directories: BTreeSet<&str> = forms.iter().flat_map(|form| parents(form)).collect();
        for directory in directories.into_iter().rev().filter(|directory| stands(run, directory)) {
            // One that others use too is not empty, and stays.
            let _ = fs::remove_dir(run.join(directory));
        }
        Ok(())
    }
}

/// Refuses to begin where files that the run before did not write would give way.
fn refuse_strangers(run: &Path, known: &BTreeSet<String>, places: &[String]) -> Result<()> {
    let saves = names_in(run).into_iter().filter(|name| step_of(name).is_some());
    let tops = all_files().chain(SAVE_OF_BEFORE);
    let tops = tops.chain([LIST, SETTINGS, SESSIONS, DATA_REPORT, TRACKING, LOG, BEST]);
    let places = tops.map(str::to_string).chain(saves).chain(places.iter().cloned());
    let mut strangers = BTreeSet::new();
    places.for_each(|place| files_at(run, &place, &mut strangers));
    strangers.retain(|file| !known.contains(file));
    if strangers.is_empty() {
        return Ok(());
    }
    let (count, out) = (strangers.len(), run.display());
    let named = strangers.into_iter().take(3).collect::<Vec<_>>().join(", ");
    let more = if count > 3 { format!(" and {} more", count - 3) } else { String::new() };
    Err(Error::Config(vec![format!(
        "--overwrite replaces what the run in --out {out} wrote; it did not write {named}{more}, where the new run \
         writes; move that away, or choose another --out"
    ).into()]))
}

/// Every file at or below a place; a link is a file of its own.
fn files_at(run: &Path, place: &str, files: &mut BTreeSet<String>) {
    match fs::symlink_metadata(run.join(place)) {
        Ok(found) if found.is_dir() => {
            for name in names_in(&run.join(place)) {
                files_at(run, &format!("{place}/{name}"), files);
            }
        }
        Ok(_) => {
            files.insert(place.to_string());
        }
        Err(_) => {}
    }
}

/// The names in a directory; none where it cannot be read.
fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned())).collect()
}

/// What a run without a list may have written, each name behind `prefix`.
fn names_of_before(run: &Path, prefix: &str) -> Vec<String> {
    let shown = |name: String| {
        let name = name.strip_prefix('.').unwrap_or(&name);
        let name = name.strip_suffix(".tmp").or(name.strip_suffix(".old")).unwrap_or(name);
        step_of(name).map(|_| format!("{name}/"))
    };
    let saves = names_in(run).into_iter().filter_map(shown);
    let places = saves.chain([String::new(), format!("{BEST}/")]);
    let mut names: Vec<String> =
        places.flat_map(|place| SAVE_OF_BEFORE.map(|file| format!("{prefix}{place}{file}"))).collect();
    names.extend([LOG, SETTINGS, LOCK, "training/settings.tmp"].map(|file| format!("{prefix}{file}")));
    names
}

/// Only the example's runs keep no `data` among their settings.
fn is_example_of_before(run: &Path) -> bool {
    let settings =
        fs::read_to_string(run.join(SETTINGS)).ok().and_then(|text| text.parse::<toml::Table>().ok());
    settings.is_some_and(|settings| settings.contains_key("stage") && !settings.contains_key("data"))
}

/// The names under which a file stands while it is written or replaced, its own first.
fn forms(file: &str) -> Vec<String> {
    let parts: Vec<&str> = file.split('/').collect();
    let mut forms = vec![file.to_string()];
    for (i, part) in parts.iter().enumerate().take(parts.len() - 1) {
        for end in ["tmp", "old"] {
            let (hidden, mut parts) = (format!(".{part}.{end}"), parts.clone());
            parts[i] = &hidden;
            forms.push(parts.join("/"));
        }
    }
    let unfinished: Vec<String> = forms.iter().map(|form| format!("{form}.tmp")).collect();
    forms.extend(unfinished);
    forms
}

/// The directories above a file, below the run's.
fn parents(file: &str) -> impl Iterator<Item = &str> {
    file.match_indices('/').map(move |(end, _)| &file[..end])
}

/// Whether something stands at a path to which no link leads.
fn stands(run: &Path, file: &str) -> bool {
    let real = |directory: &str| fs::symlink_metadata(run.join(directory)).is_ok_and(|found| found.is_dir());
    parents(file).all(real) && fs::symlink_metadata(run.join(file)).is_ok()
}

/// Whether a path leads down only.
fn is_plain(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}
