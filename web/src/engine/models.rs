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
        let path = place(name);
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
        let files = store::read_all(&place(&name)).await?;
        if files.is_empty() {
            return Err(format!("no model is kept under the name '{name}'"));
        }
        self.install(name, &files).await
    }

    /// Names and sizes of the kept models.
    pub async fn kept(&self) -> Result<Answer, String> {
        let mut kept = Vec::new();
        for (folder, _) in store::list(MODELS).await? {
            let bytes = store::size(&format!("{MODELS}/{folder}")).await?;
            let name = folder.replace("%2F", "/").replace("%25", "%");
            kept.push(json!({"name": name, "bytes": bytes}));
        }
        Answer::new(kept)
    }

    /// Removes a kept model.
    pub async fn forget(&self, name: &str) -> Result<Answer, String> {
        check_name(name)?;
        store::remove(&place(name)).await?;
        Answer::new(())
    }
}

/// The open model as a checkpoint's files.
pub async fn checkpoint_files(model: &OpenModel) -> Result<Files, String> {
    let weights = model.base.weights().await.map_err(|e| e.to_string())?;
    Checkpoint::files(model.base.config(), &weights, Some(&model.tokenizer)).map_err(|e| e.to_string())
}

/// The folder of a kept model; a name may hold what separates folders.
fn place(name: &str) -> String {
    format!("{MODELS}/{}", name.replace('%', "%25").replace('/', "%2F"))
}

/// A name must say something.
fn check_name(name: &str) -> Result<(), String> {
    if name.trim().is_empty() {
        return Err("a kept model needs a name".into());
    }
    Ok(())
}
