//! Which files hold the questions of a task, and which its examples: by their names and those of their folders.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Split, Task};
use crate::data::Source;

/// The files of one subject; of a set without subjects there is one, without a name.
pub type BySubject<F> = BTreeMap<String, Vec<F>>;

/// The files of a task; `F` is whatever a front end calls a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFiles<F> {
    /// The task.
    pub task: Task,
    /// What is asked, and which split that is, where names tell.
    pub asked: BySubject<F>,
    /// See `asked`.
    pub split: Option<Split>,
    /// What examples are chosen from.
    pub shots: BySubject<F>,
}

impl<F: Clone> TaskFiles<F> {
    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// The files of each task among these; a task that is alone takes files of any name. `shots` are those that examples
    /// are to come from, where somebody says so.
    pub fn find(tasks: &[Task], files: &[NamedFile<F>], shots: &[NamedFile<F>]) -> Vec<Self> {
        let alone = tasks.len() == 1;
        tasks.iter().map(|&task| Self::of(task, files, shots, alone)).collect()
    }

    fn of(task: Task, files: &[NamedFile<F>], given: &[NamedFile<F>], alone: bool) -> Self {
        let mut own: Vec<&NamedFile<F>> = files.iter().filter(|file| file.is_of(task)).collect();
        if own.is_empty() && alone {
            own = files.iter().collect();
        }
        if !task.is_public() {
            let asked: Vec<F> = own.iter().map(|file| file.file.clone()).collect();
            let asked =
                if asked.is_empty() { BySubject::new() } else { BySubject::from([(String::new(), asked)]) };
            return Self { task, asked, split: None, shots: BySubject::new() };
        }
        let has = |split: &&Split| own.iter().any(|file| file.split == Some(**split));
        let split = task.asked_splits().iter().find(has).copied();
        // Files that tell no split are asked where none does; those to train on are asked only where they are named.
        let wanted = |file: &&&NamedFile<F>| file.split == split;
        let mut asked = by_subject(task, own.iter().filter(wanted).copied());
        if asked.is_empty() && alone {
            asked = by_subject(task, own.iter().copied());
        }
        let is_shot = |file: &&&NamedFile<F>| file.split == Some(task.shot_split()) && file.split != split;
        let shots = match given.is_empty() {
            true => by_subject(task, own.iter().filter(is_shot).copied()),
            false => by_subject(task, given.iter()),
        };
        Self { task, asked, split, shots }
    }

    /// The same with every file opened, those of examples only where these are needed.
    ///
    /// # Errors
    /// What `open` says of a file.
    pub fn opened<E>(
        self,
        needs_shots: bool,
        mut open: impl FnMut(&[F]) -> Result<Vec<Arc<dyn Source>>, E>,
    ) -> Result<TaskFiles<Arc<dyn Source>>, E> {
        let mut opened = |files: BySubject<F>| {
            let each = files.into_iter().map(|(subject, files)| Ok((subject, open(&files)?)));
            each.collect::<Result<BySubject<Arc<dyn Source>>, E>>()
        };
        let asked = opened(self.asked)?;
        let shots = if needs_shots { opened(self.shots)? } else { BySubject::new() };
        Ok(TaskFiles { task: self.task, asked, split: self.split, shots })
    }
}

/// A file with what its name tells.
#[derive(Clone, Debug)]
pub struct NamedFile<F> {
    /// It.
    pub file: F,
    /// Its own name and those of its folders that tell what it is.
    pub parts: Vec<String>,
    split: Option<Split>,
    subject: String,
}

impl<F> NamedFile<F> {
    /// A file of this name in the folder of this name; `parts` are all names that may tell whose questions it holds.
    pub fn new(file: F, name: &str, folder: &str, parts: Vec<String>) -> Self {
        let (split, subject) = told(name, folder);
        Self { file, parts, split, subject }
    }

