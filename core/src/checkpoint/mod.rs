//! A checkpoint is a Hugging Face directory, or one file with all of it: names and bytes here, a disk or a download
//! elsewhere.

mod average;
mod convert;
mod converted;
mod directory;
mod header;
mod reference;
mod shards;
mod single_file;
mod teacher;
mod training;

pub use average::AveragedModel;
pub use convert::ConvertConfig;
pub use converted::Converted;
pub use directory::{Checkpoint, TakeApart, form_of, model_name, open_tokenizer, put_tokenizer};
pub use reference::{REFERENCE, read_reference, write_reference};
pub use shards::{TORCH_WEIGHTS, WEIGHTS_INDEX, whole_weights};
pub use single_file::{from_single_file, to_single_file};
pub use teacher::{TEACHER, read_teacher, write_teacher};
pub use training::{OPTIMIZER, PROGRESS, read_training, run_files, write_training};
