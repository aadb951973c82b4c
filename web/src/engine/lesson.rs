//! A lesson's own questions, those of its rows and those that its teacher asks: asked before a run and after it, so that
//! its end says what was learned.

use kindling::chat::{Exercise, spread};
use kindling::data::Split;
use kindling::model::Transformer;
use kindling::platform::now;
use kindling::text::RowKind;
use kindling::tokenizer::Tokenizer;
use kindling::told::Told;
use kindling::train::Job;

use super::messages::run::{self, Answered, Asked};
use super::talk::ask;

/// Rows that are asked at most.
const MOST: u64 = 8;
/// The longest answer to a question of the teacher, in tokens.
const MOST_TOKENS: usize = 64;
/// Seconds after which no further row, and then no further question, is asked before a run: a large model is slow.
const PATIENCE: f64 = 15.0;

/// Questions of a run's rows and of its teacher, with the answers before it.
pub struct Lesson {
    rows: u64,
    exercises: Vec<Exercise>,
    before: Vec<String>,
    questions: Vec<String>,
    asked_before: Vec<String>,
}

impl Lesson {
    /// The questions of rows that are trained on, spread evenly, none where the rows are texts; and those of the teacher
    /// that no such row asks.
    ///
    /// # Errors
    /// Data that cannot be read.
    pub fn of(job: &Job, asked: &[String]) -> Result<Self, Told> {
        let split = job.split();
        let (mut exercises, part) = (Vec::new(), split.train_part());
        let rows = part.end - part.start;
        if job.stage.row_kind() == RowKind::Conversation {
            for number in numbers(&split, part.start, rows) {
                let row = job.dataset.row(number).map_err(Told::from)?;
                exercises.extend(row.and_then(|(row, _)| Exercise::of(&row)));
            }
        }
        let of_a_row = |question: &String| {
            let asks = |exercise: &Exercise| {
                exercise.asked.messages.len() == 1 && exercise.question().trim() == question.trim()
            };
            exercises.iter().any(asks)
        };
        let questions = asked.iter().filter(|question| !of_a_row(question)).cloned().collect();
        Ok(Self { rows, exercises, before: Vec::new(), questions, asked_before: Vec::new() })
    }

    /// Asks them before the run; those for which there is no time are asked no more.
    ///
    /// # Errors
    /// The device cannot be read, or a question is longer than the model.
    pub async fn ask_before(&mut self, model: &Transformer, tokenizer: &Tokenizer) -> Result<(), Told> {
        self.before.clear();
        self.asked_before.clear();
        let began = now();
        for exercise in &self.exercises {
            if now() - began > PATIENCE {
                break;
            }
            let answer = exercise.answer(model, tokenizer).await;
            self.before.push(answer.map_err(Told::from)?);
        }
        self.exercises.truncate(self.before.len());
        let began = now();
        for question in &self.questions {
            if now() - began > PATIENCE {
                break;
            }
            self.asked_before.push(ask(model, tokenizer, question, MOST_TOKENS).await?);
        }
        self.questions.truncate(self.asked_before.len());
        Ok(())
    }

    /// The answers before the run to the rows and to the teacher, in the order of the questions.
    pub fn before(&self) -> [&[String]; 2] {
        [&self.before, &self.asked_before]
    }

    /// The same with the answers that were given before the run, as [`Self::before`] gave them.
    pub fn answered(mut self, [rows, asked]: [&[String]; 2]) -> Self {
        (self.before, self.asked_before) = (rows.to_vec(), asked.to_vec());
        self.exercises.truncate(rows.len());
        self.questions.truncate(asked.len());
        self
    }

    /// Asks them again; `None` where there is nothing to ask.
    ///
    /// # Errors
    /// As [`Self::ask_before`].
    pub async fn ask_after(
        self,
        model: &Transformer,
        tokenizer: &Tokenizer,
    ) -> Result<Option<run::Lesson>, Told> {
        let mut answers = Vec::new();
        for (exercise, before) in self.exercises.iter().zip(self.before) {
            let after = exercise.answer(model, tokenizer).await.map_err(Told::from)?;
            let (question, expected) = (exercise.question().to_string(), exercise.expected.clone());
            answers.push(Answered { question, expected, before, right: exercise.is_right(&after), after });
        }
        let mut asked = Vec::new();
        for (question, before) in self.questions.into_iter().zip(self.asked_before) {
            let after = ask(model, tokenizer, &question, MOST_TOKENS).await?;
            asked.push(Asked { question, before, after });
        }
        let is_empty = answers.is_empty() && asked.is_empty();
        Ok((!is_empty).then_some(run::Lesson { rows: self.rows as f64, answers, asked }))
    }
}

/// The numbers of rows that are asked, in the order of the file.
fn numbers(split: &Split, start: u64, rows: u64) -> Vec<u64> {
    // All of them stand in the order of the file; of a shuffled part any are as good.
    let mut numbers: Vec<u64> = match rows == split.train + split.validation {
        true => spread(rows, MOST).collect(),
        false => spread(rows, MOST).map(|i| split.order().at(start + i)).collect(),
    };
    numbers.sort_unstable();
    numbers
}
