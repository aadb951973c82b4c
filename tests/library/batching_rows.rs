//! Rows of a batcher that share beginnings, are given up, fail, or are refused.

use std::collections::BTreeMap;

use burn::tensor::Device;
use kindling::error::{Error, Result};
use kindling::kernels::{Activations, Quantization};
use kindling::model::{KvCache, ModelConfig, RopeScaling, Transformer};
use kindling::sample::{
    BatchLimits, BatchRequest, Batcher, Constraint, FinishReason, SamplingConfig, Ticket,
};

use crate::batching::{Heard, alone, few_bits, greedy, ids, limits, request};
use crate::tiny::{config, model};

/// Ids, then others.
fn joined(first: &[u32], then: &[u32]) -> Vec<u32> {
    [first, then].concat()
}

/// Asks one request and compares what comes with what comes alone; how many tokens were read and reused for it.
fn ask(model: &Transformer, batcher: &mut Batcher, prompt: &[u32], limits: BatchLimits) -> (u64, u64) {
    let (before, mut heard) = (batcher.counts(), Heard::default());
    let request = request(prompt, greedy(6));
    let expected = alone(model, &request);
    let ticket = batcher.submit(request).unwrap();
    heard.finish(batcher, limits);
    assert_eq!(heard.done[&ticket], expected);
    (batcher.counts().read - before.read, batcher.counts().reused - before.reused)
}

#[test]
fn a_beginning_that_stands_in_the_cache_is_not_read_again() {
    let model = model(&Device::flex());
    let limits = limits(3, 8);
    let mut batcher = Batcher::new(&model, limits);
    let system = ids(40, 1);
    let first = joined(&system, &[1, 2, 3]);
    assert_eq!(ask(&model, &mut batcher, &first, limits), (43, 0));
    assert_eq!(ask(&model, &mut batcher, &joined(&system, &[4, 5]), limits), (2, 40));
    // The whole prompt once more: not even its last token is read.
    assert_eq!(ask(&model, &mut batcher, &first, limits), (0, 43));
    // A conversation goes on from its own answer, of which the last token was never fed.
    let mut heard = Heard::default();
    let ticket = batcher.submit(request(&first, SamplingConfig { ignore_eos: true, ..greedy(6) })).unwrap();
    heard.finish(&mut batcher, limits);
    let said = joined(&first, &heard.done[&ticket].tokens);
    assert_eq!(ask(&model, &mut batcher, &joined(&said, &[9, 8, 7]), limits), (4, 43 + 5));
    // Another beginning, and too little of this one.
    assert_eq!(
        ask(&model, &mut batcher, &joined(&system[..15], &[(system[15] + 1) % 32; 9]), limits),
        (24, 0)
    );
}

#[test]
fn an_answer_that_was_written_in_8_bits_is_read_again() {
    let eight = few_bits(Quantization::Q8_0);
    let exact = eight.clone().with_activations(Activations::Exact);
    for (model, answer) in [(eight, 0), (exact, 5)] {
        let limits = limits(3, usize::MAX);
        let mut batcher = Batcher::new(&model, limits);
        let first = ids(40, 1);
        let mut heard = Heard::default();
        let asked = || request(&first, SamplingConfig { ignore_eos: true, ..greedy(6) });
        let ticket = batcher.submit(asked()).unwrap();
        heard.finish(&mut batcher, limits);
        assert_eq!(heard.done[&ticket], alone(&model, &asked()));
        let then = joined(&joined(&first, &heard.done[&ticket].tokens), &[9, 8, 7]);
        assert_eq!(ask(&model, &mut batcher, &then, limits), (9 - answer, 40 + answer));
    }
}

#[test]
fn a_prompt_shares_with_rows_that_still_write() {
    let model = model(&Device::flex());
    let limits = limits(4, usize::MAX);
    let (mut batcher, mut heard) = (Batcher::new(&model, limits), Heard::default());
    let system = ids(30, 4);
    let ignoring = |most: usize| SamplingConfig { ignore_eos: true, ..greedy(most) };
    let requests = || [1, 2, 3].map(|i| request(&joined(&system, &vec![i as u32; i]), ignoring(8 + i)));
    let mut tickets: Vec<Ticket> = Vec::new();
    for request in requests() {
        tickets.push(batcher.submit(request).unwrap());
        heard.step(&mut batcher, limits);
    }
    // All at once: the first is read, and the others follow it in the same step.
    tickets.extend(requests().map(|request| batcher.submit(request).unwrap()));
    heard.finish(&mut batcher, limits);
    for (ticket, request) in tickets.into_iter().zip(requests().into_iter().chain(requests())) {
        assert_eq!(heard.done[&ticket], alone(&model, &request));
    }
    let counts = batcher.counts();
    assert_eq!((counts.read, counts.read + counts.reused), (31 + 2 + 3, 2 * (31 + 32 + 33)));
}

