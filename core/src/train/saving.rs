//! Saves that nobody asked for: a crash loses minutes and not hours.

use crate::error::{Error, Result};
use crate::told::{Told, told};

/// The largest share of the time that saves by time may take.
const SHARE: f64 = 0.02;

/// How often a run is saved by time. It changes nothing of what the run learns, so a run that goes on may have another.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct SaveConfig {
    /// Also save every so many minutes, less often where saving is slow; the next save replaces such a one; 0 turns it off.
    #[cfg_attr(feature = "cli", arg(long, default_value_t = SaveConfig::default().save_minutes))]
    pub save_minutes: f64,
}

impl Default for SaveConfig {
    fn default() -> Self {
        Self { save_minutes: 5.0 }
    }
}

impl SaveConfig {
    /// Everything that does not hold, as sentences.
    pub fn problems(&self) -> Vec<Told> {
        let minutes = self.save_minutes;
        match minutes >= 0.0 && minutes.is_finite() {
            true => Vec::new(),
            false => vec![told!(
                "train.save_minutes",
                "--save-minutes is {minutes}; it must be 0 (off) or more",
                minutes
            )],
        }
    }

    /// `Err` with all problems at once.
    pub fn validate(&self) -> Result<()> {
        match self.problems() {
            problems if problems.is_empty() => Ok(()),
            problems => Err(Error::Config(problems)),
        }
    }
}

/// Tells when the next save by time is due; all times are seconds of [`crate::platform::now`].
#[derive(Clone, Copy, Debug)]
pub struct SaveClock {
    every: f64,
    last: f64,
    cost: f64,
}

impl SaveClock {
    /// A clock that was started at `now`.
    pub fn new(config: SaveConfig, now: f64) -> Self {
        Self { every: config.save_minutes * 60.0, last: now, cost: 0.0 }
    }

    /// Whether a save is due.
    pub fn due(&self, now: f64) -> bool {
        self.every > 0.0 && now - self.last >= self.every.max(self.cost / SHARE)
    }

    /// Starts anew after a save, whoever asked for it, that held the training up for `cost` seconds.
    pub fn saved(&mut self, now: f64, cost: f64) {
        (self.last, self.cost) = (now, cost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_save_is_due_by_time_and_takes_no_more_than_its_share() {
        let mut clock = SaveClock::new(SaveConfig { save_minutes: 1.0 }, 100.0);
        assert!(!clock.due(159.9));
        assert!(clock.due(160.0));
        clock.saved(161.0, 1.0);
        assert!(!clock.due(220.9));
        assert!(clock.due(221.0), "a second of a minute is less than the share");
        clock.saved(230.0, 9.0);
        assert!(!clock.due(679.9));
        assert!(clock.due(680.1), "50 times as long as it took");
        clock.saved(700.0, 0.1);
        assert!(clock.due(760.0), "the last save counts, not the slowest");
    }

    #[test]
    fn zero_is_off_and_nonsense_is_refused() {
        let off = SaveConfig { save_minutes: 0.0 };
        off.validate().unwrap();
        assert!(!SaveClock::new(off, 0.0).due(1e9));
        SaveConfig::default().validate().unwrap();
        for minutes in [-1.0, f64::NAN, f64::INFINITY] {
            let message = SaveConfig { save_minutes: minutes }.validate().unwrap_err().to_string();
            assert!(message.contains(&format!("--save-minutes is {minutes}")), "{message}");
        }
    }
}
