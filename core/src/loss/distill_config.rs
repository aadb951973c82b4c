//! Settings of distillation: doc comments are the command line's help, each default stands once.

use serde::{Deserialize, Serialize};

use super::RolloutConfig;
use crate::kernels::Divergence;
use crate::told::{Told, told};

/// The share of the teacher in the mixture of skew KL where nobody says another: DistiLLM's.
const SKEW: f64 = 0.1;

/// How far the student lies from the teacher. p is the teacher's distribution over the next token, q the student's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum KdLoss {
    /// KL(p ‖ q): the student covers all that the teacher says (Hinton et al., 2015)
    ForwardKl,
    /// KL(q ‖ p): the student says nothing that the teacher would not (MiniLLM, Gu et al., 2023)
    ReverseKl,
    /// Half of each, towards the mean of both (Agarwal et al., 2023)
    Jsd,
    /// KL(p ‖ λp + (1 − λ)q) with the λ of --kd-skew (DistiLLM, Ko et al., 2024)
    SkewKl,
}

/// Settings of distillation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct DistillConfig {
    /// Share of the cross entropy on the data's own tokens; the rest is the teacher's. 1 is plain fine-tuning, of which the
    /// teacher is only asked how far it lies away, and 0 the teacher alone.
    #[cfg_attr(feature = "cli", arg(id = "distill-alpha", long = "alpha", value_name = "SHARE", default_value_t = DistillConfig::default().alpha))]
    pub alpha: f64,
    /// What both models' logits are divided by, so that what is unlikely counts, too; the teacher's term is multiplied by
    /// its square, as its gradients shrink by that.
    #[cfg_attr(feature = "cli", arg(long, default_value_t = DistillConfig::default().kd_temperature))]
    pub kd_temperature: f64,
    /// The teacher's term.
    #[cfg_attr(feature = "cli", arg(long, value_enum, default_value_t = DistillConfig::default().kd_loss))]
    pub kd_loss: KdLoss,
    /// The teacher's share in the mixture of --kd-loss skew-kl [default: 0.1].
    #[cfg_attr(feature = "cli", arg(long))]
    pub kd_skew: Option<f64>,
    /// Share of the batches whose answers the student writes itself, from the data's prompts or from beginnings of its texts,
    /// and which the teacher alone judges; without a number, all.
    #[cfg_attr(feature = "cli", arg(long, num_args = 0..=1, default_value_t = DistillConfig::default().on_policy,
        default_missing_value = "1"))]
    pub on_policy: f64,
    /// Ask the teacher once, before the first step, and keep so many of its likeliest tokens at every target beside the run;
    /// all others count as one. 0 asks it in every step, about all tokens.
    #[cfg_attr(feature = "cli", arg(long, value_name = "K", default_value_t = DistillConfig::default().teacher_top_k))]
    pub teacher_top_k: usize,
    /// The most tokens of an answer that the student writes itself; the flag is that of [`RolloutConfig`].
    #[cfg_attr(feature = "cli", arg(skip = RolloutConfig::default().max_new_tokens))]
    pub max_new_tokens: usize,
}

impl Default for DistillConfig {
    // MiniMind's share and temperature.
    fn default() -> Self {
        Self {
            alpha: 0.5,
            kd_temperature: 1.5,
            kd_loss: KdLoss::ForwardKl,
            kd_skew: None,
            on_policy: 0.0,
            teacher_top_k: 0,
            max_new_tokens: RolloutConfig::default().max_new_tokens,
        }
    }
}

impl DistillConfig {
    /// The measure that the settings name.
    pub(super) fn divergence(&self) -> Divergence {
        match self.kd_loss {
            KdLoss::ForwardKl => Divergence::Forward,
            KdLoss::ReverseKl => Divergence::Reverse,
            KdLoss::Jsd => Divergence::JensenShannon,
            KdLoss::SkewKl => Divergence::Skew(self.kd_skew.unwrap_or(SKEW) as f32),
        }
    }

    /// Everything that does not hold, as sentences.
    pub fn problems(&self) -> Vec<Told> {
        let (alpha, temperature, share) = (self.alpha, self.kd_temperature, self.on_policy);
        let skew = self.kd_skew.unwrap_or(SKEW);
        let checks = [
            (
                (0.0..=1.0).contains(&alpha),
                told!("distill.alpha", "--alpha is {alpha}; it must be 0 to 1", alpha),
            ),
            (
                (0.05..=100.0).contains(&temperature),
                told!(
                    "distill.temperature",
                    "--kd-temperature is {temperature}; it must be 0.05 to 100",
                    temperature
                ),
            ),
            (
                (0.001..=0.999).contains(&skew),
                told!("distill.skew", "--kd-skew is {skew}; it must be 0.001 to 0.999", skew),
            ),
            (
                self.kd_skew.is_none() || self.kd_loss == KdLoss::SkewKl,
                told!("distill.skew_idle", "--kd-skew acts with --kd-loss skew-kl; leave it out"),
            ),
            (
                (0.0..=1.0).contains(&share),
                told!("distill.on_policy", "--on-policy is {share}; it must be 0 to 1", share),
            ),
            (
                self.teacher_top_k == 0 || self.on_policy == 0.0,
                told!(
                    "distill.top_k_own",
                    "--teacher-top-k asks the teacher before the first step, and --on-policy about answers that come later; leave \
                     one of both out"
                ),
            ),
        ];
        let failed = checks.into_iter().filter(|(holds, _)| !holds).map(|(_, problem)| problem);
        failed.chain(RolloutConfig { max_new_tokens: self.max_new_tokens }.problem()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_hold_and_all_problems_come_at_once() {
        assert_eq!(DistillConfig::default().problems(), Vec::<Told>::new());
        let bad = DistillConfig {
            alpha: 1.5,
            kd_temperature: 0.0,
            kd_loss: KdLoss::SkewKl,
            kd_skew: Some(1.0),
            on_policy: f64::NAN,
            teacher_top_k: 4,
            max_new_tokens: 0,
        };
        let told = bad.problems().join("; ");
        for part in [
            "--alpha is 1.5",
            "--kd-temperature is 0;",
            "--kd-skew is 1;",
            "--on-policy is NaN",
            "--teacher-top-k asks",
            "--max-new-tokens is 0",
        ] {
            assert!(told.contains(part), "{told}");
        }
        let idle = DistillConfig { kd_skew: Some(0.2), ..DistillConfig::default() }.problems();
        assert!(idle.len() == 1 && idle[0].contains("acts with --kd-loss skew-kl"), "{idle:?}");
    }

    #[test]
    fn the_skew_is_distillms_where_nobody_says_another() {
        let of = |kd_loss: KdLoss, kd_skew: Option<f64>| {
            DistillConfig { kd_loss, kd_skew, ..DistillConfig::default() }.divergence()
        };
        assert_eq!(of(KdLoss::ForwardKl, None), Divergence::Forward);
        assert_eq!(of(KdLoss::ReverseKl, None), Divergence::Reverse);
        assert_eq!(of(KdLoss::Jsd, None), Divergence::JensenShannon);
        assert_eq!(of(KdLoss::SkewKl, None), Divergence::Skew(0.1));
        assert_eq!(of(KdLoss::SkewKl, Some(0.25)), Divergence::Skew(0.25));
    }
}
