//! Direct preference optimisation (Rafailov et al., 2023, <https://arxiv.org/abs/2305.18290>) and its relatives: by how much
//! more the model prefers the better of two answers than a reference does.
//!
//! `m = [log π(chosen) − log π(rejected)] − [log ref(chosen) − log ref(rejected)]`, each the sum over an answer's tokens, or
//! the mean where that is asked for. Signs and factors are those of trl's `DPOTrainer`.

use burn::tensor::{Device, Tensor, TensorData, activation};

use super::objective::causal_routed;
use super::sequence::{routed_log_probs, sequence_log_probs, sequence_weights};
use super::{Beside, DpoConfig, DpoLoss, Loss, Metric, Objective, ReferenceKind, Routed, StepTotals};
use crate::batch::Batch;
use crate::model::Transformer;
use crate::told::Told;

/// What the model is compared with.
pub enum Reference {
    /// A model that stays as it is; [`Reference::frozen`] makes it.
    Frozen(Box<Transformer>),
    /// The trained model without its adapters.
    Base,
    /// What batches bring under [`Batch::reference`].
    Cached,
}

impl Reference {
    /// The model as it is now; its weights are shared until training replaces them.
    pub fn frozen(model: &Transformer) -> Self {
        Self::Frozen(Box::new(model.base()))
    }

    pub(super) fn kind(&self) -> ReferenceKind {
        match self {
            Self::Frozen(_) => ReferenceKind::Frozen,
            Self::Base => ReferenceKind::Base,
            Self::Cached => ReferenceKind::Cached,
        }
    }

    /// The model that `policy` is compared with; none where what it says was computed before.
    pub(super) fn model(&self, policy: &Transformer) -> Option<Transformer> {
        match self {
            Self::Frozen(reference) => Some(Transformer::clone(reference)),
            Self::Base => Some(policy.base()),
            Self::Cached => None,
        }
    }

    /// What it needs beside the model that trains.
    pub(super) fn beside(&self) -> Beside {
        match self {
            Self::Frozen(reference) => {
                let bytes = 4 * reference.config().parameters();
                Beside { bytes: bytes.saturating_sub(reference.bytes_saved()), forwards: 1, teacher: None }
            }
            Self::Base => Beside { forwards: 1, ..Beside::default() },
            Self::Cached => Beside::default(),
        }
    }

    /// Log-probabilities of each example's targets, `[examples]`, outside of the graph.
    fn log_probs(&self, model: &Transformer, batch: &Batch) -> Tensor<1> {
        match self {
            Self::Frozen(reference) => sequence_log_probs(reference, batch),
            Self::Base => sequence_log_probs(&model.base(), batch),
            Self::Cached => {
                let known = batch.reference.len() == batch.examples();
                // Without them the loss is no number, which ends the run by name.
                let values = if known { batch.reference.clone() } else { vec![f32::NAN; batch.examples()] };
                constant(values, &model.device().inner())
            }
        }
    }
}

