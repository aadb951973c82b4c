//! The rows of a task, read and checked before a model is opened.

use std::collections::BTreeSet;
use std::path::PathBuf;

use kindling::data::{DataOptions, DataReport, Dataset, RowOrigin, read_values};
use kindling::evaluate::{Question, Subject, Task, read_question};
use kindling::text::{Conversation, Preference, Row, RowKind};

use super::eval::EvalArgs;
use super::eval_files::{BySubject, TaskFiles};
use super::train::tell;
use crate::failure::Failure;
use crate::output::{Output, grouped};
use crate::sources;

/// The columns of MMLU's tables, which have no header; others have one.
const COLUMNS: [&str; 6] = ["question", "a", "b", "c", "d", "answer"];

/// The rows of a task.
pub struct TaskRows {
    /// The task.
    pub task: Task,
    /// What they are.
    pub kind: Rows,
}

/// Rows, by what they are.
pub enum Rows {
    /// Questions, in the order in which they are asked.
    Questions(Vec<Subject>),
    /// Texts.
    Texts(Vec<(RowOrigin, String)>),
    /// A better and a worse answer each.
    Pairs(Vec<(RowOrigin, Preference)>),
    /// Conversations whose last answer is asked for.
    Conversations(Vec<(RowOrigin, Conversation)>),
}

impl TaskRows {
    /// Reads them, and says what was read.
    ///
    /// # Errors
    /// Files and rows that cannot be used, by file and line.
    pub fn read(files: &TaskFiles, args: &EvalArgs, output: Output) -> Result<Self, Failure> {
        let task = files.task;
        let kind = match task {
            Task::HeldOut => Rows::Texts(texts(&files.asked, args, output)?),
            Task::Pairs => Rows::Pairs(pairs(&files.asked, args, output)?),
            Task::Format => Rows::Conversations(conversations(&files.asked, args, output)?),
            _ => Rows::Questions(subjects(files, args, output)?),
        };
        Ok(Self { task, kind })
    }

    /// The questions, where it has any.
    pub fn questions(&self) -> impl Iterator<Item = &Question> {
        let subjects: &[Subject] = match &self.kind {
            Rows::Questions(subjects) => subjects.as_slice(),
            _ => &[],
        };
        subjects.iter().flat_map(|subject| subject.questions.iter().map(|(_, question)| question))
    }
}

/// What a task's files came to.
#[derive(Default)]
struct Sum {
    questions: u64,
    bad: u64,
    unused: BTreeSet<String>,
}

impl Sum {
    fn add(&mut self, report: &DataReport) {
        self.bad += report.bad;
        self.unused.extend(report.unused_keys.keys().cloned());
    }
}

fn subjects(files: &TaskFiles, args: &EvalArgs, output: Output) -> Result<Vec<Subject>, Failure> {
    let (task, needed) = (files.task, args.config.shots_of(files.task));
    let (mut sum, mut subjects, mut own_shots) = (Sum::default(), Vec::new(), 0);
    for (name, paths) in &files.asked {
        let mut asked = questions(task, paths, args, &mut sum)?;
        let given = files.shots.get(name);
        let given = given.or_else(|| files.shots.get("").filter(|_| files.shots.len() == 1));
        let (shots, shots_are_questions) = match given {
            _ if needed == 0 => (Vec::new(), false),
            Some(paths) => (plain(questions(task, paths, args, &mut sum)?), false),
            None => (plain(asked.clone()), true),
        };
        own_shots += usize::from(shots_are_questions);
        let limit = args.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        asked.truncate(limit);
        sum.questions += asked.len() as u64;
        subjects.push(Subject { name: name.clone(), questions: asked, shots, shots_are_questions });
    }
    tell_of(files, &sum, &subjects, own_shots, output);
    Ok(subjects)
}

fn plain(questions: Vec<(RowOrigin, Question)>) -> Vec<Question> {
    questions.into_iter().map(|(_, question)| question).collect()
}

