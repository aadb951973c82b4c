//! Backward passes against finite differences of the loss.

use burn::module::Module;
use burn::tensor::Device;
use kindling::batch::{Batch, Rollouts};
use kindling::loss::{
    Distill, DistillConfig, Dpo, DpoConfig, DpoLoss, Grpo, GrpoConfig, GrpoLoss, KdLoss, LossMean, NextToken,
    Objective, Reference, sequence_log_probs, target_log_probs,
};
use kindling::model::Transformer;
use kindling::optim::NamedGradients;

use crate::tiny::{config, model, moved, values};

fn batch() -> Batch {
    let mut batch = Batch::new(6);
    batch.push(&[3, 1, 4, 1, 5, 9, 2], &[0.0, 1.0, 0.5, 0.0, 1.0, 2.0, 1.0], &[1, 1, 1, 2, 2, 2, 2]);
    batch.push(&[6, 5, 3, 5], &[0.0, 0.0, 1.0, 1.0], &[1, 1, 1, 1]);
    batch
}

/// Compares the gradient of each weight with the loss a little before and behind it.
pub fn check(model: &Transformer, objective: &dyn Objective, batch: &Batch) {
    let loss = |model: &Transformer| f64::from(values(objective.loss(model, batch).sum)[0]);
    let mut grads = objective.loss(model, batch).sum.backward();
    let gradients = NamedGradients::collect(model, &mut grads).into_inner();
    let plain = model.valid();
    for (chosen, (name, gradient)) in gradients.iter().enumerate() {
        // Along the gradient itself the derivative is its norm.
        let norm = f64::from(values(gradient.clone().square().sum().sqrt())[0]);
        assert!(norm > 1e-4, "{name} has no gradient");
        let at = |size: f64| loss(&moved(&plain, &gradients, chosen, size));
        let slope = (at(1e-2) - at(-1e-2)) / 2e-2;
        assert!((slope - norm).abs() < 0.02 * norm + 2e-3, "{name}: {slope} against {norm}");
    }
}

#[test]
fn the_directional_derivative_of_every_weight_is_right() {
    check(&model(&Device::flex().autodiff()), &NextToken, &batch());
}

#[test]
fn the_directional_derivative_of_every_loss_of_pairs_is_right() {
    let model = model(&Device::flex().autodiff());
    let mut pairs = Batch { group: 2, members: 2, ..Batch::new(6) };
    for (ids, weights) in [
        ([3, 1, 4, 1, 5], [0.0, 0.0, 1.0, 0.5, 1.0]),
        ([3, 1, 5, 9, 2], [0.0, 0.0, 1.0, 1.0, 0.0]),
        ([6, 5, 3, 5, 8], [0.0, 0.0, 0.0, 1.0, 1.0]),
        ([6, 5, 3, 9, 7], [0.0, 0.0, 0.0, 1.0, 2.0]),
    ] {
        pairs.push(&ids, &weights, &[1; 5]);
    }
    let policy = values(sequence_log_probs(&model, &pairs));
    // Margins of 1 and −1.
    pairs.reference = vec![policy[0] - 1.0, policy[1], policy[2] + 1.0, policy[3]];
    let base = || DpoConfig { beta: 0.5, ..DpoConfig::default() };
    for config in [
        base(),
        DpoConfig { label_smoothing: 0.1, sft_weight: 0.3, ..base() },
        DpoConfig { length_normalise: true, ..base() },
        DpoConfig { dpo_loss: DpoLoss::Robust, label_smoothing: 0.2, ..base() },
        DpoConfig { dpo_loss: DpoLoss::Hinge, ..base() },
        DpoConfig { dpo_loss: DpoLoss::Ipo, ..base() },
    ] {
        check(&model, &Dpo::new(config, Reference::Cached), &pairs);
    }
}

#[test]
fn the_directional_derivative_of_every_loss_of_distillation_is_right() {
    let student = model(&Device::flex().autodiff());
    let teacher = Transformer::init(&config(32), 11, &Device::flex()).unwrap();
    let base = || DistillConfig { alpha: 0.0, ..DistillConfig::default() };
    for distill in [
        base(),
        DistillConfig { alpha: 0.5, ..base() },
        DistillConfig { alpha: 1.0, ..base() },
        DistillConfig { alpha: 0.3, kd_loss: KdLoss::ReverseKl, kd_temperature: 1.0, ..base() },
        DistillConfig { kd_loss: KdLoss::Jsd, kd_temperature: 2.0, ..base() },
        DistillConfig { kd_loss: KdLoss::SkewKl, kd_skew: Some(0.3), ..base() },
    ] {
        check(&student, &Distill::new(distill).with_teacher(&teacher), &batch());
    }
}

#[test]
fn the_directional_derivative_of_every_loss_of_rewards_is_right() {
    let model = model(&Device::flex().autodiff());
    let other = Transformer::init(&config(32), 11, &Device::flex()).unwrap();
    // Wide enough for no ratio to reach it.
    let base = || GrpoConfig { clip_range: Some(0.9), kl_beta: 0.0, ..GrpoConfig::default() };
    let cispo = || GrpoConfig { grpo_loss: GrpoLoss::Cispo, clip_range: Some(2.0), ..base() };
    for (config, moved) in [
        (base(), 0.1),
        (GrpoConfig { loss_mean: LossMean::Token, temperature: 0.7, ..base() }, -0.2),
        (GrpoConfig { kl_beta: 0.5, ..base() }, 0.1),
        // A ratio of e, which the most that counts makes a constant.
        (cispo(), 1.0),
        (GrpoConfig { kl_beta: 0.3, temperature: 1.5, ..cispo() }, 1.0),
    ] {
        let mut answers = Batch { group: 2, members: 2, ..Batch::new(6) };
        for (ids, prompt) in
            [(&[3, 1, 4, 1, 5][..], 2), (&[3, 1, 5, 9], 2), (&[6, 5, 3, 5, 8, 2], 3), (&[6, 5, 3, 9], 3)]
        {
            let weights: Vec<f32> = (0..ids.len()).map(|i| f32::from(u8::from(i >= prompt))).collect();
            answers.push(ids, &weights, &vec![1; ids.len()]);
        }
        // Written when the model held every token as much less likely.
        let mut known = values(target_log_probs(&model.valid(), &answers, config.temperature)).into_iter();
        let old = |weight: &f32| if *weight == 0.0 { 0.0 } else { known.next().unwrap() - moved };
        answers.rollouts = Some(Rollouts {
            advantages: vec![1.5, -0.5, -1.0, 0.75],
            old: answers.weights.iter().map(old).collect(),
            ..Rollouts::default()
        });
        check(&model, &Grpo::new(config, Some(Reference::frozen(&other))), &answers);
    }
}
