//! Settings of answers that think first: doc comments are the command line's help, each default stands once.

use serde::{Deserialize, Serialize};

use crate::text::Tags;
use crate::tokenizer::TagWeight;
use crate::told::{Told, told};

/// How much the tags count, and how what is learned is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct ReasonConfig {
    /// How many times as much a token of a tag counts as one of the words between them; 1 counts all alike.
    #[cfg_attr(feature = "cli", arg(long, default_value_t = ReasonConfig::default().tag_weight))]
    pub tag_weight: f64,
    /// Held-out questions that the model answers itself where the held-out loss is measured: how many of its answers keep
    /// the tags, and how many are right; 0 asks none.
    #[cfg_attr(feature = "cli", arg(long, default_value_t = ReasonConfig::default().eval_answers))]
    pub eval_answers: usize,
    /// The most tokens of such an answer.
    #[cfg_attr(feature = "cli", arg(long, default_value_t = ReasonConfig::default().eval_max_new_tokens))]
    pub eval_max_new_tokens: usize,
}

impl Default for ReasonConfig {
    // MiniMind's weight, which is SpongeBob's, too.
    fn default() -> Self {
        Self { tag_weight: 10.0, eval_answers: 64, eval_max_new_tokens: 256 }
    }
}

impl ReasonConfig {
    /// Everything that does not hold, as sentences.
    pub fn problems(&self) -> Vec<Told> {
        let weight = self.tag_weight;
        let checks = [
            (
                (0.001..=1000.0).contains(&weight),
                told!("reason.tag_weight", "--tag-weight is {weight}; it must be 0.001 to 1000", weight),
            ),
            (
                self.eval_max_new_tokens >= 1,
                told!("reason.max_new_tokens", "--eval-max-new-tokens is 0; it must be at least 1"),
            ),
        ];
        checks.into_iter().filter(|(holds, _)| !holds).map(|(_, problem)| problem).collect()
    }
}

/// All that is settled of answers that think first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct ReasonSettings {
    /// How much the tags count, and how what is learned is measured
    #[cfg_attr(feature = "cli", command(flatten))]
    pub config: ReasonConfig,
    /// The tags
    #[cfg_attr(feature = "cli", command(flatten))]
    pub tags: Tags,
}

impl ReasonSettings {
    /// What the weights of the rows' tags are multiplied by.
    pub fn tag_weight(&self) -> TagWeight {
        TagWeight { tags: self.tags.clone(), factor: self.config.tag_weight as f32 }
    }

    /// Everything that does not hold, as sentences.
    pub fn problems(&self) -> Vec<Told> {
        [self.config.problems(), self.tags.problems()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_hold_and_all_problems_come_at_once() {
        assert_eq!(ReasonConfig::default().problems(), Vec::<Told>::new());
        let bad = ReasonConfig { tag_weight: f64::NAN, eval_answers: 0, eval_max_new_tokens: 0 };
        let told = bad.problems().join("; ");
        assert!(
            told.contains("--tag-weight is NaN;") && told.contains("--eval-max-new-tokens is 0;"),
            "{told}"
        );
    }
}
