//! New models: a size by its name, with the open model's tokenizer.

use std::sync::Arc;

use kindling::adapter::Fingerprint;
use kindling::model::{ExpertSettings, ModelConfig, Transformer, preset};
use kindling::told::{Told, told};
use serde_json::{Map, Value};

use super::data::{merged, train_config};
use super::messages::model::WeightsAs;
use super::protocol::Training;
use super::state::OpenModel;

/// The most weights of a new model. A tab holds them four times while they train.
const MOST_WEIGHTS: u64 = 32_000_000;

/// A preset, and what is said of its experts.
pub type Named<'a> = (Option<&'a str>, Option<&'a Map<String, Value>>);

/// The shape of the model that a run begins with: the open one's or, of a preset, one with its tokenizer.
///
/// # Errors
/// A preset that does not exist; an adapter beside a model that knows nothing; experts of no new model, or that it cannot
/// have; more weights than a tab can train.
pub fn shape_of(open: &OpenModel, (named, experts): Named<'_>, adapts: bool) -> Result<ModelConfig, Told> {
    let Some(name) = named else {
        return match experts {
            None => Ok(open.base.config().clone()),
            Some(_) => Err(told!(
                "preset.experts",
                "'experts' are settings of a new model; name its preset, or leave them out"
            )),
        };
    };
    if adapts {
        return Err(told!(
            "preset.adapter",
            "a new model knows nothing that an adapter could change; train all of its weights"
        ));
    }
    let preset = preset(name).map_err(Told::from)?;
    let config = preset.config(Some(open.tokenizer.vocab_size())).with_token_ids(&open.tokenizer);
    let said = merged(ExpertSettings::default(), experts.cloned().unwrap_or_default())?;
    let shape = said.shape(config).map_err(Told::from)?;
    let weights = shape.parameters();
    match weights <= MOST_WEIGHTS {
        true => Ok(shape),
        false => Err(told!(
            "preset.too_large",
            "the new model would have {weights} weights, and a tab can train one of at most {most}; take fewer or narrower \
             experts, or the command line, which has no such limit",
            weights,
            most = MOST_WEIGHTS
        )),
    }
}

impl OpenModel {
    /// The model that a run beside this one begins with: this one or, where the request names a preset, a new one whose
    /// weights are not made, for its plan.
    ///
    /// # Errors
    /// A preset that does not exist; an adapter beside a model that knows nothing.
    pub fn planned(&self, training: &Training) -> Result<Self, Told> {
        let config = shape_of(self, named(training), training.adapts())?;
        match &training.preset {
            None => Ok(self.clone()),
            Some(name) => {
                let base = Transformer::outline(&config, &self.base.device()).map_err(Told::from)?;
                Ok(self.replaced(name, base, Fingerprint::from_hex("")))
            }
        }
    }

    /// The same with weights, for the run itself.
    ///
    /// # Errors
    /// As [`Self::planned`]; the device cannot be read.
    pub async fn begun(&self, training: &Training) -> Result<Self, Told> {
        let config = shape_of(self, named(training), training.adapts())?;
        let Some(name) = &training.preset else { return Ok(self.clone()) };
        let seed = train_config(training.stage, false, training.config.clone())?.seed;
        let base = Transformer::init(&config, seed, &self.base.device()).map_err(Told::from)?;
        let fingerprint = Fingerprint::of(&base.weights().await.map_err(Told::from)?).read_by(&config);
        Ok(self.replaced(name, base, fingerprint))
    }

    /// A new model with this one's tokenizer.
    fn replaced(&self, name: &str, base: Transformer, fingerprint: Fingerprint) -> Self {
        let (tokenizer, weights) = (Arc::clone(&self.tokenizer), WeightsAs::F32);
        Self { name: name.into(), base, tokenizer, fingerprint, weights, warnings: Vec::new() }
    }
}

fn named(training: &Training) -> Named<'_> {
    (training.preset.as_deref(), training.experts.as_ref())
}
