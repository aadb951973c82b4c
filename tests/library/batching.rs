//! Continuous batching: what a batcher writes is what each request gets alone, whatever stands beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::Device;
use kindling::adapter::{Adapter, AdapterConfig, LoraConfig};
use kindling::kernels::{Activations, Quantization};
use kindling::model::{
    Balance, Experts, KvCache, ModelConfig, RopeScaling, SlidingWindow, Transformer, fresh_weights,
};
use kindling::random::Random;
use kindling::sample::{
    BatchCounts, BatchEvent, BatchLimits, BatchRequest, Batcher, Decoder, FinishReason, Flow, Generation,
    SamplingConfig, Ticket, UnmaskConfig, generate,
};

use crate::tiny::{config, model, tokenizer};

/// Positions of the tiny models.
const CONTEXT: usize = 96;

/// What a batcher told.
#[derive(Default)]
pub struct Heard {
    /// The ids of each request, in the steps in which they came.
    pub tokens: BTreeMap<Ticket, Vec<u32>>,
    pub texts: BTreeMap<Ticket, String>,
    pub done: BTreeMap<Ticket, Generation>,
    pub failed: BTreeMap<Ticket, String>,
}

impl Heard {
    pub fn on(&mut self, event: BatchEvent<'_>) {
        let over = |heard: &Self, ticket: Ticket| {
            heard.done.contains_key(&ticket) || heard.failed.contains_key(&ticket)
        };
        match event {
            BatchEvent::Piece { ticket, piece } => {
                assert!(!over(self, ticket), "nothing comes behind the end");
                self.texts.entry(ticket).or_default().push_str(piece.text);
                self.tokens.entry(ticket).or_default().extend(piece.token.map(|(id, _)| id));
            }
            BatchEvent::Done { ticket, generation } => {
                assert!(!over(self, ticket), "one end");
                self.done.insert(ticket, essence(generation));
            }
            BatchEvent::Failed { ticket, error } => {
                assert!(!over(self, ticket), "one end");
                self.failed.insert(ticket, error.to_string());
            }
        }
    }

    /// One step, within the limits.
    pub fn step(&mut self, batcher: &mut Batcher, limits: BatchLimits) {
        let before = batcher.counts().read;
        pollster::block_on(batcher.step(&mut |event| self.on(event))).unwrap();
        let read = batcher.counts().read - before;
        assert!(read <= limits.prefill_tokens as u64, "{read} of {limits:?}");
        assert!(batcher.cache_bytes() <= limits.cache_bytes, "{} of {limits:?}", batcher.cache_bytes());
        assert!(batcher.running() <= limits.rows, "{} of {limits:?}", batcher.running());
    }

    /// Steps until nothing is left to do.
    pub fn finish(&mut self, batcher: &mut Batcher, limits: BatchLimits) {
        for _ in 0..5000 {
            if batcher.is_idle() {
                return;
            }
            self.step(batcher, limits);
        }
        panic!("it never ends: {} run, {} wait", batcher.running(), batcher.waiting());
    }
}

/// The same but for the speed.
fn essence(generation: Generation) -> Generation {
    Generation { prefill_tokens_per_second: None, decode_tokens_per_second: None, ..generation }
}

pub fn limits(rows: usize, prefill_tokens: usize) -> BatchLimits {
    BatchLimits { rows, cache_bytes: 1 << 30, prefill_tokens, queue: 100 }
}

pub fn request(prompt: &[u32], config: SamplingConfig) -> BatchRequest {
    BatchRequest {
        prompt: prompt.to_vec(),
        end_ids: vec![12],
        tokenizer: None,
        config,
        constraint: None,
        unmask: UnmaskConfig::default(),
    }
}

pub fn greedy(max_new_tokens: usize) -> SamplingConfig {
    SamplingConfig { temperature: 0.0, max_new_tokens, ..SamplingConfig::default() }
}

/// What a model writes behind a prompt by itself.
pub fn alone(model: &Transformer, request: &BatchRequest) -> Generation {
    let mut decoder = Decoder::new(model, CONTEXT);
    essence(pollster::block_on(generate(&mut decoder, &request.alone(), &mut |_| Flow::Continue)).unwrap())
}

/// `count` ids that look random.
pub fn ids(count: usize, seed: u64) -> Vec<u32> {
    let mut random = Random::new(seed, 0);
    (0..count).map(|_| random.below(32) as u32).collect()
}

