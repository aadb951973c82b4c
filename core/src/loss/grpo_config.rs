//! Settings of learning from rewards: doc comments are the command line's help, each default stands once.

use serde::{Deserialize, Serialize};

use super::{ReasonConfig, ReferenceKind, Reward, RolloutConfig};
use crate::text::Tags;
use crate::told::{Told, told};

/// How far a ratio may be from 1, and what the most is that one counts, where nobody says another.
const CLIPPED: f64 = 0.2;
const CISPO: f64 = 5.0;

/// What is minimised. ρ is how much likelier the model holds a token than it did when it wrote it, A by how much the
/// answer is better than the others to its prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum GrpoLoss {
    /// −min(ρA, clip(ρ)A): what has moved far enough moves no farther (Shao et al., 2024)
    Clipped,
    /// −min(ρ, c)·A·log π, of which the ratio is a constant: every token goes on to count (MiniMax, 2025)
    Cispo,
}

/// What is averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum LossMean {
    /// The mean over each answer's tokens, and of these over all answers (Shao et al., 2024)
    Sequence,
    /// The mean over the tokens of all answers, so that long ones weigh more (DAPO, Yu et al., 2025)
    Token,
}

/// Settings of learning from rewards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct GrpoConfig {
    /// Answers to each prompt, which are compared with each other.
    #[cfg_attr(feature = "cli", arg(long, default_value_t = GrpoConfig::default().group_size))]
    pub group_size: usize,
    /// How closely the model is held to the reference; 0 does not hold it, and needs none.
    #[cfg_attr(feature = "cli", arg(long, default_value_t = GrpoConfig::default().kl_beta))]
    pub kl_beta: f64,
    /// What is rewarded, as NAME[:WEIGHT],…: answer (1 for the row's), tags (1 where think and answer tags are kept),
    /// length (down to -1 near --max-new-tokens), repetition (less the share of repeated triples). NAME:FROM..TO@SHARE
    /// moves a weight in the first share of the steps: tags:2..0.5@0.3.
    #[cfg_attr(feature = "cli", arg(long, value_delimiter = ',', default_values_t = GrpoConfig::default().reward))]
    pub reward: Vec<Reward>,
    /// What is minimised.
    #[cfg_attr(feature = "cli", arg(long, value_enum, default_value_t = GrpoConfig::default().grpo_loss))]
    pub grpo_loss: GrpoLoss,
    /// How far from 1 a ratio may move (clipped), or the most that one counts (cispo) [default: 0.2, or 5 with cispo].
    #[cfg_attr(feature = "cli", arg(long))]
    pub clip_range: Option<f64>,
    /// What is averaged.
    #[cfg_attr(feature = "cli", arg(long, value_enum, default_value_t = GrpoConfig::default().loss_mean))]
    pub loss_mean: LossMean,
    /// Divide advantages by the standard deviation of the group's rewards; false takes off their mean alone (Dr. GRPO).
    #[cfg_attr(feature = "cli", arg(long, num_args = 0..=1, default_value_t = GrpoConfig::default().scale_rewards,
        default_missing_value = "true", action = clap::ArgAction::Set))]
    pub scale_rewards: bool,
    /// Randomness of the answers: 1 draws them as the model has learned. Ratios are those at this temperature.
    #[cfg_attr(feature = "cli", arg(long, default_value_t = GrpoConfig::default().temperature))]
    pub temperature: f64,
    /// Optimizer steps that learn from the same answers.
    #[cfg_attr(feature = "cli", arg(long, default_value_t = GrpoConfig::default().rollout_steps))]
    pub rollout_steps: u64,
    /// Held-out prompts that are answered, greedily, where the reward is measured; 0 answers none. The flag is that of
    /// [`ReasonConfig`].
    #[cfg_attr(feature = "cli", arg(skip = ReasonConfig::default().eval_answers))]
    pub eval_answers: usize,
    /// The most tokens of an answer; the flag is that of [`RolloutConfig`].
    #[cfg_attr(feature = "cli", arg(skip = RolloutConfig::default().max_new_tokens))]
    pub max_new_tokens: usize,
    /// What the model is held to; the flag is that of preferences. Without one, what lies under an adapter, else a copy.
    #[cfg_attr(feature = "cli", arg(skip))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<ReferenceKind>,
    /// What stands around thinking and answer; the flags are those of [`Tags`].
    #[cfg_attr(feature = "cli", arg(skip))]
    pub tags: Tags,
}

