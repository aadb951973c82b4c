//! A step of AdamW on the processor: two passes over all the values, in place of one for each operation.

use burn::tensor::{Tensor, TensorData};
use burn_flex::{Flex, FlexTensor};

use super::host::{Input, input};
use super::slices::{in_rows, row_pairs, rows};

/// The numbers of a step `θ ← keep·θ − rate · m / (√v / root + ε)` with `m ← β1·m + (1 − β1)·g`, `v ← β2·v + (1 − β2)·g²`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamWStep {
    /// β1
    pub beta1: f64,
    /// β2
    pub beta2: f64,
    /// `√(1 − β2ᵗ)`
    pub root: f64,
    /// ε
    pub eps: f64,
    /// The learning rate, divided by `1 − β1ᵗ`.
    pub rate: f64,
    /// What is left of the weight before the step; 1 without decay.
    pub keep: f64,
}

/// The weights and both moments after a step; `None` on another device or in another type. Every operation and its order is
/// that of the tensor formula, so that the bits are the same.
///
/// # Shapes
/// `[weight, grad, first, second]` of equal length.
pub(crate) fn adamw_step(step: AdamWStep, tensors: [&Tensor<1>; 4]) -> Option<[Tensor<1>; 3]> {
    let plain = |tensor: &Tensor<1>| match input(tensor)? {
        Input::Plain(tensor) => Some(tensor.to_contiguous()),
        Input::Graph(_) => None,
    };
    let plain: Vec<FlexTensor> = tensors.into_iter().map_while(plain).collect();
    let slices: Vec<&[f32]> = plain.iter().map_while(FlexTensor::as_slice).collect();
    let &[weight, grad, first, second] = slices.as_slice() else { return None };
    let (first, second) = moments(step, grad, first, second);
    let weight = weights(step, weight, &first, &second);
    let tensor = |values: Vec<f32>| {
        let shape = [values.len()];
        Tensor::from_primitive::<Flex>(FlexTensor::from_data(TensorData::new(values, shape)))
    };
    Some([weight, first, second].map(tensor))
}

fn moments(step: AdamWStep, grad: &[f32], first: &[f32], second: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let (beta1, beta2) = (step.beta1 as f32, step.beta2 as f32);
    let (rest1, rest2) = ((1.0 - step.beta1) as f32, (1.0 - step.beta2) as f32);
    let (mut new_first, mut new_second) = (vec![0.0; grad.len()], vec![0.0; grad.len()]);
    in_rows(grad.len(), |start, end, width| {
        let (grad, first, second) = (&grad[start..end], &first[start..end], &second[start..end]);
        row_pairs(&mut new_first[start..end], &mut new_second[start..end], width, |i, m, v| {
            let at = i * width..(i + 1) * width;
            let before = grad[at.clone()].iter().zip(&first[at.clone()]).zip(&second[at]);
            for ((m, v), ((&g, &first), &second)) in m.iter_mut().zip(v).zip(before) {
                *m = first * beta1 + g * rest1;
                *v = second * beta2 + g * g * rest2;
            }
        });
    });
    (new_first, new_second)
}

fn weights(step: AdamWStep, weight: &[f32], first: &[f32], second: &[f32]) -> Vec<f32> {
    let (root, eps, rate, keep) = (step.root as f32, step.eps as f32, step.rate as f32, step.keep as f32);
    let mut new = vec![0.0; weight.len()];
    in_rows(weight.len(), |start, end, width| {
        let (weight, first, second) = (&weight[start..end], &first[start..end], &second[start..end]);
        rows(&mut new[start..end], width, |i, new| {
            let at = i * width..(i + 1) * width;
            let before = weight[at.clone()].iter().zip(&first[at.clone()]).zip(&second[at]);
            for (new, ((&weight, &m), &v)) in new.iter_mut().zip(before) {
                *new = weight * keep - m / (v.sqrt() / root + eps) * rate;
            }
        });
    });
    new
}
