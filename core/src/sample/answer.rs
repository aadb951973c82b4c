//! An answer as it grows, token by token.

use super::generation::{FinishReason, Flow, Generation, Piece};
use super::streamed::StreamedText;
use super::{Constraint, Sampler, SamplingConfig};
use crate::error::{Error, Result};
use crate::tokenizer::{StreamDecoder, Tokenizer};
use crate::told::told;

/// What is written behind a prompt so far, and how it goes on.
pub(super) struct Answer {
    sampler: Sampler,
    /// Prompt and new ids.
    ids: Vec<u32>,
    /// How many of them are the prompt.
    prompt: usize,
    /// What ends it; nothing where that is to be ignored.
    end_ids: Vec<u32>,
    /// The most new ids.
    most: usize,
    text: StreamedText,
    /// The end-of-sequence token, once it was drawn.
    end: Option<u32>,
    constraint: Option<Box<dyn Constraint>>,
}

impl Answer {
    /// An answer to a prompt, without a token.
    pub(super) fn new(
        prompt: Vec<u32>,
        end_ids: Vec<u32>,
        tokenizer: Option<&Tokenizer>,
        config: &SamplingConfig,
    ) -> Self {
        let decoder = tokenizer.map(|tokenizer| StreamDecoder::continuing(tokenizer, true));
        Self {
            sampler: Sampler::new(config),
            prompt: prompt.len(),
            ids: prompt,
            end_ids: if config.ignore_eos { Vec::new() } else { end_ids },
            most: config.max_new_tokens,
            text: StreamedText::new(decoder, &config.stop),
            end: None,
            constraint: None,
        }
    }

    /// The same, within what a constraint allows.
    pub(super) fn within(mut self, constraint: Option<Box<dyn Constraint>>) -> Self {
        self.constraint = constraint;
        self
    }

    /// The ids that are continued.
    pub(super) fn prompt(&self) -> &[u32] {
        &self.ids[..self.prompt]
    }

    /// The prompt and what is written behind it.
    pub(super) fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The new ids.
    pub(super) fn tokens(&self) -> &[u32] {
        &self.ids[self.prompt..]
    }

    /// The end-of-sequence token, once it was drawn.
    pub(super) fn end_token(&self) -> Option<u32> {
        self.end
    }

    /// The id that is to be fed next.
    pub(super) fn last(&self) -> u32 {
        self.ids.last().copied().unwrap_or_default()
    }

    /// Whether as many tokens are made as were asked for.
    pub(super) fn is_long_enough(&self) -> bool {
        self.tokens().len() >= self.most
    }

    /// The most positions that prompt and answer take; the last token is never fed.
    pub(super) fn positions(&self) -> usize {
        self.prompt.saturating_add(self.most.saturating_sub(1))
    }

    pub(super) fn into_generation(
        self,
        finish_reason: FinishReason,
        prefill_tokens_per_second: Option<f64>,
        decode_tokens_per_second: Option<f64>,
    ) -> Generation {
        Generation {
            prompt_tokens: self.prompt().to_vec(),
            tokens: self.tokens().to_vec(),
            text: self.text.into_text(),
            finish_reason,
            end_token: self.end,
            prefill_tokens_per_second,
            decode_tokens_per_second,
        }
    }

    /// Draws the next token and shows its text; returns why the answer ends here, if it does.
    pub(super) fn extend(
        &mut self,
        logits: &[f32],
        on_piece: &mut dyn FnMut(Piece) -> Flow,
    ) -> Result<Option<FinishReason>> {
        let allowed = self.constraint.as_mut().map(|constraint| allowed(constraint.as_mut(), logits));
        let allowed = allowed.transpose()?;
        let (prompt, new) = self.ids.split_at(self.prompt);
        let id = self.sampler.next(allowed.as_deref().unwrap_or(logits), prompt, new)?;
        if self.end_ids.contains(&id) {
            self.end = Some(id);
            return Ok(Some(FinishReason::Stop));
        }
        self.ids.push(id);
        let complete = match &mut self.constraint {
            Some(constraint) => constraint.take(id)?,
            None => false,
        };
        let text = self.text.push(id)?;
        let flow = on_piece(Piece { text: &text, token: Some((id, logits)), end: None });
        let ends = complete || self.text.is_stopped() || flow == Flow::Stop;
        Ok(ends.then_some(FinishReason::Stop))
    }

