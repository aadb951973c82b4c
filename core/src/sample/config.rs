//! How text is generated: the settings of a [`Sampler`](super::Sampler), with their defaults and limits.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::told::{Told, told};

// The defaults of minimind-3, with a shorter answer.
const TEMPERATURE: f64 = 0.85;
const TOP_K: usize = 50;
const TOP_P: f64 = 0.85;
const MIN_P: f64 = 0.0;
const REPETITION_PENALTY: f64 = 1.0;
const FREQUENCY_PENALTY: f64 = 0.0;
const PRESENCE_PENALTY: f64 = 0.0;
const MAX_NEW_TOKENS: usize = 256;
const SEED: u64 = 42;

/// The largest penalty by how often a token came, either way, as OpenAI has it.
const MOST_PENALTY: f64 = 2.0;
/// The largest bias, either way, as OpenAI has it: it forces a token, or rules it out.
const MOST_BIAS: f64 = 100.0;

/// Below this a temperature counts as 0: dividing by it would only overflow.
const GREEDY_BELOW: f64 = 1e-6;

/// How the next token is chosen and when generation ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct SamplingConfig {
    /// Randomness: 0 always takes the most likely token (greedy), 1 samples as the model learned
    #[cfg_attr(feature = "cli", arg(long, default_value_t = TEMPERATURE))]
    pub temperature: f64,
    /// Keep only the K most likely tokens (0 = all)
    #[cfg_attr(feature = "cli", arg(long, default_value_t = TOP_K))]
    pub top_k: usize,
    /// Keep the most likely tokens until their probabilities sum to P (1 = all)
    #[cfg_attr(feature = "cli", arg(long, default_value_t = TOP_P))]
    pub top_p: f64,
    /// Drop tokens less likely than this share of the most likely one (0 = none)
    #[cfg_attr(feature = "cli", arg(long, default_value_t = MIN_P))]
    pub min_p: f64,
    /// Make tokens that already occurred less likely (1 = off, above 1 = fewer repetitions)
    #[cfg_attr(feature = "cli", arg(long, default_value_t = REPETITION_PENALTY))]
    pub repetition_penalty: f64,
    /// Take this off a new token's logit for each time that it came in the answer (-2 to 2, 0 = off)
    #[cfg_attr(feature = "cli", arg(long, default_value_t = FREQUENCY_PENALTY, allow_negative_numbers = true))]
    pub frequency_penalty: f64,
    /// Take this off a new token's logit once it came in the answer (-2 to 2, 0 = off)
    #[cfg_attr(feature = "cli", arg(long, default_value_t = PRESENCE_PENALTY, allow_negative_numbers = true))]
    pub presence_penalty: f64,
    /// What is added to the logits of tokens before anything else (-100 to 100); nothing by default
    #[cfg_attr(feature = "cli", arg(skip))]
    pub logit_bias: BTreeMap<u32, f64>,
    /// Seed of the random numbers: the same seed gives the same text
    #[cfg_attr(feature = "cli", arg(long, default_value_t = SEED))]
    pub seed: u64,
    /// Stop after this many new tokens
    #[cfg_attr(feature = "cli", arg(long, default_value_t = MAX_NEW_TOKENS))]
    pub max_new_tokens: usize,
    /// Stop before this text appears (may be given several times)
    #[cfg_attr(feature = "cli", arg(long))]
    pub stop: Vec<String>,
    /// Go on after the end-of-sequence token
    #[cfg_attr(feature = "cli", arg(long))]
    pub ignore_eos: bool,
}

impl Default for SamplingConfig {
    fn default() -> Self {
        Self {
            temperature: TEMPERATURE,
            top_k: TOP_K,
            top_p: TOP_P,
            min_p: MIN_P,
            repetition_penalty: REPETITION_PENALTY,
            frequency_penalty: FREQUENCY_PENALTY,
            presence_penalty: PRESENCE_PENALTY,
            logit_bias: BTreeMap::new(),
            seed: SEED,
            max_new_tokens: MAX_NEW_TOKENS,
            stop: Vec::new(),
            ignore_eos: false,
        }
    }
}

impl SamplingConfig {
    /// Everything that does not hold, one sentence each, by its flag; empty when the settings are sound.
    pub fn validate(&self) -> Vec<Told> {
        self.problems(|key| format!("--{}", key.replace('_', "-")))
    }

