//! A masked predictor that writes: block by block, step by step.

use std::ops::Range;

use super::answer::{Finished, MaskedAnswer};
use super::choice::{Chooser, guide};
use super::masked_model::MaskedModel;
use super::plan::Plan;
use super::predictor::{Predictor, Side};
use super::written::{UnmaskStep, Written};
use crate::error::Result;
use crate::model::{DiffusionConfig, Transformer};
use crate::platform::{breathe, now};
use crate::sample::generation::{FinishReason, Flow, Generation, Piece, rate};
use crate::sample::request::GenerationRequest;
use crate::sample::streamed::StreamedText;
use crate::tokenizer::StreamDecoder;

/// A masked predictor with what it remembers of a conversation.
///
/// A model of blocks (causal over blocks) keeps the keys and values of finished blocks, which is exact: they never see what
/// comes later. One whose positions all see each other reads the whole text in every step, unless
/// [`super::UnmaskConfig::prefix_cache`] allows the approximation.
pub struct MaskedDecoder<P = MaskedModel> {
    pub(super) predictor: P,
}

impl MaskedDecoder {
    /// A decoder for at most `context` positions (no more than the model holds).
    pub(in crate::sample) fn new(model: &Transformer, diffusion: &DiffusionConfig, context: usize) -> Self {
        Self { predictor: MaskedModel::new(model, diffusion, context) }
    }
}

impl<P: Predictor> MaskedDecoder<P> {
    /// Most positions of prompt and answer together.
    pub fn context(&self) -> usize {
        self.predictor.context()
    }

    /// How many of the first ids of the last prompt and answer need not be read again.
    pub fn position(&self) -> usize {
        self.predictor.held()
    }

    /// See [`crate::sample::Writer::write`].
    pub async fn write(
        &mut self,
        request: &GenerationRequest<'_>,
        on: &mut dyn FnMut(Written) -> Flow,
    ) -> Result<Generation> {
        let plan = Plan::of_answer(request, self.predictor.diffusion(), self.bounds())?;
        let decoder = request.tokenizer.map(|tokenizer| StreamDecoder::continuing(tokenizer, true));
        self.run(request, plan, StreamedText::new(decoder, &request.config.stop), on).await
    }

    /// See [`crate::sample::Writer::infill`].
    pub async fn infill(
        &mut self,
        request: &GenerationRequest<'_>,
        on: &mut dyn FnMut(Written) -> Flow,
    ) -> Result<Generation> {
        let plan = Plan::of_canvas(request, self.predictor.diffusion(), self.bounds())?;
        let decoder = request.tokenizer.map(|tokenizer| StreamDecoder::new(tokenizer, true));
        self.run(request, plan, StreamedText::new(decoder, &[]), on).await
    }

    fn bounds(&self) -> [usize; 2] {
        [self.predictor.context(), self.predictor.vocab()]
    }

    async fn run(
        &mut self,
        request: &GenerationRequest<'_>,
        plan: Plan<'_>,
        text: StreamedText,
        on: &mut dyn FnMut(Written) -> Flow,
    ) -> Result<Generation> {
        let (begun, mask) = (now(), self.predictor.diffusion().mask_token_id);
        let mut work = Work::new(request, &plan, mask, text);
        let (prompt, positions) = (request.prompt.len(), work.canvas.len());
        self.predictor.begin(request.reuse, prompt, positions, request.unmask.prefix_cache);
        let first = plan.blocks.first().map_or(0, |block| block.start);
        let read = self.read(&work, first).await?;
        let prefilled = now();
        let flow = self.fill(&mut work, &plan, on).await?;
        let decoded = now();
        let rest = work.answer.finish(&work.canvas)?;
        if !rest.is_empty() {
            on(Written::Piece(Piece { text: &rest, token: None, end: None }));
        }
        let Finished { tokens, text, end } = work.answer.into_finished();
        let given = request.prompt[plan.origin..].iter().filter(|&&id| id != mask).count();
        let made = tokens.len().saturating_sub(given);
        Ok(Generation {
            prompt_tokens: request.prompt.to_vec(),
            text,
            finish_reason: if flow == Flow::Stop { FinishReason::Stop } else { FinishReason::Length },
            end_token: end,
            prefill_tokens_per_second: rate(read, prefilled - begun),
            decode_tokens_per_second: rate(made, decoded - prefilled),
            tokens,
        })
    }

