//! A run's directory: whole checkpoints that appear at once, the newest also at the top.
//!
//! `checkpoint-000500/` is written under another name and renamed when it is complete, so that a process
//! killed at any moment leaves the one before it readable. The top of the directory links to the files of
//! the newest, and `best/` to those of the best. All that is written is listed (`written.rs`) before it is.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use kindling::checkpoint::PROGRESS;
use kindling::error::{Error, Result};
use kindling::formats::Files;

use crate::disk::{discard, link, new_directory, remove, replace, sync_dir, write_synced};
use crate::failure::io_error;
pub use crate::out_dir::{Existing, refuse_inside};
use crate::out_dir::{check_free, numbered};
use crate::run_lock::RunLock;
use crate::run_log;
pub use crate::written::SETTINGS;
use crate::written::{BEST, Written, is_ours, save_name, step_of};

/// An output directory that belongs to one run.
pub struct RunDir {
    path: PathBuf,
    keep_last: usize,
    written: RefCell<Written>,
    /// Whether another process writes it, with which this one trains: then nothing is written.
    is_anothers: bool,
    /// Held where the run is written, and not only read.
    _lock: Option<RunLock>,
}

/// Why a run is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its settings, its end or a person ask for it.
    Asked,
    /// Its held-out loss was never better, too.
    Best,
    /// Minutes have gone by; the next save takes the place of this one.
    Time,
}

impl RunDir {
    /// Makes or takes the directory for a new run; without `out`, `runs/<stage>-NNN` with a new number. `beside` are
    /// the files and directories that the command writes there beside the run's own.
    ///
    /// # Errors
    /// A directory that holds something else, or a run without `--overwrite`; one in which another process writes, or that
    /// cannot be written.
    pub fn create(
        out: Option<&Path>,
        stage: &str,
        existing: Existing,
        keep_last: usize,
        beside: &[String],
    ) -> Result<Self> {
        let path = match out {
            Some(path) => path.to_path_buf(),
            None => numbered(stage)?,
        };
        check_free(&path, existing)?;
        let lock = RunLock::take(&path)?;
        if is_ours(&path) {
            Written::open(&path)?.clear(&path, beside)?;
        }
        let written = Written::new();
        written.store(&path)?;
        Ok(Self { path, keep_last, written: RefCell::new(written), is_anothers: false, _lock: Some(lock) })
    }

    /// Makes the directory of a run below this one.
    ///
    /// # Errors
    /// As [`RunDir::create`].
    pub fn below(&self, name: &str, keep_last: usize) -> Result<Self> {
        self.announce(name)?;
        Self::create(Some(&self.path.join(name)), name, Existing::Refuse, keep_last, &[])
    }

    /// Lists a run below this one that another command makes.
    ///
    /// # Errors
    /// A list that cannot be written.
    pub fn announce(&self, name: &str) -> Result<()> {
        self.list(|written| written.add_run(name))
    }

    /// Lists files of this directory that another command writes.
    ///
    /// # Errors
    /// A list that cannot be written.
    pub fn announce_files(&self, files: impl IntoIterator<Item = String>) -> Result<()> {
        self.list(|written| files.into_iter().for_each(|file| written.add(&file)))
    }

    /// Opens the directory of a run that is to go on.
    ///
    /// # Errors
    /// A directory that holds no run, or in which another process writes.
    pub fn resume(path: &Path, keep_last: usize) -> Result<Self> {
        Self::open(path, keep_last)?;
        let lock = RunLock::take(path)?;
        // What it wrote is read once nobody else writes.
        Ok(Self { _lock: Some(lock), ..Self::open(path, keep_last)? })
    }

    /// The directory of a run that another process writes, with which this one trains: what is there can be read.
    pub fn of_another(path: &Path) -> Self {
        let written = RefCell::new(Written::new());
        Self { path: path.to_path_buf(), keep_last: 1, written, is_anothers: true, _lock: None }
    }

