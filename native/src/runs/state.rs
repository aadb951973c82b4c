//! How a run stands: at work, at its end, stopped on the way, or damaged.

use std::fmt;
use std::fs::{File, TryLockError};
use std::path::Path;

use kindling::error::Error;

use super::History;
use crate::commands::start::check_save;
use crate::run_dir::RunDir;
use crate::written::LOCK;

/// How a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// A process writes into it.
    Running,
    /// It came to its end.
    Finished,
    /// It ended where it was told to, before its last step, and goes on with `--resume`.
    Stopped,
    /// It did not come to its end.
    Interrupted,
    /// Something of it cannot be read; the text says what.
    Damaged(String),
}

impl State {
    /// The word for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Stopped => "stopped",
            Self::Interrupted => "interrupted",
            Self::Damaged(_) => "damaged",
        }
    }

    /// How the run in a directory stands by its lock, its newest save and what it logged.
    pub(super) fn of(run: &Path, history: &History) -> Self {
        if is_locked(run) {
            return Self::Running;
        }
        if let Some(damage) = damage(run) {
            return Self::Damaged(damage);
        }
        match &history.done {
            None => Self::Interrupted,
            Some(done) => {
                let learned = done["learned"].as_bool() == Some(true);
                let whole = done["step"].as_u64() >= done["total_steps"].as_u64();
                if learned || whole { Self::Finished } else { Self::Stopped }
            }
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(why) => write!(out, "damaged: {why}"),
            other => out.write_str(other.word()),
        }
    }
}

/// Whether another process holds the run's lock. A lock that a crash left is free, and stays as it is.
fn is_locked(run: &Path) -> bool {
    // The file goes with the process that holds it, so that this seldom asks at all.
    let Ok(file) = File::open(run.join(LOCK)) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// What is wrong with the newest save; none where there is no save yet.
fn damage(run: &Path) -> Option<String> {
    let saves = RunDir::open(run, 1).and_then(|directory| directory.newest_first());
    let newest = match saves {
        Ok(saves) => saves.into_iter().next()?,
        Err(error) => return Some(error.to_string()),
    };
    let name = newest.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    check_save(&newest).err().map(|error: Error| format!("{name}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run_lock::RunLock;
    use crate::written::SETTINGS;

    #[test]
    fn the_lock_and_the_log_tell_how_a_run_stands() {
        let place = tempfile::tempdir().unwrap();
        let run = place.path().join("run");
        std::fs::create_dir_all(run.join("training")).unwrap();
        std::fs::write(run.join(SETTINGS), "").unwrap();
        let of = |log: &str| State::of(&run, &History::of(log));
        assert_eq!(of(""), State::Interrupted);
        assert_eq!(of(r#"{"event":"done","step":3,"total_steps":3}"#), State::Finished);
        assert_eq!(of(r#"{"event":"done","step":2,"total_steps":3}"#), State::Stopped);
        assert_eq!(of(r#"{"event":"done","step":2,"total_steps":3,"learned":true}"#), State::Finished);
        let lock = RunLock::take(&run).unwrap();
        assert_eq!(of(""), State::Running);
        drop(lock);
        std::fs::write(run.join(LOCK), "1").unwrap();
        assert_eq!(of(""), State::Interrupted, "a lock that a crash left");
        std::fs::create_dir(run.join("checkpoint-000003")).unwrap();
        let State::Damaged(why) = of("") else { panic!("the save is empty") };
        assert!(why.starts_with("checkpoint-000003: ") && why.contains("progress.json"), "{why}");
    }
}
