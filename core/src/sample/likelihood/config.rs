//! How the likelihood of a masked predictor is estimated: settings with their defaults and limits.

use serde::{Deserialize, Serialize};

use crate::sample::unmask::MOST_GUIDANCE;
use crate::told::{Told, told};

/// LLaDA's own number (`get_log_likelihood.py`, `mc_num`).
const MC: usize = 128;
/// Beyond it an estimate takes days and gains nothing.
const MOST: usize = 1 << 20;

/// How the likelihood that a masked predictor gives is estimated; what is not set is the default. A model that predicts
/// the next token tells it exactly and needs none of this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct LikelihoodConfig {
    /// Of a masked predictor (diffusion): hide parts of the answer this many times; more are more exact [default: 128]
    #[cfg_attr(feature = "cli", arg(long))]
    pub mc: Option<usize>,
    /// Of a masked predictor: the seed of what is hidden; the same seed hides the same [default: 0]
    #[cfg_attr(feature = "cli", arg(long))]
    pub mc_seed: Option<u64>,
    /// Of a masked predictor: classifier-free guidance, how far away from what it says without the prompt [default: 0, off]
    #[cfg_attr(feature = "cli", arg(long))]
    pub cfg_scale: Option<f64>,
}

impl LikelihoodConfig {
    /// Everything that does not hold, one sentence each, by its flag.
    pub fn validate(&self) -> Vec<Told> {
        let mut problems = Vec::new();
        let draws = self.draws();
        if draws == 0 || draws > MOST {
            problems.push(told!(
                "score.mc",
                "--mc is {draws}, but it must be 1 to {most}",
                draws,
                most = MOST
            ));
        }
        let scale = self.scale();
        if !(0.0..=MOST_GUIDANCE).contains(&scale) {
            problems.push(told!(
                "score.cfg",
                "--cfg-scale is {scale}, but it must be 0 (off) to {most}",
                scale,
                most = MOST_GUIDANCE
            ));
        }
        problems
    }

    /// Its flags that were given: they say nothing to a model that predicts the next token.
    pub fn given(&self) -> Vec<&'static str> {
        let flags = [
            ("--mc", self.mc.is_some()),
            ("--mc-seed", self.mc_seed.is_some()),
            ("--cfg-scale", self.cfg_scale.is_some()),
        ];
        flags.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag).collect()
    }

    /// How often parts of the answer are hidden.
    pub fn draws(&self) -> usize {
        self.mc.unwrap_or(MC)
    }

    /// The seed of what is hidden.
    pub fn seed(&self) -> u64 {
        self.mc_seed.unwrap_or(0)
    }

    /// How far the logits go away from those without the prompt; 0 where they do not.
    pub fn scale(&self) -> f64 {
        self.cfg_scale.unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_hold_is_told_by_its_flag() {
        assert_eq!(LikelihoodConfig::default().validate(), Vec::<Told>::new());
        assert_eq!(LikelihoodConfig::default().draws(), 128);
        let wrong = LikelihoodConfig { mc: Some(0), mc_seed: None, cfg_scale: Some(f64::NAN) };
        let problems = wrong.validate();
        assert_eq!(problems.len(), 2);
        assert!(problems[0].starts_with("--mc is 0") && problems[1].starts_with("--cfg-scale is NaN"));
        let negative = LikelihoodConfig { cfg_scale: Some(-0.5), ..LikelihoodConfig::default() };
        assert_eq!(negative.validate().len(), 1);
        let huge = LikelihoodConfig { cfg_scale: Some(1e39), ..LikelihoodConfig::default() };
        assert!(huge.validate()[0].ends_with("0 (off) to 1000"));
        assert_eq!(wrong.given(), ["--mc", "--cfg-scale"]);
    }
}