    /// Opens the directory of a run to read it, also while another process writes there.
    ///
    /// # Errors
    /// A directory that holds no run.
    pub fn open(path: &Path, keep_last: usize) -> Result<Self> {
        if !is_run(path) {
            return Err(Error::Checkpoint(
                format!(
                    "{}: there is no run to --resume (no {SETTINGS}); leave --resume out to begin one",
                    path.display()
                )
                .into(),
            ));
        }
        let written = RefCell::new(Written::open(path)?);
        Ok(Self { path: path.to_path_buf(), keep_last, written, is_anothers: false, _lock: None })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directories of all checkpoints, the newest first, whole or not.
    pub fn newest_first(&self) -> Result<Vec<PathBuf>> {
        let mut found = self.save_directories()?;
        found.reverse();
        Ok(found.into_iter().map(|(_, path)| path).collect())
    }

    /// Stores a checkpoint; on success it is complete on the disk.
    ///
    /// # Errors
    /// A full disk or a directory that cannot be written; what was stored before stays.
    pub fn save(&self, step: u64, files: &Files, reason: Reason) -> Result<()> {
        if self.is_anothers {
            return Ok(());
        }
        let name = save_name(step);
        let (temporary, complete) = (self.path.join(format!(".{name}.tmp")), self.path.join(&name));
        remove(&temporary)?;
        let before = self.written.borrow().clone();
        let others: &[&str] = if reason == Reason::Best { &["", BEST] } else { &[""] };
        let listed = self.list(|written| {
            written.add_save(step, files.keys(), others);
            written.set_by_time(step, reason == Reason::Time);
        });
        if let Err(error) = listed.and_then(|()| write_all(&temporary, files)) {
            let _ = fs::remove_dir_all(&temporary);
            let _ = self.list(|written| *written = before);
            return Err(Error::Data(
                format!("{error}: the checkpoint of step {step} was not stored; the one before it stays")
                    .into(),
            ));
        }
        discard(&complete)?;
        fs::rename(&temporary, &complete).map_err(|e| io_error(&complete, e))?;
        sync_dir(&self.path);
        self.publish(&complete, files)?;
        if reason == Reason::Best {
            self.mark_best(&complete, files)?;
        }
        self.prune(step)
    }

    /// Changes the list of what the run wrote, on the disk too.
    fn list(&self, change: impl FnOnce(&mut Written)) -> Result<()> {
        if self.is_anothers {
            return Ok(());
        }
        let mut written = self.written.borrow().clone();
        change(&mut written);
        if written != *self.written.borrow() {
            written.store(&self.path)?;
            self.written.replace(written);
        }
        Ok(())
    }

    /// Links the newest files at the top, one atomic rename each; `config.json` last, so that a first save that
    /// is cut short shows no half checkpoint.
    fn publish(&self, from: &Path, files: &Files) -> Result<()> {
        let (last, others): (Vec<_>, Vec<_>) = files.keys().partition(|file| *file == "config.json");
        others.into_iter().chain(last).try_for_each(|file| link(&from.join(file), &self.path.join(file)))
    }

    /// Links the best files into a directory that appears at once.
    fn mark_best(&self, from: &Path, files: &Files) -> Result<()> {
        let (best, new) = (self.path.join(BEST), self.path.join(format!(".{BEST}.tmp")));
        remove(&new)?;
        files.keys().try_for_each(|file| link(&from.join(file), &new.join(file)))?;
        discard(&best)?;
        fs::rename(&new, &best).map_err(|e| io_error(&best, e))
    }

    /// Removes all but the last few checkpoints that were asked for, and those by time before the newest. Behind `step`
    /// stand damaged ones only, which tell nothing of those before.
    fn prune(&self, step: u64) -> Result<()> {
        let by_time = |step: &u64| self.written.borrow().is_by_time(*step);
        let mut saves = self.saves()?;
        saves.retain(|(at, _)| *at <= step);
        let newest = saves.pop().filter(|(step, _)| !by_time(step));
        let (mut gone, asked): (Vec<_>, Vec<_>) = saves.into_iter().partition(|(step, _)| by_time(step));
        let kept = self.keep_last.saturating_sub(usize::from(newest.is_some()));
        let surplus = asked.len().saturating_sub(kept);
        gone.extend(asked.into_iter().take(surplus));
        gone.iter().try_for_each(|(_, path)| discard(path))?;
        self.list(|written| gone.iter().for_each(|(step, _)| written.forget(*step)))
    }

    /// Steps and directories of whole checkpoints, oldest first.
    fn saves(&self) -> Result<Vec<(u64, PathBuf)>> {
        let mut found = self.save_directories()?;
        found.retain(|(_, path)| path.join(PROGRESS).is_file());
        Ok(found)
    }

    /// The same of all that are named as checkpoints are.
    fn save_directories(&self) -> Result<Vec<(u64, PathBuf)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(|e| io_error(&self.path, e))? {
            let entry = entry.map_err(|e| io_error(&self.path, e))?;
            let step = step_of(&entry.file_name().to_string_lossy());
            if let Some(step) = step.filter(|_| entry.path().is_dir()) {
                found.push((step, entry.path()));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Writes one file of the run atomically.
    pub fn write(&self, file: &str, bytes: &[u8]) -> Result<()> {
        if self.is_anothers {
            return Ok(());
        }
        self.list(|written| written.add(file))?;
        replace(&self.path.join(file), bytes)
    }

    /// Adds a line to `log.jsonl`.
    pub fn log(&self, line: &serde_json::Value) -> Result<()> {
        if self.is_anothers { Ok(()) } else { run_log::append(&self.path, line) }
    }

    /// Cuts `log.jsonl` behind a step: what was logged after the save from which a run goes on comes again.
    pub fn cut_log(&self, step: u64) -> Result<()> {
        if self.is_anothers { Ok(()) } else { run_log::cut(&self.path, step) }
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
        let written = RefCell::new(Written::new());
        let run = RunDir { path: new.to_path_buf(), keep_last: 1, written, is_anothers: false, _lock: None };
        let saved = new.join(save_name(step));
        write_all(&saved, files)?;
        run.list(|written| written.add_save(step, files.keys(), &[""]))?;
        run.publish(&saved, files)?;
        run.write(SETTINGS, settings.as_bytes())
    })
}

fn write_all(directory: &Path, files: &Files) -> Result<()> {
    files.iter().try_for_each(|(file, bytes)| write_synced(&directory.join(file), bytes))
}

/// Whether a directory holds a run of ours.
pub fn is_run(path: &Path) -> bool {
    path.join(SETTINGS).is_file()
}

/// The run that a path is the directory of, or one of the saves of.
pub fn run_of(path: &Path) -> Option<PathBuf> {
    if is_run(path) {
        return Some(path.to_path_buf());
    }
    let name = path.file_name()?.to_string_lossy();
    let is_save = name == BEST || step_of(&name).is_some();
    path.parent().filter(|run| is_save && is_run(run)).map(Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(run: &RunDir) -> Vec<u64> {
        run.saves().unwrap().into_iter().map(|(step, _)| step).collect()
    }

    #[test]
    fn a_save_by_time_gives_way_to_the_next_and_pushes_no_other_out() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("run");
        let run = RunDir::create(Some(&path), "pretrain", Existing::Refuse, 2, &[]).unwrap();
        run.write(SETTINGS, b"").unwrap();
        assert!(RunDir::resume(&path, 2).err().unwrap().to_string().contains("is in use"));
        drop(run);
        let files: Files = [PROGRESS, "config.json"].map(|name| (name.to_string(), Vec::new())).into();
        for (step, reason, kept) in [
            (10, Reason::Asked, &[10][..]),
            (13, Reason::Time, &[10, 13]),
            (17, Reason::Time, &[10, 17]),
            (20, Reason::Best, &[10, 20]),
            (21, Reason::Time, &[10, 20, 21]),
            (22, Reason::Time, &[10, 20, 22]),
            (30, Reason::Asked, &[20, 30]),
            (40, Reason::Asked, &[30, 40]),
            (41, Reason::Time, &[30, 40, 41]),
        ] {
            // Each in a process of its own.
            let run = RunDir::resume(&path, 2).unwrap();
            run.save(step, &files, reason).unwrap();
            assert_eq!(steps(&run), kept, "after step {step}");
            let newest = path.join(save_name(step));
            assert_eq!(run.newest_first().unwrap()[0], newest);
        }
        assert!(path.join("best/config.json").is_file(), "the best stays");
        Written::open(&path).unwrap().clear(&path, &[]).unwrap();
        let left = |path: &Path| fs::read_dir(path).unwrap().count();
        assert_eq!((left(&path), left(&path.join("training"))), (1, 2), "the settings and the list");
    }

    #[test]
    fn a_damaged_save_behind_the_run_pushes_no_sound_one_out() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("run");
        let run = RunDir::create(Some(&path), "pretrain", Existing::Refuse, 1, &[]).unwrap();
        let files: Files = [PROGRESS, "config.json"].map(|name| (name.to_string(), Vec::new())).into();
        for (step, reason, kept) in
            [(9, Reason::Asked, &[9][..]), (5, Reason::Time, &[5, 9]), (6, Reason::Time, &[6, 9])]
        {
            run.save(step, &files, reason).unwrap();
            assert_eq!(steps(&run), kept, "after step {step}");
        }
        fs::remove_file(path.join("checkpoint-000009").join(PROGRESS)).unwrap();
        assert_eq!(steps(&run), [6]);
        let all = ["checkpoint-000009", "checkpoint-000006"].map(|name| path.join(name));
        assert_eq!(run.newest_first().unwrap(), all);
    }
}
