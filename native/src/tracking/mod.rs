//! What people already watch their runs with: event files for TensorBoard, an offline run for Weights & Biases, a table, and
//! numbers for Prometheus. One listener hears the run and tells all of them (docs/tracking.md).

mod about;
mod config;
mod csv;
mod event;
mod event_file;
mod exposition;
mod listener;
mod numbers;
mod prometheus;
mod record_log;
mod state;
mod tfrecord;
mod wandb;
mod wandb_places;
mod wandb_records;
mod watched;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use kindling::error::Result;
use kindling::told::Told;

pub use self::about::About;
pub use self::config::{Standing, TrackingConfig};
use self::csv::Csv;
use self::event_file::EventFile;
pub use self::exposition::family;
pub use self::listener::TrackedListener;
use self::prometheus::Prometheus;
use self::state::State;
use self::wandb::OfflineRun;

/// When something was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// Optimizer steps taken.
    pub step: u64,
    /// Seconds since 1970.
    pub time: f64,
}

impl Moment {
    /// After a step, now.
    pub fn now(step: u64) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self { step, time: since.map_or(0.0, |since| since.as_secs_f64()) }
    }
}

/// What the model wrote on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// What it was asked, or went on from.
    pub prompt: String,
    /// What it wrote.
    pub text: String,
}

/// Where a tracker begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// With a new run.
    New,
    /// With a new run in the place of what may be there.
    Anew,
    /// Behind this step of a run that goes on: what came later is measured again.
    Behind(u64),
}

impl Begins {
    /// Of a run at a step.
    pub fn of(standing: Standing, step: u64) -> Self {
        match standing {
            Standing::New => Self::New,
            Standing::Overwrites => Self::Anew,
            Standing::Resumes => Self::Behind(step),
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// At its last step, or the one that it was to stop after.
    Done,
    /// A person stopped it.
    Stopped,
    /// An error ended it.
    Failed,
}

/// What keeps or shows the measures of a run.
pub trait Tracker {
    /// What it is, as its flag and place.
    fn name(&self) -> String;

    /// Takes measures; several calls may tell of the same step.
    ///
    /// # Errors
    /// What cannot be written.
    fn numbers(&mut self, at: Moment, numbers: &[(String, f64)]) -> Result<()>;

    /// Takes what the model wrote.
    ///
    /// # Errors
    /// What cannot be written.
    fn samples(&mut self, _at: Moment, _samples: &[Sample]) -> Result<()> {
        Ok(())
    }

    /// The run was saved: what was told up to here is to be kept.
    ///
    /// # Errors
    /// What cannot be written.
    fn saved(&mut self) -> Result<()> {
        Ok(())
    }

    /// The run ended.
    ///
    /// # Errors
    /// What cannot be written.
    fn end(&mut self, _at: Moment, _end: End) -> Result<()> {
        Ok(())
    }

    /// What a person should know of since this was asked last: files that were taken away, and where it goes on.
    fn remarks(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Its files, each with the bytes that were written.
    fn files(&self) -> Vec<(PathBuf, u64)> {
        Vec::new()
    }

    /// The table that it writes, where it is one.
    fn table(&self) -> Option<&Path> {
        None
    }
}

/// All trackers of a run.
#[derive(Default)]
pub struct Trackers {
    all: Vec<Box<dyn Tracker>>,
    /// What the run's directory keeps of them, and in which file.
    state: State,
    kept_in: PathBuf,
    /// The table that was asked for.
    asked_table: Option<PathBuf>,
    /// What was found on opening and not told yet.
    untold: Vec<Told>,
}

impl Trackers {
    /// Opens those that are asked for; `kept_in` is the file of the run's directory that keeps which offline run is its own, and
    /// what was written where: what is gone of that is told.
    ///
    /// # Errors
    /// A place that cannot be written, or that holds another run's.
    pub fn open(config: &TrackingConfig, about: &About, begins: Begins, kept_in: &Path) -> Result<Self> {
        let mut all: Vec<Box<dyn Tracker>> = Vec::new();
        let mut state = match begins {
            Begins::Behind(_) => State::read(kept_in)?,
            Begins::New | Begins::Anew => State::default(),
        };
        let untold = state.take_lost().into_iter().map(Told::from).collect();
        if let Some(directory) = &config.tensorboard {
            all.push(Box::new(EventFile::open(directory, about, begins)?));
        }
        if let Some(directory) = &config.wandb {
            all.push(Box::new(OfflineRun::open(directory, about, begins, &mut state)?));
        }
        if let Some(path) = &config.csv {
            all.push(Box::new(Csv::open(&state.table_of(path), begins)?));
        }
        if let Some(port) = config.metrics_port {
            all.push(Box::new(Prometheus::open(port, about)?));
        }
        let asked_table = config.csv.clone();
        let mut opened = Self { all, state, kept_in: kept_in.to_path_buf(), asked_table, untold };
        let failed = opened.keep();
        opened.untold.extend(failed);
        Ok(opened)
    }

    /// Tells every tracker, and lets go of those that fail; gives what a person should know of these, and of files that were
    /// taken away.
    pub fn tell(&mut self, mut tell: impl FnMut(&mut dyn Tracker) -> Result<()>) -> Vec<Told> {
        let mut told = std::mem::take(&mut self.untold);
        self.all.retain_mut(|tracker| {
            let done = tell(tracker.as_mut());
            told.extend(tracker.remarks().into_iter().map(Told::from));
            let Err(error) = done else { return true };
            let name = tracker.name();
            told.push(format!("{name} is off from here on, and the run goes on without it: {error}").into());
            false
        });
        told
    }

    /// Keeps what was written where, so that a run that goes on finds what it has lost; gives why that cannot be.
    pub fn keep(&mut self) -> Option<Told> {
        if self.all.iter().all(|tracker| tracker.files().is_empty()) {
            return None;
        }
        self.state.files.extend(self.all.iter().flat_map(|tracker| tracker.files()));
        let own = self.all.iter().find_map(|tracker| tracker.table().map(Path::to_path_buf));
        if let (Some(asked), Some(own)) = (&self.asked_table, own) {
            self.state.table = (*asked != own).then(|| (asked.clone(), own));
        }
        let error = self.state.write(&self.kept_in).err()?;
        Some(
            format!("what trackers wrote is not kept, so that nobody compares it on --resume: {error}")
                .into(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kindling::error::Error;

    /// Takes so many calls, as a disk that fills.
    struct Fills(usize);

    impl Tracker for Fills {
        fn name(&self) -> String {
            "--csv full.csv".into()
        }

        fn numbers(&mut self, _: Moment, _: &[(String, f64)]) -> Result<()> {
            self.0 = self.0.checked_sub(1).ok_or_else(|| Error::Data("no space left".into()))?;
            Ok(())
        }
    }

    #[test]
    fn a_tracker_that_fails_is_told_of_once_and_the_others_go_on() {
        let mut all = Trackers { all: vec![Box::new(Fills(1)), Box::new(Fills(9))], ..Trackers::default() };
        let mut tell = || all.tell(|tracker| tracker.numbers(Moment { step: 1, time: 0.0 }, &[]));
        assert!(tell().is_empty());
        let told = tell();
        assert_eq!(told.len(), 1);
        let told = told[0].to_string();
        assert!(told.contains("--csv full.csv is off") && told.contains("no space left"), "{told}");
        assert!(tell().is_empty());
        assert_eq!(all.all.len(), 1);
    }
}
