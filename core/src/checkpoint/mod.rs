//! A checkpoint is a Hugging Face directory: names and bytes here, a disk or a download elsewhere.

mod directory;
mod peft;
mod tensors;
mod training;

pub use directory::{Checkpoint, Files};
pub use peft::{ADAPTER_CONFIG, ADAPTER_WEIGHTS};
pub use tensors::{TensorFile, write_tensors};
pub use training::{read_training, run_files, write_training};
