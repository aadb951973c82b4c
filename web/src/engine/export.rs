//! Files to take home.

use kindling::checkpoint::{put_tokenizer, to_single_file};
use kindling::error::Error;
use kindling::formats::gguf::{WeightType, to_gguf, tokenizer_warnings};
use kindling::formats::{Files, llada_differences, to_llada, to_zip};
use kindling::model::DiffusionConfig;
use kindling::told::{Told, told};

use super::kept_adapters;
use super::messages::model::GgufWeights;
use super::models::checkpoint_files;
use super::port::Port;
use super::protocol::{Delivery, File};
use super::runs::run_files_of;
use super::state::{Answer, Engine, OpenModel};
use super::told::warning;

impl Engine {
    /// The open model as one file, as a Hugging Face directory (a masked predictor in LLaDA's form) or for llama.cpp with
    /// these `weights`, an adapter in PEFT's layout, or a run's last save.
    pub async fn export(
        &self,
        (kind, name): (&str, &str),
        shape: Delivery,
        weights: Option<GgufWeights>,
        port: &Port,
    ) -> Result<Answer, Told> {
        let told = |e: kindling::error::Error| e.told();
        if weights.is_some() && (kind, name) != ("model", "gguf") {
            return Err(
                "weights belongs to {model: \"gguf\"}; other forms keep the weights as they are".into()
            );
        }
        let (name, files, single) = match kind {
            "model" if name == "gguf" => {
                let model = self.opened()?;
                let gguf = gguf(&model, weights, port).await?;
                (model.name.clone(), Files::from([(format!("{}.gguf", model.name), gguf)]), false)
            }
            "model" => {
                let (model, single) = (self.opened()?, single(name)?);
                let files = checkpoint_files(&model).await?;
                let files = match &model.base.config().diffusion {
                    Some(diffusion) if !single => as_llada(files, diffusion, port)?,
                    _ => files,
                };
                (model.name.clone(), files, single)
            }
            "adapter" => (name.to_string(), self.adapter_files(name).await?, false),
            "run" => {
                let files = run_files_of(name).await?;
                let whole = files.contains_key("model.safetensors");
                (name.to_string(), files, whole)
            }
            other => {
                return Err(told!(
                    "export.kind",
                    "'{other}' cannot be exported; a model, an adapter or a run can",
                    other
                ));
            }
        };
        let one = |ending: &str, bytes| Files::from([(format!("{name}.{ending}"), bytes)]);
        let files = match (shape, single) {
            (Delivery::Zip, _) => one("zip", to_zip(&files).map_err(told)?),
            (Delivery::Files, true) => one("safetensors", to_single_file(&files).map_err(told)?),
            (Delivery::Files, false) => files,
        };
        let files = files.into_iter().map(|(name, bytes)| File { name, bytes }).collect();
        Ok(Answer { files, ..Answer::new(())? })
    }

    /// An adapter's files, of one at hand or of one that is kept.
    async fn adapter_files(&self, name: &str) -> Result<Files, Told> {
        let told = |e: kindling::error::Error| e.told();
        if let Some(held) = self.adapters.borrow().iter().find(|held| held.about.name == name) {
            let mut files = held.adapter.files().map_err(told)?;
            if let Some(tokenizer) = &held.tokenizer {
                put_tokenizer(&mut files, tokenizer).map_err(told)?;
            }
            return Ok(files);
        }
        let kept = kept_adapters::all().await?.into_iter();
        let mut kept = kept.filter(|kept| kept.about.as_ref().is_ok_and(|about| about.name == name));
        match kept.next() {
            Some(kept) => kept_adapters::files(&kept.folder).await,
            None => Err(told!("adapter.none", "there is no adapter '{name}'", name)),
        }
    }
}

/// The files as LLaDA's published code opens them, and what it does otherwise; those of a model that it cannot compute stay
/// as they are, which is told.
fn as_llada(files: Files, diffusion: &DiffusionConfig, port: &Port) -> Result<Files, Told> {
    let (files, told) = match to_llada(&files) {
        Ok(made) => (made, llada_differences(diffusion)),
        Err(Error::Model(told)) if told.code() == "model.not_llada" => (files, vec![told]),
        Err(e) => return Err(e.told()),
    };
    told.iter().for_each(|told| port.tell(&warning(told)));
    Ok(files)
}

/// The open model as llama.cpp has it. Where nothing was chosen blocks stay blocks, and floats get 16 bits as on the
/// command line.
async fn gguf(model: &OpenModel, weights: Option<GgufWeights>, port: &Port) -> Result<Vec<u8>, Told> {
    let files = checkpoint_files(model).await?;
    let weights = match (weights, model.weights.bits()) {
        (Some(chosen), _) => chosen.into(),
        (None, Some(bits)) => bits.into(),
        (None, None) => WeightType::F16,
    };
    for message in tokenizer_warnings(&files) {
        port.tell(&warning(&message));
    }
    to_gguf(&files, weights).map_err(Told::from)
}

/// Whether a model goes home as one file.
fn single(form: &str) -> Result<bool, Told> {
    match form {
        "single-file" => Ok(true),
        "hf" => Ok(false),
        other => {
            Err(told!("export.form", "'{other}' is no form of a model; single-file, hf and gguf are", other))
        }
    }
}
