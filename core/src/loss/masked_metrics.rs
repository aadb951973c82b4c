//! How well a masked predictor knows held-out rows, whatever it was trained by: hidden tokens are drawn anew, of every run
//! the same, over all shares that can be hidden. So models trained with other weights and shares compare.
//!
//! Of the L tokens of a row that may be hidden exactly l are, l spread evenly over 1 to L: `Σ_hidden CE · L / l` bounds the
//! row's negative log-likelihood from above, in block models, too (Ou et al., 2024, <https://arxiv.org/abs/2406.03736>).

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use crate::batch::{Batch, Noised};
use crate::error::Result;
use crate::kernels::token_log_probs;
use crate::model::{MaskedRows, Trace, Transformer, read};
use crate::random::Random;
use crate::tokenizer::Tokenizer;

/// Random numbers of what is hidden; with the seed 0 and a row's place they are always the same.
const STREAM: u64 = 0x7265_6275_696c;
/// The fraction of the golden ratio: its multiples lie evenly in 0 to 1, however many there are.
const GOLDEN: f64 = 0.618_033_988_749_894_9;
/// Keys of the share of hidden tokens that are the model's first choice, by the tenth of a row that is hidden, the last
/// tenth up to all.
const TENTHS: [&str; 10] = [
    "masked_accuracy_t1",
    "masked_accuracy_t2",
    "masked_accuracy_t3",
    "masked_accuracy_t4",
    "masked_accuracy_t5",
    "masked_accuracy_t6",
    "masked_accuracy_t7",
    "masked_accuracy_t8",
    "masked_accuracy_t9",
    "masked_accuracy_t10",
];

/// Right first choices among hidden tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Right {
    right: u64,
    of: u64,
}

impl Right {
    fn add(&mut self, right: bool) {
        self.right += u64::from(right);
        self.of += 1;
    }

    fn share(self) -> Option<f64> {
        (self.of > 0).then(|| self.right as f64 / self.of as f64)
    }
}

/// Measures of held-out rows, added up batch by batch.
#[derive(Debug, Default)]
pub(crate) struct MaskedMetrics {
    /// Rows so far: a row's place says what of it is hidden.
    rows: u64,
    /// The bound of all of them, in nats.
    nll: f64,
    /// Their tokens that may be hidden, and how often each stands there.
    tokens: u64,
    counts: BTreeMap<u32, u64>,
    /// The bytes that those stand for, special tokens aside.
    bytes: u64,
    tenths: [Right; 10],
    /// Of rows with a tenth to a half of their tokens hidden.
    lower: Right,
}

/// What is hidden of the rows of a batch.
#[derive(Debug, Default, PartialEq)]
struct Drawn {
    /// The places of hidden tokens among all of the batch, row by row.
    places: Vec<u32>,
    /// For each, of its row how many are hidden and how many may be.
    counts: Vec<[usize; 2]>,
}

impl MaskedMetrics {
    /// Adds a batch of rows.
    ///
    /// # Errors
    /// The device cannot be read.
    pub(crate) async fn add(
        &mut self,
        model: &Transformer,
        batch: &Batch,
        tokenizer: &Tokenizer,
    ) -> Result<()> {
        let (Some(noised), Some(diffusion)) = (&batch.noised, &model.config().diffusion) else {
            return Ok(());
        };
        let drawn = self.draw(noised, batch.seq);
        self.count(noised, tokenizer);
        if drawn.places.is_empty() {
            return Ok(());
        }
        let mut inputs = noised.clean.clone();
        drawn.places.iter().for_each(|&place| inputs[place as usize] = diffusion.mask_token_id);
        let (seq, segments) = (batch.seq, &batch.segments[..]);
        let rows = MaskedRows { seq, noised: &inputs, clean: &noised.clean, segments };
        let logits = model.forward_masked(&rows, &drawn.places, &mut Trace::default());
        let targets: Vec<u32> = drawn.places.iter().map(|&place| noised.clean[place as usize]).collect();
        let (log_probs, choices) = read_both(logits, &targets).await?;
        for (((log_prob, choice), &target), counts) in
            log_probs.iter().zip(choices).zip(&targets).zip(&drawn.counts)
        {
            self.token(f64::from(*log_prob), choice as u32 == target, *counts);
        }
        Ok(())
    }

    /// Adds a hidden token: `hidden` of its row's tokens are, of those that `may` be.
    fn token(&mut self, log_prob: f64, right: bool, [hidden, may]: [usize; 2]) {
        self.nll -= log_prob * may as f64 / hidden as f64;
        let tenth = (10 * hidden).div_ceil(may).clamp(1, 10);
        self.tenths[tenth - 1].add(right);
        // A tenth to a half, without the rounding of shares.
        if may <= 10 * hidden && 2 * hidden <= may {
            self.lower.add(right);
        }
    }

