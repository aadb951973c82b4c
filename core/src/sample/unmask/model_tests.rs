//! Unmasking with real, tiny models.

use std::ops::Range;

use burn::tensor::Device;

use super::masked_model::MaskedModel;
use super::predictor::{Predictor, Side};
use super::*;
use crate::error::Result;
use crate::model::{DiffusionConfig, MaskedRows, ModelConfig, Trace, Transformer, read, tiny};
use crate::sample::{Flow, Generation, GenerationRequest, SamplingConfig, Writer};
use pollster::block_on as ready;

const MASK: u32 = 31;
const PROMPT: [u32; 5] = [3, 14, 15, 9, 2];

fn config(block_length: Option<usize>, shift_logits: bool) -> ModelConfig {
    ModelConfig {
        num_hidden_layers: 2,
        initializer_range: 0.4,
        embedding_range: 0.4,
        diffusion: Some(DiffusionConfig { mask_token_id: MASK, block_length, shift_logits }),
        ..tiny(MASK as usize + 1)
    }
}

fn model(config: &ModelConfig) -> Transformer {
    Transformer::init(config, 5, &Device::flex()).unwrap()
}

/// Nothing is kept from step to step, and the whole text is read each time: what a cache must equal.
struct Uncached {
    model: Transformer,
    diffusion: DiffusionConfig,
}

impl Uncached {
    fn new(model: &Transformer) -> Self {
        Self { model: model.clone(), diffusion: model.config().diffusion.clone().unwrap() }
    }
}

impl Predictor for Uncached {
    fn diffusion(&self) -> &DiffusionConfig {
        &self.diffusion
    }

    fn vocab(&self) -> usize {
        self.model.config().vocab_size
    }

    fn context(&self) -> usize {
        self.model.config().context()
    }

    fn held(&self) -> usize {
        0
    }

    fn begin(&mut self, _: usize, _: usize, _: usize, _: bool) {}

    async fn read(&mut self, _: Side, _: &[u32], _: usize) -> Result<usize> {
        Ok(0)
    }

    async fn predict(
        &mut self,
        _: Side,
        canvas: &[u32],
        _: &Range<usize>,
        places: &[usize],
    ) -> Result<Vec<f32>> {
        let segments = vec![1; canvas.len()];
        let rows = MaskedRows { seq: canvas.len(), noised: canvas, clean: canvas, segments: &segments };
        let places: Vec<u32> = places.iter().map(|&place| place as u32).collect();
        let logits = self.model.forward_masked(&rows, &places, &mut Trace::default());
        read(logits.flatten::<1>(0, 1)).await
    }
}

/// A model with its cache that is held against the same one without.
struct Checked {
    cached: MaskedModel,
    uncached: Uncached,
}

impl Predictor for Checked {
    fn diffusion(&self) -> &DiffusionConfig {
        self.cached.diffusion()
    }

    fn vocab(&self) -> usize {
        self.cached.vocab()
    }

    fn context(&self) -> usize {
        self.cached.context()
    }

    fn held(&self) -> usize {
        self.cached.held()
    }

    fn begin(&mut self, reuse: usize, prompt: usize, positions: usize, prefix_cache: bool) {
        self.cached.begin(reuse, prompt, positions, prefix_cache);
    }

    async fn read(&mut self, side: Side, canvas: &[u32], end: usize) -> Result<usize> {
        self.cached.read(side, canvas, end).await
    }

    async fn predict(
        &mut self,
        side: Side,
        canvas: &[u32],
        block: &Range<usize>,
        places: &[usize],
    ) -> Result<Vec<f32>> {
        let found = self.cached.predict(side, canvas, block, places).await?;
        let expected = self.uncached.predict(side, canvas, block, places).await?;
        assert_eq!(found.len(), expected.len());
        let apart = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let largest = expected.iter().map(|logit| logit.abs()).fold(1.0, f32::max);
        assert!(apart < 1e-5 * largest, "{apart} of {largest} at {places:?} of {block:?}, {side:?}");
        Ok(found)
    }
}

fn greedy(max_new_tokens: usize) -> SamplingConfig {
    SamplingConfig { temperature: 0.0, max_new_tokens, ..SamplingConfig::default() }
}

fn request<'a>(prompt: &'a [u32], config: &'a SamplingConfig, unmask: UnmaskConfig) -> GenerationRequest<'a> {
    GenerationRequest { prompt, reuse: 0, end_ids: &[], tokenizer: None, config, unmask }
}

fn write<P: Predictor>(predictor: P, request: &GenerationRequest) -> Generation {
    ready(MaskedDecoder { predictor }.write(request, &mut |_| Flow::Continue)).unwrap()
}

