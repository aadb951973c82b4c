//! Batches that are given out more than once.

use serde::{Deserialize, Serialize};

use super::Batch;

/// The batches of an optimizer step, which several steps learn from. A run that is saved between two of them keeps them:
/// the model that wrote their answers is gone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reused {
    /// The step's batches; fewer than a step takes where the data ends.
    pub batches: Vec<Batch>,
    /// How often a batch was asked for since they were made.
    pub given: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Rollouts;
    use crate::random::Random;

    #[test]
    fn what_is_kept_comes_back_bit_for_bit() {
        let mut random = Random::new(3, 1);
        let mut values = |count: usize| -> Vec<f32> { (0..count).map(|_| -random.normal() as f32).collect() };
        let mut batch = Batch { group: 2, members: 2, own: true, ..Batch::new(3) };
        (0..2).for_each(|i| batch.push(&[i, 7, 9], &[0.0, 1.0, 1.0], &[1; 3]));
        batch.rollouts = Some(Rollouts {
            advantages: values(2),
            rewards: values(2),
            by_rule: vec![values(2), values(2)],
            old: values(6),
        });
        let reused = Reused { batches: vec![batch], given: 3 };
        let json = serde_json::to_string(&reused).unwrap();
        assert_eq!(serde_json::from_str::<Reused>(&json).unwrap(), reused);
    }
}
