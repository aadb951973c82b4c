//! A run as its directory tells it.

use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Local};
use kindling::checkpoint::PROGRESS;
use serde_json::Value;
use toml::Table;

use super::history::lowest;
use super::{History, State};
use crate::failure::io_error;
use crate::model_files::read_optional;
use crate::run_kind::RunKind;
use crate::written::SETTINGS;

/// A run as its directory tells it.
#[derive(Clone, Debug)]
pub struct FoundRun {
    /// Where it lies.
    pub path: PathBuf,
    /// Its settings; empty where they cannot be read.
    pub settings: Table,
    /// What it logged.
    pub history: History,
    /// How it stands.
    pub state: State,
    /// Steps that are planned in all, as far as is known.
    pub total_steps: Option<u64>,
    /// When it began.
    pub begun: Option<DateTime<Local>>,
}

impl FoundRun {
    /// Opens a run's directory; what is damaged is part of its state.
    pub fn open(path: &Path) -> Self {
        let (settings, why) = match read_settings(path) {
            Ok(settings) => (settings, None),
            Err(why) => (Table::new(), Some(why)),
        };
        let (history, unread) = match History::open(path) {
            Ok(history) => (history, None),
            Err(error) => (History::default(), Some(error.to_string())),
        };
        let state = match (why.or(unread), State::of(path, &history)) {
            (_, State::Running) => State::Running,
            (Some(why), _) => State::Damaged(why),
            (None, state) => state,
        };
        let written = fs::metadata(path.join(SETTINGS)).and_then(|found| found.modified());
        let total_steps = total_steps(path, &history);
        Self {
            path: path.to_path_buf(),
            settings,
            history,
            state,
            total_steps,
            begun: written.ok().map(DateTime::from),
        }
    }

    /// What it is: the verb of the command line, or what its settings call it.
    pub fn verb(&self) -> String {
        let kind = RunKind::of_settings(&self.settings, "");
        kind.map_or_else(|| self.text("stage").unwrap_or("?").to_string(), RunKind::command)
    }

    /// Whether an adapter learned, and not the model itself.
    pub fn adapts(&self) -> bool {
        RunKind::of_settings(&self.settings, "").is_some_and(|kind| kind.adapts)
    }

    /// A setting that is a text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.settings.get(key).and_then(toml::Value::as_str)
    }

    /// What it trained on, as it was named.
    pub fn data(&self) -> Vec<&str> {
        match self.settings.get("data") {
            Some(toml::Value::Array(data)) => data.iter().filter_map(toml::Value::as_str).collect(),
            Some(toml::Value::String(one)) => vec![one],
            _ => Vec::new(),
        }
    }

    /// What it is and how far it came, in words.
    pub fn told(&self) -> String {
        let total = self.total_steps.map_or(String::new(), |total| format!(" of {total}"));
        format!("{}, step {}{total}, {}", self.verb(), self.history.step, self.state)
    }

    /// The last loss of training, and the best.
    pub fn losses(&self) -> (Option<f64>, Option<f64>) {
        (self.history.ends().map(|(_, last)| last), lowest(&self.history.loss))
    }

    /// The last loss of held-out rows, and the best.
    pub fn held_out(&self) -> (Option<f64>, Option<f64>) {
        (self.history.held_out.last().map(|(_, loss)| *loss), lowest(&self.history.held_out))
    }
}

fn read_settings(run: &Path) -> Result<Table, String> {
    let path = run.join(SETTINGS);
    let text = fs::read_to_string(&path).map_err(|e| io_error(&path, e).to_string())?;
    // toml's own message shows the place over several lines.
    text.parse::<Table>().map_err(|e| format!("{SETTINGS} is damaged: {}", e.message()))
}

/// The steps that a run plans: as its end tells, or its newest save.
fn total_steps(run: &Path, history: &History) -> Option<u64> {
    let saved = || {
        let bytes = read_optional(&run.join(PROGRESS)).ok().flatten()?;
        serde_json::from_slice::<Value>(&bytes).ok()?["total_steps"].as_u64()
    };
    history.done.as_ref().and_then(|done| done["total_steps"].as_u64()).or_else(saved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::written::LOG;

    #[test]
    fn a_run_tells_what_it_is_and_how_far_it_came() {
        let place = tempfile::tempdir().unwrap();
        let run = place.path();
        fs::create_dir_all(run.join("training")).unwrap();
        let settings = "stage = \"dpo\"\nlora = true\nmodel = \"base\"\ndata = [\"a.jsonl\", \"b.jsonl\"]\n";
        fs::write(run.join(SETTINGS), settings).unwrap();
        fs::write(run.join(PROGRESS), "{\"total_steps\": 50}").unwrap();
        fs::write(run.join(LOG), "{\"step\":5,\"loss\":0.5}\n{\"step\":10,\"loss\":0.75}\n").unwrap();
        let found = FoundRun::open(run);
        assert_eq!(
            (found.verb().as_str(), found.adapts(), found.data()),
            ("dpo --lora", true, vec!["a.jsonl", "b.jsonl"])
        );
        assert_eq!((found.losses(), found.held_out()), ((Some(0.75), Some(0.5)), (None, None)));
        assert_eq!(
            (found.history.step, found.total_steps, found.state.clone()),
            (10, Some(50), State::Interrupted)
        );
        assert_eq!(found.told(), "dpo --lora, step 10 of 50, interrupted");
        assert!(found.begun.is_some());
        fs::write(run.join(SETTINGS), "stage = \n").unwrap();
        let State::Damaged(why) = FoundRun::open(run).state else { panic!("no TOML") };
        assert!(why.starts_with("training/settings.toml is damaged") && !why.contains('\n'), "{why}");
    }
}
