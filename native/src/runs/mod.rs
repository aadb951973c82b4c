//! Runs on the disk, as they are found: what each learned from what, how far it came, and how it went.

mod found;
mod history;
mod kept;
mod lineage;
mod settings;
mod state;

pub use found::FoundRun;
pub use history::{Curve, History};
pub use kept::Kept;
pub use lineage::{Lineage, Origin};
pub use settings::{Line, Setting, beside_defaults, differing};
pub use state::State;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use kindling::error::Result;

use crate::failure::io_error;
use crate::run_dir::is_run;
use crate::written::{is_ours, step_of};

/// How far below a named directory runs are looked for: a chain's runs lie in the directory of the chain.
const DEPTH: usize = 3;

/// The runs at or below directories, by their paths, each once.
///
/// # Errors
/// A directory that cannot be read; what lies below one and cannot be read is passed over.
pub fn find(directories: &[PathBuf]) -> Result<Vec<FoundRun>> {
    let mut places = BTreeSet::new();
    for directory in directories {
        fs::read_dir(directory).map_err(|e| io_error(directory, e))?;
        collect(directory, DEPTH, &mut places);
    }
    let mut seen = BTreeSet::new();
    let new = |path: &PathBuf| seen.insert(fs::canonicalize(path).unwrap_or_else(|_| path.clone()));
    Ok(places.into_iter().filter(new).map(|path| FoundRun::open(&path)).collect())
}

fn collect(directory: &Path, depth: usize, places: &mut BTreeSet<PathBuf>) {
    // The embedded default keeps no settings of the run that it begins with: its own tell of both.
    let is_part = || directory.parent().is_some_and(is_ours);
    if is_run(directory) || (is_ours(directory) && !is_part()) {
        places.insert(directory.to_path_buf());
    }
    let below = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in below.filter(|entry| depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // A run's saves are no runs of their own.
        if step_of(&name).is_none() && !name.starts_with('.') {
            collect(&entry.path(), depth - 1, places);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::written::SETTINGS;

    #[test]
    fn runs_are_found_below_and_their_saves_are_none() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        for run in ["a", "chain", "chain/sft", "a/checkpoint-000003", ".hidden", "deep/er/still/more/run"] {
            let settings = root.join(run).join(SETTINGS);
            fs::create_dir_all(settings.parent().unwrap()).unwrap();
            fs::write(settings, "stage = \"sft\"\n").unwrap();
        }
        let names = |directories: &[PathBuf]| {
            let found = find(directories).unwrap();
            let names = found.iter().map(|run| run.path.strip_prefix(root).unwrap().display().to_string());
            names.collect::<Vec<_>>()
        };
        assert_eq!(names(&[root.to_path_buf()]), ["a", "chain", "chain/sft"]);
        assert_eq!(names(&[root.join("chain"), root.to_path_buf()]), ["a", "chain", "chain/sft"]);
        assert!(find(&[root.join("nowhere")]).is_err());
    }
}
