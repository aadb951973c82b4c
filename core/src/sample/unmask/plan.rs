//! What is filled when: blocks of places, one behind the other, and how many steps each takes.

use std::ops::Range;

use super::config::BLOCK_LENGTH;
use crate::error::{Error, Result};
use crate::model::DiffusionConfig;
use crate::sample::check_ids;
use crate::sample::request::GenerationRequest;
use crate::told::{Told, told};

/// What is to be filled, in which order.
pub(super) struct Plan<'a> {
    /// Prompt and masks; of an infill the given ids with masks among them.
    pub(super) canvas: Vec<u32>,
    /// A block is filled before those behind it begin; each holds masks.
    pub(super) blocks: Vec<Range<usize>>,
    /// Steps of each block, at most.
    pub(super) steps: Vec<usize>,
    /// The place where what is written begins.
    pub(super) origin: usize,
    /// Tokens that are never chosen.
    pub(super) forbidden: Vec<u32>,
    /// Tokens that end what is written.
    pub(super) ends: &'a [u32],
}

impl<'a> Plan<'a> {
    /// Masks behind a prompt. A model of blocks has them from the beginning of the text on, so that its first one may begin
    /// with the prompt's end; else they are counted from the end of the prompt on, as in LLaDA's generate.py. What need
    /// not divide is spread: the last block may be shorter, and steps go to the blocks by their masks, at least one each.
    ///
    /// # Errors
    /// Settings that do not hold, an empty prompt, one with a mask or an id that the model does not have, no room behind it,
    /// fewer steps than blocks.
    pub(super) fn of_answer(
        request: &GenerationRequest<'a>,
        model: &DiffusionConfig,
        [context, vocab]: [usize; 2],
    ) -> Result<Self> {
        let (prompt, ignores_ends) = (request.prompt, request.config.ignore_eos);
        request.check_prompt(context, problems(request, model))?;
        check_ids(prompt, vocab)?;
        let mask = model.mask_token_id;
        if prompt.contains(&mask) {
            return Err(Error::Data(told!(
                "unmask.prompt_mask",
                "the prompt holds the mask token {mask}, which stands for a token to be filled in: take it out, or fill it \
                 by infilling",
                mask
            )));
        }
        let new = request.config.max_new_tokens.min(context - prompt.len());
        if new == 0 {
            return Err(Error::Data(told!(
                "unmask.no_room",
                "the prompt takes all {context} tokens of the model's context, and a masked token needs a place of its \
                 own: shorten the prompt, or use a model with a longer context",
                context
            )));
        }
        let end = prompt.len() + new;
        let canvas = [prompt, vec![mask; new].as_slice()].concat();
        let blocks = match model.block_length {
            Some(length) => grid(length, 0, prompt.len(), end),
            None => {
                grid(request.unmask.block_length.unwrap_or(BLOCK_LENGTH), prompt.len(), prompt.len(), end)
            }
        };
        let (forbidden, ends): (&[u32], &[u32]) =
            if ignores_ends { (request.end_ids, &[]) } else { (&[], request.end_ids) };
        Self::new(request, mask, canvas, blocks, prompt.len(), forbidden, ends)
    }

    /// Masks among given ids: all at once, or in blocks from the beginning on where a length is said. No token that ends a
    /// text stands within one, so none is filled in.
    ///
    /// # Errors
    /// Settings that do not hold, a model that does not see both sides, ids without a mask or longer than the context, a
    /// mask that nothing predicts.
    pub(super) fn of_canvas(
        request: &GenerationRequest<'a>,
        model: &DiffusionConfig,
        [context, vocab]: [usize; 2],
    ) -> Result<Self> {
        if let Some(length) = model.block_length {
            return Err(Error::Model(told!(
                "infill.blocks",
                "this model reads blocks of {length} tokens and sees nothing behind a block, so what it fills in need not \
                 go with the text behind it; infilling needs a model that sees both sides: `kindling convert --to \
                 diffusion` without --block-length makes one, which is then trained",
                length
            )));
        }
        let mut problems = problems(request, model);
        if !request.config.stop.is_empty() {
            problems.push(told!(
                "infill.stop",
                "--stop ends a text where it appears, and the text behind a hole is given: leave it out"
            ));
        }
        request.check_prompt(context, problems)?;
        check_ids(request.prompt, vocab)?;
        let (canvas, mask) = (request.prompt.to_vec(), model.mask_token_id);
        if !canvas.contains(&mask) {
            return Err(Error::Data(told!(
                "infill.no_mask",
                "there is no hole to fill: none of the text's tokens is the mask token {mask}",
                mask
            )));
        }
        if model.shift_logits && canvas.first() == Some(&mask) {
            return Err(Error::Data(told!(
                "infill.first",
                "the text begins with a hole, and this model predicts a token from what stands before it: begin with a \
                 token, such as the one that begins every text"
            )));
        }
        let length = request.unmask.block_length.unwrap_or(canvas.len());
        let mut blocks = grid(length, 0, 0, canvas.len());
        blocks.retain(|block| canvas[block.clone()].contains(&mask));
        Self::new(request, mask, canvas, blocks, 0, request.end_ids, &[])
    }

