//! Models kept in the browser.

use kindling::checkpoint::{Checkpoint, Files};
use serde_json::json;

use super::state::{Answer, Engine, OpenModel};
use super::store;

const MODELS: &str = "models";

impl Engine {
    /// Keeps the open model under a name.
    pub async fn keep(&self, name: &str) -> Result<Answer, String> {
        check_name(name)?;
        let files = checkpoint_files(&self.opened()?).await?;
        let path = format!("{MODELS}/{name}");
        if let Err(error) = store::write_all(&path, &files).await {
            // Half a model is of no use, and takes the room that was missing.
            store::remove(&path).await?;
            return Err(error);
        }
        Answer::new(())
    }

    /// Opens a kept model.
    pub async fn load_kept(&self, name: String) -> Result<Answer, String> {
        check_name(&name)?;
        let files = store::read_all(&format!("{MODELS}/{name}")).await?;
        if files.is_empty() {
            return Err(format!("no model is kept under the name '{name}'"));
        }
        self.install(name, &files).await
    }

    /// Names and sizes of the kept models.
    pub async fn kept(&self) -> Result<Answer, String> {
        let mut kept = Vec::new();
        for (name, _) in store::list(MODELS).await? {
            let bytes = store::size(&format!("{MODELS}/{name}")).await?;
            kept.push(json!({"name": name, "bytes": bytes}));
        }
        Answer::new(kept)
    }

    /// Removes a kept model.
    pub async fn forget(&self, name: &str) -> Result<Answer, String> {
        check_name(name)?;
        store::remove(&format!("{MODELS}/{name}")).await?;
        Answer::new(())
    }
}

/// The open model as a checkpoint's files.
pub async fn checkpoint_files(model: &OpenModel) -> Result<Files, String> {
    let weights = model.base.weights().await.map_err(|e| e.to_string())?;
    Checkpoint::files(model.base.config(), &weights, Some(&model.tokenizer)).map_err(|e| e.to_string())
}

/// A name is one folder of the private file system.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.contains('/') {
        return Err(format!("'{name}' is no name; give a word without '/'"));
    }
    Ok(())
}
