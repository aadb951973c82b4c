//! Training from tokens that were made before.

use super::{Job, TrainConfig};
use crate::batch::Content;
use crate::data::TokenTies;
use crate::error::{Error, Result};
use crate::loss::{Objective, ReasonSettings};
use crate::prepared::ties_of;
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

impl Job {
    /// Refuses tokens that were made otherwise than this run would make them.
    ///
    /// # Errors
    /// Every difference, by name.
    pub(super) fn check_prepared(&self) -> Result<()> {
        let Some(tokens) = self.dataset.tokens() else { return Ok(()) };
        let content = self.stage.content();
        let Some(ties) = tokens.ties() else {
            return match content {
                Content::Documents => Ok(()),
                Content::Conversations | Content::Preferences => Err(Error::Config(vec![told!(
                    "prepared.texts_alone",
                    "a file of nothing but tokens holds texts, and `{stage}` reads rows whose answers are known; use `pretrain`, \
                     or prepare the rows with `kindling data prepare`",
                    stage = self.stage.name()
                )])),
            };
        };
        let (length, prompt) = (self.config.max_seq_len, self.objective.longest_prompt());
        let tags = self.objective.reason().map(ReasonSettings::tag_weight);
        let made = ties_of(&self.tokenizer, content, self.dataset.turns(), length, prompt)?;
        let mut problems = ties.problems(&TokenTies { tags, ..made });
        problems.extend(questions_problem(&*self.objective, &self.config));
        match problems {
            problems if problems.is_empty() => Ok(()),
            problems => Err(Error::Config(problems)),
        }
    }
}
