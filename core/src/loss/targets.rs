//! The targets of a batch that count: where most of a row is no target, logits of the others are not needed.

use burn::tensor::Tensor;

use crate::batch::Batch;
use crate::kernels::{IGNORED, token_log_probs, weighted_sum};

/// The targets that count.
pub(super) struct Targets {
    /// Their places among the tokens of a batch.
    pub(super) places: Vec<u32>,
    pub(super) ids: Vec<u32>,
    pub(super) weights: Vec<f32>,
}

impl Targets {
    /// Those of a batch; where there is none, one that counts nothing, so that there is a loss.
    pub(super) fn of(batch: &Batch) -> Self {
        let counted = |&(_, &weight): &(usize, &f32)| weight != 0.0;
        let places: Vec<usize> =
            batch.weights.iter().enumerate().filter(counted).map(|(place, _)| place).collect();
        if places.is_empty() {
            return Self::none();
        }
        Self {
            ids: places.iter().map(|&place| batch.targets[place]).collect(),
            weights: places.iter().map(|&place| batch.weights[place]).collect(),
            places: places.into_iter().map(|place| place as u32).collect(),
        }
    }

    /// One that counts nothing.
    pub(super) fn none() -> Self {
        Self { places: vec![0], ids: vec![IGNORED], weights: vec![0.0] }
    }

    /// Their log-probabilities: `[n, vocab]` → `[n]`.
    pub(super) fn log_probs(&self, logits: Tensor<2>) -> Tensor<1> {
        let [n, vocab] = logits.dims();
        token_log_probs(logits.reshape([1, n, vocab]), &self.ids).reshape([n])
    }

    /// Values a target, weighed and added, `[1]`.
    pub(super) fn sum(&self, values: Tensor<1>) -> Tensor<1> {
        weighted_sum(values.reshape([1, self.weights.len()]), &self.weights)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    #[test]
    fn those_that_count_are_found_by_their_places() {
        let mut batch = Batch::new(3);
        batch.push(&[1, 2, 3, 4], &[0.0, 0.0, 0.5, 1.0], &[1; 4]);
        batch.push(&[5, 6], &[0.0, 2.0], &[1; 2]);
        let targets = Targets::of(&batch);
        let found = (targets.places.as_slice(), targets.ids.as_slice(), targets.weights.as_slice());
        assert_eq!(found, (&[1, 2, 3][..], &[3, 4, 6][..], &[0.5, 1.0, 2.0][..]));
        let values = Tensor::from_data(TensorData::new(vec![2.0f32, 3.0, 5.0], [3]), &Device::flex());
        assert_eq!(targets.sum(values).into_scalar::<f32>(), 14.0);
        let none = Targets::of(&Batch { weights: vec![0.0; 6], ..batch });
        assert_eq!((none.places, none.ids, none.weights), (vec![0], vec![IGNORED], vec![0.0]));
    }
}
