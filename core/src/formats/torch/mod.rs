//! PyTorch's `.pth` files: a zip archive with a pickle of names and shapes, and the numbers beside it. The pickle is
//! read as data and never run. MiniMind's checkpoints become Hugging Face's directories, and the other way round.

mod dtype;
mod lora;
mod minimind;
mod names;
mod pickle;
mod reader;
mod rebuild;
mod state_dict;
mod value;
mod writer;

pub use dtype::DType;
pub use minimind::{MinimindShape, to_minimind};
pub use state_dict::{TorchTensor, open_state_dict};
pub use writer::{TorchFloat, write_state_dict};

use super::tensor_names::is_buffer;
use super::{Files, write_tensors};
use crate::error::{Error, Result};
use crate::model::NamedTensor;

/// The files of a MiniMind checkpoint of any generation, without a tokenizer: a model's (`config.json`,
/// `model.safetensors`, …), or those of a PEFT adapter where the file is MiniMind's LoRA. `told` is what the tensors do
/// not tell: the heads above all.
///
/// # Errors
/// A file that is damaged or holds code; tensors that MiniMind does not have; heads that are missing or do not fit.
pub fn from_minimind(bytes: &[u8], told: &MinimindShape) -> Result<Files> {
    let tensors = state_dict::read_state_dict(bytes, |name| !is_buffer(name))?;
    match tensors.iter().filter(|tensor| lora::is_lora(&tensor.name)).count() {
        0 => minimind::model_files(tensors, told),
        pairs if pairs == tensors.len() => lora::adapter_files(tensors, told),
        pairs => Err(Error::Checkpoint(format!(
            "the PyTorch file holds {pairs} LoRA tensors beside {} of the model; save them apart, as MiniMind's save_lora \
            does, or merged",
            tensors.len() - pairs
        ).into())),
    }
}

/// The weights of any state dict as a safetensors file of f32.
///
/// # Errors
/// A file that is damaged or holds code.
pub(crate) fn state_dict_weights(bytes: &[u8]) -> Result<Vec<u8>> {
    let tensors = state_dict::read_state_dict(bytes, |name| !is_buffer(name))?;
    let tensors: Vec<NamedTensor> = tensors.into_iter().map(NamedTensor::from).collect();
    write_tensors(&tensors, &[])
}

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod tests;
