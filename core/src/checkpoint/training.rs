//! The `training/` part of a run: optimizer state and progress.

use crate::adapter::Adapter;
use crate::error::{Error, Result};
use crate::formats::{Files, TensorFile, directory_files, write_tensors};
use crate::model::{ModelConfig, NamedTensor};
use crate::tokenizer::Tokenizer;
use crate::told::told;
use crate::train::{Progress, Snapshot};

/// The optimizer's moments, among the files of a run.
pub const OPTIMIZER: &str = "training/optimizer.safetensors";
/// Where a run stands, among its files.
pub const PROGRESS: &str = "training/progress.json";

/// All files of a run at one step: the model's directory, or the adapter's with the tokenizer, and `training/`.
///
/// # Errors
/// State that cannot be written.
pub fn run_files(snapshot: &Snapshot, config: &ModelConfig, tokenizer: &Tokenizer) -> Result<Files> {
    let weights = &snapshot.weights;
    let mut files = match &snapshot.adapter {
        None => directory_files(config, weights, Some(tokenizer))?,
        Some(adapter) => {
            let mut files = Adapter::new(adapter.clone(), weights.clone()).files()?;
            files.extend(tokenizer.to_files()?);
            files
        }
    };
    write_training(&mut files, &snapshot.optimizer, &snapshot.progress)?;
    Ok(files)
}

/// Adds the run's own files to a checkpoint's.
///
/// # Errors
/// State that cannot be written.
pub fn write_training(files: &mut Files, optimizer: &[NamedTensor], progress: &Progress) -> Result<()> {
    let json = serde_json::to_vec_pretty(progress).map_err(|e| {
        Error::Checkpoint(told!("run.progress_unwritten", "the run's progress cannot be written: {e}", e))
    })?;
    files.insert(PROGRESS.into(), json);
    files.insert(OPTIMIZER.into(), write_tensors(optimizer, &[])?);
    Ok(())
}

/// Reads them back.
///
/// # Errors
/// Files that are missing or damaged.
pub fn read_training(
    mut read: impl FnMut(&str) -> Result<Option<Vec<u8>>>,
) -> Result<(Vec<NamedTensor>, Progress)> {
    let mut file = |name: &str| {
        read(name)?.ok_or_else(|| {
            Error::Checkpoint(told!(
                "run.file_missing",
                "there is no {name}: this is not a run that can go on",
                name
            ))
        })
    };
    let progress = serde_json::from_slice(&file(PROGRESS)?).map_err(|e| {
        Error::Checkpoint(told!("run.progress_damaged", "{progress} is damaged: {e}", progress = PROGRESS, e))
    })?;
    let optimizer = TensorFile::open(OPTIMIZER, file(OPTIMIZER)?)?.read_all()?;
    Ok((optimizer, progress))
}
