//! One file a verb: read files, call the library, show what comes.

pub mod bench;
pub mod chat;
pub mod data;
pub mod doctor;
mod example;
mod execute;
pub mod export;
pub mod generate;
pub mod import;
pub mod merge;
pub mod plan;
pub mod sample_data;
pub mod score;
mod start;
pub mod tokenizer;
pub mod train;

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device};
use clap::Args;
use kindling::checkpoint::Checkpoint;
use kindling::device::OpenDevice;
use kindling::kernels::Quantization;
use kindling::model::Transformer;
use kindling::tokenizer::Tokenizer;

use crate::cli::{Dtype, Everywhere};
use crate::failure::Failure;
use crate::model_files::{at, open_adapter, open_checkpoint};

impl Dtype {
    /// burn's name for it.
    pub fn burn(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
        }
    }
}

/// Opens the device that was asked for and checks that it computes in the type that was asked for.
pub fn open_device(everywhere: &Everywhere) -> Result<OpenDevice, Failure> {
    let device = OpenDevice::open(everywhere.device)?;
    device.check_dtype(everywhere.dtype.burn())?;
    Ok(device)
}

/// `--model` and `--adapter` of the verbs that use a model.
#[derive(Args)]
pub struct ModelArgs {
    /// A checkpoint: a directory, a .zip of one, a single .safetensors or .gguf file, or hub:owner/name
    #[arg(long)]
    pub model: PathBuf,
    /// A LoRA adapter of this model in PEFT layout: a directory, a .zip of one, or hub:owner/name (repeatable)
    #[arg(long)]
    pub adapter: Vec<PathBuf>,
    /// Hold the model's matrices in few bits: less memory, a little less exact [default: as f32]
    #[arg(long, value_enum)]
    pub weights: Option<Quantization>,
}

impl ModelArgs {
    /// The model with its adapters, ready to compute, and its tokenizer.
    ///
    /// # Errors
    /// What is missing, damaged or of another model.
    pub fn open(&self, everywhere: &Everywhere) -> Result<(Transformer, Option<Tokenizer>), Failure> {
        let device = open_device(everywhere)?;
        let checkpoint = open_checkpoint(&self.model)?;
        let model = load(&checkpoint, self.weights, &device.device, &self.model)?;
        let model = attach(model, &checkpoint, &self.adapter)?;
        Ok((model.with_dtype(everywhere.dtype.burn()), checkpoint.tokenizer))
    }
}

fn attach(model: Transformer, base: &Checkpoint, adapters: &[PathBuf]) -> Result<Transformer, Failure> {
    if adapters.is_empty() {
        return Ok(model);
    }
    let base = base.fingerprint(&model)?;
    let attach = |model, path: &PathBuf| Ok(open_adapter(path, &base)?.attach(model, 1.0)?);
    adapters.iter().try_fold(model, attach)
}

/// The weights of a checkpoint on a device, in f32 or in few bits, with the path in what goes wrong.
pub fn load(
    checkpoint: &Checkpoint,
    weights: Option<Quantization>,
    device: &Device,
    path: &Path,
) -> Result<Transformer, Failure> {
    let model = match weights {
        Some(bits) => checkpoint.quantized_model(bits, device),
        None => checkpoint.model(device),
    };
    Ok(model.map_err(|e| at(path, e))?)
}
