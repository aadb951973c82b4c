//! Batching: the shares of the room and of a step, and that answers written together are bit for bit those written alone.

use burn::tensor::{Device, Int, Tensor, TensorData};
use kindling::kernels::{Activations, Quantization};
use kindling::model::{KvCache, Transformer};
use kindling::sample::{BatchLimits, Batcher, SamplingConfig};

use crate::batching::{Heard, alone, few_bits, greedy, ids, limits, request};
use crate::tiny::model;

/// The logits behind tokens of so many sequences that follow each other in a cache.
fn feed(model: &Transformer, cache: &mut KvCache, ids: &[u32], rows: std::ops::Range<usize>) -> Vec<f32> {
    let shape = [rows.len(), ids.len() / rows.len()];
    let tokens = TensorData::new(ids.iter().map(|&id| id as i32).collect::<Vec<_>>(), shape);
    let tokens = Tensor::<2, Int>::from_data(tokens, &Device::flex());
    model.forward_cached(tokens, cache, rows, true).into_data().iter::<f32>().collect()
}

#[test]
fn what_is_written_together_is_bit_for_bit_what_is_written_alone() {
    let exact = |bits| few_bits(bits).with_activations(Activations::Exact);
    for (name, model) in [
        ("f32", model(&Device::flex())),
        ("q8_0", few_bits(Quantization::Q8_0)),
        ("q4_0", few_bits(Quantization::Q4_0)),
        ("q8_0, exact", exact(Quantization::Q8_0)),
        ("q4_0, exact", exact(Quantization::Q4_0)),
    ] {
        let (writing, count) = (model.writing(), 11);
        let texts: Vec<Vec<u32>> = (0..count).map(|row| ids(1 + 5 * row, row as u64)).collect();
        let mut together = KvCache::new(model.config(), count, 96);
        for (row, text) in texts.iter().enumerate() {
            feed(&model, &mut together, text, row..row + 1);
        }
        let written = ids(3 * count, 99);
        let steps: Vec<Vec<f32>> =
            written.chunks(count).map(|ids| feed(&writing, &mut together, ids, 0..count)).collect();
        for (row, text) in texts.iter().enumerate() {
            let mut cache = KvCache::new(model.config(), 1, 96);
            feed(&model, &mut cache, text, 0..1);
            for (step, logits) in steps.iter().enumerate() {
                let alone = feed(&writing, &mut cache, &[written[step * count + row]], 0..1);
                assert!(alone == logits[row * 32..(row + 1) * 32], "{name}, row {row}, step {step}");
            }
        }
    }
}

#[test]
fn who_ends_within_an_equal_share_is_never_put_off_nor_puts_off_another() {
    let model = model(&Device::flex());
    let position = KvCache::bytes_per_position(model.config(), model.dtype());
    // Half of the room holds the first answer. The second doubles beyond its half on the way, and has all of it behind that.
    let limits = BatchLimits { cache_bytes: 96 * position, ..limits(2, usize::MAX) };
    let (mut batcher, mut heard) = (Batcher::new(&model, limits).growing(8), Heard::default());
    let asked = [44, 90]
        .map(|most| request(&ids(5, most as u64), SamplingConfig { ignore_eos: true, ..greedy(most) }));
    let expected = asked.each_ref().map(|request| alone(&model, request));
    let tickets = asked.map(|request| batcher.submit(request).unwrap());
    heard.finish(&mut batcher, limits);
    assert_eq!(batcher.counts().put_off, 0);
    for (ticket, alone) in tickets.iter().zip(&expected) {
        assert_eq!(&heard.done[ticket], alone);
    }
}

#[test]
fn the_beginning_of_a_prompt_that_is_not_worth_a_pass_waits_for_the_next_step() {
    let model = model(&Device::flex());
    let limits = limits(4, 40);
    let (mut batcher, mut heard) = (Batcher::new(&model, limits), Heard::default());
    for (i, len) in [36, 30, 9].into_iter().enumerate() {
        batcher.submit(request(&ids(len, i as u64), greedy(30))).unwrap();
    }
    // 4 tokens of the second prompt are fewer than an eighth of 40; 9 of the third are the rest of what is to be read.
    for read in [36, 75] {
        heard.step(&mut batcher, limits);
        assert_eq!(batcher.counts().read, read);
    }
}