/// Requests of many lengths, greedy and drawn, with and without penalties; some fill the context.
fn requests() -> Vec<BatchRequest> {
    let of = |(i, (prompt, most)): (usize, (usize, usize))| {
        let config = SamplingConfig {
            temperature: if i % 3 == 0 { 0.0 } else { 0.9 },
            frequency_penalty: if i % 4 == 1 { 0.5 } else { 0.0 },
            presence_penalty: if i % 4 == 2 { 0.5 } else { 0.0 },
            logit_bias: if i % 5 == 4 { [(3, 2.0)].into() } else { BTreeMap::new() },
            max_new_tokens: most,
            seed: 7 + i as u64,
            ..SamplingConfig::default()
        };
        request(&ids(prompt, i as u64), config)
    };
    let sizes = [(5, 9), (1, 20), (33, 4), (70, 40), (2, 1), (20, 13), (96, 5), (11, 30), (40, 2)];
    sizes.into_iter().enumerate().map(of).collect()
}

/// Gives the requests in threes, a few steps apart, and compares each answer with the one it gets alone.
fn compare(model: &Transformer, limits: BatchLimits, name: &str) {
    compare_in(Batcher::new(model, limits), model, limits, name, requests());
}

/// The same of these requests in this batcher, whose counts are returned.
fn compare_in(
    mut batcher: Batcher,
    model: &Transformer,
    limits: BatchLimits,
    name: &str,
    requests: Vec<BatchRequest>,
) -> BatchCounts {
    let mut heard = Heard::default();
    let mut expected = Vec::new();
    for (i, request) in requests.into_iter().enumerate() {
        let alone = alone(model, &request);
        expected.push((batcher.submit(request).unwrap(), alone));
        if i % 3 == 2 {
            (0..4).for_each(|_| heard.step(&mut batcher, limits));
        }
    }
    heard.finish(&mut batcher, limits);
    for (ticket, alone) in expected {
        assert_eq!(heard.done[&ticket], alone, "{name}, {ticket:?}, {limits:?}");
        assert_eq!(heard.tokens.get(&ticket).cloned().unwrap_or_default(), alone.tokens, "as they came");
    }
    assert!(heard.failed.is_empty());
    batcher.counts()
}

/// The tiny shape as the families have it.
fn families() -> Vec<(&'static str, ModelConfig)> {
    let grouped = config(32);
    let experts = Experts {
        count: 4,
        per_token: 2,
        shared: 1,
        intermediate_size: 12,
        normalize: true,
        layers: vec![false, true],
        balance: Balance::default(),
    };
    let sliding = SlidingWindow { window: 5, layers: vec![true, false] };
    let dynamic = RopeScaling::Dynamic { factor: 4.0, original: 24 };
    vec![
        ("a head of keys for each of queries", ModelConfig { num_key_value_heads: 4, ..grouped.clone() }),
        ("norms and biases", ModelConfig { qk_norm: true, attention_bias: true, ..grouped.clone() }),
        ("experts", ModelConfig { experts: Some(experts), ..grouped.clone() }),
        ("a sliding window", ModelConfig { sliding_window: Some(sliding), ..grouped.clone() }),
        ("angles of the length", ModelConfig { rope_scaling: dynamic, ..grouped.clone() }),
        ("grouped queries", grouped),
    ]
}

#[test]
fn batched_equals_alone_in_every_family_while_rows_come_and_go() {
    for (name, config) in families() {
        let model = Transformer::init(&config, 7, &Device::flex()).unwrap();
        for (rows, prefill_tokens) in [(1, 7), (3, 1), (4, 16), (9, usize::MAX)] {
            compare(&model, limits(rows, prefill_tokens), name);
        }
    }
}

/// The tiny shape, wide enough for blocks of few bits, which meet activations in 8 bits.
pub fn few_bits(bits: Quantization) -> Transformer {
    let config = ModelConfig { hidden_size: 64, intermediate_size: 96, head_dim: 16, ..config(32) };
    let mut source = fresh_weights(&config, 7);
    let model = Transformer::build_quantized(&config, bits, &Device::flex(), &mut source).unwrap();
    model.with_activations(Activations::EightBits)
}

#[test]
fn batched_equals_alone_where_activations_have_8_bits() {
    for bits in [Quantization::Q8_0, Quantization::Q4_0] {
        let model = few_bits(bits);
        // Prompts are read as they are alone: other pieces round otherwise, and 8 bits are steps.
        for rows in [1, 4, 9] {
            compare(&model, limits(rows, usize::MAX), "8 bits");
        }
    }
}

