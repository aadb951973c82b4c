//! Masked predictors made of the open model: kept beside it, under a name of their own.

use kindling::checkpoint::{Checkpoint, ConvertConfig};
use kindling::formats::StoredFloat;
use kindling::told::{Told, told};

use super::messages::diffusion::Converted;
use super::models::{checkpoint_files, free_model_name, kept_as, place, write_model};
use super::protocol::Conversion;
use super::state::{Answer, Engine};
use super::told::notes;

impl Engine {
    /// Makes a masked predictor of the open model without its adapters, and keeps it; the open model stays as it is. One that
    /// is kept already by the same conversion is not kept once more, unless under another name.
    ///
    /// # Errors
    /// A model in few bits, whose embedding cannot grow; what cannot be converted; no room.
    pub async fn convert(&self, conversion: &Conversion) -> Result<Answer, Told> {
        let told = |error: kindling::error::Error| error.told();
        let parent = self.opened()?;
        if parent.weights.bits().is_some() {
            return Err(told!(
                "convert.bits",
                "'{name}' is held in few bits, and a model that is to be trained needs all of them; open it as 32-bit floats",
                name = parent.name
            ));
        }
        let mut files = checkpoint_files(&parent).await?;
        let checkpoint = Checkpoint::open(|file| Ok(files.remove(file))).map_err(told)?;
        let Conversion { shift_logits, block_length, name } = conversion;
        let asked = ConvertConfig { shift_logits: *shift_logits, block_length: *block_length };
        let mut converted = checkpoint.to_diffusion(&asked).map_err(told)?;
        converted.config = converted.config.with_parent(&parent.name);
        let named = name.as_deref().map(str::trim).filter(|name| !name.is_empty());
        let wanted = named.map_or_else(|| name_after(&parent.name, &asked), String::from);
        let files = converted.files(StoredFloat::F32).map_err(told)?;
        let known = kept_as(&files, named).await?;
        let is_known = known.is_some();
        let name = match known {
            Some(name) => name,
            None => {
                let name = free_model_name(&wanted).await?;
                write_model(&place(&name), &files).await?;
                name
            }
        };
        let bytes = files.values().map(|bytes| bytes.len() as f64).sum();
        Answer::new(Converted { name, bytes, known: is_known, notes: notes(&converted.remarks) })
    }
}

/// What a masked predictor is called that nobody named: by what it was made of, and by what was asked of it.
fn name_after(parent: &str, asked: &ConvertConfig) -> String {
    let blocks = asked.block_length.filter(|length| *length > 0);
    let blocks = blocks.map(|length| format!(", blocks of {length}")).unwrap_or_default();
    let unshifted = if asked.shift_logits == Some(false) { ", unshifted" } else { "" };
    format!("{parent} (diffusion{blocks}{unshifted})")
}
