//! A prompt with all that its continuation depends on.

use super::{SamplingConfig, UnmaskConfig};
use crate::error::{Error, Result};
use crate::tokenizer::Tokenizer;
use crate::told::{Told, told};

/// What to continue, and how.
#[derive(Clone, Copy)]
pub struct GenerationRequest<'a> {
    /// Ids to continue, the beginning-of-sequence token included where the model wants one.
    pub prompt: &'a [u32],
    /// How many of the prompt's first ids the model has been fed already; 0 for a fresh start.
    pub reuse: usize,
    /// End-of-sequence ids; a model may have several.
    pub end_ids: &'a [u32],
    /// Turns ids into text. Without one the text stays empty.
    pub tokenizer: Option<&'a Tokenizer>,
    /// How tokens are chosen.
    pub config: &'a SamplingConfig,
    /// How masks are filled; a causal model takes the default alone.
    pub unmask: UnmaskConfig,
}

impl GenerationRequest<'_> {
    /// Whether a model of this context can go on from it.
    ///
    /// # Errors
    /// Settings that do not hold or are for masked predictors, an empty prompt, a prompt longer than the context.
    pub fn check(&self, context: usize) -> Result<()> {
        let mut problems = self.problems();
        let flags = self.unmask.flags().join(", ");
        if !flags.is_empty() {
            problems.push(told!(
                "unmask.causal",
                "{flags} says how masked tokens are filled, and this model writes from left to right: leave it out, or \
                 take a model that `kindling convert --to diffusion` made",
                flags
            ));
        }
        self.check_prompt(context, problems)
    }

    /// What does not hold of how tokens are chosen.
    pub(super) fn problems(&self) -> Vec<Told> {
        let mut problems = self.config.validate();
        if self.tokenizer.is_none() && !self.config.stop.is_empty() {
            problems.push(told!(
                "sampling.stop_tokenizer",
                "--stop needs the model's tokenizer, and there is none"
            ));
        }
        problems
    }

    /// Refuses these problems, an empty prompt, and one that is longer than the context.
    pub(super) fn check_prompt(&self, context: usize, problems: Vec<Told>) -> Result<()> {
        if !problems.is_empty() {
            return Err(Error::Config(problems));
        }
        let prompt = self.prompt.len();
        if prompt == 0 {
            return Err(Error::Data(told!(
                "sampling.no_prompt",
                "the prompt holds no tokens: give some text, or a model whose tokenizer begins every text with a token \
                of its own"
            )));
        }
        if prompt > context {
            return Err(Error::Data(told!(
                "sampling.prompt_long",
                "the prompt has {prompt} tokens, but the model's context holds {context}: shorten the prompt, or use a \
                model with a longer context",
                prompt,
                context
            )));
        }
        Ok(())
    }

    /// The most positions of a context that prompt and answer take: the last token needs none.
    pub(super) fn positions(&self, context: usize) -> usize {
        let most = self.config.max_new_tokens.saturating_sub(1);
        self.prompt.len().saturating_add(most).min(context)
    }

    /// The most new tokens that a context has room for behind the prompt, where that is less than
    /// [`SamplingConfig::max_new_tokens`]: the last one needs no position of its own.
    pub fn bound_by(&self, context: usize) -> Option<usize> {
        let most = (context + 1).saturating_sub(self.prompt.len());
        (most < self.config.max_new_tokens).then_some(most)
    }

    /// The same of a masked predictor, in which each new token is a mask that has a position from the start.
    pub fn masked_bound_by(&self, context: usize) -> Option<usize> {
        let room = context.saturating_sub(self.prompt.len());
        (room < self.config.max_new_tokens).then_some(room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_bounds_the_answer_and_its_last_token_needs_no_room() {
        let config = SamplingConfig { max_new_tokens: 5, ..SamplingConfig::default() };
        let bound = |prompt: &[u32], context: usize| {
            let request = GenerationRequest {
                prompt,
                reuse: 0,
                end_ids: &[],
                tokenizer: None,
                config: &config,
                unmask: UnmaskConfig::default(),
            };
            request.bound_by(context)
        };
        assert_eq!((bound(&[0, 1], 3), bound(&[0, 1, 2], 3)), (Some(2), Some(1)));
        assert_eq!((bound(&[0, 1], 6), bound(&[0, 1], 5)), (None, Some(4)));
    }
}
