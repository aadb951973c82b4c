//! Opening the device, and models from files.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Device;
use kindling::adapter::Fingerprint;
use kindling::checkpoint::{Checkpoint, Files, entry_name, form_of};
use kindling::device::open_webgpu;
use kindling::model::Transformer;
use kindling::tokenizer::Tokenizer;
use serde_json::json;

use super::protocol::{File, ModelInfo};
use super::state::{Answer, Engine, OpenModel};

impl Engine {
    /// Opens the device: `auto` takes WebGPU where there is an adapter, and says why where there is none.
    pub async fn open(&self, choice: &str) -> Result<Answer, String> {
        let (device, info) = match choice {
            "cpu" => (Device::flex(), json!({"kind": "cpu", "name": "WebAssembly"})),
            "auto" | "webgpu" => match gpu().await {
                Ok((device, name)) => (device, json!({"kind": "webgpu", "name": name})),
                Err((reason, notice)) if choice == "auto" => {
                    let info =
                        json!({"kind": "cpu", "name": "WebAssembly", "notice": notice, "reason": reason});
                    (Device::flex(), info)
                }
                Err((_, notice)) => return Err(notice),
            },
            other => return Err(format!("'{other}' is no device; choose auto, webgpu or cpu")),
        };
        self.device.replace(Some(device));
        Answer::new(info)
    }

    /// Opens a model from dropped files.
    pub async fn load(&self, name: String, files: Vec<File>) -> Result<Answer, String> {
        let files = directory(files)?;
        self.install(name, &files).await
    }

    /// Makes the model of a checkpoint's files the open one; on an error the one before stays.
    pub async fn install(&self, name: String, files: &Files) -> Result<Answer, String> {
        let model = OpenModel::open(name, files, &self.device()?).await?;
        let info = Answer::new(model.info())?;
        self.changed();
        self.adapters.borrow_mut().clear();
        self.model.replace(Some(model));
        Ok(info)
    }
}

impl OpenModel {
    /// Reads a checkpoint's files.
    ///
    /// # Errors
    /// Files that are missing or damaged, by name.
    pub async fn open(name: String, files: &Files, device: &Device) -> Result<Self, String> {
        let told = |error: kindling::error::Error| format!("{name}: {error}");
        let mut checkpoint = Checkpoint::open(|file| Ok(files.get(file).cloned())).map_err(told)?;
        let tokenizer = checkpoint.tokenizer.take().ok_or_else(|| {
            format!("{name}: there is no tokenizer.json; a model in the page needs its tokenizer")
        })?;
        let base = checkpoint.model(device).map_err(told)?;
        let fingerprint = Fingerprint::of(&base.weights().await.map_err(told)?);
        Ok(Self { name, base, tokenizer: Arc::new(tokenizer), fingerprint })
    }

    /// What a run made, without autodiff.
    ///
    /// # Errors
    /// The device cannot be read.
    pub async fn trained(
        name: String,
        model: &Transformer,
        tokenizer: Arc<Tokenizer>,
    ) -> kindling::error::Result<Self> {
        let base = model.valid();
        let fingerprint = Fingerprint::of(&base.weights().await?);
        Ok(Self { name, base, tokenizer, fingerprint })
    }

    /// What the page shows of it.
    pub fn info(&self) -> ModelInfo {
        let config = self.base.config();
        ModelInfo {
            name: self.name.clone(),
            parameters: config.parameters(),
            layers: config.num_hidden_layers,
            hidden: config.hidden_size,
            vocabulary: config.vocab_size,
            context: config.context(),
            chat: self.tokenizer.chat_template().is_some(),
        }
    }
}

/// The files of a checkpoint directory, from one file that holds it or from its files in whatever folder.
pub fn directory(files: Vec<File>) -> Result<Files, String> {
    match <[File; 1]>::try_from(files) {
        Ok([File { name, bytes }]) => match form_of(&name) {
            Some(take_apart) => take_apart(&bytes).map_err(|e| format!("{name}: {e}")),
            None => Err(format!(
                "{name}: this is no model; drop a single-file checkpoint (.safetensors), a .gguf, or a Hugging Face \
                 directory, as a .zip or as its files"
            )),
        },
        Err(files) if files.is_empty() => Err("there is no file to open".into()),
        Err(files) => Ok(files.into_iter().map(|file| (entry_name(&file.name), file.bytes)).collect()),
    }
}

/// The browser's adapter, which must be asked for first: opening a device where there is none panics. Where it fails,
/// why, in a word and in a sentence.
async fn gpu() -> Result<(Device, String), (&'static str, String)> {
    match super::gpu::find().await {
        super::gpu::Gpu::Adapter(name) => {
            let device = open_webgpu().await.map_err(|e| ("failed", e.to_string()))?;
            Ok((device, name.unwrap_or_else(|| "WebGPU".into())))
        }
        super::gpu::Gpu::NoInterface => Err(("no-webgpu", "this browser offers the page no WebGPU".into())),
        super::gpu::Gpu::NoAdapter => {
            Err(("no-adapter", "this browser knows WebGPU but gives no graphics adapter".into()))
        }
    }
}
