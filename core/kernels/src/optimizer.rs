//! The arithmetic of an optimizer step, each in one pass over a weight where the processor computes it: out of a backend's
//! operations it is a dozen passes, as many as a small model's forward pass.

use burn::tensor::{DType, Tensor, TensorData};
use burn_flex::{Flex, FlexTensor};

use super::chunks::{for_each_chunk, for_each_chunk_triple};
use super::slices::sum;

/// Values that one task handles.
const TASK: usize = 16 * 1024;

/// The numbers of one step of AdamW.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWStep {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// What the root of the second moment is divided by: `√(1 − β2ᵗ)`.
    pub root: f64,
    /// What the direction is multiplied by: `lr / (1 − β1ᵗ)`.
    pub rate: f64,
    /// The share of the weight that is taken away: `lr · weight decay`.
    pub decay: f64,
}

/// A weight and the running means of its gradient and of the gradient's square.
#[derive(Clone, Debug)]
pub struct AdamWState {
    /// The weight.
    pub weight: Tensor<1>,
    /// The mean of the gradient.
    pub first: Tensor<1>,
    /// The mean of its square.
    pub second: Tensor<1>,
}

/// `m ← β1 m + (1 − β1) g`, `v ← β2 v + (1 − β2) g²`, `θ ← θ(1 − decay) − rate · m / (√v / root + ε)`, element by element.
/// The processor gives the same bits as a backend's operations would.
///
/// # Shapes
/// All are of one length, outside of any graph.
pub fn adamw(state: AdamWState, grad: Tensor<1>, step: AdamWStep) -> AdamWState {
    let AdamWState { weight, first, second } = state;
    match (owned(&weight), owned(&first), owned(&second), owned(&grad)) {
        (Some(w), Some(m), Some(v), Some(g)) => {
            drop((weight, first, second, grad));
            on_slices(w, m, v, &g, step)
        }
        _ => composed(AdamWState { weight, first, second }, grad, step),
    }
}

fn composed(state: AdamWState, grad: Tensor<1>, step: AdamWStep) -> AdamWState {
    let square = grad.clone().square() * (1.0 - step.beta2);
    let first = state.first * step.beta1 + grad * (1.0 - step.beta1);
    let second = state.second * step.beta2 + square;
    let delta = first.clone() / (second.clone().sqrt() / step.root + step.eps) * step.rate;
    let weight = if step.decay == 0.0 { state.weight } else { state.weight * (1.0 - step.decay) };
    AdamWState { weight: weight - delta, first, second }
}

fn on_slices(
    mut w: FlexTensor,
    mut m: FlexTensor,
    mut v: FlexTensor,
    g: &FlexTensor,
    step: AdamWStep,
) -> AdamWState {
    let [beta1, beta2] = [step.beta1, step.beta2].map(|beta| (beta as f32, (1.0 - beta) as f32));
    let [eps, root, rate, kept] =
        [step.eps, step.root, step.rate, 1.0 - step.decay].map(|value| value as f32);
    let grad = g.storage::<f32>();
    let [state_w, state_m, state_v] = [&mut w, &mut m, &mut v].map(|tensor| tensor.storage_mut::<f32>());
    for_each_chunk_triple([state_w, state_m, state_v], TASK, |task, [w, m, v]| {
        let grad = &grad[task * TASK..][..w.len()];
        pulp::Arch::new().dispatch(|| {
            for (((w, m), v), &g) in w.iter_mut().zip(m.iter_mut()).zip(v.iter_mut()).zip(grad) {
                *m = *m * beta1.0 + g * beta1.1;
                *v = *v * beta2.0 + g * g * beta2.1;
                *w = *w * kept - *m / (v.sqrt() / root + eps) * rate;
            }
        });
    });
    let [weight, first, second] = [w, m, v].map(Tensor::from_primitive::<Flex>);
    AdamWState { weight, first, second }
}

/// `Σ x²`, `[1]`, left on the device.
pub fn sum_of_squares(values: &Tensor<1>) -> Tensor<1> {
    let Some(x) = owned(values) else { return values.clone().square().sum() };
    let x = x.storage::<f32>();
    // In a fixed order, whatever the threads.
    let mut sums = vec![0.0; x.len().div_ceil(TASK)];
    for_each_chunk(&mut sums, 1, |task, total| {
        let part = &x[task * TASK..][..TASK.min(x.len() - task * TASK)];
        total[0] = pulp::Arch::new().dispatch(|| sum(part.len(), |i| part[i] * part[i]));
    });
    let total: f32 = sums.iter().sum();
    Tensor::from_data(TensorData::new(vec![total], [1]), &values.device())
}

