//! What is minimised: the one thing in which stages differ.

use super::routed::routed_logits_at;
use super::targets::Targets;
use super::{GrpoConfig, Loss, Masking, ReasonSettings, Routed, StepTotals, cross_entropy, routed_logits};
use crate::batch::Batch;
use crate::device::is_processor;
use crate::kernels::AttentionMask;
use crate::model::{ModelConfig, Transformer};
use crate::text::Tags;
use crate::told::Told;

/// A loss of a model on a batch. Threads share it.
pub trait Objective: Send + Sync {
    /// What the batch counts beside others of the same optimizer step: its number of targets or pairs, or what their
    /// weights add up to. It is known before the model is asked, so that a step can be divided over threads.
    fn weight(&self, batch: &Batch) -> f64;

    /// How much of [`Self::weight`] there is in this very batch, where that is known on average alone because what counts,
    /// and how much, is drawn.
    fn drawn(&self, batch: &Batch) -> f64 {
        self.weight(batch)
    }

    /// The summed loss of a batch that is a part of an optimizer step; nothing is read back from the device.
    fn part_loss(&self, model: &Transformer, batch: &Batch, totals: &StepTotals) -> Loss;

    /// The summed loss of a batch that is a step of its own.
    fn loss(&self, model: &Transformer, batch: &Batch) -> Loss {
        self.part_loss(model, batch, &StepTotals::of(self.weight(batch), std::slice::from_ref(batch)))
    }

    /// What the routed layers of a mixture bring to [`Self::part_loss`], where nothing else of it is asked for. An objective
    /// that reads another model beside the one that trains does not read that here.
    fn routed(&self, model: &Transformer, batch: &Batch, totals: &StepTotals) -> Option<Routed> {
        self.part_loss(model, batch, totals).routed
    }

    /// Everything that keeps it from training such a model, or an adapter beside it, as sentences.
    fn problems(&self, _adapts: bool) -> Vec<Told> {
        Vec::new()
    }

    /// Tokens that the prompt of a pair may have, which else loses its beginning; 0 sets no limit.
    fn longest_prompt(&self) -> usize {
        0
    }

    /// Tokens that a row may have, where another model reads it, too, and holds no more.
    fn longest_row(&self) -> Option<usize> {
        None
    }

    /// What was kept of a teacher that was asked before the run, which its batches bring then.
    fn kept_of_teacher(&self) -> Option<KeptOfTeacher> {
        None
    }

    /// How the model's own answers take the place of the data's, where some do.
    fn own_answers(&self) -> Option<OwnAnswers> {
        None
    }

    /// How groups of the model's own answers take the place of the data's, where rules reward them.
    fn rollouts(&self) -> Option<&GrpoConfig> {
        None
    }

    /// How tokens are hidden from a masked predictor, where one learns.
    fn masking(&self) -> Option<&Masking> {
        None
    }

    /// How answers think first, where that is taught.
    fn reason(&self) -> Option<&ReasonSettings> {
        None
    }

    /// Which answers of the model's own are judged where the held-out rows are measured, if any are.
    fn eval_answers(&self) -> Option<EvalAnswers> {
        None
    }

    /// What it needs beside what trains.
    fn beside(&self) -> Beside {
        Beside::default()
    }

    /// Whether its loss is the negative log-likelihood of the targets, which can be told in bits per byte.
    fn is_likelihood(&self) -> bool {
        true
    }

    /// Whether a finite loss has jumped so far above its running mean that the run is lost; both are means over what
    /// [`Self::drawn`] counts.
    fn diverged(&self, loss: f64, mean: f64) -> bool {
        loss > 2.0 * mean + 3.0
    }
}

/// What an objective needs beside the model that trains, for a plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beside {
    /// Memory that it holds.
    pub bytes: u64,
    /// Forward passes through a model of the same size, for each of the training's own.
    pub forwards: u32,
    /// Another model that reads all rows and whose logits are held until the backward pass.
    pub teacher: Option<ModelConfig>,
}

/// What is kept of a teacher.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeptOfTeacher {
    /// The likeliest tokens of each target.
    pub top_k: usize,
    /// What its logits are divided by.
    pub temperature: f64,
    /// The tokens that it has.
    pub vocab: usize,
}

