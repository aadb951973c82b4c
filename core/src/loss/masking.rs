//! Tokens hidden at random: the rows of a batch as a masked predictor learns from them (LLaDA: Nie et al., 2025,
//! <https://arxiv.org/abs/2502.09992>, and its GUIDELINES.md).
//!
//! A row draws a `t`, and each of its tokens that may be hidden is hidden with the probability `p` of that `t`. The `t` of
//! a batch lie evenly apart behind one random number (Kingma et al., 2021, <https://arxiv.org/abs/2107.00630>), so that its
//! loss varies less. Of a conversation one answer may be hidden, drawn where there are several, and what stands before it
//! is not: the row ends behind that answer, and end tokens fill it up to the longest row of its batch, which may be hidden
//! and count as the answer does.

use super::whole_rows::{Row, placed};
use super::{DiffusionSettings, LossWeight};
use crate::batch::{Batch, Noised, row_length};
use crate::model::ModelConfig;
use crate::random::Random;

/// How often training cuts a batch of texts to a length drawn at random, so that short texts are known, too.
const CUT_SHARE: f64 = 0.01;

/// Hides tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Masking {
    /// How many, and how much they count.
    pub settings: DiffusionSettings,
    /// Whether rows are conversations, of which answers alone are hidden.
    pub answers: bool,
}

/// How the rows of a run are filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowShape {
    /// Whether the last target of a row is the first token of the next one.
    pub packed: bool,
    /// Tokens that a row may have.
    pub seq_len: usize,
}

impl Masking {
    /// The rows of a batch of next-token prediction with tokens hidden for such a model. `trains` says whether some batches
    /// of texts are cut.
    ///
    /// A batch of which no token came out hidden has one hidden where all count alike, as it would teach nothing; weighed by
    /// `1/p` it stays, because the mean over all draws is exact then.
    pub fn hide(
        &self,
        batch: &Batch,
        shape: RowShape,
        model: &ModelConfig,
        random: &mut Random,
        trains: bool,
    ) -> Batch {
        let Some(diffusion) = &model.diffusion else { return batch.clone() };
        let kind = (shape.packed, self.answers, diffusion.shift_logits);
        let mut rows: Vec<Row> = (0..batch.batch).map(|row| Row::whole(batch, row, kind)).collect();
        let mut seq = batch.seq;
        if self.answers {
            rows.iter_mut().for_each(|row| row.keep_one_answer(random));
        }
        if !shape.packed {
            seq = row_length(rows.iter().map(|row| row.ids.len()).max().unwrap_or(1).max(1), shape.seq_len);
        }
        if self.answers {
            rows.iter_mut().for_each(|row| row.fill(seq, &model.eos_token_ids));
        } else if trains && random.uniform() < CUT_SHARE {
            // With shifted logits a row of one token has none that may be hidden.
            let least = if diffusion.shift_logits { 2.min(seq) } else { 1 };
            seq = least + random.below((seq - least) as u64 + 1) as usize;
        }
        let placed = placed(batch, &rows, seq);
        let (hidden, probabilities) = self.draw(&placed, random);
        self.hide_these(placed, &hidden, probabilities, diffusion.mask_token_id)
    }

    /// Which tokens of a batch are hidden, and the probability of each: `weights` say how much each token itself counts, 0
    /// where it may not be hidden.
    fn draw(&self, batch: &Batch, random: &mut Random) -> (Vec<bool>, Vec<f32>) {
        let first = random.uniform();
        let mut probabilities = Vec::with_capacity(batch.inputs.len());
        let mut hidden = Vec::with_capacity(batch.inputs.len());
        for (i, row) in batch.weights.chunks(batch.seq.max(1)).enumerate() {
            let t = (first + i as f64 / batch.batch as f64).fract();
            let p = self.settings.probability(t);
            for &weight in row {
                hidden.push(weight != 0.0 && random.uniform() < p);
                probabilities.push(if weight == 0.0 { 0.0 } else { p as f32 });
            }
        }
        if self.settings.loss_weight == LossWeight::Uniform && !hidden.contains(&true) {
            let maybe: Vec<usize> = (0..hidden.len()).filter(|&place| batch.weights[place] != 0.0).collect();
            if !maybe.is_empty() {
                hidden[*random.choose(&maybe)] = true;
            }
        }
        (hidden, probabilities)
    }

