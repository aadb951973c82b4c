//! What a run's directory keeps of its trackers: which offline run is its own, and what was written where.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kindling::error::{Error, Result};
use serde::{Deserialize, Serialize};

use super::watched::lost;
use crate::disk::replace;
use crate::model_files::read_optional;

/// The state of a run's trackers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The identity of its offline run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// When that began, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began: Option<f64>,
    /// The table, where it is another one than was asked for, behind that one's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<(PathBuf, PathBuf)>,
    /// The bytes that were written, by file.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<PathBuf, u64>,
}

impl State {
    /// As it was kept; of no file the first state.
    ///
    /// # Errors
    /// A file that is damaged.
    pub fn read(path: &Path) -> Result<Self> {
        let Some(bytes) = read_optional(path)? else { return Ok(Self::default()) };
        serde_json::from_slice(&bytes).map_err(|e| {
            let path = path.display();
            let told = format!(
                "{path}: it is damaged ({e}); remove it, and trackers begin anew: --wandb a new run, and nobody compares files"
            );
            Error::Checkpoint(told.into())
        })
    }

    /// Keeps it.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let json = serde_json::to_vec_pretty(self).map_err(|e| Error::Data(e.into()))?;
        replace(path, &json)
    }

    /// The table that goes on where this one is asked for.
    pub fn table_of(&self, asked: &Path) -> PathBuf {
        match &self.table {
            Some((other, own)) if other == asked => own.clone(),
            _ => asked.to_path_buf(),
        }
    }

    /// Lets go of the files that are gone or shorter than they were written; gives a sentence for each.
    pub fn take_lost(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        self.files.retain(|path, written| match lost(path, *written) {
            None => true,
            Some(what) => {
                told.push(format!(
                    "{}, which this run wrote, {what}: what it held of earlier steps is lost there, and the run goes on",
                    path.display()
                ));
                false
            }
        });
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_reads_back_also_as_earlier_versions_kept_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("tracking.json");
        assert_eq!(State::read(&path).unwrap(), State::default());
        let state = State {
            id: Some("abcd1234".into()),
            began: Some(1.5),
            table: Some(("m.csv".into(), "m-2.csv".into())),
            files: BTreeMap::from([(PathBuf::from("/m-2.csv"), 7)]),
        };
        state.write(&path).unwrap();
        assert_eq!(State::read(&path).unwrap(), state);
        assert_eq!(state.table_of(Path::new("m.csv")), Path::new("m-2.csv"));
        assert_eq!(state.table_of(Path::new("n.csv")), Path::new("n.csv"));
        std::fs::write(&path, "{\"id\": \"abcd1234\", \"began\": 1.5}").unwrap();
        let earlier = State { table: None, files: BTreeMap::new(), ..state };
        assert_eq!(State::read(&path).unwrap(), earlier);
        std::fs::write(&path, "{").unwrap();
        let told = State::read(&path).unwrap_err().to_string();
        assert!(told.contains("tracking.json: it is damaged"), "{told}");
    }

    #[test]
    fn files_that_lost_something_are_named_once() {
        let place = tempfile::tempdir().unwrap();
        let [whole, cut, gone] = ["whole", "cut", "gone"].map(|name| place.path().join(name));
        std::fs::write(&whole, "0123").unwrap();
        std::fs::write(&cut, "01").unwrap();
        let files = [(whole.clone(), 4), (cut, 4), (gone, 4)].into_iter().collect();
        let mut state = State { files, ..State::default() };
        let told = state.take_lost();
        assert!(
            told.len() == 2 && told[0].contains("cut from 4 to 2") && told[1].contains("not there any more"),
            "{told:?}"
        );
        assert!(state.take_lost().is_empty());
        assert_eq!(state.files.into_keys().collect::<Vec<_>>(), [whole]);
    }
}