impl Default for GrpoConfig {
    // The group and the divergence with which models under 200M learned (16, 0.005); the rest is MiniMind's.
    fn default() -> Self {
        let rewards = ["answer:1", "tags:0.5"].map(str::parse::<Reward>);
        Self {
            group_size: 16,
            kl_beta: 0.005,
            reward: rewards.into_iter().flatten().collect(),
            grpo_loss: GrpoLoss::Clipped,
            clip_range: None,
            loss_mean: LossMean::Sequence,
            scale_rewards: true,
            temperature: 1.0,
            rollout_steps: 1,
            eval_answers: ReasonConfig::default().eval_answers,
            max_new_tokens: RolloutConfig::default().max_new_tokens,
            reference: None,
            tags: Tags::default(),
        }
    }
}

impl GrpoConfig {
    /// Where the reference comes from in a run that trains the model, or an adapter beside it; none where the model is
    /// held to nothing.
    pub fn reference_of(&self, adapts: bool) -> Option<ReferenceKind> {
        let default = if adapts { ReferenceKind::Base } else { ReferenceKind::Frozen };
        (self.kl_beta > 0.0).then(|| self.reference.unwrap_or(default))
    }

    /// The step at which the answers were written that a step learns from.
    pub fn written_at(&self, step: u64) -> u64 {
        step - step % self.rollout_steps.max(1)
    }

    /// How far from 1 a ratio may move, or the most that one counts.
    pub(super) fn clip(&self) -> f64 {
        self.clip_range.unwrap_or(match self.grpo_loss {
            GrpoLoss::Clipped => CLIPPED,
            GrpoLoss::Cispo => CISPO,
        })
    }

    /// Everything that does not hold, as sentences.
    pub fn problems(&self) -> Vec<Told> {
        let rollouts = RolloutConfig { max_new_tokens: self.max_new_tokens };
        let checks = self.of_rewards().into_iter().chain(self.of_loss());
        let failed = checks.filter(|(holds, _)| !holds).map(|(_, problem)| problem);
        failed.chain(rollouts.problem()).chain(self.tags.problems()).collect()
    }

    /// Whether answers and rewards hold, and what to say where they do not.
    fn of_rewards(&self) -> Vec<(bool, Told)> {
        let (group, temperature, steps) = (self.group_size, self.temperature, self.rollout_steps);
        let name = |at: usize| self.reward[at].rule.name;
        let twice = (1..self.reward.len()).find(|&at| (0..at).any(|before| name(before) == name(at)));
        vec![
            (
                group >= 2,
                told!(
                    "grpo.group_size",
                    "--group-size is {group}; answers are compared with each other, so it must be at least 2",
                    group
                ),
            ),
            (
                (0.05..=10.0).contains(&temperature),
                told!(
                    "grpo.temperature",
                    "--temperature is {temperature}; it must be 0.05 to 10, so that answers differ",
                    temperature
                ),
            ),
            (steps >= 1, told!("grpo.rollout_steps", "--rollout-steps is 0; it must be at least 1")),
            (!self.reward.is_empty(), told!("grpo.no_reward", "--reward names no rule; name one, as answer")),
            (
                twice.is_none(),
                told!(
                    "grpo.reward_twice",
                    "--reward names {rule} twice; give it one weight",
                    rule = twice.map_or("", name)
                ),
            ),
        ]
    }

