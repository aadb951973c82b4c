//! Runs that were begun elsewhere.

use kindling::checkpoint::{model_name, read_training};
use kindling::formats::ADAPTER_CONFIG;
use kindling::told::{Told, told};
use kindling::train::Stage;
use serde_json::Value;

use super::load::directory;
use super::messages::model::WeightsAs;
use super::models::kept_files;
use super::protocol::{File, Training, own_name};
use super::runs::keep_saved;
use super::state::{Answer, Engine};

impl Engine {
    /// Keeps a run that was saved elsewhere, so that it can go on here: a single-file checkpoint with training
    /// state, or an adapter's directory, whose base must be the open model.
    pub async fn import_run(
        &self,
        stage: Stage,
        name: Option<String>,
        saved: usize,
        files: Vec<File>,
    ) -> Result<Answer, Told> {
        let mut save = files;
        if saved == 0 || saved > save.len() {
            return Err(told!("run.no_file", "there is no file of the run"));
        }
        let data = save.split_off(saved);
        if data.is_empty() {
            return Err(told!("run.no_data", "a run goes on with the data that it began with; give it, too"));
        }
        let file_name = save[0].name.clone();
        let model = model_name(own_name(&file_name)).to_string();
        let save = directory(save)?;
        let (_, progress) = read_training(|file| Ok(save.get(file).cloned()))
            .map_err(|e| told!("at", "{name}: {why}", name = file_name, why = e.told()))?;
        let config = serde_json::to_value(&progress.config).map_err(Told::from)?;
        let config = if let Value::Object(config) = config { config } else { serde_json::Map::new() };
        // The save says what trains: an adapter has no weights of a model.
        let adapter = save.contains_key(ADAPTER_CONFIG).then(serde_json::Map::new);
        let (base, model) = match &adapter {
            Some(_) => {
                let open = self.opened()?;
                (Some(kept_files(&open).await?), (open.name, open.weights))
            }
            None => (None, (model, WeightsAs::F32)),
        };
        let training =
            Training { stage, config, adapter, name, sample: None, questions: Vec::new(), encoding: None };
        Answer::new(keep_saved(training, model, base, &save, data, &progress).await?)
    }
}
