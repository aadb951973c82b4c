//! Rotary position embedding, half-rotate layout (Su et al., 2021, <https://arxiv.org/abs/2104.09864>).
//!
//! Pairs are `(x_i, x_{i + hd/2})`, as in Hugging Face's Llama. Checkpoints with interleaved pairs
//! `(x_{2i}, x_{2i+1})` are permuted on import; both layouts then give the same logits.

use std::ops::Range;

use super::{ModelConfig, RopeScaling};
use crate::kernels::Angles;

/// Numbers that each of the two tables keeps: 131072 positions of the usual 64. A config may claim any length, and the
/// angles of what lies behind them are computed when they are asked for.
const MOST_KEPT: usize = 1 << 23;

/// Cosines and sines of the positions.
#[derive(Clone, Debug)]
pub struct Rope {
    /// From the first on; for texts no longer than those of pretraining, where the length matters.
    table: Angles,
    scaling: RopeScaling,
    head_dim: usize,
    theta: f64,
}

impl Rope {
    /// Tables for the positions of the model.
    pub fn new(config: &ModelConfig) -> Self {
        let (scaling, head_dim, theta) = (config.rope_scaling, config.head_dim, config.rope_theta);
        let len = config.max_position_embeddings;
        let kept = len.min(MOST_KEPT / (head_dim / 2).max(1));
        Self { table: table(&scaling, head_dim, theta, 0..kept, len), scaling, head_dim, theta }
    }

    /// The angles of `count` positions from `start` on, of a text of `len`, which matters where the scaling is dynamic.
    pub fn angles(&self, start: usize, count: usize, len: usize) -> Angles {
        let (end, half) = (start + count, self.head_dim / 2);
        let len = len.max(end);
        if len * half > self.table.cos().len() {
            return table(&self.scaling, self.head_dim, self.theta, start..end, len);
        }
        let part = |values: &[f32]| values[start * half..end * half].to_vec();
        Angles::new(part(self.table.cos()), part(self.table.sin()))
    }

    /// The same of rows that begin where their text has so many positions before, and have such a length: one for all
    /// where they are alike, else `[rows, count, hd/2]`.
    pub fn angles_of_rows(&self, rows: &[(usize, usize)], count: usize) -> Angles {
        if let Some(&(start, len)) = rows.first().filter(|first| rows.iter().all(|row| row == *first)) {
            return self.angles(start, count, len);
        }
        let rows: Vec<Angles> = rows.iter().map(|&(start, len)| self.angles(start, count, len)).collect();
        let all = |table: fn(&Angles) -> &[f32]| rows.iter().flat_map(|row| table(row).to_vec()).collect();
        Angles::new(all(Angles::cos), all(Angles::sin))
    }
}

/// The angles of some positions of a text of `len`.
fn table(scaling: &RopeScaling, head_dim: usize, theta: f64, positions: Range<usize>, len: usize) -> Angles {
    let (frequencies, factor) = scaling.frequencies(head_dim, theta, len);
    let table = |f: fn(f64) -> f64| {
        let row = |position: usize| frequencies.iter().map(move |w| (factor * f(position as f64 * w)) as f32);
        positions.clone().flat_map(row).collect()
    };
    Angles::new(table(libm::cos), table(libm::sin))
}

/// Row order that turns interleaved `[out, in]` query or key weights into the half-rotate layout:
/// per head, new row `j` is old row `2j` and new row `j + hd/2` is old row `2j + 1`.
pub fn interleaved_to_half(heads: usize, head_dim: usize) -> Vec<usize> {
    let row =
        |head: usize, j: usize| head * head_dim + if j < head_dim / 2 { 2 * j } else { 2 * j - head_dim + 1 };
    (0..heads * head_dim).map(|r| row(r / head_dim, r % head_dim)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::rotate;
    use crate::model::preset;
    use burn::tensor::{Device, Tensor, TensorData};

    #[test]
    fn position_zero_is_left_alone_and_lengths_are_kept() {
        let mut config = preset("nano").unwrap().config(None);
        (config.head_dim, config.max_position_embeddings, config.rope_theta) = (2, 4, 1e4);
        let angles = Rope::new(&config).angles(0, 2, 2);
        let x = TensorData::new(vec![3.0f32, 4.0, 3.0, 4.0], [1, 2, 1, 2]);
        let y = rotate(Tensor::<4>::from_data(x, &Device::flex()), &angles);
        let y: Vec<f32> = y.into_data().iter::<f32>().collect();
        // (3, 4) turned by one radian.
        let (c, s) = (1f32.cos(), 1f32.sin());
        for (found, expected) in y.iter().zip([3.0, 4.0, 3.0 * c - 4.0 * s, 4.0 * c + 3.0 * s]) {
            assert!((found - expected).abs() < 1e-6, "{y:?}");
        }
    }

    #[test]
    fn positions_behind_the_table_get_the_same_angles_and_a_claimed_length_costs_nothing() {
        let mut config = preset("nano").unwrap().config(None);
        (config.head_dim, config.max_position_embeddings) = (1 << 22, 1 << 24);
        let rope = Rope::new(&config);
        assert_eq!(rope.table.cos().len(), MOST_KEPT, "4 positions");
        let (kept, computed) = (rope.angles(3, 1, 4), rope.angles(3, 2, 5));
        assert!(kept.cos() == &computed.cos()[..1 << 21] && kept.sin() == &computed.sin()[..1 << 21]);
    }

    #[test]
    fn rows_alike_have_one_table_and_dynamic_angles_follow_the_text() {
        let mut config = preset("nano").unwrap().config(None);
        (config.head_dim, config.max_position_embeddings, config.rope_theta) = (4, 8, 1e4);
        config.rope_scaling = RopeScaling::Dynamic { factor: 2.0, original: 8 };
        let rope = Rope::new(&config);
        assert_eq!(rope.angles_of_rows(&[(2, 8), (2, 8)], 3).cos(), rope.angles(2, 3, 8).cos());
        let rows = rope.angles_of_rows(&[(2, 8), (2, 16)], 3);
        assert_eq!(rows.sin().len(), 2 * 3 * 2);
        // Twice the length: the base grows by (2·2 - 1)^(4/2) = 9, and the second frequency is a third.
        let (short, long) = (rope.angles(2, 1, 5).sin()[1], rope.angles(2, 1, 16).sin()[1]);
        assert!((short - 0.02f32.sin()).abs() < 1e-7 && (long - (0.02f32 / 3.0).sin()).abs() < 1e-7);
        assert_eq!([rows.sin()[1], rows.sin()[7]], [short, long]);
    }

    #[test]
    fn the_permutation_takes_even_rows_first() {
        assert_eq!(interleaved_to_half(2, 4), [0, 2, 1, 3, 4, 6, 5, 7]);
    }
}
