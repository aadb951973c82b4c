//! The rows of a batch of next-token prediction as a masked predictor reads them: with every token, and with how much each
//! counts itself.

use crate::batch::Batch;
use crate::random::Random;

/// A row before it is a batch's: tokens with how much each counts, 0 where it may not be hidden, and its text.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) ids: Vec<u32>,
    weights: Vec<f32>,
    segments: Vec<u32>,
}

impl Row {
    /// A row's tokens: of rows that stand alone also the one that was a target only.
    pub(super) fn whole(batch: &Batch, row: usize, (packed, answers, shifted): (bool, bool, bool)) -> Self {
        let places = row * batch.seq..(row + 1) * batch.seq;
        let segments = &batch.segments[places.clone()];
        let (ids, follows) = (&batch.inputs[places.clone()], &batch.weights[places.clone()]);
        let tokens = segments.iter().take_while(|segment| **segment != 0).count();
        let begins = |at: usize| at == 0 || segments[at] != segments[at - 1];
        let weight = |at: usize| match begins(at) {
            false => follows[at - 1],
            // Nothing says how much the first token of a text counts: as much as the second. A prompt counts nothing, and
            // where logits are shifted nothing predicts a first token.
            true if answers || shifted => 0.0,
            true => follows[at],
        };
        let mut whole = Self {
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

    /// Ends the row behind one of its answers, drawn where there are several; those before it may not be hidden.
    pub(super) fn keep_one_answer(&mut self, random: &mut Random) {
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
    pub(super) fn fill(&mut self, seq: usize, ends: &[u32]) {
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

/// The rows as a batch whose weights say how much each token itself counts.
pub(super) fn placed(batch: &Batch, rows: &[Row], seq: usize) -> Batch {
    let (origins, kept) = (batch.origins.clone(), batch.kept);
    let mut placed = Batch { batch: rows.len(), origins, kept, ..Batch::new(seq) };
    for row in rows {
        for at in 0..seq {
            placed.inputs.push(row.ids.get(at).copied().unwrap_or(0));
            placed.weights.push(row.weights.get(at).copied().unwrap_or(0.0));
            placed.segments.push(row.segments.get(at).copied().unwrap_or(0));
        }
    }
    placed
}