/// Answers that the model writes itself, to learn from what is said of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OwnAnswers {
    /// The share of the batches whose answers they replace.
    pub share: f64,
    /// The most tokens of one.
    pub max_new_tokens: usize,
}

/// Answers to held-out questions that are judged by their tags and by what they say.
#[derive(Clone, Debug, PartialEq)]
pub struct EvalAnswers {
    /// The most questions.
    pub answers: usize,
    /// The most tokens of an answer.
    pub max_new_tokens: usize,
    /// What stands around thinking and answer.
    pub tags: Tags,
}

/// Next-token prediction: pretraining and supervised fine-tuning, which differ in their weights only.
#[derive(Clone, Copy, Debug, Default)]
pub struct NextToken;

impl Objective for NextToken {
    fn weight(&self, batch: &Batch) -> f64 {
        batch.weight()
    }

    /// Of a conversation the processor computes the logits of its targets alone, the smaller part. On a GPU, where the gradient
    /// of rows that were taken out is added up token by token, that is not measured, and all are computed.
    fn part_loss(&self, model: &Transformer, batch: &Batch, totals: &StepTotals) -> Loss {
        let mask = causal_mask(batch);
        let few = |targets: &Targets| targets.places.len() * 8 < batch.inputs.len() * 7;
        let targets = is_processor(&model.device()).then(|| Targets::of(batch)).filter(few);
        let (sum, routed) = match targets {
            Some(targets) => {
                let (logits, routed) = routed_logits_at(model, batch, &mask, &targets.places, totals);
                (targets.sum(targets.log_probs(logits)).neg(), routed)
            }
            None => {
                let (logits, routed) = routed_logits(model, batch, &mask, totals);
                (cross_entropy(logits, &batch.targets, &batch.weights), routed)
            }
        };
        Loss { sum, metrics: Vec::new(), routed }
    }
}

/// What the routed layers bring where a model reads a batch causally; the logits of one place are all that is made of it.
pub(super) fn causal_routed(model: &Transformer, batch: &Batch, totals: &StepTotals) -> Option<Routed> {
    routed_logits_at(model, batch, &causal_mask(batch), &[0], totals).1
}

/// The causal mask of a batch; where rows hold several examples, they do not see each other.
pub(super) fn causal_mask(batch: &Batch) -> AttentionMask {
    // Padding stands to the right, where a causal row never looks.
    if batch.segments.iter().all(|&segment| segment <= 1) {
        return AttentionMask::causal(batch.seq, 0);
    }
    AttentionMask::segments(&batch.segments, batch.seq, true)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::model::{tiny_model, values};
    use crate::optim::NamedGradients;

    #[test]
    fn logits_of_targets_alone_give_the_loss_and_the_gradients_of_all() {
        let model = tiny_model(&Device::flex().autodiff());
        let mut batch = Batch::new(6);
        batch.push(&[1, 9, 3, 30, 5, 7], &[0.0, 0.0, 1.0, 0.0, 0.5, 1.0], &[1; 6]);
        batch.push(&[2, 8, 4], &[0.0, 0.0, 2.0], &[1; 3]);
        let gradients = |loss: burn::tensor::Tensor<1>| {
            let found = values(loss.clone())[0];
            let gradients = NamedGradients::collect(&model, &mut loss.backward()).into_inner();
            (found, gradients.into_iter().map(|(name, grad)| (name, values(grad))).collect::<Vec<_>>())
        };
        let all = model.forward(batch.inputs_tensor(&model.device()), &causal_mask(&batch));
        let (expected, slow) = gradients(cross_entropy(all, &batch.targets, &batch.weights));
        let (found, fast) = gradients(NextToken.loss(&model, &batch).sum);
        assert!((found - expected).abs() < 1e-6 * expected, "{found} {expected}");
        assert_eq!(fast.len(), slow.len());
        for ((name, fast), (other, slow)) in fast.iter().zip(&slow) {
            assert_eq!(name, other);
            let largest = slow.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
            assert!(largest > 0.0, "{name}");
            for (fast, slow) in fast.iter().zip(slow) {
                assert!((fast - slow).abs() < 1e-5 * largest, "{name}: {fast} {slow}");
            }
        }
    }
}
