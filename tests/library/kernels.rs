//! Operations on slices against the same formulas out of burn's operations: values and gradients.
//!
//! The slice code takes f32 on the processor only; f64 there goes the way that graphics devices go.

use burn::tensor::{DType, Device, Tensor, TensorData};
use kindling::kernels::{
    Angles, AttentionMask, IGNORED, masked_softmax, rms_norm, rotate, swiglu, take_rows, token_log_probs,
    weigh_rows, weighted_sum,
};
use kindling::loss::cross_entropy;

use crate::tiny::{largest_difference, values};

fn device() -> Device {
    Device::flex().autodiff()
}

/// Numbers that look random and are the same everywhere.
fn numbers<const D: usize>(shape: [usize; D], seed: usize, dtype: DType) -> Tensor<D> {
    let count: usize = shape.iter().product();
    let values: Vec<f32> =
        (0..count).map(|i| ((i * 37 + seed * 101 + i * i % 13) % 97) as f32 / 24.0 - 2.0).collect();
    Tensor::<D>::from_data(TensorData::new(values, shape), &device()).cast(dtype).require_grad()
}

/// Value and gradients of `f` in both types, compared. The output is weighted, so that no gradient is even.
fn compare<const A: usize, const B: usize, const D: usize>(
    shapes: ([usize; A], [usize; B]),
    f: impl Fn(Tensor<A>, Tensor<B>) -> Tensor<D>,
) {
    let run = |dtype: DType| {
        let (a, b) = (numbers(shapes.0, 1, dtype), numbers(shapes.1, 2, dtype));
        let y = f(a.clone(), b.clone());
        let weights = numbers(y.dims(), 3, dtype).detach();
        let grads = (y.clone() * weights).sum().backward();
        let of = |grad: Option<Vec<f32>>| grad.unwrap_or_default();
        [values(y), of(a.grad(&grads).map(values)), of(b.grad(&grads).map(values))]
    };
    let (slices, formulas) = (run(DType::F32), run(DType::F64));
    for (fast, slow) in slices.iter().zip(&formulas) {
        let scale = slow.iter().fold(1f32, |largest, x| largest.max(x.abs()));
        let difference = largest_difference(fast, slow);
        assert!(difference < 1e-5 * scale, "{difference} of {scale}");
    }
}

#[test]
fn rms_norm_equals_its_formula() {
    compare(([3, 5, 40], [40]), |x, weight| rms_norm(x, weight, 1e-5));
    compare(([300, 7], [7]), |x, weight| rms_norm(x, weight, 1e-5));
}

#[test]
fn swiglu_equals_its_formula() {
    compare(([2, 3, 100], [2, 3, 100]), swiglu);
    compare(([1, 1, 7], [1, 1, 7]), swiglu);
}

#[test]
fn masked_softmax_equals_its_formula() {
    let masks = [
        (AttentionMask::bidirectional(), [2, 3, 5, 5]),
        (AttentionMask::causal(5, 0), [2, 3, 5, 5]),
        (AttentionMask::causal(3, 20), [1, 2, 3, 23]),
        (AttentionMask::segments(&[1, 1, 2, 2, 2, 1, 1, 1, 0, 0], 5, true), [2, 3, 5, 5]),
        (AttentionMask::segments(&[1, 1, 2, 2, 2, 1, 1, 1, 0, 0], 5, false), [2, 3, 5, 5]),
        (AttentionMask::two_runs(vec![[(0, 1), (1, 5)], [(0, 2), (4, 5)], [(3, 5), (5, 5)]]), [2, 2, 3, 5]),
    ];
    for (mask, shape) in masks {
        compare((shape, [1]), |scores: Tensor<4>, _: Tensor<1>| masked_softmax(scores, 0.4, &mask));
    }
}

#[test]
fn rotation_equals_its_formula() {
    let angles = |count: usize, f: fn(f32) -> f32| (0..count).map(|i| f(i as f32 * 0.7)).collect();
    // The same angles for both batch rows, and angles of their own.
    for count in [5 * 4, 2 * 5 * 4] {
        let angles = Angles::new(angles(count, f32::cos), angles(count, f32::sin));
        compare(([2, 5, 3, 8], [1]), |x, _: Tensor<1>| rotate(x, &angles));
    }
}

#[test]
fn cross_entropy_equals_its_formula() {
    let targets: Vec<u32> = (0..6).map(|i| (i * 5) % 11).collect();
    let weights = [1.0, 0.0, 0.25, 1.0, 0.0, 2.0];
    compare(([2, 3, 11], [1]), |logits, _: Tensor<1>| cross_entropy(logits, &targets, &weights));
    compare(([2, 3], [1]), |x, _: Tensor<1>| weighted_sum(x, &weights));
}

#[test]
fn log_probabilities_equal_their_formula() {
    let targets = [3, IGNORED, 0, 10, 7, IGNORED];
    compare(([2, 3, 11], [1]), |logits, _: Tensor<1>| token_log_probs(logits, &targets));
}

#[test]
fn rows_of_experts_equal_their_formula() {
    compare(([5, 6], [1]), |x, _: Tensor<1>| take_rows(x, vec![4, 0, 0, 2]));
    let places = vec![Some((0, 1)), Some((2, 0)), None, Some((0, 0)), Some((1, 1))];
    compare(([5, 6], [3, 2]), |y, weights: Tensor<2>| weigh_rows(y, weights, places.clone()));
}

#[test]
fn inference_takes_the_same_path() {
    let x = numbers([2, 3, 8], 1, DType::F32);
    let weight = numbers([8], 2, DType::F32);
    let inside = values(rms_norm(x.clone(), weight.clone(), 1e-5));
    assert_eq!(inside, values(rms_norm(x.inner(), weight.inner(), 1e-5)));
}
