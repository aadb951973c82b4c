//! Where a model learns to stop: the token that ends the assistant's turns becomes one that ends an answer.

use std::sync::Arc;

use super::{Job, Stage};
use crate::batch::Content;
use crate::data::{DataKind, Dataset, Turns};
use crate::model::Transformer;
use crate::tokenizer::{NOW, Tokenizer};
use crate::told::{Told, told};

fn no_end() -> Told {
    told!(
        "template.no_end",
        "the chat template writes no token of its own behind the assistant's words, so that the model does not learn \
         where to stop; write {{{{ eos_token }}}} there and give the template with --chat-template FILE, or cut answers \
         with --stop TEXT and --max-new-tokens"
    )
}

/// Whether a stage renders the conversations, or the pairs of them, of these data.
fn renders(stage: Stage, dataset: &Dataset) -> bool {
    stage.content_of(dataset) != Content::Documents || dataset.turns() == Turns::Rendered
}

/// Whether a stage renders rows of these data: their turns have ends, which are trained.
fn trains_turns(stage: Stage, dataset: &Dataset) -> bool {
    renders(stage, dataset) && dataset.kind() != DataKind::Documents
}

/// What a person should know of the turns before a stage trains on these data: a sentence where the model does not learn
/// where to stop, and one where it is asked for answers in another way than it is trained. Without a template nothing is
/// trained.
pub fn turn_warnings(stage: Stage, dataset: &Dataset, tokenizer: &Tokenizer) -> Vec<Told> {
    if !trains_turns(stage, dataset) || tokenizer.check_chat_template().is_err() {
        return Vec::new();
    }
    let end = match tokenizer.turn_end() {
        Ok(Some(_)) => None,
        Ok(None) => Some(no_end()),
        Err(error) => Some(told!(
            "template.end_unknown",
            "which token ends the assistant's turns cannot be told: {error}",
            error
        )),
    };
    end.into_iter().chain(tokenizer.prompt_difference().ok().flatten()).collect()
}

impl Job {
    /// The day that the chat template prints as today's, where one is set and something is rendered.
    pub(super) fn printed_date(&self) -> Option<String> {
        let now = self.tokenizer.template_variable(NOW).filter(|_| renders(self.stage, &self.dataset))?;
        now.as_str().map(String::from)
    }

    /// What a person should know before the run begins.
    pub fn warnings(&self) -> Vec<Told> {
        turn_warnings(self.stage, &self.dataset, &self.tokenizer)
    }

    /// Writes the end of a turn where chat and other programs look for it: into the tokenizer, and into the model's
    /// config, from which the generation's follows. Texts have no turns, and leave all as it is.
    pub(super) fn settle_ends(&mut self, model: Transformer) -> Transformer {
        if !trains_turns(self.stage, &self.dataset) {
            return model;
        }
        let Ok(Some(end)) = self.tokenizer.turn_end() else { return model };
        let mut tokenizer = Tokenizer::clone(&self.tokenizer);
        tokenizer.end_turns_with(end);
        let ends = tokenizer.end_ids(&model.config().eos_token_ids);
        self.tokenizer = Arc::new(tokenizer);
        model.with_end_ids(ends)
    }
}
