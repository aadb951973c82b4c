//! Distillation (Hinton et al., 2015, <https://arxiv.org/abs/1503.02531>): beside the data's own tokens, or in their place, a
//! student learns what a teacher holds of every next token, of answers or of all of a text.
//!
//! `α·CE + (1 − α)·T²·D(softmax(teacher/T), softmax(student/T))` at every target, as in MiniMind; on answers that the student
//! wrote itself `T²·D` alone (Agarwal et al., 2023, <https://arxiv.org/abs/2306.13649>), for such targets are no data. Where the
//! teacher was asked before, `D` is that of [`beside_top_tokens`]. The gates of a student that is a mixture of experts are kept
//! in balance beside that; those of a teacher stay as they are.

use burn::tensor::{Int, Tensor, TensorData};

use super::objective::{causal_mask, causal_routed};
use super::routed::routed_logits_at;
use super::targets::Targets;
use super::top_tokens::beside_top_tokens;
use super::{
    Beside, DistillConfig, KeptOfTeacher, Loss, Metric, NextToken, Objective, OwnAnswers, Routed, StepTotals,
    cross_entropy, routed_logits,
};
use crate::batch::Batch;
use crate::kernels::beside_teacher;
use crate::model::{ModelConfig, Trace, Transformer};
use crate::told::{Told, told};

/// The keys of what is reported: the mean cross entropy on data, the mean of the teacher's term there, and that on the
/// student's own answers.
const CE_LOSS: &str = "ce_loss";
const KD_LOSS: &str = "kd_loss";
const OWN_KD_LOSS: &str = "own_kd_loss";

/// Learning from a teacher of the same vocabulary.
pub struct Distill {
    config: DistillConfig,
    teacher: Option<Box<Transformer>>,
    /// The positions and the vocabulary of a teacher that was asked before, and is not here.
    asked: Option<(usize, usize)>,
}

/// The logits of a teacher at the targets of a batch that count, in their order.
///
/// # Shapes
/// → `[n, vocab]` of `n` targets, of one place where there is none.
pub fn target_logits(teacher: &Transformer, batch: &Batch) -> Tensor<2> {
    logits_at(teacher, batch, &Targets::of(batch))
}

fn logits_at(teacher: &Transformer, batch: &Batch, targets: &Targets) -> Tensor<2> {
    let ids = batch.inputs_tensor(&teacher.device());
    teacher.forward_at(ids, &causal_mask(batch), &targets.places, &mut Trace::default())
}

impl Distill {
    /// The objective of these settings, which trains nothing before it has a teacher.
    pub fn new(config: DistillConfig) -> Self {
        Self { config, teacher: None, asked: None }
    }

    /// The same with a teacher, which stays as it is; its weights may be held in few bits. Its tokens must be the student's
    /// ([`crate::tokenizer::Tokenizer::check_same_tokens`]).
    #[must_use]
    pub fn with_teacher(mut self, teacher: &Transformer) -> Self {
        self.teacher = Some(Box::new(teacher.base()));
        self
    }

    /// The same with a teacher of this shape that was asked before: batches bring what was kept of it, and without that the
    /// loss is no number.
    #[must_use]
    pub fn with_asked_teacher(mut self, teacher: &ModelConfig) -> Self {
        self.asked = Some((teacher.context(), teacher.vocab_size));
        self
    }

    /// What the student's logits at these targets say, beside the teacher: cross entropy and the teacher's term, `[1]` each.
    fn terms(&self, student: Tensor<2>, batch: &Batch, targets: &Targets) -> [Tensor<1>; 2] {
        let (divergence, temperature) = (self.config.divergence(), self.config.kd_temperature);
        let sharpness = temperature as f32;
        let [log_probs, apart] = match (&batch.taught, &self.teacher) {
            (Some(known), _) => beside_top_tokens(student, known, &targets.ids, divergence, sharpness),
            (None, Some(teacher)) => {
                let teacher = logits_at(teacher, batch, targets);
                beside_teacher(student, teacher, &targets.ids, divergence, sharpness)
            }
            (None, None) => {
                let none = student.sum_dim(1).reshape([targets.ids.len()]) * f32::NAN;
                [none.clone(), none]
            }
        };
        [targets.sum(log_probs).neg(), targets.sum(apart) * temperature.powi(2)]
    }

