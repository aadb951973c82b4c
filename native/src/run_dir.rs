//! A run's directory: whole checkpoints that appear at once, the newest also at the top.
//!
//! `checkpoint-000500/` is written under another name and renamed when it is complete, so that a process
//! killed at any moment leaves the one before it readable. The top of the directory links to the files of
//! the newest, and `best/` to those of the best.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use kindling::checkpoint::{Files, PROGRESS};
use kindling::error::{Error, Result};

use crate::disk::{discard, link, new_directory, remove, sync_dir, write_synced};
use crate::failure::io_error;

/// Where the command and its settings are kept: the mark of a run of ours.
pub const SETTINGS: &str = "training/settings.toml";
const LOG: &str = "log.jsonl";

/// An output directory that belongs to one run.
pub struct RunDir {
    path: PathBuf,
    keep_last: usize,
}

/// What is done where the directory already holds a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It is refused.
    Refuse,
    /// It is replaced.
    Overwrite,
}

impl RunDir {
    /// Makes or takes the directory for a new run; without `out`, `runs/<stage>-NNN` with a new number.
    ///
    /// # Errors
    /// A directory that holds something else, or a run without `--overwrite`; one that cannot be written.
    pub fn create(out: Option<&Path>, stage: &str, existing: Existing, keep_last: usize) -> Result<Self> {
        let path = match out {
            Some(path) => path.to_path_buf(),
            None => numbered(stage)?,
        };
        check_free(&path, existing)?;
        fs::create_dir_all(&path).map_err(|e| io_error(&path, e))?;
        if existing == Existing::Overwrite {
            clear(&path)?;
        }
        let run = Self { path, keep_last };
        run.write("training/.writable", b"")?;
        fs::remove_file(run.path.join("training/.writable")).map_err(|e| io_error(&run.path, e))?;
        Ok(run)
    }

    /// Opens the directory of a run that is to go on.
    ///
    /// # Errors
    /// A directory that holds no run.
    pub fn open(path: &Path, keep_last: usize) -> Result<Self> {
        if !is_run(path) {
            return Err(Error::Checkpoint(format!(
                "{}: there is no run to --resume (no {SETTINGS}); leave --resume out to begin one",
                path.display()
            )));
        }
        Ok(Self { path: path.to_path_buf(), keep_last })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The newest whole checkpoint.
    pub fn newest(&self) -> Result<Option<PathBuf>> {
        Ok(self.checkpoints()?.pop())
    }

    /// Stores a checkpoint; on success it is complete on the disk.
    ///
    /// # Errors
    /// A full disk or a directory that cannot be written; what was stored before stays.
    pub fn save(&self, step: u64, files: &Files, best: bool) -> Result<()> {
        let name = name_of(step);
        let (temporary, complete) = (self.path.join(format!(".{name}.tmp")), self.path.join(&name));
        remove(&temporary)?;
        if let Err(error) = write_all(&temporary, files) {
            let _ = fs::remove_dir_all(&temporary);
            return Err(Error::Data(format!(
                "{error}: the checkpoint of step {step} was not stored; the one before it stays"
            )));
        }
        discard(&complete)?;
        fs::rename(&temporary, &complete).map_err(|e| io_error(&complete, e))?;
        sync_dir(&self.path);
        self.publish(&complete, files)?;
        if best {
            self.mark_best(&complete, files)?;
        }
        self.prune()
    }

    /// Links the newest files at the top, one atomic rename each; `config.json` last, so that a first save that
    /// is cut short shows no half checkpoint.
    fn publish(&self, from: &Path, files: &Files) -> Result<()> {
        let (last, others): (Vec<_>, Vec<_>) = files.keys().partition(|file| *file == "config.json");
        others.into_iter().chain(last).try_for_each(|file| link(&from.join(file), &self.path.join(file)))
    }

    /// Links the best files into a directory that appears at once.
    fn mark_best(&self, from: &Path, files: &Files) -> Result<()> {
        let (best, new) = (self.path.join("best"), self.path.join(".best.tmp"));
        remove(&new)?;
        files.keys().try_for_each(|file| link(&from.join(file), &new.join(file)))?;
        discard(&best)?;
        fs::rename(&new, &best).map_err(|e| io_error(&best, e))
    }

    /// Removes all but the last few checkpoints.
    fn prune(&self) -> Result<()> {
        let checkpoints = self.checkpoints()?;
        let surplus = checkpoints.len().saturating_sub(self.keep_last);
        checkpoints[..surplus].iter().try_for_each(|path| discard(path))
    }

    /// Whole checkpoints, oldest first.
    fn checkpoints(&self) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(|e| io_error(&self.path, e))? {
            let entry = entry.map_err(|e| io_error(&self.path, e))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let step = name.strip_prefix("checkpoint-").and_then(|step| step.parse::<u64>().ok());
            if let Some(step) = step.filter(|_| entry.path().join(PROGRESS).is_file()) {
                found.push((step, entry.path()));
            }
        }
        found.sort();
        Ok(found.into_iter().map(|(_, path)| path).collect())
    }