    fn new(
        request: &GenerationRequest<'a>,
        mask: u32,
        canvas: Vec<u32>,
        blocks: Vec<Range<usize>>,
        origin: usize,
        forbidden: &[u32],
        ends: &'a [u32],
    ) -> Result<Self> {
        let masks = |block: &Range<usize>| canvas[block.clone()].iter().filter(|&&id| id == mask).count();
        let masks: Vec<usize> = blocks.iter().map(masks).collect();
        let steps = match (spread(request.unmask.steps, &masks), request.unmask.steps) {
            (Some(steps), _) => steps,
            (None, steps) => {
                return Err(Error::Config(vec![told!(
                    "unmask.steps",
                    "--steps is {steps}, but the tokens are filled in {blocks} blocks, and each takes at least one step: \
                     give at least {blocks}, or fewer tokens to fill",
                    steps = steps.unwrap_or(0),
                    blocks = blocks.len()
                )]));
            }
        };
        // A place that got the mask token would stay one: as with Sahoo et al., 2024, its probability is zero.
        let forbidden = [&[mask][..], forbidden].concat();
        Ok(Self { canvas, blocks, steps, origin, forbidden, ends })
    }
}

/// Settings that do not hold, or not for this model.
fn problems(request: &GenerationRequest, model: &DiffusionConfig) -> Vec<Told> {
    let mut problems = request.problems();
    problems.extend(request.unmask.validate());
    if let (Some(own), Some(said)) = (model.block_length, request.unmask.block_length)
        && own != said
    {
        problems.push(told!(
            "unmask.block_length",
            "--block-length is {said}, but this model was made for blocks of {own} tokens: leave it out",
            said,
            own
        ));
    }
    problems
}

/// Blocks of a length that are counted from `origin` on: those that reach beyond `from`, up to `end`.
fn grid(length: usize, origin: usize, from: usize, end: usize) -> Vec<Range<usize>> {
    let length = length.max(1);
    let first = from - (from - origin) % length;
    (first..end).step_by(length).map(|start| start..start.saturating_add(length).min(end)).collect()
}