#[test]
fn batched_equals_alone_where_memory_is_short_and_never_takes_more() {
    let model = model(&Device::flex());
    let position = KvCache::bytes_per_position(model.config(), model.dtype());
    // One row of the whole context; a little more; three such rows.
    for positions in [96, 100, 130, 3 * 96] {
        compare(
            &model,
            BatchLimits { cache_bytes: positions * position, ..limits(6, 16) },
            "short of memory",
        );
    }
}

#[test]
fn answers_that_are_put_off_for_a_while_come_out_as_alone() {
    // Short prompts, and answers that outgrow any room for all of them.
    let long = || {
        (1..7).map(|i| {
            let temperature = if i % 2 == 0 { 0.0 } else { 0.9 };
            let frequency_penalty = if i == 3 { 0.5 } else { 0.0 };
            let config =
                SamplingConfig { temperature, frequency_penalty, ignore_eos: true, seed: i, ..greedy(60) };
            request(&ids(i as usize, i), config)
        })
    };
    for (name, config) in families() {
        let model = Transformer::init(&config, 7, &Device::flex()).unwrap();
        let position = KvCache::bytes_per_position(model.config(), model.dtype());
        let mut put_off = 0;
        for (positions, step) in [(96, 1), (96, 8), (130, 4), (200, 2), (3 * 96, 30)] {
            let limits = BatchLimits { cache_bytes: positions * position, ..limits(6, 16) };
            let batcher = Batcher::new(&model, limits).growing(step);
            put_off += compare_in(batcher, &model, limits, name, long().collect()).put_off;
        }
        // Keys that turn with the length of a text are not read again.
        assert!(put_off > 0 || matches!(config.rope_scaling, RopeScaling::Dynamic { .. }), "{name}");
    }
}

#[test]
fn a_bound_that_is_far_off_keeps_nobody_waiting_and_the_first_is_never_put_off() {
    let model = model(&Device::flex());
    let position = KvCache::bytes_per_position(model.config(), model.dtype());
    // One row of the whole context, or four that are short as yet.
    let limits = BatchLimits { cache_bytes: 96 * position, ..limits(4, usize::MAX) };
    let asked = |i: u64| request(&ids(5, i), SamplingConfig { ignore_eos: true, ..greedy(90) });
    let (mut whole, mut growing) = (Batcher::new(&model, limits), Batcher::new(&model, limits).growing(8));
    let mut heard = Heard::default();
    for i in 0..4 {
        whole.submit(asked(i)).unwrap();
    }
    let tickets: Vec<Ticket> = (0..4).map(|i| growing.submit(asked(i)).unwrap()).collect();
    Heard::default().step(&mut whole, limits);
    heard.step(&mut growing, limits);
    assert_eq!((whole.running(), growing.running()), (1, 4));
    for step in 2..=90 {
        heard.step(&mut growing, limits);
        assert_eq!(heard.tokens[&tickets[0]].len(), step, "a token a step");
    }
    assert!(growing.counts().put_off > 0);
    heard.finish(&mut growing, limits);
    for (i, ticket) in (0..4).zip(tickets) {
        assert_eq!(heard.done[&ticket], alone(&model, &asked(i)));
    }
}

#[test]
fn what_was_put_off_can_be_given_up_and_ends_with_what_it_has() {
    let model = model(&Device::flex());
    let position = KvCache::bytes_per_position(model.config(), model.dtype());
    let limits = BatchLimits { cache_bytes: 96 * position, ..limits(2, usize::MAX) };
    let (mut batcher, mut heard) = (Batcher::new(&model, limits).growing(8), Heard::default());
    let asked = |i: u64| request(&ids(5, i), SamplingConfig { ignore_eos: true, ..greedy(90) });
    let [first, second] = [0, 1].map(|i| batcher.submit(asked(i)).unwrap());
    while batcher.counts().put_off == 0 {
        heard.step(&mut batcher, limits);
    }
    assert_eq!((batcher.running(), batcher.waiting()), (1, 1));
    let third = batcher.submit(asked(2)).unwrap();
    batcher.stop(&mut |event| heard.on(event));
    assert!(batcher.is_idle() && !heard.done.contains_key(&third), "it was not begun");
    for (i, ticket) in [(0, first), (1, second)] {
        let (found, whole) = (&heard.done[&ticket].tokens, alone(&model, &asked(i)).tokens);
        assert_eq!((found, found), (&heard.tokens[&ticket], &whole[..found.len()].to_vec()));
        assert!((1..90).contains(&found.len()));
    }
    let [first, second] = [0, 1].map(|i| batcher.submit(asked(i)).unwrap());
    let before = batcher.counts().put_off;
    while batcher.counts().put_off == before {
        heard.step(&mut batcher, limits);
    }
    assert!(batcher.cancel(second) && !batcher.cancel(second));
    heard.finish(&mut batcher, limits);
    assert!(heard.done.contains_key(&first) && !heard.done.contains_key(&second));
}

