//! New models: a size by its name, with the open model's tokenizer.

use kindling::adapter::Fingerprint;
use kindling::model::{ModelConfig, Transformer, preset};
use kindling::told::{Told, told};

use super::data::train_config;
use super::messages::model::WeightsAs;
use super::protocol::Training;
use super::state::{Engine, OpenModel};

/// The shape of the model that a run begins with: the open one's or, of a preset, one with its tokenizer.
///
/// # Errors
/// A preset that does not exist; an adapter beside a model that knows nothing.
pub fn shape_of(open: &OpenModel, named: Option<&str>, adapts: bool) -> Result<ModelConfig, Told> {
    let Some(name) = named else { return Ok(open.base.config().clone()) };
    if adapts {
        return Err(told!(
            "preset.adapter",
            "a new model knows nothing that an adapter could change; train all of its weights"
        ));
    }
    let preset = preset(name).map_err(Told::from)?;
    Ok(preset.config(Some(open.tokenizer.vocab_size())).with_token_ids(&open.tokenizer))
}

impl Engine {
    /// The model that a run begins with: the open one or, where the request names a preset, a new one.
    ///
    /// # Errors
    /// No model is open; a preset that does not exist; an adapter beside a model that knows nothing.
    pub async fn beginner(&self, training: &Training) -> Result<OpenModel, Told> {
        let open = self.opened()?;
        let Some(name) = &training.preset else { return Ok(open) };
        let config = shape_of(&open, Some(name), training.adapts())?;
        let seed = train_config(training.stage, false, training.config.clone())?.seed;
        let base = Transformer::init(&config, seed, &self.device()?).map_err(Told::from)?;
        let fingerprint = Fingerprint::of(&base.weights().await.map_err(Told::from)?).read_by(&config);
        let (tokenizer, weights) = (open.tokenizer, WeightsAs::F32);
        Ok(OpenModel { name: name.clone(), base, tokenizer, fingerprint, weights, warnings: Vec::new() })
    }
}
