//! Opening the device, and models from files.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Device;
use kindling::adapter::Fingerprint;
use kindling::checkpoint::{Checkpoint, TakeApart, form_of};
use kindling::device::open_webgpu;
use kindling::formats::gguf::{from_gguf, is_gguf, refusal};
use kindling::formats::{Files, from_folder};
use kindling::model::Transformer;
use kindling::sample::SamplingConfig;
use kindling::tokenizer::Tokenizer;
use kindling::told::{Told, told};

use super::messages::diffusion::Diffusion;
use super::messages::model::{DeviceInfo, DeviceKind, ModelCard, ModelInfo, NoWebGpu, WeightsAs};
use super::names::day;
use super::port::Port;
use super::protocol::File;
use super::state::{Answer, Engine, OpenModel};
use super::told::{notes, texts};

/// Among the files of a model: all of it, as llama.cpp has it.
pub const GGUF: &str = "model.gguf";
/// Beside it: which weights its blocks were made of.
pub const FINGERPRINT: &str = "fingerprint";
/// The variable with the day that chat templates print.
pub const NOW: &str = "now";

impl Engine {
    /// Opens the device: `auto` takes WebGPU where there is an adapter, and says why where there is none.
    pub async fn open(&self, choice: &str) -> Result<Answer, Told> {
        let (device, info) = match choice {
            "cpu" => (Device::flex(), processor()),
            "auto" | "webgpu" => match gpu().await {
                Ok((device, name)) => (device, DeviceInfo { kind: DeviceKind::Webgpu, name, ..processor() }),
                Err((reason, notice)) if choice == "auto" => {
                    let (notice, reason) = (Some(notice.to_string()), Some(reason));
                    (Device::flex(), DeviceInfo { notice, reason, ..processor() })
                }
                Err((_, notice)) => return Err(notice),
            },
            other => {
                return Err(told!(
                    "device.unknown",
                    "'{other}' is no device; choose auto, webgpu or cpu",
                    other
                ));
            }
        };
        self.device.replace(Some(device));
        Answer::new(info)
    }

    /// Opens a model from dropped files.
    pub async fn load(
        &self,
        name: String,
        weights: WeightsAs,
        files: Vec<File>,
        port: &Port,
    ) -> Result<Answer, Told> {
        let files = model_files(files)?;
        self.unless_cancelled(port.run).await?;
        self.install(name, weights, files).await
    }

    /// Makes the model of a checkpoint's files the open one; on an error the one before stays.
    pub async fn install(&self, name: String, weights: WeightsAs, files: Files) -> Result<Answer, Told> {
        let model = OpenModel::open(name, weights, files, &self.device()?)?;
        let info = Answer::new(model.info())?;
        self.replace_model(model);
        Ok(info)
    }
}

impl OpenModel {
    /// Reads a checkpoint's files: a directory's, or a GGUF file's under its own name.
    ///
    /// # Errors
    /// Files that are missing or damaged, by name.
    pub fn open(name: String, weights: WeightsAs, mut files: Files, device: &Device) -> Result<Self, Told> {
        let told = |error: kindling::error::Error| told!("at", "{name}: {why}", name, why = error.told());
        let fingerprint = files.remove(FINGERPRINT);
        let checkpoint = match files.remove(GGUF) {
            Some(bytes) => Checkpoint::open_gguf(bytes),
            None => Checkpoint::open(|file| Ok(files.remove(file))),
        };
        let mut checkpoint = checkpoint.map_err(told)?;
        let mut tokenizer = checkpoint.tokenizer.take().ok_or_else(|| {
            told!(
                "model.no_tokenizer",
                "{name}: there is no tokenizer.json; a model in the page needs its tokenizer",
                name
            )
        })?;
        tokenizer.set_template_variable(NOW, today().into());
        let base = match weights.bits() {
            None => checkpoint.model(device),
            Some(bits) => checkpoint.quantized_model(bits, device),
        };
        let base = base.map_err(told)?;
        let fingerprint = match fingerprint {
            Some(hex) => Fingerprint::from_hex(&String::from_utf8_lossy(&hex)).read_by(base.config()),
            None => checkpoint.fingerprint(&base).map_err(told)?,
        };
        let (mut warnings, tokenizer) = (checkpoint.warnings, Arc::new(tokenizer));
        let generation = &base.config().generation;
        warnings.extend(SamplingConfig::default().of_model(generation, |_| false).warnings);
        Ok(Self { name, base, tokenizer, fingerprint, weights, warnings })
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
        let fingerprint = Fingerprint::of(&base.weights().await?).read_by(base.config());
        let (weights, warnings) = (WeightsAs::F32, Vec::new());
        Ok(Self { name, base, tokenizer, fingerprint, weights, warnings })
    }

