//! Which files hold the questions of a task, and which its examples: by their names and those of their folders.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kindling::evaluate::{Split, Task};

use crate::failure::Failure;
use crate::{hub, sources};

/// The files of one subject; of a set without subjects there is one, without a name.
pub type BySubject = BTreeMap<String, Vec<PathBuf>>;

/// The files of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFiles {
    /// The task.
    pub task: Task,
    /// What is asked, and which split that is, where names tell.
    pub asked: BySubject,
    /// See `asked`.
    pub split: Option<Split>,
    /// What examples are chosen from.
    pub shots: BySubject,
}

impl TaskFiles {
    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// The files of each task in what `--data` and `--shots-data` name.
    ///
    /// # Errors
    /// A pattern that matches nothing, a directory that cannot be read, a hub that does not answer.
    pub fn find(tasks: &[Task], data: &[String], shots: &[String]) -> Result<Vec<Self>, Failure> {
        let (files, given) = (named(data)?, named(shots)?);
        let alone = tasks.len() == 1;
        Ok(tasks.iter().map(|&task| Self::of(task, &files, &given, alone)).collect())
    }

    fn of(task: Task, files: &[Named], given: &[Named], alone: bool) -> Self {
        let mut own: Vec<&Named> = files.iter().filter(|file| file.is_of(task)).collect();
        if own.is_empty() && alone {
            own = files.iter().collect();
        }
        if !task.is_public() {
            let asked = own.iter().map(|file| file.path.clone()).collect::<Vec<_>>();
            let asked =
                if asked.is_empty() { BySubject::new() } else { BySubject::from([(String::new(), asked)]) };
            return Self { task, asked, split: None, shots: BySubject::new() };
        }
        let has = |split: &&Split| own.iter().any(|file| file.split == Some(**split));
        let split = task.asked_splits().iter().find(has).copied();
        // Files that tell no split are asked where none does; those to train on are asked only where they are named.
        let wanted = |file: &&&Named| file.split == split;
        let mut asked = by_subject(task, own.iter().filter(wanted).copied());
        if asked.is_empty() && alone {
            asked = by_subject(task, own.iter().copied());
        }
        let is_shot = |file: &&&Named| file.split == Some(task.shot_split()) && file.split != split;
        let shots = match given.is_empty() {
            true => by_subject(task, own.iter().filter(is_shot).copied()),
            false => by_subject(task, given.iter()),
        };
        Self { task, asked, split, shots }
    }
}

/// A file with what its name tells.
#[derive(Clone, Debug)]
struct Named {
    path: PathBuf,
    /// Its own name and those of its folders that tell what it is.
    parts: Vec<String>,
    split: Option<Split>,
    subject: String,
}

impl Named {
    fn new(path: PathBuf, root: &Path) -> Self {
        let text = |part: &std::ffi::OsStr| part.to_string_lossy().into_owned();
        let all: Vec<String> = path.components().map(|part| text(part.as_os_str())).collect();
        // Below a directory all names count, and its own; of other patterns the last ones.
        let above = match path.strip_prefix(root) {
            Ok(_) => root.components().count().saturating_sub(1),
            Err(_) => all.len().saturating_sub(2),
        };
        let parts = all[above.min(all.len())..].to_vec();
        let file = path.file_name().map(text).unwrap_or_default();
        let folder = path.parent().and_then(Path::file_name).map(text).unwrap_or_default();
        let (split, subject) = told(&file, &folder);
        Self { path, parts, split, subject }
    }

    fn is_of(&self, task: Task) -> bool {
        let plain = |name: &str| name.to_lowercase().replace(['-', '_', ' '], "");
        self.parts.iter().any(|part| task.names().iter().any(|name| plain(part).starts_with(&plain(name))))
    }
}

/// The split and the subject that a file's name tells, or its folder's: `logic_val.csv` and `logic/val-00000.parquet`.
fn told(file: &str, folder: &str) -> (Option<Split>, String) {
    let stem = file.split('.').next().unwrap_or(file);
    let mut words = Vec::new();
    let mut at = 0;
    for word in file.split(|c: char| !c.is_alphanumeric()) {
        words.push((at, word));
        at += word.len() + file[at + word.len()..].chars().next().map_or(0, char::len_utf8);
    }
    let found = words.iter().rev().find_map(|(at, word)| Some((*at, Split::of_word(word)?)));
    match found {
        Some((at, split)) => {
            let before = file[..at].trim_end_matches(['_', '-', '.', ' ']);
            (Some(split), if before.is_empty() { folder } else { before }.to_string())
        }
        None => (Split::of_word(folder), stem.to_string()),
    }
}

