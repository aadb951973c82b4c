//! What an adapter of a masked predictor trains with where nothing is said. A step hides only some of a row's tokens, so that
//! a few rows take more steps and a higher rate; and a step that hides few of them has a low loss whatever was learned.

use super::TrainConfig;
use crate::told::{Told, told};

/// Highest learning rate: with a fifth of it (the rate of other adapters) eight rows are not learned in 160 steps, and in
/// 400 steps of three fifths not all of them.
const LEARNING_RATE: f64 = 5e-3;
/// Fewest optimizer steps where passes count them: with 800 one of eight rows lacks a character, and more of what was known goes.
const MIN_STEPS: u64 = 1200;
/// No low loss ends the run.
const STOP_AT_LOSS: f64 = 0.0;

impl TrainConfig {
    /// Sets what an adapter of a masked predictor needs to learn few conversations, where it was not `said` by the name of
    /// its flag; tells what was set and acts.
    pub fn fit_masked_adapter(&mut self, said: impl Fn(&str) -> bool) -> Option<Told> {
        let mut set = Vec::new();
        if !said("learning-rate") {
            self.learning_rate = LEARNING_RATE;
            set.push(format!("--learning-rate {LEARNING_RATE}"));
        }
        // Steps that a person counts have no floor and no early end.
        let counts = self.steps.is_none();
        if !said("min-steps") {
            self.min_steps = MIN_STEPS;
            set.extend(counts.then(|| format!("--min-steps {MIN_STEPS}")));
        }
        if !said("stop-at-loss") {
            self.stop_at_loss = STOP_AT_LOSS;
            set.extend(counts.then(|| format!("--stop-at-loss {STOP_AT_LOSS}")));
        }
        (!set.is_empty()).then(|| {
            told!(
                "train.masked_adapter",
                "an adapter of a masked predictor learns with {settings}, unless something else is said",
                settings = set.join(" ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Stage;

    #[test]
    fn what_is_said_stays_and_only_what_acts_is_told() {
        let default = TrainConfig::of_adapter(Stage::Sft);
        let mut config = default.clone();
        let told = config.fit_masked_adapter(|_| false).unwrap();
        assert!(told.contains("--learning-rate 0.005 --min-steps 1200 --stop-at-loss 0, unless"), "{told}");
        let expected =
            TrainConfig { learning_rate: 5e-3, min_steps: 1200, stop_at_loss: 0.0, ..default.clone() };
        assert_eq!(config, expected);
        assert_eq!((config.at_least(80), config.low_loss()), (1200, None));
        assert_eq!(config.problems(), Vec::<Told>::new());
        let mut config = TrainConfig { learning_rate: 1e-4, steps: Some(50), ..default.clone() };
        assert_eq!(config.fit_masked_adapter(|flag| flag == "learning-rate"), None);
        assert_eq!((config.learning_rate, config.steps), (1e-4, Some(50)));
        let mut config = TrainConfig { min_steps: 20, ..default };
        let told = config.fit_masked_adapter(|flag| flag == "min-steps").unwrap();
        assert!(told.contains("0.005 --stop-at-loss 0,") && config.min_steps == 20, "{told}");
    }
}
