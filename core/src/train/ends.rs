//! Where a model learns to stop: the token that ends the assistant's turns becomes one that ends an answer.

use std::sync::Arc;

use super::Job;
use crate::batch::Content;
use crate::model::Transformer;
use crate::tokenizer::Tokenizer;

const NO_END: &str = "the chat template writes no token of its own behind the assistant's words, so that the model does \
                      not learn where to stop; write {{ eos_token }} there and give the template with --chat-template \
                      FILE, or cut answers with --stop TEXT and --max-new-tokens";

impl Job {
    /// What a person should know before the run begins.
    pub fn warnings(&self) -> Vec<String> {
        if self.stage.content() != Content::Conversations || self.tokenizer.check_chat_template().is_err() {
            return Vec::new();
        }
        match self.tokenizer.turn_end() {
            Ok(Some(_)) => Vec::new(),
            Ok(None) => vec![NO_END.into()],
            Err(error) => vec![format!("which token ends the assistant's turns cannot be told: {error}")],
        }
    }

    /// Writes the end of a turn where chat and other programs look for it: into the tokenizer, and into the model's
    /// config, from which the generation's follows. Texts have no turns, and leave all as it is.
    pub(super) fn settle_ends(&mut self, model: Transformer) -> Transformer {
        if self.stage.content() != Content::Conversations {
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