    /// The same of what is minimised.
    fn of_loss(&self) -> Vec<(bool, Told)> {
        let (beta, clip) = (self.kl_beta, self.clip());
        let (fits, range) = match self.grpo_loss {
            GrpoLoss::Clipped => (clip > 0.0 && clip < 1.0, "above 0 and below 1"),
            GrpoLoss::Cispo => (clip >= 1.0 && clip.is_finite(), "1 or more"),
        };
        vec![
            (
                beta >= 0.0 && beta.is_finite(),
                told!("grpo.kl_beta", "--kl-beta is {beta}; it must be 0 or more", beta),
            ),
            (
                fits,
                told!(
                    "grpo.clip_range",
                    "--clip-range is {clip}; with this --grpo-loss it must be {range}",
                    clip,
                    range
                ),
            ),
            (
                beta > 0.0 || self.reference.is_none(),
                told!(
                    "grpo.reference_idle",
                    "--reference does not act with --kl-beta 0, which holds the model to none; leave it out"
                ),
            ),
            (
                self.reference != Some(ReferenceKind::Cached),
                told!(
                    "grpo.cached",
                    "--reference cached keeps what the reference holds of the data's answers, and here every step brings new \
                     ones; take frozen, or base with --lora"
                ),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_hold_and_all_problems_come_at_once() {
        let default = GrpoConfig::default();
        assert_eq!(default.problems(), Vec::<Told>::new());
        let named: Vec<String> = default.reward.iter().map(ToString::to_string).collect();
        assert_eq!(named, ["answer:1", "tags:0.5"]);
        let answer = default.reward[0];
        let bad = GrpoConfig {
            group_size: 1,
            kl_beta: -1.0,
            reward: vec![answer, answer],
            clip_range: Some(2.0),
            temperature: 0.0,
            rollout_steps: 0,
            max_new_tokens: 0,
            ..default.clone()
        };
        let told = bad.problems().join("; ");
        for part in [
            "--group-size is 1",
            "--kl-beta is -1",
            "--reward names answer twice",
            "--clip-range is 2; with this --grpo-loss it must be above 0 and below 1",
            "--temperature is 0;",
            "--rollout-steps is 0",
            "--max-new-tokens is 0",
        ] {
            assert!(told.contains(part), "{told}");
        }
        for (config, part) in [
            (GrpoConfig { reward: Vec::new(), ..default.clone() }, "names no rule"),
            (
                GrpoConfig { reference: Some(ReferenceKind::Cached), ..default.clone() },
                "every step brings new",
            ),
            (
                GrpoConfig { kl_beta: 0.0, reference: Some(ReferenceKind::Frozen), ..default.clone() },
                "does not act with --kl-beta 0",
            ),
            (
                GrpoConfig { grpo_loss: GrpoLoss::Cispo, clip_range: Some(0.2), ..default.clone() },
                "it must be 1 or more",
            ),
        ] {
            let told = config.problems();
            assert!(told.len() == 1 && told[0].contains(part), "{told:?}");
        }
    }

    #[test]
    fn the_clip_and_the_reference_follow_what_is_minimised_and_what_trains() {
        let of = |grpo_loss: GrpoLoss, clip_range: Option<f64>| {
            GrpoConfig { grpo_loss, clip_range, ..GrpoConfig::default() }.clip()
        };
        assert_eq!((of(GrpoLoss::Clipped, None), of(GrpoLoss::Cispo, None)), (0.2, 5.0));
        assert_eq!(of(GrpoLoss::Cispo, Some(3.0)), 3.0);
        let default = GrpoConfig::default();
        let kinds = [false, true].map(|adapts| default.reference_of(adapts));
        assert_eq!(kinds, [Some(ReferenceKind::Frozen), Some(ReferenceKind::Base)]);
        assert_eq!(GrpoConfig { kl_beta: 0.0, ..default }.reference_of(false), None);
    }

    #[test]
    fn settings_come_back_as_they_were() {
        let moving = "tags:2..0.5@0.3".parse().unwrap();
        let config = GrpoConfig { reward: vec![moving], clip_range: Some(0.3), ..GrpoConfig::default() };
        let json = serde_json::to_string(&config).unwrap();
        assert!(json.contains(r#""reward":["tags:2..0.5@0.3"]"#), "{json}");
        assert_eq!(serde_json::from_str::<GrpoConfig>(&json).unwrap(), config);
    }
}