fn questions(
    task: Task,
    paths: &[PathBuf],
    args: &EvalArgs,
    sum: &mut Sum,
) -> Result<Vec<(RowOrigin, Question)>, Failure> {
    let options = DataOptions { skip_bad_rows: args.skip_bad_rows, ..DataOptions::default() };
    let sources = sources::open(&names(paths), args.reading.encoding)?;
    let columns: &[&str] = if task == Task::Mmlu { &COLUMNS } else { &[] };
    let (questions, report) = read_values(sources, options, columns, |row, _| read_question(task, row))?;
    sum.add(&report);
    Ok(questions)
}

fn names(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.to_string_lossy().into_owned()).collect()
}

/// Says what was read, and what is odd about it.
fn tell_of(files: &TaskFiles, sum: &Sum, subjects: &[Subject], own_shots: usize, output: Output) {
    let task = files.task;
    let split = files.split.map_or(String::new(), |split| format!(" ({})", split.name()));
    let of = if task.has_subjects() { format!(" in {} subjects", subjects.len()) } else { String::new() };
    output.say(&format!("{task}: {} questions{of}{split}", grouped(sum.questions)));
    if let Some(split) = files.split.filter(|split| *split != task.asked_splits()[0]) {
        output.say(&format!(
            "{task}: published results are of the {} split; these are of {}",
            task.asked_splits()[0].name(),
            split.name()
        ));
    }
    if !sum.unused.is_empty() {
        let keys: Vec<&str> = sum.unused.iter().map(String::as_str).collect();
        output.say(&format!("{task}: keys that are not read: {}", keys.join(", ")));
    }
    if sum.bad > 0 {
        output.warn(&format!("{task}: {} rows cannot be used and are left out", grouped(sum.bad)));
    }
    if own_shots > 0 {
        output.warn(&format!(
            "{task}: there are no rows of the {} split, so examples are drawn among the questions themselves, each without \
             the one that is asked",
            task.shot_split().name()
        ));
    }
    let unknown: Vec<&str> = subjects.iter().map(|subject| subject.name.as_str()).collect();
    let unknown: Vec<&str> = unknown.into_iter().filter(|name| !task.knows(name)).collect();
    if !unknown.is_empty() {
        output.warn(&format!(
            "{task}: no subject of the set is called {}; the description names it so",
            unknown.join(", ")
        ));
    }
}

fn open(
    files: &BySubject,
    kind: Option<RowKind>,
    args: &EvalArgs,
    output: Output,
) -> Result<Dataset, Failure> {
    let paths: Vec<PathBuf> = files.values().flatten().cloned().collect();
    let options = DataOptions {
        limit: args.limit,
        skip_bad_rows: args.skip_bad_rows,
        kind,
        text_column: args.reading.text_column.clone().filter(|_| kind.is_none()),
        ..DataOptions::default()
    };
    let data = Dataset::open(sources::open(&names(&paths), args.reading.encoding)?, options)?;
    tell(data.report(), output);
    Ok(data)
}

fn texts(files: &BySubject, args: &EvalArgs, output: Output) -> Result<Vec<(RowOrigin, String)>, Failure> {
    let data = open(files, None, args, output)?;
    let text = |row: Row| row.texts().collect::<Vec<_>>().join("\n");
    let rows = data.iter().map(|row| row.map(|(row, origin)| (origin, text(row))));
    Ok(rows.collect::<Result<Vec<_>, _>>()?)
}

fn pairs(
    files: &BySubject,
    args: &EvalArgs,
    output: Output,
) -> Result<Vec<(RowOrigin, Preference)>, Failure> {
    let data = open(files, Some(RowKind::Preference), args, output)?;
    let mut pairs = Vec::new();
    for row in data.iter() {
        if let (Row::Preference(pair), origin) = row? {
            pairs.push((origin, pair));
        }
    }
    Ok(pairs)
}

fn conversations(
    files: &BySubject,
    args: &EvalArgs,
    output: Output,
) -> Result<Vec<(RowOrigin, Conversation)>, Failure> {
    let data = open(files, Some(RowKind::Conversation), args, output)?;
    let mut conversations = Vec::new();
    for row in data.iter() {
        if let (Row::Conversation(conversation), origin) = row? {
            conversations.push((origin, conversation));
        }
    }
    Ok(conversations)
}