    /// A file by its path with `/` between folders, all of which tell what it is.
    pub fn of_path(file: F, path: &str) -> Self {
        let parts: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(String::from).collect();
        let name = parts.last().cloned().unwrap_or_default();
        let folder = parts.iter().rev().nth(1).cloned().unwrap_or_default();
        Self::new(file, &name, &folder, parts)
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

fn by_subject<'a, F: Clone + 'a>(task: Task, files: impl Iterator<Item = &'a NamedFile<F>>) -> BySubject<F> {
    let mut subjects = BySubject::new();
    for file in files {
        let subject = if task.has_subjects() { file.subject.clone() } else { String::new() };
        subjects.entry(subject).or_default().push(file.file.clone());
    }
    subjects
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Memory;

    fn files(names: &[&str]) -> Vec<NamedFile<String>> {
        names.iter().map(|name| NamedFile::of_path(name.to_string(), name)).collect()
    }

    /// The subjects asked, the split, and the subjects with examples.
    fn found(task: Task, files: &[NamedFile<String>], alone: bool) -> (String, Option<Split>, String) {
        let found = TaskFiles::of(task, files, &[], alone);
        let names = |subjects: &BySubject<String>| {
            let subject = |(name, files): (&String, &Vec<String>)| format!("{name}:{}", files.len());
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
        let all = files(&[
            "eval/ceval/dev/logic_dev.csv",
            "eval/ceval/val/law_val.csv",
            "eval/ceval/val/logic_val.csv",
            "eval/mmlu/dev/birds_dev.csv",
            "eval/mmlu/val/birds_val.csv",
            "eval/arc_easy_test.jsonl",
            "eval/commonsenseqa_dev.raw.jsonl",
            "eval/piqa/train.jsonl",
            "eval/piqa/valid.jsonl",
        ]);
        let validation = Some(Split::Validation);
        assert_eq!(found(Task::Ceval, &all, false), ("law:1 logic:1".into(), validation, "logic:1".into()));
        assert_eq!(found(Task::Mmlu, &all, false), ("birds:1".into(), validation, "birds:1".into()));
        assert_eq!(found(Task::ArcEasy, &all, false), (":1".into(), Some(Split::Test), String::new()));
        assert_eq!(found(Task::CommonsenseQa, &all, false), (":1".into(), Some(Split::Dev), String::new()));
        assert_eq!(found(Task::Piqa, &all, false), (":1".into(), validation, ":1".into()));
        assert_eq!(found(Task::Siqa, &all, false).0, "");
        // A single task takes files of any name.
        let own = files(&["mine/questions.jsonl"]);
        assert_eq!(found(Task::Piqa, &own, true), (":1".into(), None, String::new()));
        assert_eq!(found(Task::Piqa, &own, false).0, "");
        let texts = files(&["mine/a_test.txt", "mine/b.txt"]);
        assert_eq!(found(Task::HeldOut, &texts, true).0, ":2");
        assert_eq!(found(Task::Ceval, &files(&["ceval/val/law_val.csv"]), false).0, "law:1");
    }

    #[test]
    fn files_of_examples_are_opened_where_they_are_needed() {
        let all = files(&["piqa/train.jsonl", "piqa/valid.jsonl"]);
        for (needs_shots, expected) in
            [(false, vec!["piqa/valid.jsonl"]), (true, vec!["piqa/valid.jsonl", "piqa/train.jsonl"])]
        {
            let mut seen = Vec::new();
            let found = TaskFiles::of(Task::Piqa, &all, &[], true);
            let opened = found.opened(needs_shots, |files| {
                seen.extend(files.to_vec());
                let open = |name: &String| Arc::new(Memory::new(name, Vec::new())) as Arc<dyn Source>;
                Ok::<_, String>(files.iter().map(open).collect())
            });
            let opened = opened.unwrap();
            assert_eq!(
                (seen, opened.shots.len()),
                (expected.iter().map(ToString::to_string).collect(), usize::from(needs_shots))
            );
        }
        let refused = TaskFiles::of(Task::Piqa, &all, &[], true).opened(false, |_| Err("no"));
        assert_eq!(refused.err(), Some("no"));
    }
}
