//! Muon (Jordan et al., 2024, <https://kellerjordan.github.io/posts/muon/>): the momentum of a matrix with its singular
//! values brought near 1, scaled so that AdamW's learning rate and weight decay hold (Liu et al., 2025, Moonlight,
//! <https://arxiv.org/abs/2502.16982>).

use burn::tensor::Tensor;

/// Decay of the momentum.
const MOMENTUM: f64 = 0.95;
/// Steps of the Newton–Schulz iteration, and its published coefficients: steep at 0, so that small singular values grow
/// fast, and between 0.7 and 1.2 in the end.
const STEPS: usize = 5;
const COEFFICIENTS: (f64, f64, f64) = (3.4445, -4.7750, 2.0315);
/// Keeps a gradient of zeros from being divided by its norm.
const EPS: f64 = 1e-7;
/// The root mean square of an update of AdamW, which this one gets by Moonlight's factor.
const ADAMW_RMS: f64 = 0.2;

/// The momentum after a gradient, `m ← 0.95m + 0.05g`, and the step's direction: Nesterov's `0.95m + 0.05g` of the new
/// momentum, with singular values near 1, times `0.2 √max(rows, columns)`.
///
/// # Shapes
/// All `[rows, columns]`; the result does not depend on which of the two is which.
pub(super) fn direction(momentum: Option<Tensor<2>>, grad: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let own = grad * (1.0 - MOMENTUM);
    let momentum = match momentum {
        Some(momentum) => momentum * MOMENTUM + own.clone(),
        None => own.clone(),
    };
    let [rows, columns] = momentum.dims();
    let scale = ADAMW_RMS * libm::sqrt(rows.max(columns) as f64);
    let direction = orthogonalized(momentum.clone() * MOMENTUM + own) * scale;
    (momentum, direction)
}

/// A matrix of the same singular vectors whose singular values are near 1, by the products of matrices alone.
fn orthogonalized(matrix: Tensor<2>) -> Tensor<2> {
    let (a, b, c) = COEFFICIENTS;
    let [rows, columns] = matrix.dims();
    // The smaller of the two products.
    let wide = rows <= columns;
    let matrix = if wide { matrix } else { matrix.transpose() };
    let norm: Tensor<2> = matrix.clone().square().sum().sqrt().reshape([1, 1]);
    let mut x = matrix / (norm + EPS);
    for _ in 0..STEPS {
        let gram = x.clone().matmul(x.clone().transpose());
        let cubic = gram.clone() * b + gram.clone().matmul(gram) * c;
        x = x.clone() * a + cubic.matmul(x);
    }
    if wide { x } else { x.transpose() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    fn matrix(values: &[f32], shape: [usize; 2]) -> Tensor<2> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), &Device::flex())
    }

    fn values(matrix: Tensor<2>) -> Vec<f32> {
        matrix.into_data().iter::<f32>().collect()
    }

    fn close(found: &[f32], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    #[test]
    fn a_diagonal_goes_through_the_polynomial_value_by_value() {
        // Singular values 3/5 and 4/5, each through 3.4445s − 4.775s³ + 2.0315s⁵ five times.
        let through = |s: f64| (0..5).fold(s, |s, _| 3.4445 * s - 4.775 * s.powi(3) + 2.0315 * s.powi(5));
        let found = values(orthogonalized(matrix(&[3.0, 0.0, 0.0, 0.0, -4.0, 0.0], [2, 3])));
        close(&found, &[through(0.6), 0.0, 0.0, 0.0, -through(0.8), 0.0]);
        assert!((0.65..1.25).contains(&through(0.6)) && (0.65..1.25).contains(&through(0.8)));
    }

    #[test]
    fn momentum_and_direction_by_hand() {
        // One value: its singular value is 1, its sign the direction's.
        let polynomial = |s: f64| 3.4445 * s - 4.775 * s.powi(3) + 2.0315 * s.powi(5);
        let one = (0..5).fold(1.0, |s, _| polynomial(s));
        let (momentum, first) = direction(None, matrix(&[2.0], [1, 1]));
        close(&values(momentum.clone()), &[0.1]);
        close(&values(first), &[0.2 * one]);
        // 0.95 · 0.1 − 0.05 · 1.9 = 0, so Nesterov's look ahead decides.
        let (momentum, second) = direction(Some(momentum), matrix(&[-1.9], [1, 1]));
        close(&values(momentum), &[0.0]);
        close(&values(second), &[-0.2 * one]);
        let (_, wide) = direction(None, matrix(&[1.0, 0.0, 0.0, 0.0], [1, 4]));
        close(&values(wide), &[0.4 * one, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_matrix_and_its_transpose_have_one_result_and_zeros_give_zeros() {
        let numbers: Vec<f32> = (0..12).map(|i| ((i * 37 % 11) as f32 - 5.0) / 3.0).collect();
        let wide = values(orthogonalized(matrix(&numbers, [3, 4])).transpose());
        let tall = values(orthogonalized(matrix(&numbers, [3, 4]).transpose()));
        assert!(wide.iter().zip(&tall).all(|(a, b)| (a - b).abs() < 1e-5), "{wide:?} {tall:?}");
        assert_eq!(values(direction(None, matrix(&[0.0; 4], [2, 2])).1), [0.0; 4]);
    }
}