    /// Writes one file of the run atomically.
    pub fn write(&self, file: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path.join(file);
        let temporary = path.with_extension("tmp");
        write_synced(&temporary, bytes)?;
        fs::rename(&temporary, &path).map_err(|e| io_error(&path, e))
    }

    /// Adds a line to `log.jsonl`.
    pub fn log(&self, line: &serde_json::Value) -> Result<()> {
        let path = self.path.join(LOG);
        let file = File::options().create(true).append(true).open(&path);
        // One write: a process killed here leaves no torn line.
        file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
            .map_err(|e| io_error(&path, e))
    }
}

/// Writes a checkpoint that belongs to no run; it appears at once.
///
/// # Errors
/// A directory that is not empty, or that cannot be written.
pub fn write_checkpoint(out: &Path, files: &Files) -> Result<()> {
    new_directory(out, |new| write_all(new, files))
}

/// Writes a run that was begun elsewhere, saved once after `step`; it appears at once.
///
/// # Errors
/// As [`write_checkpoint`].
pub fn write_run(out: &Path, settings: &str, step: u64, files: &Files) -> Result<()> {
    new_directory(out, |new| {
        let run = RunDir { path: new.to_path_buf(), keep_last: 1 };
        let saved = new.join(name_of(step));
        write_all(&saved, files)?;
        run.publish(&saved, files)?;
        run.write(SETTINGS, settings.as_bytes())
    })
}

fn write_all(directory: &Path, files: &Files) -> Result<()> {
    files.iter().try_for_each(|(file, bytes)| write_synced(&directory.join(file), bytes))
}

/// The directory of a step's checkpoint.
fn name_of(step: u64) -> String {
    format!("checkpoint-{step:06}")
}

/// Whether a directory holds a run of ours.
pub fn is_run(path: &Path) -> bool {
    path.join(SETTINGS).is_file()
}

fn check_free(path: &Path, existing: Existing) -> Result<()> {
    let taken = match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => path.exists(),
    };
    if !taken || (existing == Existing::Overwrite && is_run(path)) {
        return Ok(());
    }
    let path = path.display();
    Err(Error::Config(vec![match existing {
        Existing::Refuse if is_run(Path::new(&path.to_string())) => {
            format!(
                "--out {path} already holds a run; add --resume to go on with it or --overwrite to replace it"
            )
        }
        _ => format!("--out {path} holds files that are not a run of ours; choose another directory"),
    }]))
}

/// The next free `runs/<stage>-NNN`; the directory is made at once, so that two runs never share one.
fn numbered(stage: &str) -> Result<PathBuf> {
    let runs = Path::new("runs");
    fs::create_dir_all(runs).map_err(|e| io_error(runs, e))?;
    let mut number = 1;
    loop {
        let path = runs.join(format!("{stage}-{number:03}"));
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
            Err(e) => return Err(io_error(&path, e)),
        }
    }
}

/// Removes what a run writes, and nothing else.
fn clear(path: &Path) -> Result<()> {
    for entry in fs::read_dir(path).map_err(|e| io_error(path, e))? {
        let entry = entry.map_err(|e| io_error(path, e))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = name.starts_with("checkpoint-")
            || name.starts_with(".checkpoint-")
            || ["best", ".best.tmp", ".best.old"].contains(&name.as_str());
        let file = [LOG, "config.json", "generation_config.json", "model.safetensors", "tokenizer.json"]
            .contains(&name.as_str())
            || ["adapter_config.json", "adapter_model.safetensors"].contains(&name.as_str())
            || ["tokenizer_config.json", "vocab.json", "merges.txt", "training", "data", "pretrain"]
                .contains(&name.as_str());
        if ours || file {
            remove(&entry.path())?;
        }
    }
    Ok(())
}
