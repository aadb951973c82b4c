//! Group relative policy optimisation (Shao et al., 2024, <https://arxiv.org/abs/2402.03300>): the model answers each prompt
//! several times, and the answers that rules reward more than the others become likelier.
//!
//! With ρ = π/π_old of a token and A of its answer ([`super::group_advantages`]), a token costs `−min(ρA, clip(ρ, 1 ± ε)A)`
//! or, as CISPO (MiniMax, 2025, <https://arxiv.org/abs/2506.13585>), `−min(ρ, c)·A·log π` whose ratio is a constant; and
//! `β(e^d − d − 1)` beside it, an unbiased estimate of the divergence from the reference that is never negative (k3,
//! <http://joschu.net/blog/kl-approx.html>), with `d = log π_ref − log π`. Where an answer is learned from once, π_old is π.

use burn::tensor::{Tensor, TensorData};

use super::objective::{causal_mask, causal_routed};
use super::policy_costs::{PolicyCosts, k3, policy_costs};
use super::routed::routed_logits_at;
use super::targets::Targets;
use super::{
    Beside, GrpoConfig, Loss, LossMean, Metric, Objective, Reference, ReferenceKind, Routed, StepTotals,
};
use crate::batch::{Batch, Rollouts};
use crate::kernels::weighted_sum;
use crate::model::{Trace, Transformer};
use crate::told::{Told, told};

/// Learning from rewards. A batch brings [`Batch::rollouts`], and its groups are the answers to one prompt.
pub struct Grpo {
    config: GrpoConfig,
    reference: Option<Reference>,
}

impl Grpo {
    /// The objective of these settings; `reference` stands for what they name, and is `None` where the model is held to
    /// nothing.
    pub fn new(config: GrpoConfig, reference: Option<Reference>) -> Self {
        Self { config, reference }
    }

    /// How much each target counts: as a share of its answer, or all alike.
    fn shares(&self, batch: &Batch, targets: &Targets) -> Vec<f32> {
        let mut sums = vec![0.0f32; batch.batch.max(1)];
        let row = |place: u32| place as usize / batch.seq.max(1);
        let pairs = || targets.places.iter().zip(&targets.weights);
        pairs().for_each(|(&place, weight)| sums[row(place)] += weight);
        match self.config.loss_mean {
            LossMean::Token => targets.weights.clone(),
            LossMean::Sequence => pairs()
                .map(|(&place, &weight)| if weight == 0.0 { 0.0 } else { weight / sums[row(place)] })
                .collect(),
        }
    }

    /// The loss of answers of which it is known how good they are.
    fn learned(&self, model: &Transformer, batch: &Batch, rollouts: &Rollouts, totals: &StepTotals) -> Loss {
        let targets = Targets::of(batch);
        let (log_probs, routed) = self.log_probs(model, batch, &targets, totals);
        let device = model.device().inner();
        let constant = |values: Vec<f32>| {
            let shape = [values.len()];
            Tensor::<1>::from_data(TensorData::new(values, shape), &device)
        };
        let sum =
            |values: Tensor<1>, weights: &[f32]| weighted_sum(values.reshape([1, weights.len()]), weights);
        let places = || targets.places.iter().map(|&place| place as usize);
        let advantages = places().map(|place| rollouts.advantages[place / batch.seq]).collect();
        let old = (!rollouts.old.is_empty()).then(|| places().map(|place| rollouts.old[place]).collect());
        let PolicyCosts { mut costs, clipped } =
            policy_costs(&self.config, log_probs.clone(), old.map(constant), constant(advantages));
        let weight = batch.weight();
        let mut metrics = self.told(batch, rollouts, model);
        metrics.push(Metric { name: "clip_share", sum: targets.sum(clipped).inner(), weight });
        let reference = self.reference.as_ref().filter(|_| self.config.kl_beta > 0.0);
        if let Some(reference) = reference.and_then(|reference| reference.model(model)) {
            let (reference, _) = self.log_probs(&reference, batch, &targets, totals);
            let apart = k3(log_probs, reference.inner());
            metrics.push(Metric { name: "kl", sum: targets.sum(apart.clone()).inner(), weight });
            costs = costs + apart * self.config.kl_beta;
        }
        Loss { sum: sum(costs, &self.shares(batch, &targets)), metrics, routed }
    }

