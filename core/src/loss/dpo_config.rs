//! Settings of preference training: doc comments are the command line's help, each default stands once.

use serde::{Deserialize, Serialize};

use crate::told::{Told, told};

/// How the difference between the two answers becomes a loss. `m` is by how much more the policy prefers the chosen answer
/// than the reference does, in nats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum DpoLoss {
    /// −log σ(β·m) (Rafailov et al., 2023), with --label-smoothing the conservative form
    Sigmoid,
    /// (m − 1/2β)², of mean log-probabilities a token (Azar et al., 2023)
    Ipo,
    /// max(0, 1 − β·m) (Zhao et al., 2023)
    Hinge,
    /// The sigmoid's, unbiased where the share --label-smoothing of the pairs is swapped (Chowdhury et al., 2024)
    Robust,
}

/// Where the reference's log-probabilities come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum ReferenceKind {
    /// A second copy of the model that the run begins with
    Frozen,
    /// The model under the adapter that trains
    Base,
    /// Computed once, before the first step, and kept beside the run
    Cached,
}

impl ReferenceKind {
    /// Why it does not stand beside a model that trains itself, or beside an adapter.
    pub fn problem(self, adapts: bool) -> Option<Told> {
        match (self, adapts) {
            (Self::Frozen, true) => Some(told!(
                "dpo.frozen",
                "--reference frozen would hold the model twice, which the adapter leaves as it is; take base, whose numbers \
                 are the same, or cached"
            )),
            (Self::Base, false) => Some(told!(
                "dpo.base",
                "--reference base is the model under an adapter, and the model itself trains; take frozen or cached, or add \
                 --lora"
            )),
            _ => None,
        }
    }
}

/// Settings of preference training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct DpoConfig {
    /// How closely the model is held to the reference: the larger, the closer.
    #[cfg_attr(feature = "cli", arg(long, default_value_t = DpoConfig::default().beta))]
    pub beta: f64,
    /// What is minimised.
    #[cfg_attr(feature = "cli", arg(long, value_enum, default_value_t = DpoConfig::default().dpo_loss))]
    pub dpo_loss: DpoLoss,
    /// Share of the pairs whose two answers may be swapped (sigmoid, robust).
    #[cfg_attr(feature = "cli", arg(long, default_value_t = DpoConfig::default().label_smoothing))]
    pub label_smoothing: f64,
    /// Take means a token instead of sums, so that long answers weigh no more than short ones.
    #[cfg_attr(feature = "cli", arg(long))]
    pub length_normalise: bool,
    /// Longest prompt in tokens; a longer one loses its beginning, 0 sets no limit.
    #[cfg_attr(feature = "cli", arg(long, default_value_t = DpoConfig::default().max_prompt_len))]
    pub max_prompt_len: usize,
    /// How much fine-tuning on the chosen answer is added: so many times its mean loss a token.
    #[cfg_attr(feature = "cli", arg(long, default_value_t = DpoConfig::default().sft_weight))]
    pub sft_weight: f64,
    /// What the model is compared with [default: base with --lora, else frozen].
    #[cfg_attr(feature = "cli", arg(long, value_enum))]
    pub reference: Option<ReferenceKind>,
}

impl Default for DpoConfig {
    fn default() -> Self {
        Self {
            beta: 0.1,
            dpo_loss: DpoLoss::Sigmoid,
            label_smoothing: 0.0,
            length_normalise: false,
            max_prompt_len: 0,
            sft_weight: 0.0,
            reference: None,
        }
    }
}

impl DpoConfig {
    /// Where the reference comes from in a run that trains the model, or an adapter beside it.
    pub fn reference_of(&self, adapts: bool) -> ReferenceKind {
        self.reference.unwrap_or(if adapts { ReferenceKind::Base } else { ReferenceKind::Frozen })
    }

    /// Whether log-probabilities are means a token.
    pub(super) fn takes_means(&self) -> bool {
        self.length_normalise || self.dpo_loss == DpoLoss::Ipo
    }

    /// Everything that does not hold, as sentences.
    pub fn problems(&self) -> Vec<Told> {
        let (beta, share, weight) = (self.beta, self.label_smoothing, self.sft_weight);
        let smooths = matches!(self.dpo_loss, DpoLoss::Sigmoid | DpoLoss::Robust);
        let checks = [
            (beta > 0.0 && beta.is_finite(), told!("dpo.beta", "--beta is {beta}; it must be above 0", beta)),
            (
                (0.0..0.5).contains(&share),
                told!(
                    "dpo.smoothing",
                    "--label-smoothing is {share}; it must be at least 0 and below 0.5",
                    share
                ),
            ),
            (
                smooths || share == 0.0,
                told!(
                    "dpo.smoothing_idle",
                    "--label-smoothing acts with --dpo-loss sigmoid or robust; leave it out"
                ),
            ),
            (
                self.dpo_loss != DpoLoss::Robust || share != 0.0,
                told!(
                    "dpo.robust",
                    "--dpo-loss robust needs the share of swapped pairs; add --label-smoothing 0.1, or take sigmoid"
                ),
            ),
            (
                self.dpo_loss != DpoLoss::Ipo || !self.length_normalise,
                told!(
                    "dpo.ipo",
                    "--dpo-loss ipo takes means a token by itself; leave --length-normalise out"
                ),
            ),
            (
                weight >= 0.0 && weight.is_finite(),
                told!("dpo.sft_weight", "--sft-weight is {weight}; it must be 0 or more", weight),
            ),
        ];
        checks.into_iter().filter(|(holds, _)| !holds).map(|(_, problem)| problem).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_hold_and_all_problems_come_at_once() {
        assert_eq!(DpoConfig::default().problems(), Vec::<Told>::new());
        let bad = DpoConfig { beta: 0.0, label_smoothing: 0.5, sft_weight: f64::NAN, ..DpoConfig::default() };
        let told = bad.problems().join("; ");
        for part in ["--beta is 0", "--label-smoothing is 0.5", "--sft-weight is NaN"] {
            assert!(told.contains(part), "{told}");
        }
        for (config, part) in [
            (
                DpoConfig { dpo_loss: DpoLoss::Hinge, label_smoothing: 0.1, ..DpoConfig::default() },
                "acts with",
            ),
            (DpoConfig { dpo_loss: DpoLoss::Robust, ..DpoConfig::default() }, "needs the share"),
            (
                DpoConfig { dpo_loss: DpoLoss::Ipo, length_normalise: true, ..DpoConfig::default() },
                "by itself",
            ),
        ] {
            let told = config.problems();
            assert!(told.len() == 1 && told[0].contains(part), "{told:?}");
        }
    }

    #[test]
    fn the_reference_follows_what_trains() {
        let of = |reference: Option<ReferenceKind>| DpoConfig { reference, ..DpoConfig::default() };
        assert_eq!(of(None).reference_of(true), ReferenceKind::Base);
        assert_eq!(of(None).reference_of(false), ReferenceKind::Frozen);
        assert_eq!(of(Some(ReferenceKind::Cached)).reference_of(true), ReferenceKind::Cached);
        for (reference, whole, adapter) in [
            (ReferenceKind::Frozen, true, false),
            (ReferenceKind::Base, false, true),
            (ReferenceKind::Cached, true, true),
        ] {
            let holds = [false, true].map(|adapts| reference.problem(adapts).is_none());
            assert_eq!(holds, [whole, adapter], "{reference:?}");
        }
    }
}
