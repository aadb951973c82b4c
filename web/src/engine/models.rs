//! Models kept in the browser.

use kindling::formats::gguf::to_gguf;
use kindling::formats::{Files, directory_files};
use serde_json::json;

use super::load::{FINGERPRINT, GGUF};
use super::protocol::WeightsAs;
use super::state::{Answer, Engine, OpenModel};
use super::store;

/// The folder of the kept models.
pub const MODELS: &str = "models";
/// In each of them: which of its two folders, `0` and `1`, is whole.
const WHOLE: &str = "whole";

impl Engine {
    /// Keeps the open model under a name.
    pub async fn keep(&self, name: &str) -> Result<Answer, String> {
        check_name(name)?;
        let files = kept_files(&self.opened()?).await?;
        write_model(&place(name), &files).await?;
        Answer::new(())
    }

    /// Opens a kept model.
    pub async fn load_kept(&self, name: String, weights: WeightsAs) -> Result<Answer, String> {
        check_name(&name)?;
        let files = match whole(&place(&name)).await? {
            Some(files) => store::read_all(&files).await?,
            None => return Err(format!("no model is kept under the name '{name}'")),
        };
        self.install(name, weights, files).await
    }

    /// Names and sizes of the kept models.
    pub async fn kept(&self) -> Result<Answer, String> {
        let mut kept = Vec::new();
        for (folder, _) in store::list(MODELS).await? {
            // What was cut short while it was written is no model.
            let Some(files) = whole(&format!("{MODELS}/{folder}")).await? else { continue };
            let bytes = store::size(&files).await?;
            kept.push(json!({"name": name_of(&folder), "bytes": bytes}));
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
    directory_files(model.base.config(), &weights, Some(&model.tokenizer)).map_err(|e| e.to_string())
}

/// The open model as files that open to the very same model. Blocks stay blocks.
pub async fn kept_files(model: &OpenModel) -> Result<Files, String> {
    let files = checkpoint_files(model).await?;
    let WeightsAs::Few(bits) = model.weights else { return Ok(files) };
    let gguf = to_gguf(&files, bits.into()).map_err(|e| e.to_string())?;
    let fingerprint = model.fingerprint.hex().as_bytes().to_vec();
    Ok(Files::from([(GGUF.to_string(), gguf), (FINGERPRINT.to_string(), fingerprint)]))
}

/// Keeps a model's files in the place of those before, which stay until the new ones are whole.
///
/// # Errors
/// No room; then nothing changes.
pub async fn write_model(folder: &str, files: &Files) -> Result<(), String> {
    let old = store::read(&format!("{folder}/{WHOLE}")).await?;
    let new = if old.as_deref() == Some(b"0") { "1" } else { "0" };
    let files_of = |place: &str| format!("{folder}/{place}");
    let kept = async {
        store::remove(&files_of(new)).await?;
        store::write_all(&files_of(new), files).await?;
        store::write(&format!("{folder}/{WHOLE}"), new.as_bytes()).await
    };
    if let Err(error) = kept.await {
        // Half a model is of no use, and takes the room that was missing.
        store::remove(&if old.is_some() { files_of(new) } else { folder.to_string() }).await?;
        return Err(error);
    }
    store::remove(&files_of(if new == "0" { "1" } else { "0" })).await
}

/// The folder with the whole files of a kept model.
pub async fn whole(folder: &str) -> Result<Option<String>, String> {
    let place = store::read(&format!("{folder}/{WHOLE}")).await?;
    Ok(place.map(|place| format!("{folder}/{}", String::from_utf8_lossy(&place))))
}

/// The folder of a kept model; a name may hold what separates folders.
pub fn place(name: &str) -> String {
    format!("{MODELS}/{}", name.replace('%', "%25").replace('/', "%2F"))
}

/// The model whose folder it is.
pub fn name_of(folder: &str) -> String {
    folder.replace("%2F", "/").replace("%25", "%")
}

/// A name must say something.
fn check_name(name: &str) -> Result<(), String> {
    if name.trim().is_empty() {
        return Err("a kept model needs a name".into());
    }
    Ok(())
}