    /// `[n]`, at the temperature at which answers are drawn.
    fn log_probs(
        &self,
        model: &Transformer,
        batch: &Batch,
        targets: &Targets,
        totals: &StepTotals,
    ) -> (Tensor<1>, Option<Routed>) {
        let (logits, routed) = routed_logits_at(model, batch, &causal_mask(batch), &targets.places, totals);
        (of_targets(logits, targets, self.config.temperature), routed)
    }

    /// What is reported of the answers, whatever is learned from them.
    fn told(&self, batch: &Batch, rollouts: &Rollouts, model: &Transformer) -> Vec<Metric> {
        let device = model.device().inner();
        let metric = |name: &'static str, sum: f64, weight: f64| {
            let sum = Tensor::from_data(TensorData::new(vec![sum as f32], [1]), &device);
            Metric { name, sum, weight }
        };
        let (rows, sum) =
            (batch.batch as f64, |values: &[f32]| values.iter().map(|&x| f64::from(x)).sum::<f64>());
        let mut told = vec![metric("reward", sum(&rollouts.rewards), rows)];
        let measured = rollouts.advantages.is_empty();
        for (reward, values) in self.config.reward.iter().zip(&rollouts.by_rule) {
            told.push(metric(reward.rule.metric, sum(values), rows));
            let whole = values.iter().filter(|&&value| value == 1.0).count();
            told.extend(reward.rule.rate.filter(|_| measured).map(|name| metric(name, whole as f64, rows)));
        }
        told.push(metric("response_length", batch.targets_counted() as f64, rows));
        if !measured {
            let groups = rollouts.advantages.chunks(batch.group.max(1));
            let (all, equal) = (groups.len(), groups.filter(|group| group.iter().all(|&a| a == 0.0)).count());
            told.push(metric("groups_without_variance", equal as f64, all as f64));
        }
        told
    }
}

/// Log-probabilities of the targets that count, in nats, in the order in which they stand in the batch: what
/// [`Rollouts::old`] is made of.
///
/// # Shapes
/// → `[n]` of `n` targets, or one 0 where there is none.
pub fn target_log_probs(model: &Transformer, batch: &Batch, temperature: f64) -> Tensor<1> {
    let (targets, ids) = (Targets::of(batch), batch.inputs_tensor(&model.device()));
    let logits = model.forward_at(ids, &causal_mask(batch), &targets.places, &mut Trace::default());
    of_targets(logits, &targets, temperature)
}

/// `[n, vocab]` → `[n]`.
fn of_targets(logits: Tensor<2>, targets: &Targets, temperature: f64) -> Tensor<1> {
    targets.log_probs(if temperature == 1.0 { logits } else { logits / temperature })
}

/// Whether something is known of every row and, where it is, of every token.
fn is_whole(rollouts: &Rollouts, batch: &Batch) -> bool {
    let tokens = rollouts.old.len();
    rollouts.advantages.len() == batch.batch && (tokens == 0 || tokens == batch.inputs.len())
}

impl Objective for Grpo {
    /// Its answers, or their tokens; of answers that are only measured always the first.
    fn weight(&self, batch: &Batch) -> f64 {
        let measured = batch.rollouts.as_ref().is_some_and(|rollouts| rollouts.advantages.is_empty());
        match self.config.loss_mean {
            LossMean::Token if !measured => batch.weight(),
            _ => batch.batch as f64,
        }
    }

