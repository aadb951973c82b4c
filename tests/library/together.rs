//! Prompts continued together come out as each does alone.

use burn::tensor::Device;
use kindling::model::KvCache;
use kindling::sample::{
    Decoder, Flow, Generation, GenerationRequest, SamplingConfig, SideBySide, generate, generate_together,
};

use crate::tiny::model;

/// The same but for the speed.
fn essence(generation: Generation) -> Generation {
    Generation { prefill_tokens_per_second: None, decode_tokens_per_second: None, ..generation }
}

#[test]
fn batched_equals_alone_token_by_token() {
    let model = model(&Device::flex());
    let prompts: [&[u32]; 5] = [&[1, 5, 9, 2, 7], &[30], &[4, 4, 11], &[3; 20], &[17, 2]];
    let configs: Vec<SamplingConfig> = (0..5)
        .map(|i| SamplingConfig {
            temperature: if i == 0 { 0.0 } else { 0.9 },
            max_new_tokens: 4 + 9 * (i % 3),
            seed: 7 + i as u64,
            ..SamplingConfig::default()
        })
        .collect();
    let request = |(prompt, config): (&'static [u32], &'static SamplingConfig)| GenerationRequest {
        prompt,
        reuse: 0,
        end_ids: &[12],
        tokenizer: None,
        config,
    };
    let configs: &'static [SamplingConfig] = configs.leak();
    let requests: Vec<_> = prompts.into_iter().zip(configs).map(request).collect();
    let alone: Vec<Generation> = requests
        .iter()
        .map(|request| {
            let mut decoder = Decoder::new(&model, 96);
            pollster::block_on(generate(&mut decoder, request, &mut |_| Flow::Continue)).unwrap()
        })
        .map(essence)
        .collect();
    let position = KvCache::bytes_per_position(model.config(), model.dtype());
    // They need 9, 14, 25, 24 and 15 positions: where memory is short, they run in groups.
    let short = [(8, 84 * position), (8, 60 * position), (3, 0)];
    let ample = [1, 2, 3, 8].map(|rows| (rows, u64::MAX));
    for (rows, cache_bytes) in ample.into_iter().chain(short) {
        let mut found: Vec<Option<Generation>> = vec![None; 5];
        let mut keep = |number: usize, generation: Generation| {
            assert!(found[number].replace(essence(generation)).is_none(), "each comes once");
            Ok(())
        };
        let limit = SideBySide { rows, cache_bytes };
        pollster::block_on(generate_together(&model, &requests, limit, &mut || Flow::Continue, &mut keep))
            .unwrap();
        let found: Vec<Generation> = found.into_iter().map(Option::unwrap).collect();
        assert_eq!(found, alone, "{limit:?}");
    }
}
