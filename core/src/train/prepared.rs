//! Training from tokens that were made before.

use super::{Job, Stage, TrainConfig};
use crate::batch::Content;
use crate::data::{Dataset, TokenTies};
use crate::error::{Error, Result};
use crate::loss::{Objective, ReasonSettings};
use crate::prepared::ties_of;
use crate::tokenizer::{TagWeight, Tokenizer};
use crate::told::{Told, told};

/// Why a run of these settings cannot take tokens: it asks held-out questions, of which tokens hold no text.
pub fn questions_problem(objective: &dyn Objective, config: &TrainConfig) -> Option<Told> {
    let asks = config.val_split > 0.0 && objective.eval_answers().is_some();
    asks.then(|| {
        told!(
            "prepared.no_questions",
            "--eval-answers asks held-out questions, and prepared data holds tokens and no questions; add --eval-answers 0, or \
             train from the rows"
        )
    })
}

/// Why a stage cannot take the tokens of a dataset: every way in which they were made otherwise than this tokenizer, rows of
/// at most `length` tokens with prompts of at most `prompt`, and tags would make them. None where the dataset is rows.
///
/// # Errors
/// A tokenizer that cannot be written.
pub fn tokens_problems(
    dataset: &Dataset,
    tokenizer: &Tokenizer,
    stage: Stage,
    (length, prompt): (usize, usize),
    tags: Option<TagWeight>,
) -> Result<Vec<Told>> {
    let Some(tokens) = dataset.tokens() else { return Ok(Vec::new()) };
    let content = stage.content_of(dataset);
    match tokens.ties() {
        Some(ties) => {
            let made = ties_of(tokenizer, content, dataset.turns(), length, prompt)?;
            Ok(ties.problems(&TokenTies { tags, ..made }))
        }
        None if content == Content::Documents => Ok(Vec::new()),
        None => Ok(vec![told!(
            "prepared.texts_alone",
            "a file of nothing but tokens holds texts, and `{stage}` reads rows whose answers are known; use `pretrain`, or \
             prepare the rows with `kindling data prepare`",
            stage = stage.name()
        )]),
    }
}

impl Job {
    /// Refuses tokens that were made otherwise than this run would make them.
    ///
    /// # Errors
    /// Every difference, by name.
    pub(super) fn check_prepared(&self) -> Result<()> {
        if self.dataset.tokens().is_none() {
            return Ok(());
        }
        let lengths = (self.config.max_seq_len, self.objective.longest_prompt());
        let tags = self.objective.reason().map(ReasonSettings::tag_weight);
        let mut problems = tokens_problems(&self.dataset, &self.tokenizer, self.stage, lengths, tags)?;
        if self.dataset.tokens().is_some_and(|tokens| tokens.ties().is_some()) {
            problems.extend(questions_problem(&*self.objective, &self.config));
        }
        match problems {
            problems if problems.is_empty() => Ok(()),
            problems => Err(Error::Config(problems)),
        }
    }
}
