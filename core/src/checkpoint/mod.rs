//! A checkpoint is a Hugging Face directory, or one file with all of it: names and bytes here, a disk or a download
//! elsewhere.

mod archive;
mod bytes;
mod directory;
pub mod gguf;
mod llama2c;
mod llama2c_tokenizer;
mod peft;
mod plain;
mod shards;
mod single_file;
mod tensor_names;
mod tensors;
mod torch;
mod training;

pub use archive::{entry_name, from_zip, to_zip};
pub use bytes::Bytes;
pub use directory::{Checkpoint, Files, TakeApart, form_of, model_name, open_tokenizer, put_tokenizer};
pub use llama2c::from_llama2c;
pub use llama2c_tokenizer::llama2c_tokenizer;
pub use peft::{ADAPTER_CONFIG, ADAPTER_WEIGHTS, MLX_WEIGHTS};
pub use plain::{Plain, plain_files};
pub use shards::{TORCH_WEIGHTS, WEIGHTS_INDEX, whole_weights};
pub use single_file::{from_single_file, refuse_adapter, to_single_file};
pub use tensors::{TensorFile, write_tensors};
pub use torch::{
    DType, MinimindShape, TorchFloat, TorchTensor, from_minimind, open_state_dict, to_minimind,
    write_state_dict,
};
pub use training::{OPTIMIZER, PROGRESS, read_training, run_files, write_training};