/// How many steps blocks of so many masks take, of so many together: one each, and the others by how many masks there are
/// beyond the first, in whole numbers whose sum is right. One a mask where none are said, and never more. `None` where they
/// are fewer than the blocks.
fn spread(steps: Option<usize>, masks: &[usize]) -> Option<Vec<usize>> {
    let total: usize = masks.iter().sum();
    let steps = steps.unwrap_or(total).min(total);
    let (others, beyond) = (steps.checked_sub(masks.len())? as u64, (total - masks.len()) as u64);
    let until = |before: u64| (others * before).checked_div(beyond).unwrap_or(0);
    let mut before = 0;
    let share = |&masks: &usize| {
        let behind = before + masks as u64 - 1;
        let share = 1 + until(behind) - until(before);
        before = behind;
        share as usize
    };
    Some(masks.iter().map(share).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::sample::{SamplingConfig, UnmaskConfig};

    #[test]
    fn steps_are_spread_over_blocks_and_their_sum_is_right() {
        // As in generate.py, where they divide: 16 steps over 4 blocks of 4.
        assert_eq!(spread(Some(16), &[4; 4]), Some(vec![4; 4]));
        assert_eq!(spread(Some(8), &[4; 4]), Some(vec![2; 4]));
        assert_eq!(spread(None, &[4, 4, 1]), Some(vec![4, 4, 1]));
        assert_eq!(spread(Some(99), &[4, 4, 1]), Some(vec![4, 4, 1]), "more change nothing");
        // 6 = 4 + 2, and 2 over 3, 3, 3 and 1 masks beyond the first: 2·3/10, 2·6/10, 2·9/10, 2·10/10.
        assert_eq!(spread(Some(6), &[4, 4, 4, 2]), Some(vec![1, 2, 1, 2]));
        assert_eq!(spread(Some(3), &[1, 1, 1]), Some(vec![1; 3]));
        assert_eq!(spread(Some(3), &[4; 4]), None);
        let mut random = Random::new(1, 0);
        for _ in 0..500 {
            let masks: Vec<usize> = (0..=random.below(9)).map(|_| 1 + random.below(33) as usize).collect();
            let total: usize = masks.iter().sum();
            let steps = masks.len() + random.below((total - masks.len() + 1) as u64) as usize;
            let spread = spread(Some(steps), &masks).unwrap();
            assert_eq!(spread.iter().sum::<usize>(), steps);
            assert!(spread.iter().zip(&masks).all(|(steps, masks)| (1..=*masks).contains(steps)));
        }
    }

    #[test]
    fn blocks_are_counted_from_the_text_or_from_the_prompts_end() {
        assert_eq!(grid(4, 0, 6, 13), [4..8, 8..12, 12..13]);
        assert_eq!(grid(4, 6, 6, 13), [6..10, 10..13]);
        assert_eq!(grid(usize::MAX, 0, 6, 13), one(0..13));
        assert_eq!(grid(1, 0, 2, 4), [2..3, 3..4]);
    }

    /// Blocks, their steps, and what is never chosen.
    type Parts = (Vec<Range<usize>>, Vec<usize>, Vec<u32>);

    fn one(block: Range<usize>) -> Vec<Range<usize>> {
        std::iter::once(block).collect()
    }

    fn model(block_length: Option<usize>) -> DiffusionConfig {
        DiffusionConfig { mask_token_id: 9, block_length, shift_logits: true }
    }

    fn plan(
        prompt: &[u32],
        unmask: UnmaskConfig,
        change: fn(&mut SamplingConfig),
        model: &DiffusionConfig,
        is_answer: bool,
    ) -> Result<Parts> {
        let mut config = SamplingConfig { max_new_tokens: 7, ..SamplingConfig::default() };
        change(&mut config);
        let request =
            GenerationRequest { prompt, reuse: 0, end_ids: &[2], tokenizer: None, config: &config, unmask };
        let plan = match is_answer {
            true => Plan::of_answer(&request, model, [12, 10])?,
            false => Plan::of_canvas(&request, model, [12, 10])?,
        };
        assert_eq!(plan.canvas[..prompt.len()], *prompt, "the prompt is never changed");
        Ok((plan.blocks, plan.steps, plan.forbidden))
    }

    #[test]
    fn an_answer_is_planned_within_the_context() {
        let plain = UnmaskConfig::default();
        let (blocks, steps, forbidden) = plan(&[1, 3, 4], plain, |_| (), &model(Some(4)), true).unwrap();
        assert_eq!((blocks, steps, forbidden), (vec![0..4, 4..8, 8..10], vec![1, 4, 2], vec![9]));
        let (blocks, _, forbidden) =
            plan(&[1; 8], plain, |config| config.ignore_eos = true, &model(None), true).unwrap();
        assert_eq!((blocks, forbidden), (one(8..12), vec![9, 2]), "four of the seven have room");
        let two = UnmaskConfig { block_length: Some(2), ..plain };
        assert_eq!(plan(&[1; 8], two, |_| (), &model(None), true).unwrap().0, [8..10, 10..12]);
    }

    #[test]
    fn what_cannot_be_written_is_refused_with_fact_limit_and_remedy() {
        let plain = UnmaskConfig::default();
        let refused = |prompt: &[u32], unmask, block| {
            plan(prompt, unmask, |_| (), &model(block), true).unwrap_err().to_string()
        };
        assert!(refused(&[], plain, None).contains("no tokens"));
        assert!(refused(&[1; 13], plain, None).contains("13 tokens"));
        assert!(refused(&[1; 12], plain, None).contains("takes all 12 tokens"));
        assert!(refused(&[1, 9], plain, None).contains("mask token 9"));
        assert!(refused(&[1, 10], plain, None).contains("token 10 is outside"));
        let four = UnmaskConfig { block_length: Some(4), ..plain };
        assert!(refused(&[1], four, Some(2)).contains("--block-length is 4"));
        assert!(plan(&[1], four, |_| (), &model(Some(4)), true).is_ok());
        let one = UnmaskConfig { steps: Some(1), ..plain };
        let message = refused(&[1], one, Some(4));
        assert!(message.contains("--steps is 1") && message.contains("give at least 2"), "{message}");
        let broken = UnmaskConfig { threshold: Some(2.0), cfg_scale: -1.0, ..plain };
        let both = plan(&[1], broken, |config| config.stop = vec!["x".into()], &model(None), true);
        let both = both.unwrap_err().to_string();
        assert!(["--threshold", "--cfg-scale", "--stop"].iter().all(|flag| both.contains(flag)), "{both}");
    }

    #[test]
    fn an_infill_keeps_what_is_given_and_knows_what_it_cannot_do() {
        let plain = UnmaskConfig::default();
        let canvas = [1, 9, 3, 4, 9, 9, 5];
        let (blocks, steps, forbidden) = plan(&canvas, plain, |_| (), &model(None), false).unwrap();
        assert_eq!((blocks, steps, forbidden), (one(0..7), vec![3], vec![9, 2]));
        let two = UnmaskConfig { block_length: Some(2), ..plain };
        let (blocks, steps, _) = plan(&canvas, two, |_| (), &model(None), false).unwrap();
        assert_eq!((blocks, steps), (vec![0..2, 4..6], vec![1, 2]), "a block without a hole is left out");
        let refused = |canvas: &[u32], model: &DiffusionConfig| {
            plan(canvas, plain, |_| (), model, false).unwrap_err().to_string()
        };
        assert!(refused(&canvas, &model(Some(4))).contains("blocks of 4 tokens"));
        assert!(refused(&[1, 2], &model(None)).contains("no hole"));
        assert!(refused(&[9, 2], &model(None)).contains("begins with a hole"));
        let own = DiffusionConfig { shift_logits: false, ..model(None) };
        assert!(plan(&[9, 2], plain, |_| (), &own, false).is_ok());
        let stop = plan(&canvas, plain, |config| config.stop = vec!["x".into()], &model(None), false);
        assert!(stop.unwrap_err().to_string().contains("--stop ends a text"));
    }
}