/// Values times a factor, `[1]`, that the device may still be computing.
pub fn scaled(values: Tensor<1>, factor: &Tensor<1>) -> Tensor<1> {
    let by = owned(factor).map(|factor| factor.storage::<f32>()[0]);
    match (owned(&values), by) {
        (Some(_), Some(1.0)) => values,
        (Some(mut x), Some(by)) => {
            drop(values);
            for_each_chunk(x.storage_mut::<f32>(), TASK, |_, x| {
                pulp::Arch::new().dispatch(|| x.iter_mut().for_each(|x| *x *= by));
            });
            Tensor::from_primitive::<Flex>(x)
        }
        _ => {
            let factor = factor.clone().expand(values.shape());
            values * factor
        }
    }
}

/// A tensor of the processor's, outside of any graph, whose storage is its values one after the other; `None` for others.
/// What is written into it reaches no other tensor.
fn owned(tensor: &Tensor<1>) -> Option<FlexTensor> {
    if tensor.dtype() != DType::F32 {
        return None;
    }
    let tensor = tensor.clone().try_into_primitive::<Flex>().ok()?;
    let whole = tensor.is_contiguous() && tensor.storage::<f32>().len() == tensor.layout().num_elements();
    Some(if whole { tensor } else { FlexTensor::from_data(tensor.into_data()) })
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn tensor(len: usize, seed: u32) -> Tensor<1> {
        let value =
            |i: u32| ((i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8) % 2001) as f32 / 1000.0 - 1.0;
        let values: Vec<f32> = (0..len as u32).map(value).collect();
        Tensor::from_data(TensorData::new(values, [len]), &Device::flex())
    }

    fn bits(tensor: &Tensor<1>) -> Vec<u32> {
        tensor.clone().into_data().iter::<f32>().map(f32::to_bits).collect()
    }

    #[test]
    fn one_pass_gives_the_bits_of_many() {
        for (len, decay) in [(1, 0.0), (17, 0.003), (40_000, 0.003), (2 * TASK, 0.0)] {
            let step = AdamWStep { beta1: 0.9, beta2: 0.95, eps: 1e-8, root: 0.3, rate: 0.02, decay };
            let state = AdamWState {
                weight: tensor(len, 1),
                first: tensor(len, 2) * 0.1,
                second: (tensor(len, 3) * 0.1).square(),
            };
            let (kept, grad) = (state.clone(), tensor(len, 4));
            let [fast, slow] =
                [adamw(state.clone(), grad.clone(), step), composed(state, grad.clone(), step)];
            let of = |state: &AdamWState| [&state.weight, &state.first, &state.second].map(bits);
            assert_eq!(of(&fast), of(&slow), "{len} values");
            assert_ne!(bits(&fast.weight), bits(&kept.weight));
            // What others hold stays as it was.
            assert_eq!(bits(&kept.weight), bits(&tensor(len, 1)));
            assert_eq!(bits(&grad), bits(&tensor(len, 4)));
        }
    }

    #[test]
    fn squares_add_up_in_any_length() {
        for len in [1, 16, 17, TASK, 2 * TASK + 5] {
            let values = tensor(len, 7);
            let expected: f64 =
                values.clone().into_data().iter::<f32>().map(|x| f64::from(x) * f64::from(x)).sum();
            let found = f64::from(sum_of_squares(&values).into_scalar::<f32>());
            assert!((found - expected).abs() <= 1e-6 * expected, "{len}: {found} {expected}");
        }
        // A part of another tensor has its own values.
        let part = tensor(40, 9).narrow(0, 10, 10);
        let expected: f32 = part.clone().square().sum().into_scalar();
        assert!((sum_of_squares(&part).into_scalar::<f32>() - expected).abs() < 1e-6);
    }

    #[test]
    fn a_factor_reaches_every_value_and_no_other_tensor() {
        let factor = |value: f32| Tensor::<1>::from_data(TensorData::new(vec![value], [1]), &Device::flex());
        for len in [3, TASK + 1] {
            let values = tensor(len, 5);
            let half = scaled(values.clone(), &factor(0.5));
            assert_eq!(bits(&half), bits(&(values.clone() * 0.5)));
            assert_eq!(bits(&values), bits(&tensor(len, 5)));
            assert_eq!(bits(&scaled(values.clone(), &factor(1.0))), bits(&values));
        }
        let part = tensor(40, 9).narrow(0, 10, 10);
        assert_eq!(bits(&scaled(part.clone(), &factor(2.0))), bits(&(part * 2.0)));
    }
}
