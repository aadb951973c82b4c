//! Tokenizers of `../shared` (or `KINDLING_SHARED`): real files that the project does not carry.

use std::path::{Path, PathBuf};

use kindling::tokenizer::{Tokenizer, TokenizerFiles};

/// A part of the shared folder, or a visible note that a test did not run.
pub fn shared(part: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let path = std::env::var_os("KINDLING_SHARED").map_or(beside, PathBuf::from).join(part);
    if !path.exists() {
        eprintln!("SKIPPED: {} is absent", path.display());
        return None;
    }
    Some(path)
}

/// The tokenizer in a folder, with the templates beside it.
pub fn open(folder: &Path) -> Tokenizer {
    let files = TokenizerFiles::gather(|file| Ok(std::fs::read(folder.join(file)).ok())).unwrap().unwrap();
    Tokenizer::from_files(&files).unwrap()
}
