//! What is known of rows some of whose tokens are hidden.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Of a batch that a masked predictor learns from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Noised {
    /// The tokens before any was hidden, `batch · seq`.
    pub clean: Vec<u32>,
    /// The probability with which each token was hidden, `batch · seq`; 0 where none may be.
    pub probabilities: Vec<f32>,
    /// What each row counts in the mean of the step's loss, `batch`.
    pub counts: Vec<f32>,
}

impl Noised {
    /// That of some of the rows, which have `seq` tokens each.
    pub(super) fn of_rows(&self, rows: Range<usize>, seq: usize) -> Self {
        let tokens = rows.start * seq..rows.end * seq;
        Self {
            clean: self.clean[tokens.clone()].to_vec(),
            probabilities: self.probabilities[tokens].to_vec(),
            counts: self.counts[rows].to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Batch;

    #[test]
    fn the_parts_of_a_batch_keep_what_is_known_of_their_rows() {
        let mut batch = Batch::new(2);
        (0..3).for_each(|i| batch.push(&[i, i, i], &[1.0; 3], &[1; 3]));
        batch.noised = Some(Noised {
            clean: (0..6).collect(),
            probabilities: (0..6).map(|i| 0.1 * i as f32).collect(),
            counts: vec![1.0, 2.0, 3.0],
        });
        let parts = batch.split(2);
        let last = Noised { clean: vec![4, 5], probabilities: vec![0.4, 0.5], counts: vec![3.0] };
        assert_eq!(parts[1].noised, Some(last));
    }
}
