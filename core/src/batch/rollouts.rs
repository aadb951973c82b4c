//! What is known of answers that the model wrote itself and that rules reward.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Of a batch of which every row is a prompt with an answer of the model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rollouts {
    /// By how much each row's answer is better than the others to its prompt; empty where answers are only measured.
    pub advantages: Vec<f32>,
    /// What the rules say of each row's answer, weighed and added.
    pub rewards: Vec<f32>,
    /// What each rule says of each row's answer, without its weight; the rules in the order of the settings.
    pub by_rule: Vec<Vec<f32>>,
    /// The log-probability of every target under the model that wrote it, in nats, `batch · seq` values of which those
    /// count whose targets do; empty where that model is the one that learns.
    pub old: Vec<f32>,
}

impl Rollouts {
    /// Those of some of the rows, which have `seq` tokens each.
    pub(super) fn of_rows(&self, rows: Range<usize>, seq: usize) -> Self {
        let part =
            |values: &[f32], range: Range<usize>| values.get(range).map(<[f32]>::to_vec).unwrap_or_default();
        Self {
            advantages: part(&self.advantages, rows.clone()),
            rewards: part(&self.rewards, rows.clone()),
            by_rule: self.by_rule.iter().map(|values| part(values, rows.clone())).collect(),
            old: part(&self.old, rows.start * seq..rows.end * seq),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Batch;

    #[test]
    fn the_parts_of_a_batch_keep_what_is_known_of_their_rows() {
        let mut batch = Batch { group: 2, members: 2, ..Batch::new(2) };
        (0..4).for_each(|i| batch.push(&[i, i, i], &[1.0; 3], &[1; 3]));
        batch.rollouts = Some(Rollouts {
            advantages: vec![1.0, -1.0, 0.5, -0.5],
            rewards: vec![2.0, 0.0, 1.0, 0.0],
            by_rule: vec![vec![1.0, 0.0, 1.0, 0.0], vec![0.5, 0.5, 0.25, 0.0]],
            old: (0..8).map(|i| -0.1 * i as f32).collect(),
        });
        let parts = batch.split(4);
        assert_eq!(parts.len(), 2, "groups stay together");
        let second = Rollouts {
            advantages: vec![0.5, -0.5],
            rewards: vec![1.0, 0.0],
            by_rule: vec![vec![1.0, 0.0], vec![0.25, 0.0]],
            old: (4..8).map(|i| -0.1 * i as f32).collect(),
        };
        assert_eq!(parts[1].rollouts, Some(second));
        let measured = Rollouts { rewards: vec![1.0; 4], ..Rollouts::default() };
        let part = Batch { rollouts: Some(measured), ..batch }.split(2).remove(1);
        assert_eq!(part.rollouts, Some(Rollouts { rewards: vec![1.0; 2], ..Rollouts::default() }));
    }
}