    /// Of answers that are only measured the loss is what their rewards lack to 0: the more, the better.
    fn part_loss(&self, model: &Transformer, batch: &Batch, totals: &StepTotals) -> Loss {
        match &batch.rollouts {
            Some(rollouts) if rollouts.advantages.is_empty() => {
                let metrics = self.told(batch, rollouts, model);
                let sum = metrics[0].sum.clone().neg();
                Loss { sum, metrics, routed: None }
            }
            Some(rollouts) if is_whole(rollouts, batch) => self.learned(model, batch, rollouts, totals),
            // Without rewards the loss is no number, which ends the run by name.
            _ => {
                let targets = Targets::of(batch);
                let (log_probs, routed) = self.log_probs(model, batch, &targets, totals);
                Loss { sum: log_probs.sum() * f64::NAN, metrics: Vec::new(), routed }
            }
        }
    }

    fn routed(&self, model: &Transformer, batch: &Batch, totals: &StepTotals) -> Option<Routed> {
        causal_routed(model, batch, totals)
    }

    fn problems(&self, adapts: bool) -> Vec<Told> {
        let kind = self.reference.as_ref().map(Reference::kind);
        let lacks = self.config.kl_beta > 0.0 && kind.is_none();
        let cached = kind == Some(ReferenceKind::Cached);
        let of_kind = kind.filter(|_| !cached && self.config.kl_beta > 0.0);
        let mut problems = self.config.problems();
        problems.extend(of_kind.and_then(|kind| kind.problem(adapts)));
        if (lacks || cached) && self.config.reference != Some(ReferenceKind::Cached) {
            problems.push(told!(
                "grpo.no_reference",
                "--kl-beta holds the model to a reference, and there is none; take --reference frozen, base with --lora, or \
                 --kl-beta 0"
            ));
        }
        problems
    }

    fn rollouts(&self) -> Option<&GrpoConfig> {
        Some(&self.config)
    }

    fn beside(&self) -> Beside {
        let reference = self.reference.as_ref().filter(|_| self.config.kl_beta > 0.0);
        let beside = reference.map(Reference::beside).unwrap_or_default();
        // Answers are read once more while they are written, and again where several steps learn from them.
        let again = 1 + u32::from(self.config.rollout_steps > 1);
        Beside { forwards: beside.forwards + again, ..beside }
    }