    /// What the page shows of it.
    pub fn info(&self) -> ModelInfo {
        let config = self.base.config();
        ModelInfo {
            name: self.name.clone(),
            parameters: config.parameters() as f64,
            layers: config.num_hidden_layers as u32,
            hidden: config.hidden_size as u32,
            vocabulary: config.vocab_size as u32,
            context: config.context() as u32,
            chat: self.tokenizer.chat_template().is_some(),
            weights: self.weights,
            warnings: texts(&self.warnings),
            notes: notes(&self.warnings),
            card: config.card().map(ModelCard::from),
            diffusion: config.diffusion.as_ref().map(Diffusion::from),
            no_gguf: refusal(config).as_ref().map(Into::into),
        }
    }
}

/// The day where the browser stands, for chat templates that print it.
pub fn today() -> String {
    let now = js_sys::Date::new_0();
    day(now.get_full_year(), now.get_month() + 1, now.get_date())
}

/// The files of a model: a GGUF file stays as it is, because its weights are many times larger as f32.
pub fn model_files(files: Vec<File>) -> Result<Files, Told> {
    match <[File; 1]>::try_from(files) {
        Ok([File { name, bytes }]) if name.ends_with(".gguf") || is_gguf(&bytes) => {
            Ok(Files::from([(GGUF.to_string(), bytes)]))
        }
        Ok(one) => directory(one.into()),
        Err(files) => directory(files),
    }
}

/// The files of a checkpoint directory, from one file that holds it or from its files in whatever folder.
pub fn directory(files: Vec<File>) -> Result<Files, Told> {
    match <[File; 1]>::try_from(files) {
        Ok([File { name, bytes }]) => match form(&name, &bytes) {
            Some(take_apart) => {
                take_apart(&bytes).map_err(|e| told!("at", "{name}: {why}", name, why = e.told()))
            }
            None => Err(told!(
                "model.not_one",
                "{name}: this is no model; drop a single-file checkpoint (.safetensors), a .gguf, or a Hugging Face \
                 directory, as a .zip or as its files",
                name
            )),
        },
        Err(files) if files.is_empty() => Err(told!("model.no_file", "there is no file to open")),
        Err(files) => {
            let named = files.into_iter().map(|file| (file.name, file.bytes)).collect();
            from_folder(named).map_err(Told::from)
        }
    }
}

/// How a file is taken apart, by its name or, where that has no ending, by its first bytes.
fn form(name: &str, bytes: &[u8]) -> Option<TakeApart> {
    if is_gguf(bytes) { Some(from_gguf) } else { form_of(name) }
}

fn processor() -> DeviceInfo {
    DeviceInfo { kind: DeviceKind::Cpu, name: "WebAssembly".into(), notice: None, reason: None }
}

/// The browser's adapter, which must be asked for first: opening a device where there is none panics. Where it fails,
/// why, in a word and in a sentence.
async fn gpu() -> Result<(Device, String), (NoWebGpu, Told)> {
    match super::gpu::find().await {
        super::gpu::Gpu::Adapter(name) => {
            let device = open_webgpu().await.map_err(|e| (NoWebGpu::Failed, e.told()))?;
            Ok((device, name.unwrap_or_else(|| "WebGPU".into())))
        }
        super::gpu::Gpu::NoInterface => {
            Err((NoWebGpu::NoWebgpu, told!("device.no_webgpu", "this browser offers the page no WebGPU")))
        }
        super::gpu::Gpu::NoAdapter => Err((
            NoWebGpu::NoAdapter,
            told!("device.no_adapter", "this browser knows WebGPU but gives no graphics adapter"),
        )),
    }
}