    /// Shows what was held back, unless a stop string came.
    pub(super) fn finish(&mut self, on_piece: &mut dyn FnMut(Piece) -> Flow) {
        let rest = self.text.finish(self.end.is_some());
        if !rest.is_empty() {
            on_piece(Piece { text: &rest, token: None, end: None });
        }
    }
}

/// The logits of what a constraint allows; a copy, because a listener sees those of the model.
fn allowed(constraint: &mut dyn Constraint, logits: &[f32]) -> Result<Vec<f32>> {
    let mut allowed = logits.to_vec();
    constraint.rule_out(&mut allowed)?;
    if allowed.iter().all(|&logit| logit == f32::NEG_INFINITY) {
        return Err(Error::Data(told!(
            "sampling.constraint",
            "the form that the answer must have leaves none of the model's {tokens} tokens to go on with: loosen it, or take \
             a model whose tokens can spell it",
            tokens = logits.len()
        )));
    }
    Ok(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Allows ids up to a limit, and is complete with the limit.
    struct UpTo(u32);

    impl Constraint for UpTo {
        fn rule_out(&mut self, logits: &mut [f32]) -> Result<()> {
            logits.iter_mut().skip(self.0 as usize + 1).for_each(|logit| *logit = f32::NEG_INFINITY);
            if self.0 == 9 { Err(Error::Data("it broke".into())) } else { Ok(()) }
        }

        fn take(&mut self, id: u32) -> Result<bool> {
            Ok(id == self.0)
        }
    }

    fn greedy(constraint: Option<Box<dyn Constraint>>, end_ids: &[u32]) -> Answer {
        let config = SamplingConfig { temperature: 0.0, max_new_tokens: 3, ..SamplingConfig::default() };
        Answer::new(vec![7, 8], end_ids.to_vec(), None, &config).within(constraint)
    }

    #[test]
    fn a_constraint_rules_out_and_says_when_the_text_is_complete() {
        let mut answer = greedy(Some(Box::new(UpTo(1))), &[]);
        let mut seen = Vec::new();
        let mut extend = |logits: &[f32]| {
            let mut on_piece = |piece: Piece| {
                seen.push(piece.token.map(|(id, logits)| (id, logits.to_vec())));
                Flow::Continue
            };
            answer.extend(logits, &mut on_piece).unwrap()
        };
        assert_eq!(extend(&[2.0, 1.0, 5.0]), None, "2 is likelier and may not come");
        assert_eq!(extend(&[1.0, 2.0, 5.0]), Some(FinishReason::Stop));
        assert_eq!(seen[0], Some((0, vec![2.0, 1.0, 5.0])), "a listener sees what the model says");
        assert_eq!(answer.into_generation(FinishReason::Stop, None, None).tokens, [0, 1]);
    }

    #[test]
    fn a_constraint_that_leaves_nothing_or_breaks_fails() {
        let error = greedy(Some(Box::new(UpTo(0))), &[])
            .extend(&[f32::NEG_INFINITY, 1.0], &mut |_| Flow::Continue)
            .unwrap_err();
        assert_eq!(error.told().code(), "sampling.constraint");
        let error =
            greedy(Some(Box::new(UpTo(9))), &[]).extend(&[0.0; 12], &mut |_| Flow::Continue).unwrap_err();
        assert_eq!(error.to_string(), "it broke");
    }

    #[test]
    fn an_end_does_not_reach_the_constraint_and_takes_no_position() {
        let mut answer = greedy(Some(Box::new(UpTo(1))), &[1]);
        let reason = answer.extend(&[0.0, 4.0], &mut |_| Flow::Continue).unwrap();
        assert_eq!(
            (reason, answer.positions()),
            (Some(FinishReason::Stop), 4),
            "2 of the prompt and 2 of 3 new ones"
        );
        let generation = answer.into_generation(FinishReason::Stop, None, None);
        assert_eq!((generation.tokens.len(), generation.end_token), (0, Some(1)));
    }
}