    fn is_likelihood(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::loss::GrpoLoss;
    use crate::model::{tiny_model, values};

    fn config(grpo_loss: GrpoLoss) -> GrpoConfig {
        GrpoConfig { grpo_loss, kl_beta: 0.0, ..GrpoConfig::default() }
    }

    /// Two groups of two answers, of 2, 1, 3 and 1 tokens.
    fn batch(advantages: [f32; 4]) -> Batch {
        let mut batch = Batch { group: 2, members: 2, own: true, ..Batch::new(5) };
        for (ids, prompt) in [(&[1, 2, 3, 4][..], 2), (&[1, 2, 5], 2), (&[6, 7, 8, 9, 3], 2), (&[6, 7, 2], 2)]
        {
            let weights: Vec<f32> = (0..ids.len()).map(|i| f32::from(u8::from(i >= prompt))).collect();
            batch.push(ids, &weights, &vec![1; ids.len()]);
        }
        batch.rollouts = Some(Rollouts {
            advantages: advantages.to_vec(),
            rewards: vec![1.5, 0.5, 0.25, 0.25],
            by_rule: vec![vec![1.0, 0.0, 0.0, 0.0], vec![1.0, 1.0, 0.5, 0.5]],
            old: Vec::new(),
        });
        batch
    }

    #[test]
    fn equal_rewards_give_exactly_no_gradient() {
        let model = tiny_model(&Device::flex().autodiff());
        let frozen = || Some(Reference::frozen(&model));
        let held = GrpoConfig::default();
        for (config, reference) in
            [(config(GrpoLoss::Clipped), None), (config(GrpoLoss::Cispo), None), (held, frozen())]
        {
            let loss = Grpo::new(config, reference).loss(&model, &batch([0.0; 4]));
            assert_eq!(values(loss.sum.clone().inner()), [0.0]);
            let mut grads = loss.sum.backward();
            let gradients = crate::optim::NamedGradients::collect(&model, &mut grads).into_inner();
            assert!(!gradients.is_empty());
            for (name, gradient) in gradients {
                assert!(values(gradient).iter().all(|&value| value == 0.0), "{name}");
            }
        }
    }

    #[test]
    fn the_mean_is_over_answers_or_over_tokens() {
        let (model, batch) = (tiny_model(&Device::flex()), batch([1.0, -1.0, 0.5, -0.5]));
        let mean = |loss_mean: LossMean| {
            let grpo = Grpo::new(GrpoConfig { loss_mean, ..config(GrpoLoss::Clipped) }, None);
            values(grpo.loss(&model, &batch).sum)[0] / grpo.weight(&batch) as f32
        };
        // Ratios of 1: a token costs −A.
        assert!(mean(LossMean::Sequence).abs() < 1e-6, "−(1 − 1 + 0.5 − 0.5)/4");
        let tokens = -(2.0 - 1.0 + 3.0 * 0.5 - 0.5) / 7.0;
        assert!((mean(LossMean::Token) - tokens).abs() < 1e-6, "{}", mean(LossMean::Token));
    }

    #[test]
    fn what_is_reported_of_answers() {
        let model = tiny_model(&Device::flex());
        let grpo = Grpo::new(GrpoConfig::default(), Some(Reference::frozen(&model)));
        let loss = grpo.loss(&model, &batch([1.0, -1.0, 0.0, 0.0]));
        let found: Vec<(&str, f64)> = loss
            .metrics
            .iter()
            .map(|metric| (metric.name, f64::from(values(metric.sum.clone())[0]) / metric.weight))
            .collect();
        let expected = [
            ("reward", 0.625),
            ("reward_answer", 0.25),
            ("reward_tags", 0.75),
            ("response_length", 1.75),
            ("groups_without_variance", 0.5),
            ("clip_share", 0.0),
            ("kl", 0.0),
        ];
        assert_eq!(found, expected);
        let mut measured = batch([0.0; 4]);
        measured.rollouts.as_mut().unwrap().advantages.clear();
        let loss = grpo.loss(&model, &measured);
        let names: Vec<&str> = loss.metrics.iter().map(|metric| metric.name).collect();
        let expected =
            ["reward", "reward_answer", "answer_accuracy", "reward_tags", "format_rate", "response_length"];
        assert_eq!(names, expected);
        assert_eq!(values(loss.metrics[4].sum.clone()), [2.0], "two answers keep all tags");
        assert_eq!(
            (values(loss.sum), grpo.weight(&measured)),
            (vec![-2.5], 4.0),
            "the reward, and nothing else"
        );
        let bare = Batch { rollouts: None, ..measured };
        assert!(values(grpo.loss(&model, &bare).sum)[0].is_nan());
    }

    #[test]
    fn what_does_not_stand_together_is_named() {
        let model = tiny_model(&Device::flex());
        let problems = |config: GrpoConfig, reference: Option<Reference>, adapts: bool| {
            Grpo::new(config, reference).problems(adapts).join("; ")
        };
        let default = GrpoConfig::default;
        assert!(problems(default(), None, false).contains("and there is none"));
        assert!(problems(default(), Some(Reference::Cached), false).contains("and there is none"));
        assert!(problems(default(), Some(Reference::Base), false).contains("--reference base"));
        assert_eq!(problems(default(), Some(Reference::Base), true), "");
        assert_eq!(problems(config(GrpoLoss::Clipped), None, false), "");
        let frozen = Grpo::new(default(), Some(Reference::frozen(&model))).beside();
        assert_eq!((frozen.bytes, frozen.forwards), (4 * model.config().parameters(), 2));
        assert_eq!(Grpo::new(config(GrpoLoss::Cispo), None).beside().forwards, 1);
    }
}
