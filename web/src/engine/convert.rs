//! Masked predictors made of the open model: kept beside it, under a name of their own.

use kindling::checkpoint::{Checkpoint, ConvertConfig};
use kindling::formats::StoredFloat;
use kindling::told::{Told, told};

use super::messages::diffusion::Converted;
use super::models::{checkpoint_files, free_model_name, place, write_model};
use super::protocol::Conversion;
use super::state::{Answer, Engine};
use super::told::notes;

impl Engine {
    /// Makes a masked predictor of the open model without its adapters, and keeps it; the open model stays as it is.
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
        let mut card = converted.config.card().unwrap_or_default();
        card.parent = Some(parent.name.clone());
        converted.config = converted.config.with_card(&card);
        let named = name.as_deref().map(str::trim).filter(|name| !name.is_empty());
        let wanted = named.map_or_else(|| format!("{} (diffusion)", parent.name), String::from);
        let files = converted.files(StoredFloat::F32).map_err(told)?;
        let name = free_model_name(&wanted).await?;
        write_model(&place(&name), &files).await?;
        let bytes = files.values().map(|bytes| bytes.len() as f64).sum();
        Answer::new(Converted { name, bytes, notes: notes(&converted.remarks) })
    }
}
