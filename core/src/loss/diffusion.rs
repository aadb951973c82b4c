//! The loss of hidden tokens: masked diffusion (LLaDA: Nie et al., 2025, <https://arxiv.org/abs/2502.09992>), and block
//! diffusion (Arriola et al., 2025, <https://arxiv.org/abs/2503.09573>), which differ in what a model sees.

use burn::tensor::{Int, Tensor, TensorData};

use super::routed::masked_logits;
use super::targets::Targets;
use super::{Loss, LossWeight, Masking, Metric, Objective, StepTotals};
use crate::batch::Batch;
use crate::kernels::token_log_probs;
use crate::model::{MaskedRows, Transformer};

/// The key of the share of hidden tokens that the model holds most likely.
const ACCURACY: &str = "masked_accuracy";
/// How far above twice its mean the loss of what a step hides lies where the run is lost: a few hard tokens may cost a few
/// times the logarithm of the vocabulary, which is 12.4 for 250,000 tokens.
const LOST: f64 = 25.0;

/// Cross-entropy of hidden tokens, weighed: the batches are those that [`Masking::hide`] gives, and another one counts
/// nothing.
#[derive(Clone, Copy, Debug)]
pub struct Diffusion {
    masking: Masking,
}

impl Diffusion {
    /// Learns what this hides.
    pub fn new(masking: Masking) -> Self {
        Self { masking }
    }
}

impl Objective for Diffusion {
    fn weight(&self, batch: &Batch) -> f64 {
        batch.noised.iter().flat_map(|noised| &noised.counts).map(|&count| f64::from(count)).sum()
    }

    fn drawn(&self, batch: &Batch) -> f64 {
        match self.masking.settings.loss_weight {
            LossWeight::Uniform => self.weight(batch),
            LossWeight::InverseT if batch.noised.is_none() => 0.0,
            LossWeight::InverseT => batch.weights.iter().map(|&weight| f64::from(weight)).sum(),
        }
    }

    fn part_loss(&self, model: &Transformer, batch: &Batch, totals: &StepTotals) -> Loss {
        let (targets, clean) = match &batch.noised {
            Some(noised) => (Targets::of(batch), &noised.clean),
            None => (Targets::none(), &batch.inputs),
        };
        let rows = MaskedRows { seq: batch.seq, noised: &batch.inputs, clean, segments: &batch.segments };
        let (logits, routed) = masked_logits(model, batch, &rows, &targets.places, totals);
        let metrics = vec![accuracy(&logits, batch, &targets)];
        let [n, vocab] = logits.dims();
        let log_probs = token_log_probs(logits.reshape([1, n, vocab]), &targets.ids);
        Loss { sum: targets.sum(log_probs.reshape([n])).neg(), metrics, routed }
    }

    fn masking(&self) -> Option<&Masking> {
        Some(&self.masking)
    }

    fn is_likelihood(&self) -> bool {
        self.masking.settings.is_bound()
    }

    /// What a step draws may weigh a thousand times as much as what another does, where tokens weigh `1/p`; divided by it, the
    /// loss is a mean over hidden tokens, whatever they weigh.
    fn diverged(&self, loss: f64, mean: f64) -> bool {
        loss > 2.0 * mean + LOST
    }
}

/// How many of the hidden tokens are the model's first choice, each counted once.
fn accuracy(logits: &Tensor<2>, batch: &Batch, targets: &Targets) -> Metric {
    let device = logits.device();
    let logits = if device.is_autodiff() { logits.clone().inner() } else { logits.clone() };
    let n = targets.ids.len();
    let ids: Vec<i32> = targets.ids.iter().map(|&id| id as i32).collect();
    let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [n]), &logits.device());
    let right = logits.argmax(1).reshape([n]).equal(ids).float();
    // What stands there where nothing is hidden is the first choice of none.
    Metric { name: ACCURACY, sum: right.sum(), weight: batch.targets_counted() as f64 }
}

#[cfg(test)]
mod tests {
    use super::super::{DiffusionSettings, TimeRange};
    use super::*;
    use crate::batch::Noised;
    use crate::loss::RowShape;
    use crate::model::{DiffusionConfig, ModelConfig, Trace, tiny};
    use crate::random::Random;
    use burn::tensor::Device;

