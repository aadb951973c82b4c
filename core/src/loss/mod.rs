//! What is minimised. A stage is an objective: which weight a batch has, and which loss.

mod cross_entropy;
mod diffusion;
mod diffusion_config;
mod distill;
mod distill_config;
mod dpo;
mod dpo_config;
mod grpo;
mod grpo_config;
mod masked_metrics;
mod masking;
mod objective;
mod policy_costs;
mod reason;
mod reason_config;
mod rewards;
mod rollout_config;
mod routed;
mod sequence;
mod targets;
mod top_tokens;
mod totals;
mod whole_rows;

pub use cross_entropy::cross_entropy;
pub use diffusion::Diffusion;
pub use diffusion_config::{DiffusionSettings, LossWeight, Predicts, TimeRange};
pub use distill::{Distill, target_logits};
pub use distill_config::{DistillConfig, KdLoss};
pub use dpo::{Dpo, Reference};
pub use dpo_config::{DpoConfig, DpoLoss, ReferenceKind};
pub use grpo::{Grpo, target_log_probs};
pub use grpo_config::{GrpoConfig, GrpoLoss, LossMean};
pub(crate) use masked_metrics::MaskedMetrics;
pub use masking::{Masking, RowShape};
pub use objective::{Beside, EvalAnswers, KeptOfTeacher, NextToken, Objective, OwnAnswers};
pub use reason::Reason;
pub use reason_config::{ReasonConfig, ReasonSettings};
pub use rewards::{Answered, RULES, Reward, Rule, group_advantages, is_rewarded_answer};
pub use rollout_config::RolloutConfig;
pub use routed::{ExpertUse, Routed, routed_logits};
pub use sequence::sequence_log_probs;
pub use totals::StepTotals;

use burn::tensor::Tensor;

/// A loss before it is divided by the [`Objective::weight`] of all batches of a step together: batches of unequal
/// weight add up exactly.
#[derive(Debug)]
pub struct Loss {
    /// Sum over the targets, `[1]`, differentiable.
    pub sum: Tensor<1>,
    /// What is reported beside the loss.
    pub metrics: Vec<Metric>,
    /// What the gates of a mixture of experts add where the model trains; [`routed_logits`] gives it.
    pub routed: Option<Routed>,
}

/// A number to report: the sum of `sum` over batches and steps, divided by the sum of `weight`.
#[derive(Clone, Debug)]
pub struct Metric {
    /// Its key in `log.jsonl`, such as `reward_margin`.
    pub name: &'static str,
    /// Added up, `[1]`; no gradient flows through it.
    pub sum: Tensor<1>,
    /// What to divide by.
    pub weight: f64,
}
