//! Settings that change nothing beside the others.

use super::config::TrainConfig;
use crate::optim::LrSchedule;
use crate::told::Told;

impl TrainConfig {
    /// What of the flags that were said, by their long names, changes nothing beside the other settings, as sentences.
    pub fn idle(&self, said: &[String]) -> Vec<Told> {
        let said = |flag: &str| said.iter().any(|said| said == flag);
        // Those shapes end where they are made to.
        let (shape, fixed) = match self.lr_schedule {
            LrSchedule::Constant => ("constant", true),
            LrSchedule::Minimind2 => ("minimind2", true),
            LrSchedule::Minimind3 => ("minimind3", true),
            LrSchedule::Linear | LrSchedule::Cosine | LrSchedule::Wsd => ("", false),
        };
        let mut idle = Vec::new();
        if fixed && said("min-lr-ratio") {
            let why = format!(
                "--min-lr-ratio does not act with --lr-schedule {shape}; leave it out, or take cosine, linear or wsd"
            );
            idle.push(why.into());
        }
        if self.steps.is_some() && said("epochs") {
            idle.push(
                "--epochs does not act beside --steps, which replaces it; leave one of them out".into(),
            );
        }
        idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Stage;

    #[test]
    fn flags_that_change_nothing_are_named() {
        let idle = |config: &TrainConfig, said: &[&str]| {
            config.idle(&said.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let default = TrainConfig::of(Stage::Pretrain);
        let all = ["min-lr-ratio", "epochs", "steps", "lr-schedule", "warmup-ratio"];
        assert_eq!(idle(&default, &all), Vec::<Told>::new());
        for shape in [LrSchedule::Constant, LrSchedule::Minimind2, LrSchedule::Minimind3] {
            let config = TrainConfig { lr_schedule: shape, steps: Some(3), ..default.clone() };
            let told = idle(&config, &all);
            assert!(told.len() == 2 && told[0].starts_with("--min-lr-ratio does not act with"), "{told:?}");
            assert!(told[1].starts_with("--epochs does not act beside --steps"), "{told:?}");
            assert!(idle(&config, &["steps", "lr-schedule", "warmup-ratio"]).is_empty());
            // What is said acts in no schedule of this shape, and only then is it idle.
            let ends = |min_lr_ratio| TrainConfig { min_lr_ratio, ..config.clone() }.schedule(9).at(8);
            assert_eq!(ends(0.1), ends(0.9));
            let acts = |min_lr_ratio| TrainConfig { min_lr_ratio, ..default.clone() }.schedule(9).at(8);
            assert_ne!(acts(0.1), acts(0.9));
        }
    }
}
