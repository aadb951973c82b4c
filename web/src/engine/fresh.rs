//! New models: a size by its name, with the open model's tokenizer.

use kindling::adapter::Fingerprint;
use kindling::model::{Transformer, preset};
use kindling::told::{Told, told};

use super::data::train_config;
use super::messages::model::WeightsAs;
use super::protocol::Training;
use super::state::{Engine, OpenModel};

impl Engine {
    /// The model that a run begins with: the open one or, where the request names a preset, a new one.
    ///
    /// # Errors
    /// No model is open; a preset that does not exist; an adapter beside a model that knows nothing.
    pub async fn beginner(&self, training: &Training) -> Result<OpenModel, Told> {
        let open = self.opened()?;
        let Some(name) = &training.preset else { return Ok(open) };
        if training.adapts() {
            return Err(told!(
                "preset.adapter",
                "a new model knows nothing that an adapter could change; train all of its weights"
            ));
        }
        let seed = train_config(training.stage, false, training.config.clone())?.seed;
        let preset = preset(name).map_err(Told::from)?;
        let config = preset.config(Some(open.tokenizer.vocab_size())).with_token_ids(&open.tokenizer);
        let base = Transformer::init(&config, seed, &self.device()?).map_err(Told::from)?;
        let fingerprint = Fingerprint::of(&base.weights().await.map_err(Told::from)?);
        let (tokenizer, weights) = (open.tokenizer, WeightsAs::F32);
        Ok(OpenModel { name: name.clone(), base, tokenizer, fingerprint, weights, warnings: Vec::new() })
    }
}
