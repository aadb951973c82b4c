//! Prompts continued together come out as each does alone.

use burn::tensor::Device;
use kindling::model::{KvCache, Transformer};
use kindling::sample::{
    Decoder, Flow, Generation, GenerationRequest, SamplingConfig, SideBySide, UnmaskConfig, generate,
    generate_together,
};

use crate::tiny::model;

/// The same but for the speed.
fn essence(generation: Generation) -> Generation {
    Generation { prefill_tokens_per_second: None, decode_tokens_per_second: None, ..generation }
}

/// Requests of these prompts, each of a length and a seed of its own.
fn requests(prompts: &[&'static [u32]]) -> Vec<GenerationRequest<'static>> {
    let config = |i: usize| SamplingConfig {
        temperature: if i == 0 { 0.0 } else { 0.9 },
        max_new_tokens: 4 + 9 * (i % 3),
        seed: 7 + i as u64,
        ..SamplingConfig::default()
    };
    let configs: Vec<SamplingConfig> = (0..prompts.len()).map(config).collect();
    let configs: &'static [SamplingConfig] = configs.leak();
    let request = |(prompt, config): (&'static [u32], &'static SamplingConfig)| GenerationRequest {
        prompt,
        reuse: 0,
        end_ids: &[12],
        tokenizer: None,
        config,
        unmask: UnmaskConfig::default(),
    };
    prompts.iter().copied().zip(configs).map(request).collect()
}

/// Each request continued alone, and all of them together under these limits.
fn compare(model: &Transformer, requests: &[GenerationRequest], limits: &[(usize, u64)]) {
    let alone = |request: &GenerationRequest| {
        let mut decoder = Decoder::new(model, 96);
        essence(pollster::block_on(generate(&mut decoder, request, &mut |_| Flow::Continue)).unwrap())
    };
    let alone: Vec<Generation> = requests.iter().map(alone).collect();
    for &(rows, cache_bytes) in limits {
        let mut found: Vec<Option<Generation>> = vec![None; requests.len()];
        let mut keep = |number: usize, generation: Generation| {
            assert!(found[number].replace(essence(generation)).is_none(), "each comes once");
            Ok(())
        };
        let limit = SideBySide { rows, cache_bytes };
        pollster::block_on(generate_together(model, requests, limit, &mut || Flow::Continue, &mut keep))
            .unwrap();
        let found: Vec<Generation> = found.into_iter().map(Option::unwrap).collect();
        assert_eq!(found, alone, "{limit:?}");
    }
}

#[test]
fn batched_equals_alone_token_by_token() {
    let model = model(&Device::flex());
    let requests = requests(&[&[1, 5, 9, 2, 7], &[30], &[4, 4, 11], &[3; 20], &[17, 2]]);
    let position = KvCache::bytes_per_position(model.config(), model.dtype());
    // They need 8, 13, 24, 23 and 14 positions: where memory is short, some wait for others.
    let short = [(8, 84 * position), (8, 60 * position), (3, 0)];
    let ample = [1, 2, 3, 8].map(|rows| (rows, u64::MAX));
    compare(&model, &requests, &[&ample[..], &short[..]].concat());
}

#[test]
fn a_prompt_that_is_read_once_for_many_answers_gives_those_of_one_that_is_read_for_each() {
    let model = model(&Device::flex());
    let (one, other): (&'static [u32], &'static [u32]) = (&[1, 5, 9, 2, 7], &[3; 20]);
    let requests = requests(&[one, one, one, one, other, one, other, other]);
    // Of few rows some are taken by the next request while another answer to the same prompt is half written.
    compare(&model, &requests, &[1, 2, 3, 5, 8].map(|rows| (rows, u64::MAX)));
}
