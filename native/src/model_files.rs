//! `--model` and `--tokenizer`: where checkpoints come from.

use std::path::{Path, PathBuf};

use kindling::adapter::{Adapter, Fingerprint};
use kindling::checkpoint::Checkpoint;
use kindling::error::{Error, Result};
use kindling::tokenizer::{Tokenizer, TokenizerFiles};

use crate::failure::io_error;

/// Reads a file that may be absent.
pub fn read_optional(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io_error(path, e)),
    }
}

/// Opens a checkpoint directory.
///
/// # Errors
/// What is missing or damaged, with its path; forms of checkpoint that are not built yet.
pub fn open_checkpoint(path: &Path) -> Result<Checkpoint> {
    let text = path.to_string_lossy();
    let unbuilt = [".gguf", ".pth", ".safetensors", ".bin"];
    if text.starts_with("hub:") || unbuilt.iter().any(|end| text.ends_with(end)) {
        return Err(Error::Checkpoint(format!(
            "{text}: this form of checkpoint is not built yet; give a directory in Hugging Face layout"
        )));
    }
    if !path.is_dir() {
        return Err(Error::Checkpoint(format!("{text}: there is no such directory")));
    }
    Checkpoint::open(|name| read_optional(&path.join(name))).map_err(|e| at(path, e))
}

/// Opens an adapter directory in PEFT's layout that belongs to `base`.
///
/// # Errors
/// What is missing or damaged, with its path; an adapter of another base.
pub fn open_adapter(path: &Path, base: &Fingerprint) -> Result<Adapter> {
    let adapter = Adapter::open(|name| read_optional(&path.join(name))).map_err(|e| at(path, e))?;
    if let Some(own) = &adapter.config.base {
        own.check(base, adapter.config.base_name.as_deref()).map_err(|e| at(path, e))?;
    }
    Ok(adapter)
}

/// Opens a tokenizer from a directory or a `tokenizer.json`.
///
/// # Errors
/// What is missing or damaged, with its path.
pub fn open_tokenizer(path: &Path) -> Result<Tokenizer> {
    let (file, directory) = match path.is_dir() {
        true => (path.join("tokenizer.json"), path.to_path_buf()),
        false => (path.to_path_buf(), path.parent().map_or_else(PathBuf::new, Path::to_path_buf)),
    };
    let tokenizer_json = std::fs::read(&file).map_err(|e| io_error(&file, e))?;
    let tokenizer_config_json = read_optional(&directory.join("tokenizer_config.json"))?;
    Tokenizer::from_files(&TokenizerFiles { tokenizer_json, tokenizer_config_json }).map_err(|e| at(&file, e))
}

/// Puts the path before a message that does not know it.
fn at(path: &Path, error: Error) -> Error {
    let path = path.display();
    match error {
        Error::Checkpoint(message) => Error::Checkpoint(format!("{path}: {message}")),
        Error::Model(message) => Error::Model(format!("{path}: {message}")),
        Error::Config(problems) => Error::Model(format!("{path}: config.json: {}", problems.join("; "))),
        Error::Tokenizer(message) => Error::Tokenizer(format!("{path}: {message}")),
        other => other,
    }
}
