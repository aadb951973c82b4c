//! What a token costs whose answer was rewarded, and how far it lies from a reference.

use burn::tensor::Tensor;

use super::{GrpoConfig, GrpoLoss};

/// Of `n` tokens, `[n]` each.
pub(super) struct PolicyCosts {
    pub(super) costs: Tensor<1>,
    /// 1 where the ratio is clipped.
    pub(super) clipped: Tensor<1>,
}

/// What tokens cost by their log-probabilities and the advantages of their answers, `[n]` each; `old` are the
/// log-probabilities with which they were written, and without them those of now, as constants.
pub(super) fn policy_costs(
    config: &GrpoConfig,
    log_probs: Tensor<1>,
    old: Option<Tensor<1>>,
    advantages: Tensor<1>,
) -> PolicyCosts {
    let old = old.unwrap_or_else(|| log_probs.clone().inner());
    let (ratio, clip) = ((log_probs.clone() - old).exp(), config.clip());
    match config.grpo_loss {
        GrpoLoss::Clipped => {
            let gain = ratio.clone() * advantages.clone();
            let bound = ratio.clamp(1.0 - clip, 1.0 + clip) * advantages;
            // Where the bound is less, the ratio lies outside of the range, and nothing flows through it.
            let acts = gain.clone().greater(bound.clone());
            PolicyCosts { costs: gain.mask_where(acts.clone(), bound).neg(), clipped: acts.float() }
        }
        GrpoLoss::Cispo => {
            let ratio = ratio.inner();
            let clipped = ratio.clone().greater_elem(clip).float();
            PolicyCosts { costs: (log_probs * (ratio.clamp_max(clip) * advantages)).neg(), clipped }
        }
    }
}

/// `e^d − d − 1` with `d = log π_ref − log π`, `[n]`.
pub(super) fn k3(log_probs: Tensor<1>, reference: Tensor<1>) -> Tensor<1> {
    let d = log_probs.neg() + reference;
    d.clone().exp() - d - 1.0
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::model::values;

    fn tensor(values: &[f32], device: &Device) -> Tensor<1> {
        Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
    }

    fn near(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 2e-6, "{found:?} {expected:?}");
        }
    }

    fn config(grpo_loss: GrpoLoss) -> GrpoConfig {
        GrpoConfig { grpo_loss, kl_beta: 0.0, ..GrpoConfig::default() }
    }

    /// Costs of three tokens with the ratios 1.5, 1.5 and 0.5, their gradients, and where the clip acts.
    fn three(config: GrpoConfig, advantages: [f32; 3]) -> [Vec<f32>; 3] {
        let device = Device::flex().autodiff();
        let log_probs = tensor(&[-1.0, -2.0, -0.5], &device).require_grad();
        let ratios = [1.5f32, 1.5, 0.5];
        let old: Vec<f32> =
            [-1.0, -2.0, -0.5].iter().zip(ratios).map(|(log, ratio)| log - ratio.ln()).collect();
        let plain = Device::flex();
        let (old, advantages) = (tensor(&old, &plain), tensor(&advantages, &plain));
        let PolicyCosts { costs, clipped } = policy_costs(&config, log_probs.clone(), Some(old), advantages);
        let grads = costs.clone().sum().backward();
        [values(costs.inner()), values(log_probs.grad(&grads).unwrap()), values(clipped.inner())]
    }

    #[test]
    fn the_clipped_form_by_hand() {
        // A = 2: min(3, 1.2·2) = 2.4 is cut off. A = −1: min(−1.5, −1.2) is not. A = 3 at ρ = 0.5: min(1.5, 0.8·3) is not.
        let [costs, gradients, clipped] = three(config(GrpoLoss::Clipped), [2.0, -1.0, 3.0]);
        near(&costs, &[-2.4, 1.5, -1.5]);
        // d(−ρA)/d log π = −ρA where nothing is cut off.
        near(&gradients, &[0.0, 1.5, -1.5]);
        near(&clipped, &[1.0, 0.0, 0.0]);
        // A = −1 at ρ = 0.5: min(−0.5, −0.8) is the bound.
        let wide = GrpoConfig { clip_range: Some(0.6), ..config(GrpoLoss::Clipped) };
        let [costs, gradients, clipped] = three(wide, [2.0, -1.0, -1.0]);
        near(&costs, &[-3.0, 1.5, 0.5]);
        near(&gradients, &[-3.0, 1.5, 0.5]);
        near(&clipped, &[0.0; 3]);
        let [costs, gradients, clipped] = three(config(GrpoLoss::Clipped), [0.0, 0.0, -1.0]);
        near(&costs, &[0.0, 0.0, 0.8]);
        near(&gradients, &[0.0; 3]);
        near(&clipped, &[0.0, 0.0, 1.0]);
    }

    #[test]
    fn the_cispo_form_by_hand() {
        // −min(ρ, c)·A·log π, whose gradient is −min(ρ, c)·A.
        let capped = GrpoConfig { clip_range: Some(1.25), ..config(GrpoLoss::Cispo) };
        let [costs, gradients, clipped] = three(capped, [2.0, -1.0, 3.0]);
        near(&costs, &[1.25 * 2.0, -1.25 * 2.0, 0.5 * 3.0 * 0.5]);
        near(&gradients, &[-2.5, 1.25, -1.5]);
        near(&clipped, &[1.0, 1.0, 0.0]);
    }

    #[test]
    fn answers_that_are_learned_from_once_have_a_ratio_of_1() {
        let device = Device::flex().autodiff();
        for form in [GrpoLoss::Clipped, GrpoLoss::Cispo] {
            let log_probs = tensor(&[-1.0, -2.0], &device).require_grad();
            let advantages = tensor(&[0.5, -2.0], &Device::flex());
            let costs = policy_costs(&config(form), log_probs.clone(), None, advantages).costs;
            let grads = costs.sum().backward();
            assert_eq!(values(log_probs.grad(&grads).unwrap()), [-0.5, 2.0], "{form:?}");
        }
    }

    #[test]
    fn the_divergence_by_hand() {
        // d = 0, ln 2 and −ln 2: 0, 2 − ln 2 − 1 and 1/2 + ln 2 − 1.
        let device = Device::flex().autodiff();
        let log_probs = tensor(&[-1.0, -1.0, -1.0], &device).require_grad();
        let ln_2 = std::f32::consts::LN_2;
        let reference = tensor(&[-1.0, ln_2 - 1.0, -ln_2 - 1.0], &Device::flex());
        let apart = k3(log_probs.clone(), reference);
        near(&values(apart.clone().inner()), &[0.0, 1.0 - ln_2, ln_2 - 0.5]);
        // 1 − e^d.
        let grads = apart.sum().backward();
        near(&values(log_probs.grad(&grads).unwrap()), &[0.0, -1.0, 0.5]);
    }
}