    /// The same, by whatever `name` calls the setting of a key.
    pub(super) fn problems(&self, name: impl Fn(&str) -> String) -> Vec<Told> {
        let mut problems = Vec::new();
        let mut require = |holds: bool, problem: Told| problems.extend((!holds).then_some(problem));
        require(
            self.temperature.is_finite() && self.temperature >= 0.0,
            told!(
                "sampling.temperature",
                "{name} is {value}, but it must be 0 (greedy) or more",
                name = name("temperature"),
                value = self.temperature
            ),
        );
        for (key, value) in [("top_p", self.top_p), ("min_p", self.min_p)] {
            require(
                (0.0..=1.0).contains(&value),
                told!(
                    "sampling.share",
                    "{name} is {value}, but it must lie between 0 and 1",
                    name = name(key),
                    value
                ),
            );
        }
        problems.extend(self.problems_of_penalties(&name));
        let mut require = |holds: bool, problem: Told| problems.extend((!holds).then_some(problem));
        require(
            self.max_new_tokens > 0,
            told!("sampling.tokens", "{name} is 0, but it must be at least 1", name = name("max_new_tokens")),
        );
        require(
            self.stop.iter().all(|stop| !stop.is_empty()),
            told!(
                "sampling.stop",
                "{name} is empty, but it must be a text of at least one character",
                name = name("stop")
            ),
        );
        problems
    }

    /// Those of what makes single tokens more or less likely.
    fn problems_of_penalties(&self, name: impl Fn(&str) -> String) -> Vec<Told> {
        let mut problems = Vec::new();
        let penalty = self.repetition_penalty;
        if !penalty.is_finite() || penalty <= 0.0 {
            problems.push(told!(
                "sampling.penalty",
                "{name} is {penalty}, but it must be above 0 (1 = off)",
                name = name("repetition_penalty"),
                penalty
            ));
        }
        let by_count =
            [("frequency_penalty", self.frequency_penalty), ("presence_penalty", self.presence_penalty)];
        for (key, value) in by_count.into_iter().filter(|(_, value)| !within(*value, MOST_PENALTY)) {
            problems.push(told!(
                "sampling.count_penalty",
                "{name} is {value}, but it must lie between -{most} and {most} (0 = off)",
                name = name(key),
                value,
                most = MOST_PENALTY
            ));
        }
        if let Some((id, value)) = self.logit_bias.iter().find(|(_, bias)| !within(**bias, MOST_BIAS)) {
            problems.push(told!(
                "sampling.bias",
                "logit_bias is {value} for token {id}, but it must lie between -{most} and {most}",
                value,
                id,
                most = MOST_BIAS
            ));
        }
        problems
    }

    /// Whether the most likely token is always taken.
    pub fn is_greedy(&self) -> bool {
        self.temperature < GREEDY_BELOW
    }
}

/// Whether a value is no further from zero; what is not a number is not.
fn within(value: f64, most: f64) -> bool {
    (-most..=most).contains(&value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validate_names_all_problems_at_once() {
        assert!(SamplingConfig::default().validate().is_empty());
        let broken = SamplingConfig {
            temperature: -1.0,
            top_p: 1.5,
            min_p: f64::NAN,
            repetition_penalty: 0.0,
            frequency_penalty: -2.5,
            presence_penalty: f64::NAN,
            logit_bias: [(3, 100.0), (7, -101.0)].into(),
            max_new_tokens: 0,
            stop: vec![String::new()],
            ..SamplingConfig::default()
        };
        let problems = broken.validate();
        let flags = [
            "--temperature",
            "--top-p",
            "--min-p",
            "--repetition-penalty",
            "--frequency-penalty is -2.5",
            "--presence-penalty is NaN",
            "logit_bias is -101 for token 7, but it must lie between -100 and 100",
            "--max-new-tokens",
            "--stop",
        ];
        assert_eq!(problems.len(), flags.len(), "{problems:?}");
        assert!(problems.iter().zip(flags).all(|(problem, flag)| problem.starts_with(flag)), "{problems:?}");
        let most = SamplingConfig {
            frequency_penalty: -2.0,
            presence_penalty: 2.0,
            logit_bias: [(3, 100.0), (7, -100.0)].into(),
            ..SamplingConfig::default()
        };
        assert!(most.validate().is_empty());
    }

    #[test]
    fn settings_that_were_written_before_a_setting_was_known_open_with_its_default() {
        let old = r#"{"temperature": 0.5, "repetition_penalty": 1.1, "seed": 3}"#;
        let found: SamplingConfig = serde_json::from_str(old).unwrap();
        let expected = SamplingConfig {
            temperature: 0.5,
            repetition_penalty: 1.1,
            seed: 3,
            ..SamplingConfig::default()
        };
        assert_eq!(found, expected);
        assert_eq!((found.frequency_penalty, found.presence_penalty, found.logit_bias.len()), (0.0, 0.0, 0));
        // A bias is a JSON object, whose keys are texts.
        let biased: SamplingConfig =
            serde_json::from_str(r#"{"logit_bias": {"17": -100, "3": 0.5}}"#).unwrap();
        assert_eq!(biased.logit_bias, [(3, 0.5), (17, -100.0)].into());
        let again = serde_json::to_value(&biased).unwrap();
        assert_eq!(serde_json::from_value::<SamplingConfig>(again).unwrap(), biased);
    }
}
