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
use kindling::adapter::Fingerprint;
use kindling::checkpoint::Checkpoint;
use kindling::device::OpenDevice;
use kindling::error::Error;
use kindling::model::Transformer;
use kindling::tokenizer::Tokenizer;

use crate::cli::{Dtype, Everywhere};
use crate::failure::Failure;
use crate::model_files::{open_adapter, open_checkpoint};

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
    /// A checkpoint: a directory, a .zip of one, or a single .safetensors file
    #[arg(long)]
    pub model: PathBuf,
    /// A LoRA adapter of this model, in PEFT layout (repeatable)
    #[arg(long)]
    pub adapter: Vec<PathBuf>,
}

impl ModelArgs {
    /// The model with its adapters, ready to compute, and its tokenizer.
    ///
    /// # Errors
    /// What is missing, damaged or of another model.
    pub fn open(&self, everywhere: &Everywhere) -> Result<(Transformer, Option<Tokenizer>), Failure> {
        let device = open_device(everywhere)?;
        let checkpoint = open_checkpoint(&self.model)?;
        let model = load(&checkpoint, &device.device, &self.model)?.with_dtype(everywhere.dtype.burn());
        Ok((attach(model, &self.adapter)?, checkpoint.tokenizer))
    }
}

fn attach(model: Transformer, adapters: &[PathBuf]) -> Result<Transformer, Failure> {
    if adapters.is_empty() {
        return Ok(model);
    }
    let base = Fingerprint::of(&pollster::block_on(model.weights())?);
    let attach = |model, path: &PathBuf| Ok(open_adapter(path, &base)?.attach(model, 1.0)?);
    adapters.iter().try_fold(model, attach)
}

/// The weights of a checkpoint on a device, with the path in what goes wrong.
pub fn load(checkpoint: &Checkpoint, device: &Device, path: &Path) -> Result<Transformer, Failure> {
    checkpoint.model(device).map_err(|error| match error {
        Error::Checkpoint(message) => Error::Checkpoint(format!("{}: {message}", path.display())).into(),
        other => other.into(),
    })
}