#[test]
fn keys_whose_angles_depend_on_the_length_are_shared_within_one_length_alone() {
    let rope_scaling = RopeScaling::Dynamic { factor: 4.0, original: 32 };
    let model = Transformer::init(&ModelConfig { rope_scaling, ..config(32) }, 7, &Device::flex()).unwrap();
    let limits = limits(3, 8);
    let mut batcher = Batcher::new(&model, limits);
    let text = ids(60, 1);
    assert_eq!(ask(&model, &mut batcher, &text[..20], limits), (20, 0));
    // Both within pretraining; the first answer may have gone on as the text does.
    let (read, reused) = ask(&model, &mut batcher, &text[..31], limits);
    assert!(reused >= 20 && read + reused == 31, "{read} {reused}");
    assert_eq!(ask(&model, &mut batcher, &text[..50], limits), (50, 0));
    assert_eq!(ask(&model, &mut batcher, &text[..60], limits), (60, 0));
}

#[test]
fn what_is_given_up_says_nothing_more_and_the_others_go_on() {
    let model = model(&Device::flex());
    let limits = limits(3, 10);
    let (mut batcher, mut heard) = (Batcher::new(&model, limits), Heard::default());
    let ignoring = |most: usize| SamplingConfig { ignore_eos: true, ..greedy(most) };
    let asked =
        [(5, 20), (6, 30), (60, 9), (7, 12)].map(|(len, most)| (ids(len, len as u64), ignoring(most)));
    let again = || asked.clone().map(|(prompt, config)| request(&prompt, config));
    let [first, second, reading, waiting] = again().map(|request| batcher.submit(request).unwrap());
    (0..3).for_each(|_| heard.step(&mut batcher, limits));
    assert_eq!((batcher.running(), batcher.waiting()), (3, 1), "the long one is being read");
    assert!(!heard.tokens.contains_key(&reading));
    let last = batcher.submit(request(&ids(70, 8), ignoring(5))).unwrap();
    for ticket in [second, reading, waiting] {
        assert!(batcher.cancel(ticket) && !batcher.cancel(ticket), "{ticket:?} is there once");
    }
    assert_eq!((batcher.running(), batcher.waiting()), (1, 1));
    let told = heard.tokens[&second].len();
    heard.finish(&mut batcher, limits);
    assert!(!batcher.cancel(first), "it is over");
    assert_eq!(heard.done.keys().copied().collect::<Vec<_>>(), [first, last]);
    assert_eq!(heard.tokens[&second].len(), told);
    let [expected, ..] = again();
    assert_eq!(heard.done[&first], alone(&model, &expected));
    assert_eq!(heard.done[&last], alone(&model, &request(&ids(70, 8), ignoring(5))));
}

#[test]
fn a_stop_ends_all_with_what_there_is() {
    let model = model(&Device::flex());
    let limits = limits(2, 20);
    let (mut batcher, mut heard) = (Batcher::new(&model, limits), Heard::default());
    let ignoring = SamplingConfig { ignore_eos: true, ..greedy(20) };
    let asked: Vec<BatchRequest> = (0..3).map(|i| request(&ids(4, i), ignoring.clone())).collect();
    let expected: Vec<Vec<u32>> = asked.iter().map(|request| alone(&model, request).tokens).collect();
    let tickets: Vec<Ticket> = asked.into_iter().map(|request| batcher.submit(request).unwrap()).collect();
    (0..4).for_each(|_| heard.step(&mut batcher, limits));
    batcher.stop(&mut |event| heard.on(event));
    assert!(batcher.is_idle());
    for (ticket, expected) in tickets[..2].iter().zip(expected) {
        let found = &heard.done[ticket];
        assert_eq!((found.finish_reason, &found.tokens[..]), (FinishReason::Stop, &expected[..4]));
    }
    assert!(!heard.done.contains_key(&tickets[2]), "it was not begun");
}

/// Allows only even ids, or only odd ones, and is complete with the last of some, or breaks there.
struct Parity {
    odd: bool,
    left: usize,
    ends: bool,
}

impl Constraint for Parity {
    fn rule_out(&mut self, logits: &mut [f32]) -> Result<()> {
        let others = logits.iter_mut().skip(usize::from(!self.odd)).step_by(2);
        others.for_each(|logit| *logit = f32::NEG_INFINITY);
        Ok(())
    }

    fn take(&mut self, _: u32) -> Result<bool> {
        self.left -= 1;
        match self.left {
            0 if self.ends => Ok(true),
            0 => Err(Error::Data("this one broke".into())),
            _ => Ok(false),
        }
    }
}