    fn config(block_length: Option<usize>) -> ModelConfig {
        let diffusion = Some(DiffusionConfig { mask_token_id: 31, block_length, shift_logits: false });
        ModelConfig { diffusion, initializer_range: 0.3, ..tiny(32) }
    }

    fn objective(loss_weight: LossWeight, from: f64, to: f64) -> Diffusion {
        let settings = DiffusionSettings { objective: None, loss_weight, t_range: TimeRange { from, to } };
        Diffusion::new(Masking { settings, answers: false })
    }

    fn texts() -> Batch {
        let mut batch = Batch::new(16);
        batch.push(&(1..18).collect::<Vec<u32>>(), &[1.0; 17], &[1; 17]);
        batch.push(&(5..16).collect::<Vec<u32>>(), &[1.0; 11], &[1; 11]);
        batch
    }

    fn hidden(objective: &Diffusion, config: &ModelConfig, seed: u64) -> Batch {
        let shape = RowShape { packed: false, seq_len: 32 };
        objective.masking.hide(&texts(), shape, config, &mut Random::new(seed, 0), false)
    }

    fn value(tensor: Tensor<1>) -> f64 {
        f64::from(tensor.into_scalar::<f32>())
    }

    #[test]
    fn the_loss_is_the_weighed_sum_over_hidden_tokens() {
        let model = Transformer::init(&config(None), 5, &Device::flex()).unwrap();
        let mut batch = Batch::new(4);
        batch.push(&[9, 31, 8, 31], &[0.0; 4], &[1; 4]);
        batch.targets = vec![9, 4, 8, 6];
        batch.weights = vec![0.0, 2.0, 0.0, 0.5];
        batch.noised =
            Some(Noised { clean: vec![9, 4, 8, 6], probabilities: vec![0.5; 4], counts: vec![3.0] });
        let logits = model
            .forward(batch.inputs_tensor(&Device::flex()), &crate::kernels::AttentionMask::bidirectional());
        let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
        let log_prob = |place: usize, id: usize| {
            let row = &logits[place * 32..][..32];
            let total: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
            f64::from(row[id]) - total.ln()
        };
        let objective = objective(LossWeight::Uniform, 0.0, 1.0);
        let loss = objective.loss(&model, &batch);
        let expected = -2.0 * log_prob(1, 4) - 0.5 * log_prob(3, 6);
        assert!((value(loss.sum) - expected).abs() < 1e-5);
        assert_eq!(objective.weight(&batch), 3.0);
        let first_choice = |place: usize| {
            let row = &logits[place * 32..][..32];
            (0..32).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap()
        };
        let right = u32::from(first_choice(1) == 4) + u32::from(first_choice(3) == 6);
        let [metric] = &loss.metrics[..] else { panic!("one metric") };
        assert_eq!((metric.name, metric.weight), ("masked_accuracy", 2.0));
        assert_eq!(value(metric.sum.clone()), f64::from(right));
        batch.targets[1] = first_choice(1) as u32;
        assert_eq!(
            value(objective.loss(&model, &batch).metrics[0].sum.clone()),
            f64::from(u32::from(first_choice(3) == 6) + 1)
        );
    }

    #[test]
    fn uniform_logits_cost_the_logarithm_of_the_vocabulary() {
        for block_length in [None, Some(4)] {
            let config = ModelConfig { initializer_range: 0.0, embedding_range: 0.0, ..config(block_length) };
            let model = Transformer::init(&config, 5, &Device::flex()).unwrap();
            let mean = |objective: &Diffusion, seed| {
                let batch = hidden(objective, &config, seed);
                value(objective.loss(&model, &batch).sum) / objective.weight(&batch)
            };
            let ln = 32f64.ln();
            for seed in 0..5 {
                let found = mean(&objective(LossWeight::Uniform, 0.05, 1.0), seed);
                assert!((found - ln).abs() < 1e-5, "{found}");
                let found = mean(&objective(LossWeight::InverseT, 1.0, 1.0), seed);
                assert!((found - ln).abs() < 1e-5, "all are hidden: {found}");
            }
            // Of the bound it is the mean over all that may be hidden.
            let bound = objective(LossWeight::InverseT, 0.0, 1.0);
            let found = (0..300).map(|seed| mean(&bound, seed)).sum::<f64>() / 300.0;
            assert!((found / ln - 1.0).abs() < 0.1, "{found} {ln}");
        }
    }

