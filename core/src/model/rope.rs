//! Rotary position embedding, half-rotate layout (Su et al., 2021, <https://arxiv.org/abs/2104.09864>).
//!
//! Pairs are `(x_i, x_{i + hd/2})`, as in Hugging Face's Llama. Checkpoints with interleaved pairs
//! `(x_{2i}, x_{2i+1})` are permuted on import; both layouts then give the same logits.

use burn::tensor::{Device, Tensor, TensorData};

use super::ModelConfig;

/// Cosines and sines of every position.
#[derive(Clone, Debug)]
pub struct Rope {
    /// `[1, positions, 1, hd/2]`.
    cos: Tensor<4>,
    sin: Tensor<4>,
}

/// Angular frequencies `1 / θ^(2i/hd)`, for `i` in `0..hd/2`.
pub fn frequencies(head_dim: usize, theta: f64) -> Vec<f64> {
    (0..head_dim / 2)
        .map(|i| libm::pow(theta, -2.0 * i as f64 / head_dim as f64))
        .collect()
}

impl Rope {
    /// Tables for all positions of the model, on `device` (without autodiff: they are constants).
    pub fn new(config: &ModelConfig, device: &Device) -> Self {
        let frequencies = frequencies(config.head_dim, config.rope_theta);
        let positions = config.max_position_embeddings;
        let table = |f: fn(f64) -> f64| {
            let values: Vec<f32> = (0..positions)
                .flat_map(|position| frequencies.iter().map(move |w| f(position as f64 * w) as f32))
                .collect();
            Tensor::from_data(
                TensorData::new(values, [1, positions, 1, config.head_dim / 2]),
                device,
            )
        };
        Self {
            cos: table(libm::cos),
            sin: table(libm::sin),
        }
    }

    /// Turns each head's pairs by their position's angle.
    ///
    /// # Shapes
    /// `x [batch, seq, heads, hd]` → the same; the first row stands at position `start`.
    pub fn rotate(&self, x: Tensor<4>, start: usize) -> Tensor<4> {
        let [_, seq, _, head_dim] = x.dims();
        let half = head_dim / 2;
        let part = |table: &Tensor<4>| {
            let table = table.clone().narrow(1, start, seq).cast(x.dtype());
            if x.device().is_autodiff() {
                Tensor::from_inner(table)
            } else {
                table
            }
        };
        let (cos, sin) = (part(&self.cos), part(&self.sin));
        let (x1, x2) = (x.clone().narrow(3, 0, half), x.narrow(3, half, half));
        let y1 = x1.clone() * cos.clone() - x2.clone() * sin.clone();
        let y2 = x2 * cos + x1 * sin;
        Tensor::cat(vec![y1, y2], 3)
    }
}

/// Row order that turns interleaved `[out, in]` query or key weights into the half-rotate layout:
/// per head, new row `j` is old row `2j` and new row `j + hd/2` is old row `2j + 1`.
pub fn interleaved_to_half(heads: usize, head_dim: usize) -> Vec<usize> {
    let row = |head: usize, j: usize| {
        head * head_dim
            + if j < head_dim / 2 {
                2 * j
            } else {
                2 * j - head_dim + 1
            }
    };
    (0..heads * head_dim)
        .map(|r| row(r / head_dim, r % head_dim))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::preset;

    #[test]
    fn frequencies_of_head_dim_64_and_theta_1e6() {
        let found = frequencies(64, 1e6);
        for (found, expected) in found.iter().zip([1.0, 0.649_381_63, 0.421_696_50, 0.273_841_96]) {
            assert!((found - expected).abs() < 1e-8, "{found} {expected}");
        }
    }

    #[test]
    fn position_zero_is_left_alone_and_lengths_are_kept() {
        let mut config = preset("nano").unwrap().config(None);
        (config.head_dim, config.max_position_embeddings, config.rope_theta) = (2, 4, 1e4);
        let rope = Rope::new(&config, &Device::flex());
        let x = Tensor::<4>::from_data(
            TensorData::new(vec![3.0f32, 4.0, 3.0, 4.0], [1, 2, 1, 2]),
            &Device::flex(),
        );
        let y: Vec<f32> = rope.rotate(x, 0).into_data().try_to_vec().unwrap();
        // (3, 4) turned by one radian.
        let (c, s) = (1f32.cos(), 1f32.sin());
        for (found, expected) in y.iter().zip([3.0, 4.0, 3.0 * c - 4.0 * s, 4.0 * c + 3.0 * s]) {
            assert!((found - expected).abs() < 1e-6, "{y:?}");
        }
    }

    #[test]
    fn the_permutation_takes_even_rows_first() {
        assert_eq!(interleaved_to_half(2, 4), [0, 2, 1, 3, 4, 6, 5, 7]);
    }
}