    /// What is hidden of the next rows.
    fn draw(&mut self, noised: &Noised, seq: usize) -> Drawn {
        let mut drawn = Drawn::default();
        for (row, may) in noised.probabilities.chunks_exact(seq).enumerate() {
            let mut places: Vec<usize> = (0..seq).filter(|&at| may[at] > 0.0).collect();
            let length = places.len();
            let even = (0.5 + GOLDEN * self.rows as f64).fract();
            let hidden = (1 + (even * length as f64) as usize).min(length);
            Random::new(0, STREAM ^ self.rows.rotate_right(16)).shuffle(&mut places);
            places.truncate(hidden);
            places.sort_unstable();
            drawn.places.extend(places.iter().map(|at| (row * seq + at) as u32));
            drawn.counts.extend(std::iter::repeat_n([hidden, length], places.len()));
            self.rows += 1;
        }
        drawn
    }

    /// Counts the tokens that may be hidden.
    fn count(&mut self, noised: &Noised, tokenizer: &Tokenizer) {
        for (&id, _) in noised.clean.iter().zip(&noised.probabilities).filter(|(_, may)| **may > 0.0) {
            self.tokens += 1;
            *self.counts.entry(id).or_default() += 1;
            if !tokenizer.is_special(id) {
                self.bytes += tokenizer.token_bytes(id).len() as u64;
            }
        }
    }

    /// The measures by name; nothing where no token could be hidden.
    ///
    /// `nll_bound` is in nats a token; `perplexity_bound` and `bits_per_byte_bound` follow from it;
    /// `reconstruction_accuracy` is over rows of which a tenth to a half is hidden, and `unigram_accuracy` what always
    /// guessing the most frequent token would reach.
    pub(crate) fn means(&self) -> BTreeMap<&'static str, f64> {
        if self.tokens == 0 {
            return BTreeMap::new();
        }
        let nll = self.nll / self.tokens as f64;
        let most = self.counts.values().max().copied().unwrap_or(0);
        let mut means = BTreeMap::from([
            ("nll_bound", nll),
            ("perplexity_bound", nll.exp()),
            ("unigram_accuracy", most as f64 / self.tokens as f64),
        ]);
        if self.bytes > 0 {
            means.insert("bits_per_byte_bound", self.nll / std::f64::consts::LN_2 / self.bytes as f64);
        }
        means.extend(self.lower.share().map(|share| ("reconstruction_accuracy", share)));
        means.extend(
            TENTHS.into_iter().zip(self.tenths).filter_map(|(name, right)| Some((name, right.share()?))),
        );
        means
    }
}

