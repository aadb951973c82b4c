//! A lesson's own questions, those of its rows and those that its teacher asks: asked before a run and after it, so that
//! its end says what was learned. Of pairs of answers it says which one the model holds to be likelier.

use kindling::batch::Content;
use kindling::chat::{Choice, Exercise, spread};
use kindling::data::Split;
use kindling::model::Transformer;
use kindling::platform::now;
use kindling::text::Tags;
use kindling::tokenizer::Tokenizer;
use kindling::told::Told;
use kindling::train::Job;
use serde::{Deserialize, Serialize};

use super::messages::run::{self, Answered, Asked, Judged, Weighed};
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
    choices: Vec<Choice>,
    questions: Vec<String>,
    /// Where the run teaches or rewards thinking, between which tags the answers stand that count, and how many tokens an
    /// answer may take.
    thinks: Option<(Tags, usize)>,
    /// By which rule an answer counts.
    judged: Judged,
    before: Before,
}

/// What was answered before a run, in the order of its questions.
#[derive(Clone, Default)]
pub struct Before {
    /// To its rows.
    pub rows: Vec<String>,
    /// To its teacher.
    pub asked: Vec<String>,
    /// To its pairs of answers.
    pub pairs: Vec<WeighedBefore>,
}

impl Before {
    /// Whether nothing was asked.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.asked.is_empty() && self.pairs.is_empty()
    }
}

/// A pair of answers before a run.
#[derive(Clone, Serialize, Deserialize)]
pub struct WeighedBefore {
    /// The log-probabilities of both, the better one's first.
    weights: [f64; 2],
    /// What the model said itself.
    said: String,
}

impl Lesson {
    /// The questions of rows that are trained on, spread evenly, none where the rows are texts; and those of the teacher
    /// that no such row asks.
    ///
    /// # Errors
    /// Data that cannot be read.
    pub fn of(job: &Job, asked: &[String]) -> Result<Self, Told> {
        let split = job.split();
        let (mut exercises, mut choices): (Vec<Exercise>, Vec<Choice>) = (Vec::new(), Vec::new());
        let part = split.train_part();
        let rows = part.end - part.start;
        if job.content() != Content::Documents {
            for number in numbers(&split, part.start, rows) {
                let Some((row, _)) = job.dataset.row(number).map_err(Told::from)? else { continue };
                exercises.extend(Exercise::of(&row));
                choices.extend(Choice::of(&row));
            }
        }
        let of_a_row = |question: &String| {
            let asks = |exercise: &Exercise| {
                exercise.asked.messages.len() == 1 && exercise.question().trim() == question.trim()
            };
            exercises.iter().chain(choices.iter().map(|choice| &choice.exercise)).any(asks)
        };
        let questions = asked.iter().filter(|question| !of_a_row(question)).cloned().collect();
        let taught = job.objective.reason();
        let taught = taught.map(|settings| (settings.tags.clone(), settings.config.eval_max_new_tokens));
        let rewarded = job.objective.rollouts();
        let rewarded = rewarded.map(|settings| (settings.tags.clone(), settings.max_new_tokens));
        let judged = match (&taught, &rewarded) {
            (None, None) => Judged::Letters,
            (Some(_), _) => Judged::Tags,
            (None, Some(_)) => Judged::Reward,
        };
        let (thinks, before) = (taught.or(rewarded), Before::default());
        Ok(Self { rows, exercises, choices, questions, thinks, judged, before })
    }

