//! Settings of learning hidden tokens: doc comments are the command line's help, each default stands once.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::ModelConfig;
use crate::told::{Told, told};

/// What a model learns to predict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Predicts {
    /// The next token.
    NextToken,
    /// Hidden tokens, all at once.
    Diffusion,
}

/// How much a hidden token counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum LossWeight {
    /// One divided by the probability with which it was hidden: over all shares the bound of the likelihood (LLaDA).
    InverseT,
    /// As much as any other hidden token.
    #[default]
    Uniform,
}

/// The shares of hidden tokens that rows are drawn from; in settings `0.05,1`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeRange {
    /// The smallest share.
    pub from: f64,
    /// The largest share.
    pub to: f64,
}

impl Default for TimeRange {
    // A row with nearly nothing hidden teaches a uniform loss nearly nothing. Writing begins with all tokens hidden, so
    // that the range goes up to 1, although a narrow one (0.1 to 0.5) rebuilds more of a text.
    fn default() -> Self {
        Self { from: 0.05, to: 1.0 }
    }
}

impl fmt::Display for TimeRange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{},{}", self.from, self.to)
    }
}

impl From<TimeRange> for String {
    fn from(range: TimeRange) -> Self {
        range.to_string()
    }
}

impl FromStr for TimeRange {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let read = || {
            let (from, to) = text.split_once(',')?;
            Some(Self { from: from.trim().parse().ok()?, to: to.trim().parse().ok()? })
        };
        read().ok_or_else(|| format!("'{text}' is no range of two shares, as 0.1,0.5"))
    }
}

impl TryFrom<String> for TimeRange {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

/// Where the command line's help lists these: a heading for each, since one for the struct would hold for what follows it.
#[cfg(feature = "cli")]
const HEADING: &str = "Masked predictors";

/// How a masked predictor is trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct DiffusionSettings {
    /// What the model learns to predict [default: what it is made for; `convert --to diffusion` makes a masked predictor].
    #[cfg_attr(feature = "cli", arg(long, value_enum, help_heading = HEADING))]
    pub objective: Option<Predicts>,
    /// How much a hidden token counts: all alike, or 1 / the share that is hidden, LLaDA's bound, which small models learn
    /// badly from.
    #[cfg_attr(feature = "cli", arg(long, value_enum, help_heading = HEADING))]
    pub loss_weight: LossWeight,
    /// The shares of a row's tokens that are hidden: a row draws one between these.
    #[cfg_attr(feature = "cli", arg(long, value_name = "FROM,TO", allow_hyphen_values = true, help_heading = HEADING))]
    pub t_range: TimeRange,
}

impl DiffusionSettings {
    /// The least probability with which a token is hidden beside a share of nothing.
    const EPSILON: f64 = 1e-3;

    /// Whether it holds, and what to say where it does not.
    pub(crate) fn check(&self) -> (bool, Told) {
        let TimeRange { from, to } = self.t_range;
        (
            0.0 <= from && from <= to && to <= 1.0 && to > 0.0,
            told!(
                "diffusion.t_range",
                "--t-range is {from},{to}; it must be two shares from 0 to 1, the smaller one first, of which the larger one \
                 is above 0",
                from,
                to
            ),
        )
    }

    /// The probability with which a token is hidden at `t` of the range, 0 to 1 (LLaDA's `(1 − ε)t + ε`).
    pub fn probability(&self, t: f64) -> f64 {
        let TimeRange { from, to } = self.t_range;
        let share = from + (to - from) * t;
        (1.0 - Self::EPSILON) * share + Self::EPSILON
    }

    /// Whether the loss bounds the negative log-likelihood of a text.
    pub fn is_bound(&self) -> bool {
        self.loss_weight == LossWeight::InverseT && self.t_range == TimeRange { from: 0.0, to: 1.0 }
    }

    /// Whether such a model learns hidden tokens here.
    ///
    /// # Errors
    /// An objective that is not the model's, with the remedy; settings of hidden tokens where none are.
    pub fn applies_to(&self, model: &ModelConfig) -> Result<bool> {
        match self.objective {
            Some(Predicts::Diffusion) => model.check_masked("--objective diffusion").map(drop)?,
            Some(Predicts::NextToken) => model.check_causal("--objective next-token")?,
            None => {}
        }
        if model.diffusion.is_some() {
            return Ok(true);
        }
        let default = Self::default();
        match (self.loss_weight, self.t_range) == (default.loss_weight, default.t_range) {
            true => Ok(false),
            false => Err(Self::idle()),
        }
    }

