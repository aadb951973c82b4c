//! What a run keeps beside its settings and its log: where it stands in its data, what was found in that, and who trained it.

use std::collections::BTreeMap;
use std::path::Path;

use kindling::checkpoint::PROGRESS;
use kindling::error::Result;
use serde_json::Value;

use crate::model_files::read_optional;
use crate::sessions::Session;
use crate::written::DATA_REPORT;

/// What a run keeps; what it does not know is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// Rows that its data had.
    pub rows: Option<u64>,
    /// The data's fingerprint.
    pub fingerprint: Option<String>,
    /// Tokens read, padding aside.
    pub tokens: Option<u64>,
    /// Full passes over the data.
    pub passes: Option<u64>,
    /// Rows that were left out or lost their end, by what happened to them.
    pub rows_by_fate: BTreeMap<&'static str, u64>,
    /// Rows read of each source, where sources have shares.
    pub drawn: BTreeMap<String, u64>,
    /// What is odd about the data, a sentence each.
    pub odd: Vec<String>,
    /// The processes that trained it.
    pub sessions: Vec<Session>,
    /// Files that cannot be read, and why.
    pub unread: Vec<String>,
}

/// What is kept of rows that are not trained on as they are: a name, where the file has it, and of which file.
const IN_PROGRESS: [(&str, &str); 3] = [
    ("cut", "/loader/cut"),
    ("too long or without an answer", "/loader/dropped"),
    ("refused by the template", "/loader/unusable"),
];
const IN_REPORT: [(&str, &str); 4] = [
    ("unusable", "/report/bad"),
    ("duplicates", "/report/duplicates"),
    ("outside of the lengths", "/report/filtered"),
    ("in other languages", "/report/other_languages"),
];

impl Kept {
    /// Of a run's directory.
    pub fn open(run: &Path) -> Self {
        let mut kept = Self::default();
        if let Some(progress) = kept.read(run, PROGRESS) {
            kept.rows = progress["rows"].as_u64();
            kept.fingerprint = progress["data"].as_str().map(String::from);
            kept.tokens = progress["tokens"].as_u64();
            kept.passes = progress["loader"]["epoch"].as_u64();
            kept.count(&progress, &IN_PROGRESS);
            let drawn = progress["loader"]["drawn"].as_object().into_iter().flatten();
            kept.drawn = drawn.filter_map(|(name, rows)| Some((name.clone(), rows.as_u64()?))).collect();
        }
        if let Some(found) = kept.read(run, DATA_REPORT) {
            let odd = found["warnings"].as_array().into_iter().flatten();
            kept.odd = odd.filter_map(Value::as_str).map(String::from).collect();
            kept.count(&found, &IN_REPORT);
        }
        match Session::of(run) {
            Ok(sessions) => kept.sessions = sessions,
            Err(error) => kept.unread.push(error.to_string()),
        }
        kept
    }

    /// Notes how many rows met each fate, where some did.
    fn count(&mut self, file: &Value, fates: &[(&'static str, &str)]) {
        let rows = |place: &str| file.pointer(place).and_then(Value::as_u64).filter(|rows| *rows > 0);
        self.rows_by_fate.extend(fates.iter().filter_map(|(fate, place)| Some((*fate, rows(place)?))));
    }

    /// A file of the run as JSON; one that is damaged is named.
    fn read(&mut self, run: &Path, name: &str) -> Option<Value> {
        let damaged = match read(&run.join(name)) {
            Ok(value) => return value,
            Err(why) => why,
        };
        self.unread.push(format!("{name}: {damaged}"));
        None
    }

    /// The most memory that a process held which trained the run, in bytes.
    pub fn peak_memory(&self) -> Option<u64> {
        self.sessions.iter().filter_map(|session| session.peak_memory_bytes).max()
    }
}

fn read(path: &Path) -> Result<Option<Value>, String> {
    let bytes = read_optional(path).map_err(|error| error.to_string())?;
    bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_tells_what_it_read_and_what_was_odd() {
        let place = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::create_dir_all(place.path().join("training")).unwrap();
            std::fs::write(place.path().join(name), text).unwrap();
        };
        assert_eq!(Kept::open(place.path()), Kept::default());
        write(
            PROGRESS,
            r#"{"rows": 90, "data": "ab12", "tokens": 500,
               "loader": {"epoch": 2, "cut": 3, "dropped": 0, "drawn": {"a.jsonl": 60, "b.jsonl": 30}}}"#,
        );
        write(
            DATA_REPORT,
            r#"{"warnings": ["2 rows: empty turns"], "report": {"bad": 0, "duplicates": 4, "filtered": 1}}"#,
        );
        let kept = Kept::open(place.path());
        assert_eq!((kept.rows, kept.tokens, kept.passes), (Some(90), Some(500), Some(2)));
        assert_eq!(kept.fingerprint.as_deref(), Some("ab12"));
        let fates: Vec<_> = kept.rows_by_fate.iter().map(|(fate, rows)| (*fate, *rows)).collect();
        assert_eq!(fates, [("cut", 3), ("duplicates", 4), ("outside of the lengths", 1)]);
        assert_eq!(kept.drawn["b.jsonl"], 30);
        assert_eq!(
            (kept.odd.as_slice(), kept.peak_memory()),
            (&["2 rows: empty turns".to_string()][..], None)
        );
        write(PROGRESS, "{");
        let kept = Kept::open(place.path());
        assert!(kept.unread[0].starts_with("training/progress.json: "), "{kept:?}");
        assert_eq!(kept.odd.len(), 1, "the others are read");
    }
}
