//! Formats of files: from the bytes of each to the named files of a Hugging Face directory, and back.
//!
//! [`TensorFile`] is safetensors, [`gguf`] llama.cpp's format; PyTorch's `.pth`, PEFT's and mlx-lm's adapters, llama2.c's
//! `.bin` and zip archives have a file or a folder each. Nothing here opens a model: `checkpoint` does, from what these
//! give.

mod archive;
mod bytes;
mod files;
pub mod gguf;
mod half_rotate;
mod llada;
mod llada_names;
mod llama2c;
mod llama2c_tokenizer;
mod peft;
mod plain;
mod sharded;
mod tensor_names;
mod tensors;
mod torch;

pub use archive::{entry_name, from_folder, from_zip, to_zip, zip_others};
pub use bytes::{Backing, Bytes};
pub use files::{Files, GENERATION, directory_files};
pub use llada::{llada_differences, to_llada};
pub use llama2c::from_llama2c;
pub use llama2c_tokenizer::llama2c_tokenizer;
pub use peft::{
    ADAPTER_CONFIG, ADAPTER_WEIGHTS, MLX_WEIGHTS, adapter_as_model, is_adapter_alone, refuse_adapter,
};
pub use plain::{Plain, plain_files};
pub use sharded::{FileSink, PieceSource, ShardedWeights, StoredFloat};
pub use tensors::{TensorFile, write_tensors};
pub use torch::{
    DType, MinimindShape, TorchFloat, TorchTensor, from_minimind, open_state_dict, to_minimind,
    write_state_dict,
};

pub(crate) use files::directory_texts;
pub(crate) use tensor_names::TensorNames;
pub(crate) use tensors::{is_same, parse, texts, write_views};
pub(crate) use torch::state_dict_weights;
