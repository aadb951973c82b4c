//! Files to take home.

use kindling::checkpoint::{Files, to_single_file};

use super::models::checkpoint_files;
use super::protocol::File;
use super::runs::run_files_of;
use super::state::{Answer, Engine};

impl Engine {
    /// The open model as one file, an adapter in PEFT's layout, or a run's last save.
    pub async fn export(&self, kind: &str, name: &str) -> Result<Answer, String> {
        let told = |e: kindling::error::Error| e.to_string();
        let files = match kind {
            "model" => {
                let model = self.opened()?;
                let bytes = to_single_file(&checkpoint_files(&model).await?).map_err(told)?;
                vec![File { name: format!("{}.safetensors", model.name), bytes }]
            }
            "adapter" => {
                let adapters = self.adapters.borrow();
                let held = adapters.iter().find(|held| held.name == name);
                let held = held.ok_or_else(|| format!("there is no adapter '{name}'"))?;
                listed(held.adapter.files().map_err(told)?)
            }
            "run" => {
                let files = run_files_of(name).await?;
                match files.contains_key("model.safetensors") {
                    true => {
                        let bytes = to_single_file(&files).map_err(told)?;
                        vec![File { name: format!("{name}.safetensors"), bytes }]
                    }
                    false => listed(files),
                }
            }
            other => return Err(format!("'{other}' cannot be exported; a model, an adapter or a run can")),
        };
        Ok(Answer { files, ..Answer::new(())? })
    }
}

fn listed(files: Files) -> Vec<File> {
    files.into_iter().map(|(name, bytes)| File { name, bytes }).collect()
}
