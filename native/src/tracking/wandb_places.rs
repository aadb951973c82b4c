//! Where the offline runs of Weights & Biases lie.

use std::fs;
use std::path::{Path, PathBuf};

use chrono::Local;

/// The directory of all offline runs.
pub const ALL: &str = "wandb";
/// The first word of their names.
const OFFLINE: &str = "offline-run-";

/// The file of a run's directory.
pub fn file_of(directory: &Path, id: &str) -> PathBuf {
    directory.join(format!("run-{id}.wandb"))
}

/// A directory of now that is not there yet.
pub fn free(all: &Path, id: &str) -> PathBuf {
    let named = |second: i64| {
        let time = Local::now() + chrono::Duration::seconds(second);
        all.join(format!("{OFFLINE}{}-{id}", time.format("%Y%m%d_%H%M%S")))
    };
    (0..).map(named).find(|directory| !directory.exists()).unwrap_or_else(|| named(0))
}

/// The directory of a run among all; of several the newest.
pub fn found(all: &Path, id: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(all).into_iter().flatten();
    let runs = entries.filter_map(|entry| Some(entry.ok()?.path()));
    runs.filter(|run| file_of(run, id).is_file()).max()
}
