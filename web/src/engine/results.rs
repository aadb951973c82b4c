//! What a run gives: kept in this browser by itself, and put to use.

use std::sync::Arc;

use kindling::adapter::{Adapter, AdapterConfig};
use kindling::tokenizer::Tokenizer;
use kindling::told::{Told, told};
use kindling::train::Outcome;

use super::load::today;
use super::models::{checkpoint_files, free_model_name, place, write_model};
use super::names::of_data;
use super::port::Port;
use super::protocol::Training;
use super::runs::keep_result;
use super::state::{Engine, HeldAdapter, OpenModel};
use super::told::warning;

/// What came of a run.
pub struct Given {
    /// What the page calls it.
    pub name: String,
    /// Whether it is an adapter, and not a model.
    pub is_adapter: bool,
    /// Whether it is kept in this browser.
    pub kept: bool,
}

/// What a run's result is called: as a person typed, or by its data and the day, or after its model.
pub fn result_name(training: &Training, data: Option<&str>, model: &str) -> String {
    match &training.name {
        Some(typed) if !typed.trim().is_empty() => typed.trim().to_string(),
        _ if training.adapts() => of_data(data, &today()),
        _ => format!("{model}-{}", training.stage.name()),
    }
}

impl Engine {
    /// Keeps what was trained beside or instead of `began`, the model that the run began with, and lets it answer from now
    /// on, unless another model was opened meanwhile. A run that went on gives it in the place of what it gave before,
    /// `replaces`.
    ///
    /// # Errors
    /// The device cannot be read.
    pub async fn take_over(
        &self,
        (id, training, began, replaces): (&str, &Training, &OpenModel, Option<&str>),
        outcome: &Outcome,
        adapter: Option<AdapterConfig>,
        tokenizer: Arc<Tokenizer>,
        port: &Port,
    ) -> Result<Given, Told> {
        let told = |e: kindling::error::Error| e.told();
        let wanted = result_name(training, None, &began.name);
        let is_adapter = adapter.is_some();
        let (name, failed) = match adapter {
            Some(config) => {
                let adapter = Adapter::of(&outcome.model, config).await.map_err(told)?;
                match replaces {
                    Some(name) => self.renew_adapter(began, name, adapter, Some(&*tokenizer)).await?,
                    None => self.hold(began, &wanted, adapter, Some(&*tokenizer)).await?,
                }
            }
            None => {
                let name = match replaces {
                    Some(name) => name.to_string(),
                    None => free_model_name(&wanted).await?,
                };
                let model =
                    OpenModel::trained(name.clone(), &outcome.model, tokenizer).await.map_err(told)?;
                let kept = async { write_model(&place(&name), &checkpoint_files(&model).await?).await };
                let failed = kept.await.err();
                self.open_trained(model, began, failed.is_none(), port);
                (name, failed)
            }
        };
        let kept = failed.is_none();
        match failed {
            Some(message) => {
                let message = told!(
                    "result.not_kept",
                    "'{name}' is not kept in this browser ({message}); export it",
                    name,
                    message
                );
                port.tell(&warning(&message));
            }
            // Of a run that was stopped the last save still goes on.
            None if outcome.stopped => (),
            None => {
                // Without the note the run is offered once more, and gives the same again.
                drop(keep_result(id, &name).await);
            }
        }
        Ok(Given { name, is_adapter, kept })
    }

    /// Opens a trained model in the place of the one that it began as. Where another one was opened meanwhile that one
    /// stays, if the trained one is kept.
    fn open_trained(&self, model: OpenModel, began: &OpenModel, is_kept: bool, port: &Port) {
        let open = self.model.borrow().as_ref().map(|open| open.fingerprint.clone());
        let name = &model.name;
        if is_kept && open.is_some_and(|open| open != began.fingerprint) {
            let message = told!(
                "result.not_opened",
                "'{name}' is kept and not opened, because another model was opened meanwhile",
                name
            );
            port.tell(&warning(&message));
            return;
        }
        let acts = |held: &&HeldAdapter| held.strength.is_some();
        let active: Vec<String> =
            self.adapters.borrow().iter().filter(acts).map(|held| format!("'{}'", held.about.name)).collect();
        if !active.is_empty() {
            let message = told!(
                "adapter.switched_off",
                "{adapters} belong to the model before, '{model}', and are off now; open that model to use them again",
                adapters = active.join(", "),
                model = began.name
            );
            port.tell(&warning(&message));
        }
        self.replace_model(model);
    }
}