    #[test]
    fn what_nobody_hid_counts_nothing() {
        let model = Transformer::init(&config(None), 5, &Device::flex()).unwrap();
        let objective = objective(LossWeight::Uniform, 0.0, 1.0);
        let loss = objective.loss(&model, &texts());
        assert_eq!((objective.weight(&texts()), value(loss.sum)), (0.0, 0.0));
    }

    #[test]
    fn blocks_of_one_with_shifted_logits_cost_what_the_causal_model_does() {
        let diffusion = DiffusionConfig { mask_token_id: 31, block_length: Some(1), shift_logits: true };
        let masked = ModelConfig { diffusion: Some(diffusion), ..config(None) };
        let causal = ModelConfig { diffusion: None, ..masked.clone() };
        let [masked_model, causal] =
            [&masked, &causal].map(|config| Transformer::init(config, 5, &Device::flex()).unwrap());
        let objective = objective(LossWeight::Uniform, 0.1, 0.9);
        let batch = hidden(&objective, &masked, 3);
        let noised = batch.noised.clone().unwrap();
        let clean = Batch { inputs: noised.clean, ..batch.clone() };
        let mask = crate::kernels::AttentionMask::segments(&batch.segments, batch.seq, true);
        let logits =
            causal.forward_traced(clean.inputs_tensor(&Device::flex()), &mask, &mut Trace::default());
        // The target of each place is what the place behind it hides.
        let targets = [&batch.targets[1..], &[0][..]].concat();
        let weights = [&batch.weights[1..], &[0.0][..]].concat();
        let expected = value(super::super::cross_entropy(logits, &targets, &weights));
        let found = value(objective.loss(&masked_model, &batch).sum);
        assert!((found / expected - 1.0).abs() < 2e-6, "{found} {expected}");
    }

    #[test]
    fn a_run_is_lost_where_the_weights_of_single_tokens_cannot_tell_it() {
        let uniform = objective(LossWeight::Uniform, 0.0, 1.0);
        let bound = objective(LossWeight::InverseT, 0.0, 1.0);
        let narrow = objective(LossWeight::InverseT, 0.1, 0.5);
        for objective in [uniform, bound, narrow] {
            assert!(objective.diverged(35.1, 5.0) && !objective.diverged(34.9, 5.0));
            assert!(!objective.diverged(20.0, 0.0), "the steps before were of easy tokens");
            assert!(objective.diverged(f64::INFINITY, 5.0));
        }
        assert!(bound.is_likelihood() && !narrow.is_likelihood() && !uniform.is_likelihood());
    }

    #[test]
    fn the_scale_of_a_loss_is_what_its_draws_weigh_by_hand() {
        // Of eight tokens two are hidden, one of them with a probability of 1/1000.
        let mut batch = Batch { batch: 2, ..Batch::new(4) };
        (batch.inputs, batch.segments) = ((1..=8).collect(), vec![1; 8]);
        batch.weights = vec![1.0; 8];
        let mut hidden = vec![false; 8];
        (hidden[1], hidden[6]) = (true, true);
        let probabilities = [vec![0.001; 4], vec![0.5; 4]].concat();
        let noised = |weighs: LossWeight, answers: bool| {
            let settings = DiffusionSettings { loss_weight: weighs, ..DiffusionSettings::default() };
            let masking = Masking { settings, answers };
            let objective = Diffusion::new(masking);
            let batch = masking.hide_these(batch.clone(), &hidden, probabilities.clone(), 31);
            (objective.drawn(&batch), objective.weight(&batch))
        };
        let near = |(drawn, weight): (f64, f64), by_hand: (f64, f64)| {
            assert!((drawn / by_hand.0 - 1.0).abs() < 1e-5 && weight == by_hand.1, "{drawn} {weight}");
        };
        // 1/0.001 + 1/0.5 over all eight tokens; of answers each row's tokens count one together.
        near(noised(LossWeight::InverseT, false), (1002.0, 8.0));
        near(noised(LossWeight::InverseT, true), (250.5, 2.0));
        let (drawn, weight) = noised(LossWeight::Uniform, false);
        assert!(drawn == weight && weight == 2.0, "exactly, so that nothing changes");
    }
}
