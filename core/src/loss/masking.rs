//! Tokens hidden at random: the rows of a batch as a masked predictor learns from them (LLaDA: Nie et al., 2025,
//! <https://arxiv.org/abs/2502.09992>, and its GUIDELINES.md).
//!
//! A row draws a `t`, and each of its tokens that may be hidden is hidden with the probability `p` of that `t`. The `t` of
//! a batch lie evenly apart behind one random number (Kingma et al., 2021, <https://arxiv.org/abs/2107.00630>), so that its
//! loss varies less. Of a conversation one answer may be hidden, drawn where there are several, and what stands before it
//! is not: the row ends behind that answer, and end tokens fill it up to the longest row of its batch, which may be hidden
//! and count as the answer does.

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

/// A row before it is a batch's: tokens with how much each counts, 0 where it may not be hidden, and its text.
#[derive(Clone, Debug, Default)]
struct Row {
    ids: Vec<u32>,
    weights: Vec<f32>,
    segments: Vec<u32>,
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
        let mut rows: Vec<Row> = (0..batch.batch)
            .map(|row| self.whole(batch, row, shape.packed, diffusion.shift_logits))
            .collect();
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
        self.hidden(batch, &rows, seq, diffusion.mask_token_id, random)
    }

    /// A row's tokens: of rows that stand alone also the one that was a target only.
    fn whole(&self, batch: &Batch, row: usize, packed: bool, shifted: bool) -> Row {
        let places = row * batch.seq..(row + 1) * batch.seq;
        let segments = &batch.segments[places.clone()];
        let (ids, follows) = (&batch.inputs[places.clone()], &batch.weights[places.clone()]);
        let tokens = segments.iter().take_while(|segment| **segment != 0).count();
        let begins = |at: usize| at == 0 || segments[at] != segments[at - 1];
        let weight = |at: usize| match begins(at) {
            false => follows[at - 1],
            // Nothing says how much the first token of a text counts: as much as the second. A prompt counts nothing, and
            // where logits are shifted nothing predicts a first token.
            true if self.answers || shifted => 0.0,
            true => follows[at],
        };
        let mut whole = Row {
            ids: ids[..tokens].to_vec(),
            weights: (0..tokens).map(weight).collect(),
            segments: segments[..tokens].to_vec(),
        };
        if let Some(last) = tokens.checked_sub(1)
            && !packed
            && tokens == batch.seq
            && follows[last] != 0.0
        {
            whole.ids.push(batch.targets[places.start + last]);
            whole.weights.push(follows[last]);
            whole.segments.push(segments[last]);
        }
        whole
    }

    fn hidden(&self, batch: &Batch, rows: &[Row], seq: usize, mask: u32, random: &mut Random) -> Batch {
        let first = random.uniform();
        let mut probabilities = Vec::with_capacity(rows.len() * seq);
        let mut all =
            Batch { batch: batch.batch, origins: batch.origins.clone(), kept: batch.kept, ..Batch::new(seq) };
        let mut data = Vec::with_capacity(rows.len() * seq);
        for (i, row) in rows.iter().enumerate() {
            let t = (first + i as f64 / rows.len() as f64).fract();
            let p = self.settings.probability(t);
            for at in 0..seq {
                let weight = row.weights.get(at).copied().unwrap_or(0.0);
                let hides = weight != 0.0 && random.uniform() < p;
                let id = row.ids.get(at).copied().unwrap_or(0);
                all.inputs.push(if hides { mask } else { id });
                all.targets.push(id);
                all.segments.push(row.segments.get(at).copied().unwrap_or(0));
                all.weights.push(if hides { 1.0 } else { 0.0 });
                probabilities.push(if weight == 0.0 { 0.0 } else { p as f32 });
                data.push(weight);
            }
        }
        let clean = all.targets.clone();
        if self.settings.loss_weight == LossWeight::Uniform && all.targets_counted() == 0 {
            let maybe: Vec<usize> = (0..data.len()).filter(|&place| data[place] != 0.0).collect();
            if !maybe.is_empty() {
                let place = *random.choose(&maybe);
                (all.inputs[place], all.weights[place]) = (mask, 1.0);
            }
        }
        let counts = self.weigh(&mut all, &data, &probabilities);
        all.noised = Some(Noised { clean, probabilities, counts });
        all
    }

    /// Puts the weights of the hidden tokens in the place of 1, and gives what each row counts: divided by all counts
    /// together, the weighed losses are the mean.
    fn weigh(&self, batch: &mut Batch, data: &[f32], probabilities: &[f32]) -> Vec<f32> {
        let seq = batch.seq;
        let rows = batch.weights.chunks_mut(seq).zip(data.chunks(seq)).zip(probabilities.chunks(seq));
        let row = |((hidden, data), p): ((&mut [f32], &[f32]), &[f32])| {
            let may = data.iter().filter(|weight| **weight != 0.0).count().max(1) as f32;
            let whole: f32 = data.iter().sum();
            let (count, divisor): (f32, f32) = match (self.settings.loss_weight, self.answers) {
                // The mean over hidden tokens.
                (LossWeight::Uniform, _) => {
                    (hidden.iter().zip(data).map(|(hid, weight)| hid * weight).sum(), 1.0)
                }
                // Over all tokens of texts, hidden or not; of an answer first over its own and then over answers.
                (LossWeight::InverseT, false) => (whole, 1.0),
                (LossWeight::InverseT, true) => (whole / may, may),
            };
            for ((hidden, weight), p) in hidden.iter_mut().zip(data).zip(p) {
                if *hidden != 0.0 {
                    let odds = if self.settings.loss_weight == LossWeight::InverseT { *p } else { 1.0 };
                    *hidden = weight / (odds * divisor);
                }
            }
            count
        };
        rows.map(row).collect()
    }
}

impl Row {
    /// Ends the row behind one of its answers, drawn where there are several; those before it may not be hidden.
    fn keep_one_answer(&mut self, random: &mut Random) {
        let counts = |at: usize| self.weights[at] != 0.0;
        let starts: Vec<usize> =
            (0..self.weights.len()).filter(|&at| counts(at) && (at == 0 || !counts(at - 1))).collect();
        if starts.is_empty() {
            return;
        }
        let start = *random.choose(&starts);
        let end = (start..self.weights.len()).find(|&at| !counts(at)).unwrap_or(self.weights.len());
        self.ids.truncate(end);
        self.segments.truncate(end);
        self.weights.truncate(end);
        self.weights[..start].fill(0.0);
    }

    /// Fills the row with end tokens, which count as its last token does: that of the answer, where it ends with one.
    fn fill(&mut self, seq: usize, ends: &[u32]) {
        let (Some(&last), Some(&weight), Some(&segment)) =
            (self.ids.last(), self.weights.last(), self.segments.last())
        else {
            return;
        };
        let end = ends.iter().find(|end| **end == last).or(ends.first()).copied();
        if let Some(end) = end.filter(|_| weight != 0.0) {
            self.ids.resize(seq, end);
            self.weights.resize(seq, weight);
            self.segments.resize(seq, segment);
        }
    }
}
