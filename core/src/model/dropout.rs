//! Inverted dropout (Srivastava et al., 2014, <https://jmlr.org/papers/v15/srivastava14a.html>): while a model trains a
//! share of some values is zero and the others are that much larger, so that without it nothing has to change.

use burn::tensor::{Tensor, TensorData};

use crate::kernels::{for_each_chunk, in_dtype};
use crate::random::Random;

/// Names the random numbers of one layer in one step; a row's do not depend on how the batch is divided.
#[derive(Clone, Copy, Debug)]
pub(super) struct DropoutKey {
    seed: u64,
    stream: u64,
}

impl DropoutKey {
    /// `seed` belongs to the step, `first_row` is the batch's place among the step's rows.
    pub(super) fn new(seed: u64, layer: u64, first_row: usize) -> Self {
        Self { seed, stream: (layer << 32) + first_row as u64 }
    }

    /// `x`, whose values stand row by row for each of `rows` sequences, with a share of them dropped.
    pub(super) fn drop<const D: usize>(self, x: Tensor<D>, share: f64, rows: usize) -> Tensor<D> {
        let dims = x.dims();
        let kept = self.kept(share, rows, dims.iter().product());
        let kept = Tensor::from_data(TensorData::new(kept, dims), &x.device());
        let dtype = x.dtype();
        x * in_dtype(kept, dtype)
    }

    /// For each value 0 where it is dropped, else `1 / (1 − share)`.
    fn kept(self, share: f64, rows: usize, count: usize) -> Vec<f32> {
        let limit = (share * f64::from(u32::MAX)) as u32;
        let scale = (1.0 / (1.0 - share)) as f32;
        self.draw(rows, count, |random| if random.next_u32() < limit { 0.0 } else { scale })
    }

    /// `count` numbers, row by row for each of `rows` sequences.
    pub(super) fn draw(
        self,
        rows: usize,
        count: usize,
        number: impl Fn(&mut Random) -> f32 + Sync,
    ) -> Vec<f32> {
        let mut values = vec![0.0; count];
        for_each_chunk(&mut values, (count / rows.max(1)).max(1), |row, values| {
            let mut random = Random::new(self.seed, self.stream.wrapping_add(row as u64));
            values.iter_mut().for_each(|value| *value = number(&mut random));
        });
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropout_keeps_the_mean_and_does_not_depend_on_how_rows_are_divided() {
        let key = |first_row: usize| DropoutKey::new(3, 7, first_row);
        let all = key(0).kept(0.25, 4, 4 * 8 * 64);
        let dropped = all.iter().filter(|&&value| value == 0.0).count() as f64 / all.len() as f64;
        assert!((dropped - 0.25).abs() < 0.03, "{dropped}");
        assert!(all.iter().all(|&value| value == 0.0 || (value - 4.0 / 3.0).abs() < 1e-6));
        let halves = [key(0).kept(0.25, 2, 2 * 8 * 64), key(2).kept(0.25, 2, 2 * 8 * 64)].concat();
        assert_eq!(all, halves);
    }
}