    /// Asks them before the run; those for which there is no time are asked no more.
    ///
    /// # Errors
    /// The device cannot be read, or a question is longer than the model.
    pub async fn ask_before(&mut self, model: &Transformer, tokenizer: &Tokenizer) -> Result<(), Told> {
        self.before = Before::default();
        let began = now();
        for exercise in &self.exercises {
            if now() - began > PATIENCE {
                break;
            }
            let answer = self.answer(exercise, model, tokenizer).await?;
            self.before.rows.push(answer);
        }
        for choice in &self.choices {
            if now() - began > PATIENCE {
                break;
            }
            let (weights, said) = look_at(choice, model, tokenizer).await?;
            self.before.pairs.push(WeighedBefore { weights, said });
        }
        let (began, most) = (now(), self.most_tokens(model));
        for question in &self.questions {
            if now() - began > PATIENCE {
                break;
            }
            self.before.asked.push(ask(model, tokenizer, question, most).await?);
        }
        let Before { rows, asked, pairs } = &self.before;
        self.exercises.truncate(rows.len());
        self.choices.truncate(pairs.len());
        self.questions.truncate(asked.len());
        Ok(())
    }

    /// The model's most likely answer to a row, with its thinking where that is taught or rewarded.
    async fn answer(
        &self,
        exercise: &Exercise,
        model: &Transformer,
        tokenizer: &Tokenizer,
    ) -> Result<String, Told> {
        let answer = match &self.thinks {
            Some((tags, most)) => exercise.answer_with_tags(model, tokenizer, tags, *most).await,
            None => exercise.answer(model, tokenizer).await,
        };
        answer.map_err(Told::from)
    }

    /// Tokens that an answer to a question of the teacher may have.
    fn most_tokens(&self, model: &Transformer) -> usize {
        // The other half of the context is the question's.
        let half = model.config().context() / 2;
        self.thinks.as_ref().map_or(MOST_TOKENS, |(_, most)| MOST_TOKENS.max(half.min(*most)))
    }

    /// The answers before the run.
    pub fn before(&self) -> Before {
        self.before.clone()
    }

    /// The same with the answers that were given before the run, as [`Self::before`] gave them.
    pub fn answered(mut self, before: Before) -> Self {
        self.exercises.truncate(before.rows.len());
        self.choices.truncate(before.pairs.len());
        self.questions.truncate(before.asked.len());
        self.before = before;
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
        let Before { rows, asked: asked_before, pairs: pairs_before } = self.before.clone();
        let (mut answers, most) = (Vec::new(), self.most_tokens(model));
        for (exercise, before) in self.exercises.iter().zip(rows) {
            let after = self.answer(exercise, model, tokenizer).await?;
            let (question, expected) = (exercise.question().to_string(), exercise.expected.clone());
            let right = match (&self.thinks, self.judged) {
                (Some((tags, _)), Judged::Reward) => exercise.is_rewarded(&after, tags),
                (Some((tags, _)), _) => exercise.is_right_between(&after, tags),
                (None, _) => exercise.is_right(&after),
            };
            answers.push(Answered { question, expected, before, right, after });
        }
        let mut asked = Vec::new();
        let mut pairs = Vec::new();
        for (choice, before) in self.choices.into_iter().zip(pairs_before) {
            let (weights, said) = look_at(&choice, model, tokenizer).await?;
            pairs.push(Weighed {
                question: choice.exercise.question().to_string(),
                chosen: choice.exercise.expected,
                rejected: choice.rejected,
                before: before.weights,
                after: weights,
                said_before: before.said,
                said_after: said,
            });
        }
        for (question, before) in self.questions.into_iter().zip(asked_before) {
            let after = ask(model, tokenizer, &question, most).await?;
            asked.push(Asked { question, before, after });
        }
        let is_empty = answers.is_empty() && asked.is_empty() && pairs.is_empty();
        let (rows, judged) = (self.rows as f64, self.judged);
        Ok((!is_empty).then_some(run::Lesson { rows, judged, answers, asked, pairs }))
    }
}

/// How likely a model holds both answers of a pair, and what it says itself.
async fn look_at(
    choice: &Choice,
    model: &Transformer,
    tokenizer: &Tokenizer,
) -> Result<([f64; 2], String), Told> {
    let weights = choice.weigh(model, tokenizer).await.map_err(Told::from)?;
    // JSON knows no other numbers.
    let weights = weights.map(|weight| if weight.is_finite() { weight } else { f64::MIN });
    Ok((weights, choice.exercise.answer(model, tokenizer).await.map_err(Told::from)?))
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
