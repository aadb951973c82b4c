//! One file a verb: read files, call the library, show what comes.

pub mod bench;
pub mod chat;
pub mod data;
pub mod doctor;
mod example;
pub mod generate;
pub mod plan;
pub mod sample_data;
pub mod score;
pub mod tokenizer;
pub mod train;

use std::path::Path;

use burn::tensor::{DType, Device};
use kindling::checkpoint::Checkpoint;
use kindling::device::OpenDevice;
use kindling::error::Error;
use kindling::model::Transformer;
use kindling::tokenizer::Tokenizer;

use crate::cli::{Dtype, Everywhere};
use crate::failure::Failure;
use crate::model_files::open_checkpoint;

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

/// A checkpoint's model, ready to compute, and its tokenizer.
pub fn open_model(path: &Path, everywhere: &Everywhere) -> Result<(Transformer, Option<Tokenizer>), Failure> {
    let device = open_device(everywhere)?;
    let checkpoint = open_checkpoint(path)?;
    let model = load(&checkpoint, &device.device, path)?.with_dtype(everywhere.dtype.burn());
    Ok((model, checkpoint.tokenizer))
}

/// The weights of a checkpoint on a device, with the path in what goes wrong.
pub fn load(checkpoint: &Checkpoint, device: &Device, path: &Path) -> Result<Transformer, Failure> {
    checkpoint.model(device).map_err(|error| match error {
        Error::Checkpoint(message) => Error::Checkpoint(format!("{}: {message}", path.display())).into(),
        other => other.into(),
    })
}
