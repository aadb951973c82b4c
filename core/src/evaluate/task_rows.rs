//! The rows of a task, read and checked before a model is opened.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{EvalConfig, EvalListener, Question, Subject, Task, TaskFiles, read_question};
use crate::data::{DataOptions, DataReport, Dataset, RowOrigin, Source, read_values};
use crate::error::Result;
use crate::text::{Conversation, Preference, Row, RowKind};
use crate::told::{Counted, told};

/// The columns of MMLU's tables, which have no header; others have one.
const COLUMNS: [&str; 6] = ["question", "a", "b", "c", "d", "answer"];

/// The files of a task, opened.
pub type OpenFiles = TaskFiles<Arc<dyn Source>>;

/// Which rows of the files are read.
#[derive(Clone, Debug, Default)]
pub struct RowsOptions {
    /// At most so many, the first: of each subject where a set has subjects.
    pub limit: Option<u64>,
    /// Whether rows that cannot be used are left out and counted; else they are an error.
    pub skip_bad_rows: bool,
    /// The key of texts, where it is another one than `text`.
    pub text_column: Option<String>,
}

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
    pub fn read(
        files: &OpenFiles,
        config: &EvalConfig,
        options: &RowsOptions,
        listener: &dyn EvalListener,
    ) -> Result<Self> {
        let task = files.task;
        let kind = match task {
            Task::HeldOut => Rows::Texts(texts(files, options, listener)?),
            Task::Pairs => Rows::Pairs(pairs(files, options, listener)?),
            Task::Format => Rows::Conversations(conversations(files, options, listener)?),
            _ => Rows::Questions(subjects(files, config.shots_of(task), options, listener)?),
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
    questions: usize,
    bad: u64,
    unused: BTreeSet<String>,
}

impl Sum {
    fn add(&mut self, report: &DataReport) {
        self.bad += report.bad;
        self.unused.extend(report.unused_keys.keys().cloned());
    }
}

/// Questions by subjects, with the rows that `needed` examples before each are chosen from.
fn subjects(
    files: &OpenFiles,
    needed: usize,
    options: &RowsOptions,
    listener: &dyn EvalListener,
) -> Result<Vec<Subject>> {
    let task = files.task;
    let (mut sum, mut subjects, mut own_shots) = (Sum::default(), Vec::new(), 0);
    for (name, sources) in &files.asked {
        let mut asked = questions(task, sources, options, &mut sum)?;
        let given = files.shots.get(name);
        let given = given.or_else(|| files.shots.get("").filter(|_| files.shots.len() == 1));
        let (shots, shots_are_questions) = match given {
            _ if needed == 0 => (Vec::new(), false),
            Some(sources) => (plain(questions(task, sources, options, &mut sum)?), false),
            None => (plain(asked.clone()), true),
        };
        own_shots += usize::from(shots_are_questions);
        let limit = options.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        asked.truncate(limit);
        sum.questions += asked.len();
        subjects.push(Subject { name: name.clone(), questions: asked, shots, shots_are_questions });
    }
    tell_read(files, &sum, subjects.len(), listener);
    warn_odd(files, &sum, &subjects, own_shots > 0, listener);
    Ok(subjects)
}

fn plain(questions: Vec<(RowOrigin, Question)>) -> Vec<Question> {
    questions.into_iter().map(|(_, question)| question).collect()
}

fn questions(
    task: Task,
    sources: &[Arc<dyn Source>],
    options: &RowsOptions,
    sum: &mut Sum,
) -> Result<Vec<(RowOrigin, Question)>> {
    let options = DataOptions { skip_bad_rows: options.skip_bad_rows, ..DataOptions::default() };
    let columns: &[&str] = if task == Task::Mmlu { &COLUMNS } else { &[] };
    let (questions, report) =
        read_values(sources.to_vec(), options, columns, |row, _| read_question(task, row))?;
    sum.add(&report);
    Ok(questions)
}

/// Says what was read.
fn tell_read(files: &OpenFiles, sum: &Sum, subjects: usize, listener: &dyn EvalListener) {
    let task = files.task;
    let split = files.split.map_or(String::new(), |split| format!(" ({})", split.name()));
    let count = Counted::written(listener.count(sum.questions), ["question", "questions"]);
    listener.tell(match task.has_subjects() {
        true => told!(
            "eval.questions_of",
            "{task}: {count} in {subjects}{split}",
            task,
            count,
            subjects = Counted::new(subjects as u64, ["subject", "subjects"]),
            split
        ),
        false => told!("eval.questions", "{task}: {count}{split}", task, count, split),
    });
    if let Some(split) = files.split.filter(|split| *split != task.asked_splits()[0]) {
        listener.tell(told!(
            "eval.other_split",
            "{task}: published results are of the {published} split; these are of {split}",
            task,
            published = task.asked_splits()[0].name(),
            split = split.name()
        ));
    }
    if !sum.unused.is_empty() {
        let keys = sum.unused.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        listener.tell(told!("eval.unread_keys", "{task}: keys that are not read: {keys}", task, keys));
    }
}

/// Says what is odd about it.
fn warn_odd(
    files: &OpenFiles,
    sum: &Sum,
    subjects: &[Subject],
    own_shots: bool,
    listener: &dyn EvalListener,
) {
    let task = files.task;
    if sum.bad > 0 {
        let rows = listener.count(usize::try_from(sum.bad).unwrap_or(usize::MAX));
        let rows = Counted::written(
            rows,
            ["row cannot be used and is left out", "rows cannot be used and are left out"],
        );
        listener.warn(told!("eval.rows_left_out", "{task}: {rows}", task, rows));
    }
    if own_shots {
        listener.warn(told!(
            "eval.own_shots",
            "{task}: there are no rows of the {split} split, so examples are drawn among the questions themselves, each \
             without the one that is asked",
            task,
            split = task.shot_split().name()
        ));
    }
    let names = subjects.iter().map(|subject| subject.name.as_str());
    let unknown: Vec<&str> = names.filter(|name| !task.knows(name)).collect();
    if !unknown.is_empty() {
        listener.warn(told!(
            "eval.unknown_subjects",
            "{task}: no subject of the set is called {names}; the description names it so",
            task,
            names = unknown.join(", ")
        ));
    }
}

fn open(
    files: &OpenFiles,
    kind: Option<RowKind>,
    options: &RowsOptions,
    listener: &dyn EvalListener,
) -> Result<Dataset> {
    let sources: Vec<Arc<dyn Source>> = files.asked.values().flatten().cloned().collect();
    let options = DataOptions {
        limit: options.limit,
        skip_bad_rows: options.skip_bad_rows,
        kind,
        text_column: options.text_column.clone().filter(|_| kind.is_none()),
        ..DataOptions::default()
    };
    let data = Dataset::open(sources, options)?;
    listener.has_read(data.report());
    Ok(data)
}

fn texts(
    files: &OpenFiles,
    options: &RowsOptions,
    listener: &dyn EvalListener,
) -> Result<Vec<(RowOrigin, String)>> {
    let data = open(files, None, options, listener)?;
    let text = |row: Row| row.texts().collect::<Vec<_>>().join("\n");
    data.iter().map(|row| row.map(|(row, origin)| (origin, text(row)))).collect()
}

fn pairs(
    files: &OpenFiles,
    options: &RowsOptions,
    listener: &dyn EvalListener,
) -> Result<Vec<(RowOrigin, Preference)>> {
    let data = open(files, Some(RowKind::Preference), options, listener)?;
    let mut pairs = Vec::new();
    for row in data.iter() {
        if let (Row::Preference(pair), origin) = row? {
            pairs.push((origin, pair));
        }
    }
    Ok(pairs)
}

fn conversations(
    files: &OpenFiles,
    options: &RowsOptions,
    listener: &dyn EvalListener,
) -> Result<Vec<(RowOrigin, Conversation)>> {
    let data = open(files, Some(RowKind::Conversation), options, listener)?;
    let mut conversations = Vec::new();
    for row in data.iter() {
        if let (Row::Conversation(conversation), origin) = row? {
            conversations.push((origin, conversation));
        }
    }
    Ok(conversations)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Memory;
    use crate::evaluate::NamedFile;
    use crate::evaluate::heard::Heard;

    fn files(task: Task, list: &[(&str, &str)]) -> OpenFiles {
        let file = |(name, text): &(&str, &str)| {
            let source: Arc<dyn Source> = Arc::new(Memory::new(name, *text));
            NamedFile::of_path(source, name)
        };
        let files: Vec<NamedFile<Arc<dyn Source>>> = list.iter().map(file).collect();
        TaskFiles::find(&[task], &files, &[]).remove(0)
    }

    const ROWS: &str = "{\"goal\": \"a\", \"sol1\": \"b\", \"sol2\": \"c\", \"label\": 0, \"note\": \"x\"}\n\
                        {\"goal\": \"d\", \"sol1\": \"e\", \"sol2\": \"f\", \"label\": 1}\n";

    #[test]
    fn questions_are_limited_and_what_is_odd_about_them_is_told() {
        let (heard, config) = (Heard::default(), EvalConfig { shots: Some(1), ..EvalConfig::default() });
        let options = RowsOptions { limit: Some(1), ..RowsOptions::default() };
        let files = files(Task::Piqa, &[("piqa/test.jsonl", ROWS)]);
        let rows = TaskRows::read(&files, &config, &options, &heard).unwrap();
        assert_eq!(rows.questions().count(), 1);
        let Rows::Questions(subjects) = &rows.kind else { panic!("questions") };
        assert_eq!((subjects[0].shots.len(), subjects[0].shots_are_questions), (2, true));
        assert_eq!(
            heard.codes(),
            ["eval.questions", "eval.other_split", "eval.unread_keys", "eval.own_shots"]
        );
    }

    #[test]
    fn a_row_that_is_no_question_is_refused_by_its_place_or_counted() {
        let (heard, text) = (Heard::default(), format!("{ROWS}{{\"goal\": \"g\"}}\n"));
        let files = files(Task::Piqa, &[("piqa/valid.jsonl", text.as_str())]);
        let config = EvalConfig::default();
        let refused = TaskRows::read(&files, &config, &RowsOptions::default(), &heard).err().unwrap();
        assert!(refused.to_string().contains("piqa/valid.jsonl:3"), "{refused}");
        let skip = RowsOptions { skip_bad_rows: true, ..RowsOptions::default() };
        assert_eq!(TaskRows::read(&files, &config, &skip, &heard).unwrap().questions().count(), 2);
        assert!(heard.codes().contains(&"eval.rows_left_out"), "{:?}", heard.codes());
    }

    #[test]
    fn texts_and_pairs_are_read_as_training_reads_them() {
        let (heard, config) = (Heard::default(), EvalConfig::default());
        let texts = files(Task::HeldOut, &[("a.jsonl", "{\"text\": \"one\"}\n{\"text\": \"two\"}\n")]);
        let rows = TaskRows::read(&texts, &config, &RowsOptions::default(), &heard).unwrap();
        let Rows::Texts(texts) = rows.kind else { panic!("texts") };
        assert_eq!(texts.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), ["one", "two"]);
        let pair = "{\"prompt\": \"q\", \"chosen\": \"a\", \"rejected\": \"b\"}\n";
        let pairs = files(Task::Pairs, &[("p.jsonl", pair)]);
        let rows = TaskRows::read(&pairs, &config, &RowsOptions::default(), &heard).unwrap();
        assert!(matches!(rows.kind, Rows::Pairs(pairs) if pairs.len() == 1));
        assert_eq!(heard.read(), 3);
    }
}