#[test]
fn an_adapter_is_a_model_beside_its_base() {
    let base = model(&Device::flex());
    let lora = LoraConfig { rank: 4, alpha: 8.0, ..LoraConfig::default() };
    let mut adapter = Adapter::init(&base, AdapterConfig { lora, base: None, base_name: None }, 5).unwrap();
    let mut random = Random::new(9, 0);
    for tensor in &mut adapter.weights {
        tensor.values.iter_mut().for_each(|value| *value = random.normal() as f32 * 0.2);
    }
    let adapted = adapter.attach(base.clone(), 1.0).unwrap();
    assert!(requests().iter().any(|request| alone(&base, request) != alone(&adapted, request)));
    compare(&adapted, limits(4, 16), "adapted");
    compare(&base, limits(4, 16), "its base");
}

#[test]
fn a_long_prompt_is_read_in_pieces_beside_answers_that_go_on() {
    let model = model(&Device::flex());
    let limits = limits(4, 10);
    let (mut batcher, mut heard) = (Batcher::new(&model, limits), Heard::default());
    let ignoring = SamplingConfig { ignore_eos: true, ..greedy(40) };
    let writing = batcher.submit(request(&[1, 2, 3], ignoring)).unwrap();
    heard.step(&mut batcher, limits);
    let long = request(&ids(75, 3), greedy(3));
    let expected = alone(&model, &long);
    let long = batcher.submit(long).unwrap();
    for step in 1..=8 {
        heard.step(&mut batcher, limits);
        assert_eq!(heard.tokens[&writing].len(), 1 + step, "one token a step");
        // 75 tokens in pieces of 10 take 8 steps; the first token comes with the last piece.
        assert_eq!(heard.tokens.contains_key(&long) || heard.done.contains_key(&long), step == 8);
        assert_eq!(batcher.counts().read, 3 + (10 * step as u64).min(75));
    }
    heard.finish(&mut batcher, limits);
    assert_eq!(heard.done[&long], expected);
    let counts = batcher.counts();
    assert_eq!((counts.read, counts.reused), (78, 0));
    let ended = u64::from(expected.end_token.is_some());
    assert_eq!(counts.written, 40 + expected.tokens.len() as u64 + ended);
}

#[test]
fn texts_come_as_they_become_final_and_stop_where_they_shall() {
    let tokenizer = Arc::new(tokenizer());
    let model = Transformer::init(&config(tokenizer.vocab_size()), 3, &Device::flex()).unwrap();
    let limits = limits(3, 64);
    let (mut batcher, mut heard) = (Batcher::new(&model, limits), Heard::default());
    let ask = |text: &str, stop: &[&str], seed: u64| BatchRequest {
        prompt: tokenizer.encode_document(text).unwrap(),
        end_ids: Vec::new(),
        tokenizer: Some(Arc::clone(&tokenizer)),
        config: SamplingConfig {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            max_new_tokens: 40,
            stop: stop.iter().map(ToString::to_string).collect(),
            seed,
            ..SamplingConfig::default()
        },
        constraint: None,
        unmask: UnmaskConfig::default(),
    };
    let stops = [&["t", "a", "e", " "][..], &["o", "s", "n", "h", "."], &[]];
    let asked = || (0..6).map(|i| ask("the cat sat on", stops[i % 3], i as u64));
    let tickets: Vec<Ticket> = asked().map(|request| batcher.submit(request).unwrap()).collect();
    heard.finish(&mut batcher, limits);
    let mut stopped = 0;
    for (ticket, request) in tickets.into_iter().zip(asked()) {
        let expected = alone(&model, &request);
        assert_eq!(heard.done[&ticket], expected);
        assert_eq!(heard.texts[&ticket], expected.text, "what was shown is what was kept");
        stopped += usize::from(expected.finish_reason == FinishReason::Stop);
    }
    assert!((1..=4).contains(&stopped), "{stopped} of 4 with stop strings met one");
}
