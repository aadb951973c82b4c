//! Files to take home.

use kindling::checkpoint::{put_tokenizer, to_single_file};
use kindling::formats::{Files, to_zip};

use super::kept_adapters;
use super::models::checkpoint_files;
use super::protocol::{Delivery, File};
use super::runs::run_files_of;
use super::state::{Answer, Engine};

impl Engine {
    /// The open model as one file or as a Hugging Face directory, an adapter in PEFT's layout, or a run's last save.
    pub async fn export(&self, kind: &str, name: &str, shape: Delivery) -> Result<Answer, String> {
        let told = |e: kindling::error::Error| e.to_string();
        let (name, files, single) = match kind {
            "model" => {
                let model = self.opened()?;
                (model.name.clone(), checkpoint_files(&model).await?, single(name)?)
            }
            "adapter" => (name.to_string(), self.adapter_files(name).await?, false),
            "run" => {
                let files = run_files_of(name).await?;
                let whole = files.contains_key("model.safetensors");
                (name.to_string(), files, whole)
            }
            other => return Err(format!("'{other}' cannot be exported; a model, an adapter or a run can")),
        };
        let one = |ending: &str, bytes| Files::from([(format!("{name}.{ending}"), bytes)]);
        let files = match (shape, single) {
            (Delivery::Zip, _) => one("zip", to_zip(&files).map_err(told)?),
            (Delivery::Files, true) => one("safetensors", to_single_file(&files).map_err(told)?),
            (Delivery::Files, false) => files,
        };
        let files = files.into_iter().map(|(name, bytes)| File { name, bytes }).collect();
        Ok(Answer { files, ..Answer::new(())? })
    }

    /// An adapter's files, of one at hand or of one that is kept.
    async fn adapter_files(&self, name: &str) -> Result<Files, String> {
        let told = |e: kindling::error::Error| e.to_string();
        if let Some(held) = self.adapters.borrow().iter().find(|held| held.about.name == name) {
            let mut files = held.adapter.files().map_err(told)?;
            if let Some(tokenizer) = &held.tokenizer {
                put_tokenizer(&mut files, tokenizer).map_err(told)?;
            }
            return Ok(files);
        }
        let kept = kept_adapters::all().await?.into_iter();
        let mut kept = kept.filter(|kept| kept.about.as_ref().is_ok_and(|about| about.name == name));
        match kept.next() {
            Some(kept) => kept_adapters::files(&kept.folder).await,
            None => Err(format!("there is no adapter '{name}'")),
        }
    }
}

/// Whether a model goes home as one file.
fn single(form: &str) -> Result<bool, String> {
    match form {
        "single-file" => Ok(true),
        "hf" => Ok(false),
        other => Err(format!("'{other}' is no form of a model; single-file and hf are")),
    }
}