    /// Plain fine-tuning, to the last digit; how far the teacher lies away is only measured.
    fn beside_data(&self, model: &Transformer, batch: &Batch, totals: &StepTotals) -> Loss {
        let (logits, routed) = routed_logits(model, batch, &causal_mask(batch), totals);
        let sum = cross_entropy(logits.clone(), &batch.targets, &batch.weights);
        let (targets, logits) = (Targets::of(batch), logits.inner());
        let [rows, seq, vocab] = logits.dims();
        let places: Vec<i32> = targets.places.iter().map(|&place| place as i32).collect();
        let shape = [places.len()];
        let places = Tensor::<1, Int>::from_data(TensorData::new(places, shape), &logits.device());
        let student = logits.reshape([rows * seq, vocab]).select(0, places);
        let [_, kd] = self.terms(student, batch, &targets);
        Loss { metrics: metrics(batch, sum.clone(), kd), sum, routed }
    }
}

/// What is reported of a batch.
fn metrics(batch: &Batch, ce: Tensor<1>, kd: Tensor<1>) -> Vec<Metric> {
    let metric = |name, sum: Tensor<1>| Metric { name, sum: sum.inner(), weight: batch.weight() };
    match batch.own {
        true => vec![metric(OWN_KD_LOSS, kd)],
        false => vec![metric(CE_LOSS, ce), metric(KD_LOSS, kd)],
    }
}

impl Objective for Distill {
    fn weight(&self, batch: &Batch) -> f64 {
        batch.weight()
    }

    fn part_loss(&self, model: &Transformer, batch: &Batch, totals: &StepTotals) -> Loss {
        if self.teacher.is_none() && self.asked.is_none() {
            // A run without a teacher is refused before it begins.
            return NextToken.part_loss(model, batch, totals);
        }
        let alpha = if batch.own { 0.0 } else { self.config.alpha };
        if alpha == 1.0 {
            return self.beside_data(model, batch, totals);
        }
        let targets = Targets::of(batch);
        let (student, routed) = routed_logits_at(model, batch, &causal_mask(batch), &targets.places, totals);
        let [ce, kd] = self.terms(student, batch, &targets);
        let metrics = metrics(batch, ce.clone(), kd.clone());
        let sum = if alpha == 0.0 { kd } else { ce * alpha + kd * (1.0 - alpha) };
        Loss { sum, metrics, routed }
    }

    fn routed(&self, model: &Transformer, batch: &Batch, totals: &StepTotals) -> Option<Routed> {
        causal_routed(model, batch, totals)
    }

    fn problems(&self, _adapts: bool) -> Vec<Told> {
        let lacking = || {
            told!(
                "distill.no_teacher",
                "distillation needs a teacher; name a model of the same vocabulary with --teacher DIR"
            )
        };
        let lacks = self.teacher.is_none() && self.asked.is_none();
        self.config.problems().into_iter().chain(lacks.then(lacking)).collect()
    }

    fn longest_row(&self) -> Option<usize> {
        let of_teacher = || self.teacher.as_ref().map(|teacher| teacher.config().context());
        self.asked.map(|(context, _)| context).or_else(of_teacher)
    }

    fn kept_of_teacher(&self) -> Option<KeptOfTeacher> {
        let (top_k, temperature) = (self.config.teacher_top_k, self.config.kd_temperature);
        self.asked.map(|(_, vocab)| KeptOfTeacher { top_k, temperature, vocab })
    }

