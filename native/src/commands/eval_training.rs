//! `--train-data`: which questions stand in what a model was trained on.

use kindling::data::{DataOptions, Dataset};
use kindling::evaluate::{Contamination, Found, RUN, TaskResult, TaskRows};

use super::eval::EvalArgs;
use crate::failure::Failure;
use crate::output::{Output, counted};
use crate::sources;

/// What was found of a task's questions; nothing where it was not looked for.
#[derive(Default)]
pub struct Looked(Option<Found>);

impl Looked {
    /// Tells a result which of its questions were found.
    pub fn mark(&self, result: &mut TaskResult) {
        let Some(found) = &self.0 else { return };
        result.short = Some(found.short);
        for (item, seen) in result.items.iter_mut().zip(&found.questions) {
            item.in_training = Some(*seen);
        }
    }
}

/// Looks for the questions of every task, and says how many were found.
///
/// # Errors
/// Training data that cannot be read; an interruption.
pub fn look(args: &EvalArgs, rows: &[TaskRows], output: Output) -> Result<Vec<Looked>, Failure> {
    if args.train_data.is_empty() {
        return Ok(rows.iter().map(|_| Looked::default()).collect());
    }
    let of = |rows: &TaskRows| Contamination::of(rows.questions().map(|question| question.stem.as_str()));
    let mut looks: Vec<Contamination> = rows.iter().map(of).collect();
    let options = DataOptions { skip_bad_rows: args.skip_bad_rows, ..DataOptions::default() };
    let data = Dataset::open(sources::open(&args.train_data, args.reading.encoding)?, options)?;
    for row in data.iter() {
        let (row, _) = row?;
        for text in row.texts() {
            looks.iter_mut().for_each(|look| look.look_into(text));
        }
    }
    let found = looks.into_iter().zip(rows).map(|(look, rows)| {
        let found = look.found();
        let all = found.questions.len();
        if all == 0 {
            return Looked::default();
        }
        let seen = found.questions.iter().filter(|seen| **seen).count();
        output.say(&format!(
            "{}: of {} {} {RUN} words in a row that stand in the training data; {} too short to tell",
            rows.task,
            counted(all as u64, ["question", "questions"]),
            counted(seen as u64, ["has", "have"]),
            counted(found.short as u64, ["is", "are"])
        ));
        Looked(Some(found))
    });
    Ok(found.collect())
}
