//! DoRA (Liu et al., 2024, <https://arxiv.org/abs/2402.09353>): an adapter that also learns how long the weights of each
//! output are, as PEFT has it.

use super::Adapter;
use super::names::magnitude_path;
use super::whole::Pair;
use crate::error::Result;
use crate::model::{NamedTensor, Transformer};

impl Adapter {
    /// With magnitudes that leave the base as it is: the lengths of its rows.
    pub(super) async fn with_magnitudes(mut self, base: &Transformer) -> Result<Self> {
        let mut magnitudes = Vec::new();
        for (layer, weight) in self.adapted_weights(base).await? {
            let inputs = weight.shape.last().copied().unwrap_or_default().max(1);
            let values: Vec<f32> = weight.values.chunks_exact(inputs).map(|row| length(row) as f32).collect();
            magnitudes.push(NamedTensor { name: magnitude_path(&layer), shape: vec![values.len()], values });
        }
        self.weights.extend(magnitudes);
        Ok(self)
    }
}

/// Puts `m/‖W + s·B·A‖ · (W + s·B·A)` in the place of weights `W [out, in]`, or of another strength than 1 so much of the way
/// there.
pub(super) fn merge(base: &mut [f32], pair: &Pair, magnitude: &NamedTensor, strength: f64) {
    let (inputs, rank) = (pair.a.shape[1].max(1), pair.rank);
    let rows = base.chunks_exact_mut(inputs).zip(pair.b.values.chunks_exact(rank));
    for ((row, factors), &magnitude) in rows.zip(&magnitude.values) {
        let mut changed: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
        for (&factor, a) in factors.iter().zip(pair.a.values.chunks_exact(inputs)) {
            let factor = f64::from(factor) * pair.scale;
            changed.iter_mut().zip(a).for_each(|(x, &a)| *x += factor * f64::from(a));
        }
        let norm = changed.iter().map(|x| x * x).sum::<f64>().sqrt().max(SHORTEST);
        let scale = f64::from(magnitude) / norm;
        for (x, changed) in row.iter_mut().zip(changed) {
            *x = (f64::from(*x) * (1.0 - strength) + changed * scale * strength) as f32;
        }
    }
}

/// As in the forward pass: the length of weights that are all zero.
const SHORTEST: f64 = 1e-12;

fn length(row: &[f32]) -> f64 {
    row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[usize], values: &[f32]) -> NamedTensor {
        NamedTensor { name: String::new(), shape: shape.to_vec(), values: values.to_vec() }
    }

    #[test]
    fn merged_rows_by_hand() {
        // W + 2·B·A = [[3, 4], [1, 2]], of the lengths 5 and √5; magnitudes of 10 and √5 double the first row.
        let (a, b) = (tensor(&[1, 2], &[0.0, 1.0]), tensor(&[2, 1], &[1.5, 1.0]));
        let magnitude = tensor(&[2], &[10.0, 5.0f32.sqrt()]);
        let pair = Pair { a: &a, b: &b, magnitude: Some(&magnitude), rank: 1, scale: 2.0 };
        let base = [3.0, 1.0, 1.0, 0.0];
        let merged = |strength: f64| {
            let mut weights = base.to_vec();
            merge(&mut weights, &pair, &magnitude, strength);
            weights
        };
        for (strength, expected) in [(1.0, [6.0, 8.0, 1.0, 2.0]), (0.5, [4.5, 4.5, 1.0, 1.0]), (0.0, base)] {
            for (found, expected) in merged(strength).iter().zip(expected) {
                assert!((found - expected).abs() < 1e-6, "{strength}: {found} {expected}");
            }
        }
        // Rows without a length stay without one.
        let (a, b) = (tensor(&[1, 2], &[0.0, 0.0]), tensor(&[1, 1], &[0.0]));
        let mut zeros = [0.0, 0.0];
        let pair = Pair { a: &a, b: &b, magnitude: None, rank: 1, scale: 1.0 };
        merge(&mut zeros, &pair, &tensor(&[1], &[0.0]), 1.0);
        assert_eq!(zeros, [0.0, 0.0]);
    }
}