    fn own_answers(&self) -> Option<OwnAnswers> {
        let (share, max_new_tokens) = (self.config.on_policy, self.config.max_new_tokens);
        (share > 0.0).then_some(OwnAnswers { share, max_new_tokens })
    }

    fn beside(&self) -> Beside {
        let Some(teacher) = &self.teacher else { return Beside::default() };
        let bytes = (4 * teacher.config().parameters()).saturating_sub(teacher.bytes_saved());
        // Answers of its own are read once more while they are written.
        let forwards = u32::from(self.config.on_policy > 0.0);
        Beside { bytes, forwards, teacher: Some(teacher.config().clone()) }
    }

    fn is_likelihood(&self) -> bool {
        self.config.alpha == 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::AttentionMask;
    use crate::loss::KdLoss;
    use crate::model::tiny;
    use burn::tensor::Device;

    fn model(seed: u64, layers: usize, vocab: usize, device: &Device) -> Transformer {
        let config = ModelConfig {
            num_hidden_layers: layers,
            initializer_range: 0.3,
            embedding_range: 0.3,
            ..tiny(vocab)
        };
        Transformer::init(&config, seed, device).unwrap()
    }

    fn batch() -> Batch {
        let mut batch = Batch::new(5);
        batch.push(&[3, 1, 4, 1, 5, 9], &[0.0, 0.0, 1.0, 0.5, 0.0, 2.0], &[1, 1, 1, 1, 1, 1]);
        batch.push(&[2, 6, 5], &[0.0, 1.0, 1.0], &[1, 1, 1]);
        batch
    }

    fn number(tensor: Tensor<1>) -> f64 {
        f64::from(tensor.into_scalar::<f32>())
    }

    /// `ln softmax(logits/T)` of every position.
    fn log_probs(model: &Transformer, batch: &Batch, temperature: f64) -> Vec<Vec<f64>> {
        let ids = batch.inputs_tensor(&model.device());
        let logits = model.forward(ids, &AttentionMask::causal(batch.seq, 0));
        let values: Vec<f64> = logits.into_data().iter::<f32>().map(f64::from).collect();
        let row = |row: &[f64]| {
            let total: f64 = row.iter().map(|logit| (logit / temperature).exp()).sum();
            row.iter().map(|logit| logit / temperature - total.ln()).collect()
        };
        values.chunks(model.config().vocab_size).map(row).collect()
    }

    /// Cross entropy and the divergence of KL, added up from the formulas.
    fn by_hand(student: &Transformer, teacher: &Transformer, batch: &Batch, temperature: f64) -> [f64; 2] {
        let plain = log_probs(student, batch, 1.0);
        let (q, p) = (log_probs(student, batch, temperature), log_probs(teacher, batch, temperature));
        let mut sums = [0.0; 2];
        for (place, &weight) in batch.weights.iter().enumerate() {
            let apart: f64 = p[place].iter().zip(&q[place]).map(|(p, q)| p.exp() * (p - q)).sum();
            let weight = f64::from(weight);
            sums[0] -= weight * plain[place][batch.targets[place] as usize];
            sums[1] += weight * temperature.powi(2) * apart;
        }
        sums
    }

    #[test]
    fn the_loss_is_the_weighed_sum_of_both_terms() {
        let device = Device::flex();
        let (student, teacher, batch) = (model(1, 1, 32, &device), model(2, 2, 32, &device), batch());
        for (alpha, kd_temperature) in [(0.5, 1.5), (0.25, 1.0), (0.0, 2.0), (1.0, 1.5)] {
            let [ce, kd] = by_hand(&student, &teacher, &batch, kd_temperature);
            let config = DistillConfig { alpha, kd_temperature, ..DistillConfig::default() };
            let objective = Distill::new(config).with_teacher(&teacher);
            let loss = objective.loss(&student, &batch);
            let (found, expected) = (number(loss.sum), alpha * ce + (1.0 - alpha) * kd);
            assert!((found - expected).abs() < 2e-5 * expected, "{alpha}: {found} {expected}");
            let found: Vec<_> = loss.metrics.iter().map(|metric| (metric.name, metric.weight)).collect();
            assert_eq!(found, [("ce_loss", 5.5), ("kd_loss", 5.5)]);
            for (metric, expected) in loss.metrics.into_iter().zip([ce, kd]) {
                let found = number(metric.sum);
                assert!((found - expected).abs() < 2e-5 * expected, "{}: {found} {expected}", metric.name);
            }
            assert_eq!(objective.is_likelihood(), alpha == 1.0);
        }
    }

    #[test]
    fn own_answers_are_judged_by_the_teacher_alone() {
        let device = Device::flex();
        let (student, teacher) = (model(1, 1, 32, &device), model(2, 2, 32, &device));
        let batch = Batch { own: true, ..batch() };
        let [_, kd] = by_hand(&student, &teacher, &batch, 1.5);
        for alpha in [0.5, 1.0] {
            let objective = Distill::new(DistillConfig { alpha, ..DistillConfig::default() });
            let loss = objective.with_teacher(&teacher).loss(&student, &batch);
            assert!((number(loss.sum) - kd).abs() < 2e-5 * kd);
            assert_eq!(loss.metrics.iter().map(|metric| metric.name).collect::<Vec<_>>(), ["own_kd_loss"]);
        }
    }

    #[test]
    fn a_teacher_that_is_the_student_teaches_nothing() {
        let model = model(1, 2, 32, &Device::flex().autodiff());
        for kd_loss in [KdLoss::ForwardKl, KdLoss::ReverseKl, KdLoss::Jsd, KdLoss::SkewKl] {
            let config = DistillConfig { alpha: 0.0, kd_loss, ..DistillConfig::default() };
            let loss = Distill::new(config).with_teacher(&model).loss(&model, &batch());
            assert_eq!(number(loss.sum), 0.0, "{kd_loss:?}");
        }
    }

    #[test]
    fn the_datas_share_alone_is_next_token_prediction_to_the_last_digit() {
        let (student, teacher) =
            (model(1, 1, 32, &Device::flex().autodiff()), model(2, 1, 32, &Device::flex()));
        let objective = Distill::new(DistillConfig { alpha: 1.0, ..DistillConfig::default() });
        let (taught, plain) = (
            objective.with_teacher(&teacher).loss(&student, &batch()).sum,
            NextToken.loss(&student, &batch()).sum,
        );
        assert_eq!(number(taught.inner()), number(plain.inner()));
    }

    #[test]
    fn a_teacher_with_more_rows_of_padding_is_cut_to_the_students() {
        let device = Device::flex();
        let (student, teacher) = (model(1, 1, 32, &device), model(2, 1, 40, &device));
        let objective = Distill::new(DistillConfig::default()).with_teacher(&teacher);
        assert!(number(objective.loss(&student, &batch()).sum).is_finite());
        assert_eq!(objective.longest_row(), Some(32));
        let beside = objective.beside();
        assert_eq!((beside.bytes, beside.forwards), (4 * teacher.config().parameters(), 0));
    }

    #[test]
    fn what_is_missing_is_named_and_a_batch_without_targets_costs_nothing() {
        let config = DistillConfig { alpha: 2.0, on_policy: 0.5, ..DistillConfig::default() };
        let objective = Distill::new(config);
        let told = objective.problems(false).join("; ");
        assert!(told.contains("--alpha is 2") && told.contains("--teacher"), "{told}");
        assert_eq!(objective.own_answers(), Some(OwnAnswers { share: 0.5, max_new_tokens: 128 }));
        let model = model(1, 1, 32, &Device::flex());
        let objective = Distill::new(DistillConfig::default()).with_teacher(&model);
        let mut none = Batch::new(3);
        none.push(&[1, 2, 3], &[0.0; 3], &[1; 3]);
        assert_eq!(number(objective.loss(&model, &none).sum), 0.0);
    }
}