/// Of `[n, vocab]` logits the log-probability of each target, and the first choice of each row.
async fn read_both(logits: Tensor<2>, targets: &[u32]) -> Result<(Vec<f32>, Vec<f32>)> {
    let [n, vocab] = logits.dims();
    let choices = read(logits.clone().argmax(1).reshape([n]).float()).await?;
    let log_probs = token_log_probs(logits.reshape([1, n, vocab]), targets).reshape([n]);
    Ok((read(log_probs).await?, choices))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DiffusionConfig, ModelConfig, tiny};
    use crate::sample::fake::letters;
    use burn::tensor::Device;

    const MASK: u32 = 31;

    /// Rows of eight tokens of which the first may not be hidden.
    fn batch(rows: usize) -> Batch {
        let mut batch = Batch { batch: rows, ..Batch::new(8) };
        batch.segments = vec![1; 8 * rows];
        let clean: Vec<u32> = (0..8 * rows as u32).map(|i| i % 7).collect();
        (batch.inputs, batch.targets, batch.weights) = (clean.clone(), clean.clone(), vec![0.0; 8 * rows]);
        let probabilities = (0..8 * rows).map(|i| if i % 8 == 0 { 0.0 } else { 0.3 }).collect();
        batch.noised = Some(Noised { clean, probabilities, counts: vec![1.0; rows] });
        batch
    }

    fn model(range: f64, block_length: Option<usize>) -> Transformer {
        let diffusion = Some(DiffusionConfig { mask_token_id: MASK, block_length, shift_logits: true });
        let tiny = ModelConfig { diffusion, ..tiny(MASK as usize + 1) };
        let config = ModelConfig { initializer_range: range, embedding_range: range, ..tiny };
        Transformer::init(&config, 3, &Device::flex()).unwrap()
    }

    fn measured(model: &Transformer, batches: &[Batch]) -> BTreeMap<&'static str, f64> {
        let mut metrics = MaskedMetrics::default();
        for batch in batches {
            pollster::block_on(metrics.add(model, batch, &letters(None))).unwrap();
        }
        metrics.means()
    }

    #[test]
    fn what_is_hidden_is_exactly_spread_and_always_the_same() {
        let batch = batch(70);
        let noised = batch.noised.as_ref().unwrap();
        let mut metrics = MaskedMetrics::default();
        let drawn = metrics.draw(noised, 8);
        assert_eq!(drawn, MaskedMetrics::default().draw(noised, 8));
        assert!(drawn.places.iter().all(|place| place % 8 != 0), "what may not be hidden never is");
        assert_eq!(drawn.places.len(), drawn.counts.len());
        let mut rows = [0; 8];
        for row in 0..70u32 {
            let own: Vec<usize> = (0..drawn.places.len()).filter(|&i| drawn.places[i] / 8 == row).collect();
            assert!(own.iter().all(|&i| drawn.counts[i] == [own.len(), 7]));
            rows[own.len()] += 1;
        }
        // Ten rows of each number of hidden tokens, or nearly.
        assert!(rows[0] == 0 && rows[1..].iter().all(|rows| (8..=12).contains(rows)), "{rows:?}");
        assert_ne!(metrics.draw(noised, 8).places, drawn.places, "later rows have others hidden");
    }

    #[test]
    fn neither_batches_nor_training_masks_change_the_measures() {
        let model = model(0.4, None);
        let whole = batch(6);
        let expected = measured(&model, std::slice::from_ref(&whole));
        let parts = whole.split(3);
        assert_eq!(parts.len(), 3);
        let mut other = parts.clone();
        other.iter_mut().for_each(|batch| {
            batch.inputs.fill(MASK);
            batch.weights.fill(3.0);
        });
        for batches in [parts, other] {
            let found = measured(&model, &batches);
            assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
            for (name, value) in &found {
                assert!((value - expected[name]).abs() < 1e-4 * value.abs().max(1.0), "{name}");
            }
        }
    }

    #[test]
    fn uniform_logits_have_the_bound_of_the_whole_vocabulary() {
        for block_length in [None, Some(3)] {
            let found = measured(&model(0.0, block_length), &[batch(5)]);
            assert!((found["nll_bound"] - 32f64.ln()).abs() < 1e-4, "{found:?}");
            assert!((found["perplexity_bound"] - 32.0).abs() < 1e-2);
            // Every letter is a byte.
            assert!((found["bits_per_byte_bound"] - 5.0).abs() < 1e-4);
        }
    }

    #[test]
    fn tokens_count_by_the_share_of_their_row_by_hand() {
        let mut metrics = MaskedMetrics { tokens: 20, ..MaskedMetrics::default() };
        metrics.counts = BTreeMap::from([(3, 5), (4, 15)]);
        // One of ten hidden: a tenth. Five of ten: a half. Six of ten, and all of three.
        metrics.token(-1.0, true, [1, 10]);
        metrics.token(-0.5, false, [5, 10]);
        metrics.token(-0.25, true, [6, 10]);
        metrics.token(-2.0, true, [3, 3]);
        let means = metrics.means();
        let nll = (10.0 + 1.0 + 0.25 / 0.6 + 2.0) / 20.0;
        assert!((means["nll_bound"] - nll).abs() < 1e-12);
        assert_eq!(means["unigram_accuracy"], 0.75);
        assert_eq!(means["reconstruction_accuracy"], 0.5, "the first two");
        let tenths: Vec<(&str, f64)> = means
            .iter()
            .filter(|(name, _)| name.contains("_t"))
            .map(|(name, share)| (*name, *share))
            .collect();
        assert_eq!(
            tenths,
            [
                ("masked_accuracy_t1", 1.0),
                ("masked_accuracy_t10", 1.0),
                ("masked_accuracy_t5", 0.0),
                ("masked_accuracy_t6", 1.0),
            ]
        );
        assert!(!means.contains_key("bits_per_byte_bound"), "no bytes are known");
    }

    #[test]
    fn batches_of_next_tokens_measure_nothing() {
        let plain = Batch { noised: None, ..batch(2) };
        assert!(measured(&model(0.4, None), &[plain]).is_empty());
        let mut none = batch(2);
        none.noised.as_mut().unwrap().probabilities.fill(0.0);
        assert!(measured(&model(0.4, None), &[none]).is_empty());
    }
}