    /// Fills block after block until the answer ends, or the listener ends it.
    async fn fill(
        &mut self,
        work: &mut Work<'_>,
        plan: &Plan<'_>,
        on: &mut dyn FnMut(Written) -> Flow,
    ) -> Result<Flow> {
        for (block, &steps) in plan.blocks.iter().zip(&plan.steps) {
            self.read(work, block.start).await?;
            for left in (1..=steps).rev() {
                let places = work.masked(block);
                if places.is_empty() {
                    break;
                }
                let mut rows = self.predict(work, block, &places).await?;
                // As many as there are for each step, one more in the first steps where they do not divide.
                let count = places.len().div_ceil(left);
                if work.step(&places, &mut rows, count, on)? == Flow::Stop {
                    return Ok(Flow::Stop);
                }
                breathe().await;
            }
        }
        Ok(Flow::Continue)
    }

    /// Reads what stands before `end` on both sides; returns how many ids of the prompted one.
    async fn read(&mut self, work: &Work<'_>, end: usize) -> Result<usize> {
        if let Some(bare) = &work.bare {
            self.predictor.read(Side::Unprompted, bare, end).await?;
        }
        self.predictor.read(Side::Prompted, &work.canvas, end).await
    }

    /// Logits for masked places, guided where that is asked for.
    async fn predict(&mut self, work: &Work<'_>, block: &Range<usize>, places: &[usize]) -> Result<Vec<f32>> {
        let mut rows = self.predictor.predict(Side::Prompted, &work.canvas, block, places).await?;
        if let Some(bare) = &work.bare {
            let without = self.predictor.predict(Side::Unprompted, bare, block, places).await?;
            guide(&mut rows, &without, work.cfg_scale);
        }
        Ok(rows)
    }
}

/// What is written so far.
struct Work<'a> {
    canvas: Vec<u32>,
    /// The ids that are given, and those that were filled so far.
    given: Vec<u32>,
    made: Vec<u32>,
    /// The canvas with masks in the place of what is given, where the answer is guided.
    bare: Option<Vec<u32>>,
    cfg_scale: f64,
    mask: u32,
    origin: usize,
    chooser: Chooser,
    answer: MaskedAnswer<'a>,
    step: usize,
    steps: usize,
}

impl<'a> Work<'a> {
    fn new(request: &GenerationRequest<'_>, plan: &Plan<'a>, mask: u32, text: StreamedText) -> Self {
        let cfg_scale = request.unmask.cfg_scale;
        Self {
            canvas: plan.canvas.clone(),
            given: plan.canvas.iter().copied().filter(|&id| id != mask).collect(),
            made: Vec::new(),
            bare: (cfg_scale > 0.0).then(|| vec![mask; plan.canvas.len()]),
            cfg_scale,
            mask,
            origin: plan.origin,
            chooser: Chooser::new(request, plan.forbidden.clone()),
            answer: MaskedAnswer::new(mask, plan.ends, plan.origin, text),
            step: 0,
            steps: plan.steps.iter().sum(),
        }
    }

    /// The places of a block that are still to be filled.
    fn masked(&self, block: &Range<usize>) -> Vec<usize> {
        block.clone().filter(|&place| self.canvas[place] == self.mask).collect()
    }

    /// Fills at least `count` places and tells it, and the text that is final by that.
    fn step(
        &mut self,
        places: &[usize],
        rows: &mut [f32],
        count: usize,
        on: &mut dyn FnMut(Written) -> Flow,
    ) -> Result<Flow> {
        let mut filled = self.chooser.choose(places, rows, [&self.given, &self.made], count)?;
        for token in &mut filled {
            self.made.push(token.id);
            self.canvas[token.place] = token.id;
            if let Some(bare) = &mut self.bare {
                bare[token.place] = token.id;
            }
            token.place -= self.origin;
        }
        self.step += 1;
        let canvas = &self.canvas[self.origin..];
        let (step, steps) = (self.step, self.steps);
        let flow = on(Written::Step(UnmaskStep { step, steps, filled: &filled, canvas }));
        let text = self.answer.advance(&self.canvas)?;
        let heard = match text.is_empty() {
            true => Flow::Continue,
            false => on(Written::Piece(Piece { text: &text, token: None, end: None })),
        };
        let stops = flow == Flow::Stop || heard == Flow::Stop || self.answer.is_over();
        Ok(if stops { Flow::Stop } else { Flow::Continue })
    }
}
