//! The `training/` part of a run: optimizer state and progress.

use super::{Files, TensorFile, write_tensors};
use crate::error::{Error, Result};
use crate::model::NamedTensor;
use crate::train::Progress;

const OPTIMIZER: &str = "training/optimizer.safetensors";
const PROGRESS: &str = "training/progress.json";

/// Adds the run's own files to a checkpoint's.
///
/// # Errors
/// State that cannot be written.
pub fn write_training(files: &mut Files, optimizer: &[NamedTensor], progress: &Progress) -> Result<()> {
    let json = serde_json::to_vec_pretty(progress)
        .map_err(|e| Error::Checkpoint(format!("the run's progress cannot be written: {e}")))?;
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
        read(name)?
            .ok_or_else(|| Error::Checkpoint(format!("there is no {name}: this is not a run that can go on")))
    };
    let progress = serde_json::from_slice(&file(PROGRESS)?)
        .map_err(|e| Error::Checkpoint(format!("{PROGRESS} is damaged: {e}")))?;
    let optimizer = TensorFile::open(OPTIMIZER, file(OPTIMIZER)?)?.read_all()?;
    Ok((optimizer, progress))
}