    /// As [`Self::applies_to`], where `typed` are the long names of the flags that a person typed: of these not even a
    /// default may be idle.
    ///
    /// # Errors
    /// As [`Self::applies_to`].
    pub fn check_typed(&self, typed: &[String], model: &ModelConfig) -> Result<()> {
        let names = typed.iter().any(|flag| flag == "loss-weight" || flag == "t-range");
        match self.applies_to(model)? || !names {
            true => Ok(()),
            false => Err(Self::idle()),
        }
    }

    fn idle() -> Error {
        Error::Config(vec![told!(
            "diffusion.idle",
            "--loss-weight and --t-range act where hidden tokens are learned, and this model predicts the next token; \
             leave them out, or make a masked predictor of it with `kindling convert --to diffusion`"
        )])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DiffusionConfig, tiny};

    #[test]
    fn a_range_is_read_as_it_is_written() {
        for (text, from, to) in [("0.05,1", 0.05, 1.0), ("0.1, 0.5", 0.1, 0.5), ("0,1", 0.0, 1.0)] {
            let range: TimeRange = text.parse().unwrap();
            assert_eq!((range.from, range.to), (from, to));
            assert_eq!(range.to_string().parse(), Ok(range));
        }
        for text in ["", "0.5", "0.1;0.5", "a,b", "0,1,2"] {
            assert!(text.parse::<TimeRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn settings_go_through_json_and_those_of_before_have_the_defaults() {
        let settings = DiffusionSettings {
            objective: Some(Predicts::Diffusion),
            loss_weight: LossWeight::InverseT,
            t_range: TimeRange { from: 0.0, to: 0.5 },
        };
        let json = serde_json::to_value(settings).unwrap();
        assert_eq!(json["t-range"], "0,0.5");
        assert_eq!(json["loss-weight"], "inverse-t");
        assert_eq!(serde_json::from_value::<DiffusionSettings>(json).unwrap(), settings);
        assert_eq!(serde_json::from_str::<DiffusionSettings>("{}").unwrap(), DiffusionSettings::default());
    }

    #[test]
    fn ranges_that_do_not_hold_are_told() {
        let holds = |from, to| {
            DiffusionSettings { t_range: TimeRange { from, to }, ..DiffusionSettings::default() }.check()
        };
        for (from, to) in [(0.0, 1.0), (0.1, 0.5), (0.3, 0.3)] {
            assert!(holds(from, to).0, "{from},{to}");
        }
        for (from, to) in [(-0.1, 1.0), (0.5, 0.1), (0.0, 1.1), (0.0, 0.0), (f64::NAN, 1.0), (0.0, f64::NAN)]
        {
            assert!(!holds(from, to).0, "{from},{to}");
        }
        assert!(holds(0.5, 0.1).1.text().starts_with("--t-range is 0.5,0.1;"));
        assert!(DiffusionSettings::default().check().0);
    }

    #[test]
    fn probabilities_stay_between_epsilon_and_one() {
        let settings =
            |from, to| DiffusionSettings { t_range: TimeRange { from, to }, ..DiffusionSettings::default() };
        let close =
            |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        close(settings(0.0, 1.0).probability(0.0), 1e-3);
        close(settings(0.0, 1.0).probability(1.0), 1.0);
        close(settings(0.1, 0.5).probability(0.5), 0.999 * 0.3 + 0.001);
    }

    #[test]
    fn the_objective_is_the_models_and_another_one_is_refused_with_the_remedy() {
        let causal = tiny(32);
        let diffusion = DiffusionConfig { mask_token_id: 31, block_length: None, shift_logits: true };
        let masked = ModelConfig { diffusion: Some(diffusion), ..tiny(32) };
        let default = DiffusionSettings::default();
        let asked = |objective| DiffusionSettings { objective: Some(objective), ..default };
        assert!(!default.applies_to(&causal).unwrap() && default.applies_to(&masked).unwrap());
        assert!(!asked(Predicts::NextToken).applies_to(&causal).unwrap());
        assert!(asked(Predicts::Diffusion).applies_to(&masked).unwrap());
        let told = asked(Predicts::Diffusion).applies_to(&causal).unwrap_err().to_string();
        assert!(told.contains("--objective diffusion") && told.contains("convert --to diffusion"), "{told}");
        let told = asked(Predicts::NextToken).applies_to(&masked).unwrap_err().to_string();
        assert!(told.contains("--objective next-token needs a model that predicts the next token"), "{told}");
        let idle = DiffusionSettings { loss_weight: LossWeight::InverseT, ..default };
        assert!(idle.applies_to(&masked).unwrap());
        assert!(idle.applies_to(&causal).unwrap_err().to_string().contains("--loss-weight"));
        for (flag, acts) in [("loss-weight", false), ("t-range", false), ("steps", true)] {
            let typed = [flag.to_string()];
            assert_eq!(default.check_typed(&typed, &causal).is_ok(), acts, "{flag}");
            assert!(default.check_typed(&typed, &masked).is_ok(), "{flag}");
        }
    }
}