#[test]
fn a_constraint_acts_on_its_own_row_and_a_row_that_fails_ends_alone() {
    let model = model(&Device::flex());
    let limits = limits(4, 64);
    let (mut batcher, mut heard) = (Batcher::new(&model, limits), Heard::default());
    let ignoring = SamplingConfig { ignore_eos: true, ..greedy(12) };
    let plain = || request(&[3, 1, 4], ignoring.clone());
    let expected = alone(&model, &plain());
    // What would not have come by itself.
    let odd = expected.tokens[0].is_multiple_of(2);
    let bound = |left: usize, ends: bool| BatchRequest {
        constraint: Some(Box::new(Parity { odd, left, ends })),
        ..request(&[3, 1, 4], ignoring.clone())
    };
    let free = batcher.submit(plain()).unwrap();
    let other = batcher.submit(bound(5, true)).unwrap();
    let broken = batcher.submit(bound(3, false)).unwrap();
    heard.finish(&mut batcher, limits);
    assert_eq!(heard.failed, BTreeMap::from([(broken, "this one broke".to_string())]));
    assert_eq!(heard.done[&free], expected);
    let other = &heard.done[&other];
    assert_eq!((other.finish_reason, other.tokens.len()), (FinishReason::Stop, 5));
    assert!(other.tokens.iter().all(|id| id % 2 == u32::from(odd)), "{:?}", other.tokens);
}

#[test]
fn what_is_not_a_number_reaches_no_other_row() {
    // The embedding of the token 31 is broken, and stands in no output.
    let shape = ModelConfig { tie_word_embeddings: false, ..config(32) };
    let mut weights =
        pollster::block_on(Transformer::init(&shape, 7, &Device::flex()).unwrap().weights()).unwrap();
    let embedding = weights.iter_mut().find(|tensor| tensor.name == "model.embed_tokens.weight").unwrap();
    embedding.values[31 * shape.hidden_size] = f32::NAN;
    let find = |name: &str| weights.iter().find(|tensor| tensor.name == name).unwrap().values.clone();
    let model = Transformer::build(&shape, &Device::flex(), &mut |name, _| Ok(find(name))).unwrap();
    let limits = limits(2, 64);
    let (mut batcher, mut heard) = (Batcher::new(&model, limits), Heard::default());
    // A bias keeps the token out of the other answers.
    let config = SamplingConfig { ignore_eos: true, logit_bias: [(31, -100.0)].into(), ..greedy(8) };
    let sound = |len: u32| request(&(0..len).collect::<Vec<_>>(), config.clone());
    let broken = request(&[5, 31, 6, 7, 8], config.clone());
    let tickets: Vec<Ticket> =
        [sound(9), broken, sound(3), sound(4)].into_iter().map(|it| batcher.submit(it).unwrap()).collect();
    heard.finish(&mut batcher, limits);
    assert!(heard.failed[&tickets[1]].contains("is NaN"), "{:?}", heard.failed);
    for (ticket, len) in [(tickets[0], 9), (tickets[2], 3), (tickets[3], 4)] {
        // The one behind it has its place, and the keys and values there are its own.
        assert_eq!(heard.done[&ticket], alone(&model, &sound(len)));
    }
}

#[test]
fn what_cannot_run_is_refused_and_so_is_more_than_the_queue_takes() {
    let model = model(&Device::flex());
    let position = KvCache::bytes_per_position(model.config(), model.dtype());
    let limits = BatchLimits { rows: 2, cache_bytes: 40 * position, prefill_tokens: 8, queue: 1 };
    let mut batcher = Batcher::new(&model, limits);
    let refused =
        |batcher: &mut Batcher, request: BatchRequest| batcher.submit(request).unwrap_err().told().code();
    let fits = || request(&[1; 20], greedy(21));
    assert_eq!(refused(&mut batcher, request(&[1; 20], greedy(22))), "sampling.cache");
    assert_eq!(refused(&mut batcher, request(&[], greedy(2))), "sampling.no_prompt");
    assert_eq!(refused(&mut batcher, request(&[1; 97], greedy(2))), "sampling.prompt_long");
    assert_eq!(refused(&mut batcher, request(&[32], greedy(2))), "sampling.id");
    assert_eq!(refused(&mut batcher, request(&[1], greedy(0))), "settings.unfit");
    let stop = SamplingConfig { stop: vec!["x".into()], ..greedy(2) };
    assert_eq!(refused(&mut batcher, request(&[1], stop)), "settings.unfit");
    let bias = SamplingConfig { logit_bias: [(32, 1.0)].into(), ..greedy(2) };
    assert_eq!(refused(&mut batcher, request(&[1], bias)), "sampling.id");
    assert!(batcher.is_idle() && batcher.cache_bytes() == 0, "nothing of that left a trace");
    let tickets = [(); 3].map(|()| batcher.submit(fits()).unwrap());
    assert_eq!(refused(&mut batcher, fits()), "sampling.queue_full");
    assert!(batcher.cancel(tickets[1]));
    batcher.submit(fits()).unwrap();
    let mut heard = Heard::default();
    heard.step(&mut batcher, limits);
    assert_eq!((batcher.running(), batcher.waiting()), (1, 2), "a second row of 40 does not fit");
    heard.finish(&mut batcher, limits);
    assert_eq!(heard.done.len(), 3);
}