fn constant(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let shape = [values.len()];
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Preference training on pairs: the examples of a batch are a chosen answer and a rejected one in turns.
pub struct Dpo {
    config: DpoConfig,
    reference: Reference,
}

impl Dpo {
    /// The objective of these settings; `reference` stands for what they name.
    pub fn new(config: DpoConfig, reference: Reference) -> Self {
        Self { config, reference }
    }

    /// The loss of each pair, `[pairs]`, from the margins `m`.
    fn of_margins(&self, m: Tensor<1>) -> Tensor<1> {
        let (beta, share) = (self.config.beta, self.config.label_smoothing);
        let log_sigmoid = |m: Tensor<1>| activation::log_sigmoid(m * beta);
        match self.config.dpo_loss {
            DpoLoss::Sigmoid if share == 0.0 => log_sigmoid(m).neg(),
            DpoLoss::Sigmoid => (log_sigmoid(m.clone()) * (1.0 - share) + log_sigmoid(m.neg()) * share).neg(),
            DpoLoss::Robust => {
                (log_sigmoid(m.clone()) * (share - 1.0) + log_sigmoid(m.neg()) * share) / (1.0 - 2.0 * share)
            }
            DpoLoss::Hinge => activation::relu((m * beta).neg() + 1.0),
            DpoLoss::Ipo => (m - 1.0 / (2.0 * beta)).square(),
        }
    }

    /// What is reported, from the log-probabilities that the loss is made of and what the reference said of them.
    fn metrics(&self, policy: Tensor<1>, reference: Tensor<1>, pairs: usize) -> Vec<Metric> {
        let (policy, reference) = (policy.inner(), reference.inner());
        let [chosen, rejected] = sides((policy.clone() - reference) * self.config.beta);
        let [likely, unlikely] = sides(policy);
        let share = |more: Tensor<1>, less: Tensor<1>| (more - less).greater_elem(0.0).float().sum();
        let metric = |name, sum| Metric { name, sum, weight: pairs as f64 };
        vec![
            metric("reward_margin", (chosen.clone() - rejected.clone()).sum()),
            metric("reward_accuracy", share(chosen.clone(), rejected.clone())),
            metric("reward_chosen", chosen.sum()),
            metric("reward_rejected", rejected.sum()),
            metric("chosen_likelier", share(likely, unlikely)),
        ]
    }
}

/// Of `[2·pairs]` values in turns the chosen answers' and the rejected ones', `[pairs]` each.
fn sides(values: Tensor<1>) -> [Tensor<1>; 2] {
    let pairs = values.dims()[0] / 2;
    let values = values.reshape([pairs, 2]);
    [0, 1].map(|side| values.clone().narrow(1, side, 1).reshape([pairs]))
}

impl Objective for Dpo {
    /// Its pairs.
    fn weight(&self, batch: &Batch) -> f64 {
        batch.examples() as f64 / 2.0
    }

    fn part_loss(&self, model: &Transformer, batch: &Batch, totals: &StepTotals) -> Loss {
        let (mut policy, routed) = routed_log_probs(model, batch, totals);
        let mut reference = self.reference.log_probs(model, batch);
        let device = model.device();
        let shares = || constant(sequence_weights(batch).into_iter().map(f32::recip).collect(), &device);
        let means = (self.config.sft_weight > 0.0).then(|| policy.clone() * shares());
        if self.config.takes_means() {
            policy = policy * shares();
            reference = reference * shares().inner();
        }
        let pairs = batch.examples() / 2;
        let metrics = self.metrics(policy.clone(), reference.clone(), pairs);
        let [chosen, rejected] = sides(policy - reference);
        let mut sum = self.of_margins(chosen - rejected).sum();
        if let Some(means) = means {
            let [chosen, _] = sides(means);
            sum = sum - chosen.sum() * self.config.sft_weight;
        }
        Loss { sum, metrics, routed }
    }

    fn routed(&self, model: &Transformer, batch: &Batch, totals: &StepTotals) -> Option<Routed> {
        causal_routed(model, batch, totals)
    }

    fn problems(&self, adapts: bool) -> Vec<Told> {
        self.config.problems().into_iter().chain(self.reference.kind().problem(adapts)).collect()
    }

    fn longest_prompt(&self) -> usize {
        self.config.max_prompt_len
    }

    fn beside(&self) -> Beside {
        self.reference.beside()
    }

    fn is_likelihood(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::LN_2;

    use super::*;
    use crate::model::{tiny_model, values};

    fn dpo(config: DpoConfig) -> Dpo {
        Dpo::new(config, Reference::Cached)
    }

    #[test]
    fn losses_of_margins_by_hand() {
        let base = DpoConfig::default;
        for (config, expected) in [
            // ln(1 + e^−βm)
            (base(), [LN_2, 0.598_139, 1.701_413]),
            (DpoConfig { beta: 0.15, ..base() }, [LN_2, 0.554_355, 2.350_207]),
            // 0.9 of these and 0.1 of ln(1 + e^βm)
            (DpoConfig { label_smoothing: 0.1, ..base() }, [LN_2, 0.618_139, 1.551_413]),
            (
                DpoConfig { label_smoothing: 0.1, dpo_loss: DpoLoss::Robust, ..base() },
                [LN_2, 0.573_139, 1.888_913],
            ),
            (DpoConfig { dpo_loss: DpoLoss::Hinge, ..base() }, [1.0, 0.8, 2.5]),
            (DpoConfig { dpo_loss: DpoLoss::Ipo, ..base() }, [25.0, 9.0, 400.0]),
        ] {
            let margins = constant(vec![0.0, 2.0, -15.0], &Device::flex());
            let found = values(dpo(config.clone()).of_margins(margins));
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-5 * expected, "{config:?}: {found} {expected}");
            }
        }
        let margins = constant(vec![40.0], &Device::flex());
        let hinge = DpoConfig { dpo_loss: DpoLoss::Hinge, ..base() };
        assert_eq!(
            values(dpo(hinge).of_margins(margins)),
            [0.0],
            "a margin that is large enough costs nothing"
        );
    }

    fn model() -> Transformer {
        tiny_model(&Device::flex())
    }

    /// Two pairs; the answers of the first count 2 and 1, those of the second 0.5 and 3.
    fn batch() -> Batch {
        let mut batch = Batch { group: 2, members: 2, ..Batch::new(6) };
        for (ids, weights) in [
            ([1, 2, 3, 4], [0.0, 0.0, 1.0, 1.0]),
            ([1, 2, 5, 0], [0.0, 0.0, 1.0, 0.0]),
            ([6, 7, 8, 9], [0.0, 0.0, 0.0, 0.5]),
            ([6, 7, 9, 8], [0.0, 1.0, 1.0, 1.0]),
        ] {
            batch.push(&ids, &weights, &[1; 4]);
        }
        batch
    }

    #[test]
    fn a_batch_is_the_sum_over_its_pairs_and_reports_rewards() {
        let (model, mut batch) = (model(), batch());
        let policy = values(sequence_log_probs(&model, &batch));
        assert_eq!(sequence_weights(&batch), [2.0, 1.0, 0.5, 3.0]);
        // Margins of 2 and −15 against a made-up reference.
        batch.reference = vec![policy[0] - 3.0, policy[1] - 1.0, policy[2] + 10.0, policy[3] - 5.0];
        let objective = dpo(DpoConfig::default());
        assert_eq!(objective.weight(&batch), 2.0);
        let loss = objective.loss(&model, &batch);
        let sum = values(loss.sum)[0];
        assert!((sum - (0.598_139 + 1.701_413)).abs() < 1e-5, "{sum}");
        let found: Vec<(&str, f32)> =
            loss.metrics.iter().map(|metric| (metric.name, values(metric.sum.clone())[0])).collect();
        let likelier =
            f32::from(u8::from(policy[0] > policy[1])) + f32::from(u8::from(policy[2] > policy[3]));
        let expected = [
            ("reward_margin", -1.3),
            ("reward_accuracy", 1.0),
            ("reward_chosen", -0.7),
            ("reward_rejected", 0.6),
            ("chosen_likelier", likelier),
        ];
        for ((name, found), (expected_name, expected)) in found.into_iter().zip(expected) {
            assert!(
                name == expected_name && (found - expected).abs() < 1e-5,
                "{name} {found}, not {expected}"
            );
        }
        assert!(loss.metrics.iter().all(|metric| metric.weight == 2.0));
    }

    #[test]
    fn means_divide_by_what_the_targets_count_and_fine_tuning_adds_the_chosen_ones() {
        let (model, mut batch) = (model(), batch());
        let policy = values(sequence_log_probs(&model, &batch));
        batch.reference = vec![policy[0] - 4.0, policy[1] - 1.0, policy[2] - 1.0, policy[3] - 6.0];
        // Margins of the means: 4/2 − 1/1 and 1/0.5 − 6/3.
        let config = DpoConfig { length_normalise: true, beta: 1.0, ..DpoConfig::default() };
        let sum = |config: DpoConfig| values(dpo(config).loss(&model, &batch).sum)[0];
        let means = (1.0 + (-1.0f32).exp()).ln() + 2f32.ln();
        assert!((sum(config.clone()) - means).abs() < 1e-5);
        let ipo = DpoConfig { dpo_loss: DpoLoss::Ipo, beta: 1.0, ..DpoConfig::default() };
        assert!((sum(ipo) - 0.5).abs() < 1e-5, "(1 − 1/2)² + (0 − 1/2)²");
        let nll = -(policy[0] / 2.0 + policy[2] / 0.5);
        let added = sum(DpoConfig { sft_weight: 0.25, ..config });
        assert!((added - (means + 0.25 * nll)).abs() < 1e-5 * added, "{added}");
    }

    #[test]
    fn a_policy_that_is_its_reference_costs_ln_2() {
        let (model, batch) = (model(), batch());
        let frozen = Dpo::new(DpoConfig::default(), Reference::frozen(&model));
        let loss = frozen.loss(&model, &batch);
        assert_eq!(values(loss.sum), [2.0 * LN_2]);
        assert!(loss.metrics[..4].iter().all(|metric| values(metric.sum.clone()) == [0.0]));
        let missing = dpo(DpoConfig::default()).loss(&model, &batch);
        assert!(values(missing.sum)[0].is_nan(), "without the reference there is no loss");
    }

    #[test]
    fn what_does_not_stand_together_is_named() {
        let model = model();
        let problems = |reference: Reference, adapts: bool| {
            Dpo::new(DpoConfig { beta: -1.0, ..DpoConfig::default() }, reference).problems(adapts).join("; ")
        };
        assert!(problems(Reference::Base, false).contains("--reference base"));
        assert!(problems(Reference::frozen(&model), true).contains("--beta is -1"));
        assert_eq!(problems(Reference::Cached, true), "--beta is -1; it must be above 0");
        let frozen = Dpo::new(DpoConfig::default(), Reference::frozen(&model)).beside();
        assert_eq!((frozen.bytes, frozen.forwards), (4 * model.config().parameters(), 1));
    }
}