    /// A batch of which such tokens are hidden, each with such a probability. Its `weights` say how much each token itself
    /// counts, 0 where it may not be hidden.
    ///
    /// # Shapes
    /// `hidden` and `probabilities` of `batch · seq`.
    pub fn hide_these(&self, mut batch: Batch, hidden: &[bool], probabilities: Vec<f32>, mask: u32) -> Batch {
        let clean = std::mem::take(&mut batch.inputs);
        let seen = |(&id, &hides): (&u32, &bool)| if hides { mask } else { id };
        batch.inputs = clean.iter().zip(hidden).map(seen).collect();
        batch.targets.clone_from(&clean);
        let counts = self.weigh(&mut batch, hidden, &probabilities);
        batch.noised = Some(Noised { clean, probabilities, counts });
        batch
    }

    /// Makes how much each token counts how much each hidden one does in the loss, and gives what each row counts: divided
    /// by all counts together, the weighed losses are the mean.
    fn weigh(&self, batch: &mut Batch, hidden: &[bool], probabilities: &[f32]) -> Vec<f32> {
        let seq = batch.seq.max(1);
        let weighs = self.settings.loss_weight;
        let rows = batch.weights.chunks_mut(seq).zip(hidden.chunks(seq)).zip(probabilities.chunks(seq));
        let row = |((weights, hidden), probabilities): ((&mut [f32], &[bool]), &[f32])| {
            let may = weights.iter().filter(|weight| **weight != 0.0).count().max(1) as f32;
            let whole: f32 = weights.iter().sum();
            let of_hidden = weights.iter().zip(hidden).filter(|(_, hides)| **hides);
            let of_hidden: f32 = of_hidden.map(|(weight, _)| weight).sum();
            let (count, divisor) = match (weighs, self.answers) {
                // The mean over hidden tokens.
                (LossWeight::Uniform, _) => (of_hidden, 1.0),
                // Over all tokens of texts, hidden or not; of an answer first over its own and then over answers.
                (LossWeight::InverseT, false) => (whole, 1.0),
                (LossWeight::InverseT, true) => (whole / may, may),
            };
            for ((weight, hides), p) in weights.iter_mut().zip(hidden).zip(probabilities) {
                *weight = match (hides, weighs) {
                    (false, _) => 0.0,
                    (true, LossWeight::Uniform) => *weight,
                    (true, LossWeight::InverseT) => *weight / (p * divisor),
                };
            }
            count
        };
        rows.map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::TimeRange;
    use super::*;
    use crate::model::{DiffusionConfig, tiny};

    const MASK: u32 = 31;
    const END: u32 = 7;
    const ALONE: RowShape = RowShape { packed: false, seq_len: 64 };
    const PACKED: RowShape = RowShape { packed: true, seq_len: 64 };

    fn model(shift_logits: bool) -> ModelConfig {
        let diffusion = Some(DiffusionConfig { mask_token_id: MASK, block_length: None, shift_logits });
        ModelConfig { diffusion, eos_token_ids: vec![3, END], ..tiny(32) }
    }

    fn masking(answers: bool, loss_weight: LossWeight, from: f64, to: f64) -> Masking {
        let t_range = TimeRange { from, to };
        Masking { settings: DiffusionSettings { objective: None, loss_weight, t_range }, answers }
    }

    /// All that may be hidden is, each with weight 1.
    fn all(answers: bool) -> Masking {
        masking(answers, LossWeight::Uniform, 1.0, 1.0)
    }

    fn hide(masking: Masking, batch: &Batch, shape: RowShape, shifted: bool, seed: u64) -> Batch {
        masking.hide(batch, shape, &model(shifted), &mut Random::new(seed, 0), false)
    }

    /// A question and two answers of two and three tokens, the last with the end token; and a shorter row.
    fn conversations() -> Batch {
        let mut batch = Batch::new(16);
        let weights = [0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0];
        batch.push(&[1, 2, 11, 12, 2, 13, 14, END, 2], &weights, &[1; 9]);
        batch.push(&[1, 2, 15, END], &[0.0, 0.0, 0.5, 0.5], &[1; 4]);
        batch
    }

    fn texts() -> Batch {
        let mut batch = Batch::new(16);
        batch.push(&(8..25).collect::<Vec<u32>>(), &[1.0; 17], &[1; 17]);
        batch.push(&[8, 9, 10, 11, 12], &[1.0; 5], &[1, 1, 2, 2, 2]);
        batch
    }

    fn places(batch: &Batch, row: usize) -> Vec<usize> {
        (0..batch.seq).filter(|at| batch.weights[row * batch.seq + at] != 0.0).collect()
    }

    #[test]
    fn one_answer_may_be_hidden_and_its_end_goes_on_and_the_prompt_never_is() {
        let mut ends = [false; 2];
        for seed in 0..20 {
            let hidden = hide(all(true), &conversations(), ALONE, false, seed);
            assert_eq!((hidden.batch, hidden.seq), (2, 16));
            let first = places(&hidden, 0);
            let clean = &hidden.noised.as_ref().unwrap().clean;
            match first[0] {
                2 => assert_eq!(clean[..5], [1, 2, 11, 12, 3], "an answer without an end gets the first one"),
                5 => assert_eq!(clean[..9], [1, 2, 11, 12, 2, 13, 14, END, END]),
                other => panic!("an answer begins at {other}"),
            }
            assert_eq!(first, (first[0]..16).collect::<Vec<_>>());
            ends[usize::from(first[0] == 5)] = true;
            assert!((0..16).all(|at| (hidden.inputs[at] == MASK) == (at >= first[0])));
            assert_eq!(places(&hidden, 1), (2..16).collect::<Vec<_>>());
            assert_eq!(clean[16 + 3..], [END; 13]);
            assert_eq!(hidden.segments, [1; 32], "what is learned is no padding");
            assert_eq!(hidden.weights[16 + 2..], [0.5; 14]);
        }
        assert_eq!(ends, [true; 2]);
        let without = ModelConfig { eos_token_ids: Vec::new(), ..model(false) };
        let hidden = all(true).hide(&conversations(), ALONE, &without, &mut Random::new(1, 0), false);
        assert_eq!((places(&hidden, 1), &hidden.segments[16 + 4..]), (vec![2, 3], &[0; 12][..]));
    }

    #[test]
    fn of_texts_every_token_may_be_hidden_and_the_first_where_something_predicts_it() {
        let own = hide(all(false), &texts(), ALONE, false, 1);
        assert_eq!(own.seq, 32, "the last target stands in the row");
        assert_eq!((places(&own, 0), places(&own, 1)), ((0..17).collect(), (0..5).collect()));
        assert_eq!(own.noised.as_ref().unwrap().clean[..17], (8..25).collect::<Vec<u32>>());
        let shifted = hide(all(false), &texts(), ALONE, true, 1);
        assert_eq!((places(&shifted, 0), places(&shifted, 1)), ((1..17).collect(), vec![1, 3, 4]));
        let packed = hide(all(false), &texts(), PACKED, false, 1);
        assert_eq!((packed.seq, places(&packed, 0)), (16, (0..16).collect()), "it begins the next row");
    }

    #[test]
    fn what_hidden_tokens_and_rows_count_by_hand() {
        // p is 0.999 · 0.5 + 0.001 for all.
        let p = 0.5005f32;
        let at_half = |answers, weight| masking(answers, weight, 0.5, 0.5);
        for seed in 0..10 {
            let found = hide(at_half(false, LossWeight::InverseT), &texts(), ALONE, false, seed);
            let noised = found.noised.as_ref().unwrap();
            assert_eq!(noised.counts, [17.0, 5.0]);
            assert!(found.weights.iter().all(|&weight| weight == 0.0 || weight == 1.0 / p));
            assert_eq!(noised.probabilities.iter().filter(|found| **found == p).count(), 22);
            let found = hide(at_half(false, LossWeight::Uniform), &texts(), ALONE, false, seed);
            let counts = [places(&found, 0).len() as f32, places(&found, 1).len() as f32];
            assert_eq!(found.noised.as_ref().unwrap().counts, counts);
            // An answer of fourteen tokens, its end among them: each counts 1 / (p · 14), and the row as its tokens do.
            let found = hide(at_half(true, LossWeight::InverseT), &conversations(), ALONE, false, seed);
            let row = &found.weights[16..];
            assert!(row.iter().all(|&weight| weight == 0.0 || (weight - 0.5 / (p * 14.0)).abs() < 1e-7));
            assert_eq!(found.noised.as_ref().unwrap().counts, [1.0, 0.5]);
        }
    }

    #[test]
    fn tokens_are_hidden_as_often_as_their_probability_says() {
        let (mut hidden, mut expected, mut smallest, mut largest) = (0.0, 0.0, 1.0f32, 0.0f32);
        for seed in 0..400 {
            let found = hide(masking(false, LossWeight::InverseT, 0.0, 1.0), &texts(), ALONE, false, seed);
            let probabilities = &found.noised.as_ref().unwrap().probabilities;
            hidden += found.targets_counted() as f64;
            expected += probabilities.iter().map(|&p| f64::from(p)).sum::<f64>();
            let some = probabilities.iter().copied().filter(|p| *p > 0.0);
            (smallest, largest) = some.fold((smallest, largest), |(low, high), p| (low.min(p), high.max(p)));
            let (first, second) = (probabilities[0], probabilities[32]);
            assert!(
                ((first - second).abs() - 0.4995).abs() < 1e-4,
                "half of the range lies between two rows"
            );
        }
        assert!((hidden / expected - 1.0f64).abs() < 0.03, "{hidden} {expected}");
        assert!(
            (0.001..0.02).contains(&smallest) && largest > 0.98 && largest <= 1.0,
            "{smallest} {largest}"
        );
    }

    #[test]
    fn a_batch_of_equal_counts_teaches_something_and_one_weighed_by_its_odds_may_not() {
        let least = |weight| masking(false, weight, 0.0, 1e-9);
        let mut empty = 0;
        for seed in 0..20 {
            let found = [LossWeight::Uniform, LossWeight::InverseT]
                .map(|weight| hide(least(weight), &texts(), ALONE, false, seed));
            assert!(found[0].targets_counted() >= 1);
            assert_eq!(found[0].inputs.iter().filter(|id| **id == MASK).count(), found[0].targets_counted());
            empty += usize::from(found[1].targets_counted() == 0);
        }
        assert!(empty > 10, "{empty}");
    }

    #[test]
    fn training_cuts_some_batches_of_texts_and_no_others() {
        let mut lengths = std::collections::BTreeSet::new();
        for seed in 0..1000 {
            let mut random = Random::new(seed, 0);
            let found = all(false).hide(&texts(), PACKED, &model(true), &mut random, true);
            assert_eq!(found.inputs.len(), 2 * found.seq);
            assert_eq!(places(&found, 0), (1..found.seq).collect::<Vec<_>>());
            lengths.insert((found.seq < 16).then_some(found.seq));
            let answers = all(true).hide(&conversations(), ALONE, &model(true), &mut random, true);
            assert_eq!(answers.seq, 16);
        }
        assert!(lengths.contains(&None) && lengths.len() > 3, "{lengths:?}");
        assert!(!lengths.contains(&Some(1)), "nothing of it could be hidden");
    }

    #[test]
    fn parts_of_a_batch_keep_what_is_hidden_and_a_seed_names_it() {
        let whole = hide(masking(true, LossWeight::InverseT, 0.2, 0.9), &conversations(), ALONE, true, 5);
        assert_eq!(
            whole,
            hide(masking(true, LossWeight::InverseT, 0.2, 0.9), &conversations(), ALONE, true, 5)
        );
        let parts = whole.split(2);
        let joined: Vec<u32> = parts.iter().flat_map(|part| part.inputs.clone()).collect();
        let counts: Vec<f32> = parts.iter().flat_map(|part| part.noised.clone().unwrap().counts).collect();
        assert_eq!((joined, counts), (whole.inputs.clone(), whole.noised.unwrap().counts));
    }
}