/// The files that patterns name; of a data set of the hub all of them.
fn named(patterns: &[String]) -> Result<Vec<Named>, Failure> {
    let mut files = Vec::new();
    for pattern in patterns {
        let whole = hub::is_address(pattern) && pattern.matches('/').count() == 1;
        let pattern = if whole { format!("{pattern}/**/*") } else { pattern.clone() };
        let found = sources::files(&pattern)?;
        let root = match hub::is_address(&pattern) {
            // What the address names, and not the cache that it lies in, tells what it is.
            true => found.first().and_then(|path| path.parent()).map(Path::to_path_buf).unwrap_or_default(),
            false => PathBuf::from(&pattern),
        };
        for path in found {
            let mut named = Named::new(path, &root);
            if hub::is_address(&pattern) {
                named.parts.extend(pattern.split(['/', ':', '@']).map(String::from));
            }
            files.push(named);
        }
    }
    Ok(files)
}

fn by_subject<'a>(task: Task, files: impl Iterator<Item = &'a Named>) -> BySubject {
    let mut subjects = BySubject::new();
    for file in files {
        let subject = if task.has_subjects() { file.subject.clone() } else { String::new() };
        subjects.entry(subject).or_default().push(file.path.clone());
    }
    subjects
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(root: &str, names: &[&str]) -> Vec<Named> {
        names.iter().map(|name| Named::new(Path::new(root).join(name), Path::new(root))).collect()
    }

    /// The subjects asked, the split, and the subjects with examples.
    fn found(task: Task, files: &[Named], alone: bool) -> (String, Option<Split>, String) {
        let found = TaskFiles::of(task, files, &[], alone);
        let names = |subjects: &BySubject| {
            let subject = |(name, paths): (&String, &Vec<PathBuf>)| format!("{name}:{}", paths.len());
            subjects.iter().map(subject).collect::<Vec<_>>().join(" ")
        };
        (names(&found.asked), found.split, names(&found.shots))
    }

    #[test]
    fn names_tell_split_and_subject() {
        for (file, folder, split, subject) in [
            ("logic_val.csv", "val", Some(Split::Validation), "logic"),
            ("val-00000-of-00001.parquet", "logic", Some(Split::Validation), "logic"),
            ("abstract_algebra.csv", "test", Some(Split::Test), "abstract_algebra"),
            ("commonsenseqa_dev.raw.jsonl", "eval", Some(Split::Dev), "commonsenseqa"),
            ("questions.jsonl", "mine", None, "questions"),
        ] {
            assert_eq!(told(file, folder), (split, subject.to_string()), "{file}");
        }
    }

    #[test]
    fn each_task_finds_its_files() {
        let all = files(
            "data/eval",
            &[
                "ceval/dev/logic_dev.csv",
                "ceval/val/law_val.csv",
                "ceval/val/logic_val.csv",
                "mmlu/dev/birds_dev.csv",
                "mmlu/val/birds_val.csv",
                "arc_easy_test.jsonl",
                "commonsenseqa_dev.raw.jsonl",
                "piqa/train.jsonl",
                "piqa/valid.jsonl",
            ],
        );
        let validation = Some(Split::Validation);
        assert_eq!(found(Task::Ceval, &all, false), ("law:1 logic:1".into(), validation, "logic:1".into()));
        assert_eq!(found(Task::Mmlu, &all, false), ("birds:1".into(), validation, "birds:1".into()));
        assert_eq!(found(Task::ArcEasy, &all, false), (":1".into(), Some(Split::Test), String::new()));
        assert_eq!(found(Task::CommonsenseQa, &all, false), (":1".into(), Some(Split::Dev), String::new()));
        assert_eq!(found(Task::Piqa, &all, false), (":1".into(), validation, ":1".into()));
        assert_eq!(found(Task::Siqa, &all, false).0, "");
        // A single task takes files of any name.
        let own = files("mine", &["questions.jsonl"]);
        assert_eq!(found(Task::Piqa, &own, true), (":1".into(), None, String::new()));
        assert_eq!(found(Task::Piqa, &own, false).0, "");
        let texts = files("mine", &["a_test.txt", "b.txt"]);
        assert_eq!(found(Task::HeldOut, &texts, true).0, ":2");
        assert_eq!(found(Task::Ceval, &files("x/ceval", &["val/law_val.csv"]), false).0, "law:1");
    }
}