fn cached(model: &Transformer) -> MaskedModel {
    MaskedModel::new(model, &model.config().diffusion.clone().unwrap(), model.config().context())
}

#[test]
fn finished_blocks_in_a_cache_are_the_same_as_none() {
    let settings = [
        UnmaskConfig::default(),
        UnmaskConfig { steps: Some(9), ..UnmaskConfig::default() },
        UnmaskConfig { threshold: Some(0.2), ..UnmaskConfig::default() },
        UnmaskConfig { cfg_scale: 1.5, ..UnmaskConfig::default() },
    ];
    for shifted in [false, true] {
        for block in [1, 2, 3, 5, 7] {
            let model = model(&config(Some(block), shifted));
            for unmask in settings {
                // A block of one takes a step a token.
                let unmask = UnmaskConfig { steps: unmask.steps.filter(|_| block > 2), ..unmask };
                for prompt in 1..=PROMPT.len() {
                    let config = greedy(14);
                    let request = request(&PROMPT[..prompt], &config, unmask);
                    let checked = Checked { cached: cached(&model), uncached: Uncached::new(&model) };
                    let found = write(checked, &request);
                    let expected = write(Uncached::new(&model), &request);
                    assert_eq!(found.tokens.len(), 14);
                    assert!(found.tokens.iter().all(|&id| id != MASK));
                    assert_eq!(
                        found.tokens, expected.tokens,
                        "blocks of {block}, shifted: {shifted}, {unmask:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn without_blocks_the_whole_text_is_read_each_step() {
    for shifted in [false, true] {
        let model = model(&config(None, shifted));
        for (block_length, cfg_scale) in [(None, 0.0), (Some(4), 0.0), (Some(5), 0.7)] {
            let unmask = UnmaskConfig { block_length, cfg_scale, ..UnmaskConfig::default() };
            let config = greedy(11);
            let request = request(&PROMPT, &config, unmask);
            let checked = Checked { cached: cached(&model), uncached: Uncached::new(&model) };
            assert_eq!(write(checked, &request).tokens.len(), 11);
        }
    }
}

#[test]
fn blocks_of_one_with_shifted_logits_write_what_the_causal_parent_writes() {
    let parent = ModelConfig { diffusion: None, ..config(None, true) };
    let sampling = greedy(20);
    let request = request(&PROMPT, &sampling, UnmaskConfig::default());
    let write = |config: &ModelConfig| {
        let mut writer = Writer::new(&model(config), 32);
        ready(writer.write(&request, &mut |_| Flow::Continue)).unwrap()
    };
    let expected = write(&parent);
    // A token that the parent does not say stands for the mask, as a converted model has one that its parent never had.
    let mask_token_id = (0..=MASK).find(|id| !expected.tokens.contains(id) && !PROMPT.contains(id)).unwrap();
    let blocks = DiffusionConfig { mask_token_id, block_length: Some(1), shift_logits: true };
    let found = write(&ModelConfig { diffusion: Some(blocks), ..parent });
    assert_eq!((found.tokens, found.finish_reason), (expected.tokens, expected.finish_reason));
}

#[test]
fn a_block_as_long_as_the_text_is_plain_masking() {
    for shifted in [false, true] {
        let write = |block_length: Option<usize>, unmask: UnmaskConfig| {
            let sampling = greedy(12);
            let request = request(&PROMPT, &sampling, unmask);
            let mut writer = Writer::new(&model(&config(block_length, shifted)), 32);
            ready(writer.write(&request, &mut |_| Flow::Continue)).unwrap().tokens
        };
        let plain = UnmaskConfig { block_length: Some(12), steps: Some(5), ..UnmaskConfig::default() };
        let own = UnmaskConfig { block_length: None, ..plain };
        assert_eq!(write(Some(17), own), write(None, plain));
        assert_eq!(write(Some(17), own), write(None, own), "32 hold it too");
    }
}

#[test]
fn a_longer_conversation_reads_only_whole_blocks_that_it_has_not() {
    for shifted in [false, true] {
        for block in [1, 3, 4] {
            let model = model(&config(Some(block), shifted));
            let sampling = greedy(6);
            for prompt in 1..=PROMPT.len() {
                let mut decoder = MaskedDecoder { predictor: cached(&model) };
                let first = request(&PROMPT[..prompt], &sampling, UnmaskConfig::default());
                let said = ready(decoder.write(&first, &mut |_| Flow::Continue)).unwrap().tokens;
                let held = decoder.position();
                assert!(held % block == 0 && held < prompt + 6, "{held}");
                // All of it goes on, some of it, and another text.
                let whole = [&PROMPT[..prompt], &said[..]].concat();
                for (kept, more) in
                    [(whole.len(), &[7, 8][..]), (whole.len(), &[][..]), (prompt, &[9][..]), (0, &[4][..])]
                {
                    let next = [&whole[..kept], more].concat();
                    let fresh = request(&next, &sampling, UnmaskConfig::default());
                    let again = GenerationRequest { reuse: kept.min(decoder.position()), ..fresh };
                    let expected = write(cached(&model), &fresh).tokens;
                    let found = ready(decoder.write(&again, &mut |_| Flow::Continue)).unwrap().tokens;
                    assert_eq!(found, expected, "blocks of {block}, {kept} kept");
                    // So that the next one has the same past.
                    ready(decoder.write(&first, &mut |_| Flow::Continue)).unwrap();
                }
            }
        }
    }
}

#[test]
fn a_prefix_cache_is_exact_where_each_block_takes_one_step() {
    for shifted in [false, true] {
        let model = model(&config(None, shifted));
        let sampling = greedy(12);
        let tokens = |steps: usize, prefix_cache: bool| {
            let unmask = UnmaskConfig {
                steps: Some(steps),
                block_length: Some(4),
                prefix_cache,
                ..UnmaskConfig::default()
            };
            let request = request(&PROMPT, &sampling, unmask);
            write(cached(&model), &request).tokens
        };
        assert_eq!(tokens(3, true), tokens(3, false));
        // With more steps it is an approximation, and fills every place all the same.
        assert!(tokens(12, true).len() == 12 && !tokens(12, true).contains(&MASK));
    }
}

#[test]
fn a_prefix_is_read_once_a_block_and_steps_read_what_is_behind_it() {
    let model = model(&config(None, true));
    let mut predictor = cached(&model);
    let canvas: Vec<u32> = [&PROMPT[..], &[MASK; 6]].concat();
    predictor.begin(0, PROMPT.len(), canvas.len(), true);
    let block = 5..8;
    let first = ready(predictor.predict(Side::Prompted, &canvas, &block, &[5, 6, 7])).unwrap();
    // Nothing changed, so the second step, which reads from place 4 on, gives the same.
    let second = ready(predictor.predict(Side::Prompted, &canvas, &block, &[5, 6, 7])).unwrap();
    let apart = first.iter().zip(&second).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart < 1e-4, "{apart}");
    assert_eq!(predictor.held(), 0, "nothing of it is there for another text");
}

#[test]
fn a_hole_sees_both_sides() {
    let model = model(&config(None, true));
    let infill = |canvas: &[u32]| {
        let sampling = greedy(1);
        let request = request(canvas, &sampling, UnmaskConfig::default());
        ready(Writer::new(&model, 32).infill(&request, &mut |_| Flow::Continue)).unwrap().tokens
    };
    let filled = infill(&[3, MASK, 15, MASK, MASK, 2, 7]);
    assert_eq!([filled[0], filled[2], filled[5], filled[6]], [3, 15, 2, 7]);
    assert!(!filled.contains(&MASK));
    let others: Vec<_> = (10..30).map(|last| infill(&[3, MASK, 15, MASK, MASK, 2, last])).collect();
    assert!(others.iter().any(|other| other[1..5] != filled[1..5]), "what stands behind matters");
}

#[test]
fn each_kind_of_model_refuses_what_only_the_other_does() {
    let masked = config(None, true);
    let parent = ModelConfig { diffusion: None, ..masked.clone() };
    let sampling = greedy(4);
    let mut writer = Writer::new(&model(&parent), 32);
    let flags = UnmaskConfig { steps: Some(4), cfg_scale: 1.0, ..UnmaskConfig::default() };
    let request = request(&PROMPT, &sampling, flags);
    let message = ready(writer.write(&request, &mut |_| Flow::Continue)).unwrap_err().to_string();
    assert!(message.contains("--steps, --cfg-scale"), "{message}");
    let message = ready(writer.infill(&request, &mut |_| Flow::Continue)).unwrap_err().to_string();
    assert!(message.contains("convert --to diffusion"), "{message}");
    // The last token of a causal model needs no room, a mask does.
    let long = [1; 30];
    let request = GenerationRequest { prompt: &long, unmask: UnmaskConfig::default(), ..request };
    assert_eq!(writer.bound_by(&request), Some(3));
    let mut writer = Writer::new(&model(&masked), 99);
    assert_eq!((writer.bound_by(&request), writer.context()), (Some(2), 32));
    let generation = ready(writer.write(&request, &mut |_| Flow::Continue)).unwrap();
    assert_eq!(generation.tokens.len(), 2);
}
