//! A checkpoint is a Hugging Face directory, or one file with all of it: names and bytes here, a disk or a download
//! elsewhere.

mod archive;
mod directory;
mod peft;
mod single_file;
mod tensors;
mod training;

pub use archive::{from_zip, entry_name, to_zip};
pub use directory::{Checkpoint, Files, open_tokenizer};
pub use peft::{ADAPTER_CONFIG, ADAPTER_WEIGHTS};
pub use single_file::{from_single_file, refuse_adapter, to_single_file};
pub use tensors::{TensorFile, write_tensors};
pub use training::{OPTIMIZER, PROGRESS, read_training, run_files, write_training};
