//! What trackers keep of a run beside its measures.

use std::path::Path;

use kindling::device::OpenDevice;
use kindling::error::Result;
use kindling::train::Run;
use serde_json::{Map, Value, json};
use sysinfo::System;

use super::Moment;
use crate::model_files::read_optional;
use crate::run_kind::STAGE;
use crate::written::SETTINGS;

/// A run and its settings.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// What it is called: its directory.
    pub name: String,
    /// Its stage.
    pub stage: String,
    /// The words of the command line that began it.
    pub words: Vec<String>,
    /// Its settings by name, and what model trains on what.
    pub settings: Map<String, Value>,
    /// The same as a text.
    pub settings_text: String,
    /// Optimizer steps in all, as far as is known.
    pub total_steps: u64,
    /// The machine's name.
    pub host: String,
    /// When this process began, in seconds since 1970.
    pub began: f64,
}

impl About {
    /// A run that is about to train in its directory.
    ///
    /// # Errors
    /// Settings that cannot be read.
    pub fn of(run: &Run, directory: &Path, device: &OpenDevice) -> Result<Self> {
        let name = std::path::absolute(directory).unwrap_or_else(|_| directory.to_path_buf());
        let name = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let kept = read_optional(&directory.join(SETTINGS))?.unwrap_or_default();
        let kept = String::from_utf8_lossy(&kept).into_owned();
        let mut settings = of_file(&kept);
        // The example's first run has no file of settings.
        if let Ok(Value::Object(own)) = serde_json::to_value(&run.progress.config) {
            own.into_iter().for_each(|(key, value)| {
                settings.entry(key).or_insert(value);
            });
        }
        let stage = settings.get(STAGE).and_then(Value::as_str).map_or_else(|| name.clone(), String::from);
        let model = serde_json::from_str(&run.model.config().to_hugging_face()).unwrap_or(Value::Null);
        settings.insert("model-config".into(), model);
        settings.insert("parameters".into(), json!(run.plan.parameters));
        settings.insert("trained-parameters".into(), json!(run.plan.trained));
        settings.insert("device".into(), json!(device.choice.to_string()));
        let words = kept.lines().next().and_then(|line| line.strip_prefix("# "));
        Ok(Self {
            settings_text: if kept.is_empty() {
                format!("{:#}", Value::Object(settings.clone()))
            } else {
                kept.clone()
            },
            words: words.unwrap_or_default().split(' ').map(String::from).collect(),
            name,
            stage,
            settings,
            total_steps: run.progress.total_steps,
            host: System::host_name().unwrap_or_else(|_| "localhost".into()),
            began: Moment::now(0).time,
        })
    }
}

/// The settings of a run's file.
fn of_file(text: &str) -> Map<String, Value> {
    let table = text.parse::<toml::Table>().unwrap_or_default();
    match serde_json::to_value(table) {
        Ok(Value::Object(settings)) => settings,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runs_file_of_settings_becomes_numbers_texts_and_lists() {
        let settings =
            of_file("# kindling sft\ndata = [\"a\"]\nlearning-rate = 0.001\nlora = false\nstage = \"sft\"\n");
        let expected = json!({"data": ["a"], "learning-rate": 0.001, "lora": false, "stage": "sft"});
        assert_eq!(Value::Object(settings), expected);
        assert!(of_file("[[").is_empty());
    }
}
