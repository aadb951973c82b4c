//! How a masked predictor fills its masks: the settings, with their defaults and limits.

use serde::{Deserialize, Serialize};

use crate::told::{Told, told};

/// Tokens of a block where neither the model nor a setting says so.
pub(super) const BLOCK_LENGTH: usize = 32;

/// The most guidance: papers take 0 to 4, and logits times this are still far from what an f32 holds.
pub(crate) const MOST_GUIDANCE: f64 = 1000.0;

/// Which of the tokens that a step predicts stay; the others are masks again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Remasking {
    /// Those that the model is surest of.
    #[default]
    LowConfidence,
    /// Any of them.
    Random,
}

/// How a masked predictor fills its masks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct UnmaskConfig {
    /// Passes over the text, all blocks together; fewer are faster, more than there are new tokens change nothing
    /// [default: one a new token]
    #[cfg_attr(feature = "cli", arg(long))]
    pub steps: Option<usize>,
    /// Tokens that are filled before those behind them begin [default: the model's own blocks, else 32;
    /// all holes at once where a text has some]
    #[cfg_attr(feature = "cli", arg(long))]
    pub block_length: Option<usize>,
    /// Which predicted tokens a step keeps
    #[cfg_attr(feature = "cli", arg(long, value_enum, default_value_t = Remasking::LowConfidence))]
    pub remasking: Remasking,
    /// How far the answer is pushed away from what the model would say without the prompt (classifier-free guidance;
    /// 0 = off, else every step takes two passes)
    #[cfg_attr(feature = "cli", arg(long, default_value_t = 0.0))]
    pub cfg_scale: f64,
    /// A step fills every token whose probability is at least this, and always the likeliest; --steps then only bounds
    /// how many steps there are [default: as many tokens as the steps ask for]
    #[cfg_attr(feature = "cli", arg(long))]
    pub threshold: Option<f64>,
    /// Keep the keys and values of what stands before a block while the block is filled (Fast-dLLM): faster, and where
    /// every position sees every position an approximation; models of blocks always do it, and exactly
    #[cfg_attr(feature = "cli", arg(long))]
    pub prefix_cache: bool,
}

impl UnmaskConfig {
    /// Everything that does not hold, one sentence each, by its flag; empty when the settings are sound.
    pub fn validate(&self) -> Vec<Told> {
        let mut problems = Vec::new();
        for (flag, value) in [("--steps", self.steps), ("--block-length", self.block_length)] {
            if value == Some(0) {
                problems.push(told!("unmask.zero", "{flag} is 0, but it must be at least 1", flag));
            }
        }
        let scale = self.cfg_scale;
        if !(0.0..=MOST_GUIDANCE).contains(&scale) {
            problems.push(told!(
                "unmask.cfg_scale",
                "--cfg-scale is {scale}, but it must be 0 (off) to {most}",
                scale,
                most = MOST_GUIDANCE
            ));
        }
        if let Some(threshold) = self.threshold {
            if !(0.0..=1.0).contains(&threshold) {
                problems.push(told!(
                    "unmask.threshold",
                    "--threshold is {threshold}, but a probability lies between 0 and 1",
                    threshold
                ));
            }
            if self.remasking == Remasking::Random {
                problems.push(told!(
                    "unmask.threshold_random",
                    "--threshold keeps the tokens that the model is sure of, and --remasking random keeps any: give one \
                     of them"
                ));
            }
        }
        problems
    }

    /// Whether nothing is set.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The flags of what is set, in their order.
    pub(crate) fn flags(&self) -> Vec<&'static str> {
        let default = Self::default();
        let flags = [
            ("--steps", self.steps.is_some()),
            ("--block-length", self.block_length.is_some()),
            ("--remasking", self.remasking != default.remasking),
            ("--cfg-scale", self.cfg_scale != default.cfg_scale),
            ("--threshold", self.threshold.is_some()),
            ("--prefix-cache", self.prefix_cache),
        ];
        flags.into_iter().filter(|(_, set)| *set).map(|(flag, _)| flag).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validate_names_all_problems_at_once() {
        assert!(UnmaskConfig::default().validate().is_empty());
        let broken = UnmaskConfig {
            steps: Some(0),
            block_length: Some(0),
            remasking: Remasking::Random,
            cfg_scale: -1.0,
            threshold: Some(1.5),
            prefix_cache: true,
        };
        let problems = broken.validate();
        let flags = ["--steps", "--block-length", "--cfg-scale", "--threshold", "--threshold"];
        assert_eq!(problems.len(), flags.len(), "{problems:?}");
        assert!(problems.iter().zip(flags).all(|(problem, flag)| problem.starts_with(flag)), "{problems:?}");
        for value in [f64::NAN, f64::INFINITY, 1e39, 1000.5] {
            let broken = UnmaskConfig { cfg_scale: value, threshold: Some(value), ..UnmaskConfig::default() };
            assert_eq!(broken.validate().len(), 2);
            assert!(broken.validate()[0].ends_with("but it must be 0 (off) to 1000"), "{broken:?}");
        }
        assert!(UnmaskConfig { cfg_scale: 1000.0, ..UnmaskConfig::default() }.validate().is_empty());
    }

    #[test]
    fn what_is_set_is_known_by_its_flags() {
        assert!(UnmaskConfig::default().is_default() && UnmaskConfig::default().flags().is_empty());
        let some = UnmaskConfig { threshold: Some(0.9), steps: Some(8), ..UnmaskConfig::default() };
        assert!(!some.is_default());
        assert_eq!(some.flags(), ["--steps", "--threshold"]);
        let rest = UnmaskConfig {
            block_length: Some(8),
            remasking: Remasking::Random,
            cfg_scale: 1.0,
            prefix_cache: true,
            ..UnmaskConfig::default()
        };
        assert_eq!(rest.flags(), ["--block-length", "--remasking", "--cfg-scale", "--prefix-cache"]);
    }

    #[test]
    fn a_request_names_only_what_it_sets() {
        let read: UnmaskConfig = serde_json::from_str(r#"{"remasking":"random","steps":8}"#).unwrap();
        let expected =
            UnmaskConfig { remasking: Remasking::Random, steps: Some(8), ..UnmaskConfig::default() };
        assert_eq!(read, expected);
    }
}
