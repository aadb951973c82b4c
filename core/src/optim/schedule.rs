//! The learning rate of each step.

use serde::{Deserialize, Serialize};

/// The shape of the learning rate over the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum LrSchedule {
    /// The same at every step.
    Constant,
    /// A straight line down to the minimum.
    Linear,
    /// Half a cosine down to the minimum.
    Cosine,
    /// Constant, then a straight line to the minimum over the last fifth (warm-up, stable, decay).
    Wsd,
    /// MiniMind 2's cosine: `lr/10 + lr/2·(1 + cos(π·s/S))`, which starts at 1.1·lr.
    Minimind2,
    /// MiniMind 3's cosine: `lr·(0.1 + 0.45·(1 + cos(π·s/S)))`.
    Minimind3,
}

/// A schedule with its numbers.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// The shape.
    pub shape: LrSchedule,
    /// The highest learning rate.
    pub peak: f64,
    /// Steps of linear warm-up.
    pub warmup: u64,
    /// All steps.
    pub total: u64,
    /// Where constant, linear, cosine and WSD end, as a share of the peak.
    pub min_ratio: f64,
}

impl Schedule {
    /// The learning rate of step `step`, counted from 0. Warm-up reaches the peak at step `warmup`.
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.peak * (step + 1) as f64 / (self.warmup + 1) as f64;
        }
        let rest = (self.total.saturating_sub(self.warmup)).max(1) as f64;
        let progress = ((step - self.warmup) as f64 / rest).min(1.0);
        let wave = 1.0 + libm::cos(std::f64::consts::PI * progress);
        let down = |share: f64| self.peak * (self.min_ratio + (1.0 - self.min_ratio) * share);
        match self.shape {
            LrSchedule::Constant => self.peak,
            LrSchedule::Linear => down(1.0 - progress),
            LrSchedule::Cosine => down(wave / 2.0),
            LrSchedule::Wsd => down(((1.0 - progress) / 0.2).min(1.0)),
            LrSchedule::Minimind2 => self.peak / 10.0 + 0.5 * self.peak * wave,
            LrSchedule::Minimind3 => self.peak * (0.1 + 0.45 * wave),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(shape: LrSchedule, peak: f64, warmup: u64) -> Schedule {
        Schedule { shape, peak, warmup, total: 100 + warmup, min_ratio: 0.1 }
    }

    #[test]
    fn minimind_values_of_the_reference() {
        let two = schedule(LrSchedule::Minimind2, 5e-4, 0);
        let three = schedule(LrSchedule::Minimind3, 5e-4, 0);
        let cases = [(two, 0, 5.5e-4), (two, 25, 4.7677e-4), (two, 50, 3e-4), (two, 100, 5e-5)];
        let more = [(three, 25, 4.341e-4), (three, 50, 2.75e-4), (three, 100, 5e-5)];
        for (schedule, step, expected) in cases.into_iter().chain(more) {
            assert!((schedule.at(step) - expected).abs() < 5e-8, "{step}: {}", schedule.at(step));
        }
    }

    #[test]
    fn warmup_then_down_to_the_minimum() {
        for shape in [LrSchedule::Linear, LrSchedule::Cosine, LrSchedule::Wsd] {
            let schedule = schedule(shape, 1.0, 9);
            assert!((schedule.at(0) - 0.1).abs() < 1e-12);
            assert!((schedule.at(9) - 1.0).abs() < 1e-12);
            assert!((schedule.at(109) - 0.1).abs() < 1e-12, "{shape:?}");
        }
        assert!((schedule(LrSchedule::Linear, 1.0, 0).at(50) - 0.55).abs() < 1e-12);
        assert!((schedule(LrSchedule::Wsd, 1.0, 0).at(80) - 1.0).abs() < 1e-12);
        assert!((schedule(LrSchedule::Wsd, 1.0, 0).at(90) - 0.55).abs() < 1e-12);
        assert_eq!(schedule(LrSchedule::Constant, 1.0, 0).at(99), 1.0);
    }
}
