//! What training does at random to a pass forward: NEFTune (Jain et al., 2023, <https://arxiv.org/abs/2310.05914>) on the
//! embeddings, and dropout.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};

use super::dropout::DropoutKey;
use crate::kernels::in_dtype;

/// The noise of an optimizer step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Noise {
    /// Names the numbers; it belongs to the step.
    pub seed: u64,
    /// The share that dropout drops, where it is another than the model's own.
    pub dropout: Option<f64>,
    /// NEFTune's α; 0 adds nothing.
    pub neftune: f64,
}

/// What is drawn for the embeddings of a part of a step.
#[derive(Clone, Debug, Default)]
pub(super) struct EmbeddingNoise {
    pub(super) neftune: Option<Neftune>,
    /// Which values are dropped, and what share.
    pub(super) dropped: Option<(DropoutKey, f64)>,
}

impl EmbeddingNoise {
    /// First the noise and then dropout, as in transformers.
    ///
    /// # Shapes
    /// `x [batch, seq, hidden]` → the same.
    pub(super) fn apply(&self, x: Tensor<3>) -> Tensor<3> {
        let x = match &self.neftune {
            Some(neftune) => neftune.add(x),
            None => x,
        };
        match self.dropped {
            Some((key, share)) => {
                let rows = x.dims()[0];
                key.drop(x, share, rows)
            }
            None => x,
        }
    }
}

/// Uniform noise in `±α / √(L · d)` on each of the `d` values of a token, where `L` are the tokens of its example: padding
/// does not count and gets none, as in the paper's own program (trl takes the length of the padded batch, so that there
/// the noise of a row depends on the rows beside it). Examples in a packed row have their own lengths.
#[derive(Clone, Debug)]
pub(super) struct Neftune {
    alpha: f64,
    key: DropoutKey,
    /// `L` at each place of the batch, 0 for padding.
    lengths: Arc<[u32]>,
}

impl Neftune {
    /// `lengths` are `L` at each place, `[batch · seq]`.
    pub(super) fn new(alpha: f64, key: DropoutKey, lengths: Vec<u32>) -> Self {
        Self { alpha, key, lengths: lengths.into() }
    }

    fn add(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, seq, hidden] = x.dims();
        let mut noise =
            self.key.draw(batch, batch * seq * hidden, |random| (2.0 * random.uniform() - 1.0) as f32);
        // A row may stand in the batch twice, noised and clean.
        let of_row = (self.lengths.len() / batch.max(1)).max(1);
        for (i, values) in noise.chunks_mut(hidden).enumerate() {
            let place = i / seq * of_row + i % seq % of_row;
            let largest = match self.lengths.get(place).copied().unwrap_or(0) {
                0 => 0.0,
                length => (self.alpha / (f64::from(length) * hidden as f64).sqrt()) as f32,
            };
            values.iter_mut().for_each(|value| *value *= largest);
        }
        let noise = Tensor::from_data(TensorData::new(noise, [batch, seq, hidden]), &x.device());
        let dtype = x.dtype();
        x + in_dtype(noise, dtype)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use burn::tensor::Device;

    fn noise(lengths: &[u32], batch: usize, first_row: usize) -> Vec<f32> {
        let key = DropoutKey::new(7, 3, first_row);
        let neftune = Some(Neftune::new(6.0, key, lengths.to_vec()));
        let noise = EmbeddingNoise { neftune, dropped: None };
        let x = Tensor::<3>::ones([batch, lengths.len() / batch, 4], &Device::flex());
        noise.apply(x).into_data().iter::<f32>().map(|value| value - 1.0).collect()
    }

    #[test]
    fn the_noise_of_each_token_by_hand() {
        // 6 / √(1 · 4) = 3 for the example of one token, 6 / √(9 · 4) = 1 for a token of nine; none for padding.
        let found = noise(&[1, 9, 0], 1, 0);
        let mut random = Random::new(7, 3 << 32);
        for (place, value) in found.iter().enumerate() {
            let largest = [3.0, 1.0, 0.0][place / 4];
            let expected = (2.0 * random.uniform() - 1.0) as f32 * largest;
            assert!((value - expected).abs() < 1e-6, "{place}: {value} {expected}");
        }
        assert!(found[..4].iter().any(|value| value.abs() > 1.0), "{found:?}");
    }

    #[test]
    fn a_row_that_stands_there_twice_has_its_lengths_twice() {
        let neftune = Some(Neftune::new(6.0, DropoutKey::new(7, 3, 0), vec![1, 0, 9, 9]));
        let noise = EmbeddingNoise { neftune, dropped: None };
        let x = Tensor::<3>::zeros([2, 4, 1], &Device::flex());
        let found: Vec<f32> = noise.apply(x).into_data().iter::<f32>().collect();
        let silent: Vec<usize> = (0..8).filter(|&i| found[i] == 0.0).collect();
        assert_eq!(silent, [1, 3], "padding of both copies of the first row");
    }

    #[test]
    fn a_row_gets_its_noise_whatever_stands_beside_and_behind_it() {
        let both = noise(&[2, 2, 0, 3, 3, 3], 2, 4);
        assert_eq!(noise(&[2, 2], 1, 4), both[..8]);
        assert_eq!(noise(&[3, 3, 3], 1, 5), both[12..]);
    }

    #[test]
    fn the_mean_is_0_and_the_square_that_of_a_uniform_number() {
        let found = noise(&vec![4; 4096], 2, 0);
        let mean = |values: &mut dyn Iterator<Item = f32>| values.sum::<f32>() / found.len() as f32;
        assert!(mean(&mut found.iter().copied()).abs() < 0.03);
        // (6 / 4)² / 3
        assert!((mean(&mut found.iter().map(|value| value * value)) - 0.75).abs() < 0.02);
    }
}
