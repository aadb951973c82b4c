//! A run's directory: whole checkpoints that appear at once, the newest also at the top.
//!
//! `checkpoint-000500/` is written under another name and renamed when it is complete, so that a process
//! killed at any moment leaves the one before it readable. The top of the directory links to the files of
//! the newest, and `best/` to those of the best. All that is written is listed (`written.rs`) before it is.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use kindling::checkpoint::PROGRESS;
use kindling::error::{Error, Result};
use kindling::formats::Files;

use crate::disk::{discard, link, new_directory, remove, replace, sync_dir, write_synced};
use crate::failure::io_error;
pub use crate::written::SETTINGS;
use crate::written::{BEST, LOG, Written, is_ours, save_name, step_of};

/// An output directory that belongs to one run.
pub struct RunDir {
    path: PathBuf,
    keep_last: usize,
    written: RefCell<Written>,
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

/// What is done where the directory already holds a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It is refused.
    Refuse,
    /// It is replaced.
    Overwrite,
}

impl RunDir {
    /// Makes or takes the directory for a new run; without `out`, `runs/<stage>-NNN` with a new number. `beside` are
    /// the files and directories that the command writes there beside the run's own.
    ///
    /// # Errors
    /// A directory that holds something else, or a run without `--overwrite`; one that cannot be written.
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
        if is_ours(&path) {
            Written::open(&path)?.clear(&path, beside)?;
        }
        let written = Written::new();
        written.store(&path)?;
        Ok(Self { path, keep_last, written: RefCell::new(written) })
    }

    /// Makes the directory of a run below this one.
    ///
    /// # Errors
    /// As [`RunDir::create`].
    pub fn below(&self, name: &str, keep_last: usize) -> Result<Self> {
        self.list(|written| written.add_run(name))?;
        Self::create(Some(&self.path.join(name)), name, Existing::Refuse, keep_last, &[])
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
        let written = RefCell::new(Written::open(path)?);
        Ok(Self { path: path.to_path_buf(), keep_last, written })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The newest whole checkpoint.
    pub fn newest(&self) -> Result<Option<PathBuf>> {
        Ok(self.saves()?.pop().map(|(_, path)| path))
    }

    /// Stores a checkpoint; on success it is complete on the disk.
    ///
    /// # Errors
    /// A full disk or a directory that cannot be written; what was stored before stays.
    pub fn save(&self, step: u64, files: &Files, reason: Reason) -> Result<()> {
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
            return Err(Error::Data(format!(
                "{error}: the checkpoint of step {step} was not stored; the one before it stays"
            )));
        }
        discard(&complete)?;
        fs::rename(&temporary, &complete).map_err(|e| io_error(&complete, e))?;
        sync_dir(&self.path);
        self.publish(&complete, files)?;
        if reason == Reason::Best {
            self.mark_best(&complete, files)?;
        }
        self.prune()
    }

    /// Changes the list of what the run wrote, on the disk too.
    fn list(&self, change: impl FnOnce(&mut Written)) -> Result<()> {
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

    /// Removes all but the last few checkpoints that were asked for, and those by time before the newest.
    fn prune(&self) -> Result<()> {
        let by_time = |step: &u64| self.written.borrow().is_by_time(*step);
        let mut saves = self.saves()?;
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
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(|e| io_error(&self.path, e))? {
            let entry = entry.map_err(|e| io_error(&self.path, e))?;
            let step = step_of(&entry.file_name().to_string_lossy());
            if let Some(step) = step.filter(|_| entry.path().join(PROGRESS).is_file()) {
                found.push((step, entry.path()));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Writes one file of the run atomically.
    pub fn write(&self, file: &str, bytes: &[u8]) -> Result<()> {
        self.list(|written| written.add(file))?;
        replace(&self.path.join(file), bytes)
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
        let run = RunDir { path: new.to_path_buf(), keep_last: 1, written: RefCell::new(Written::new()) };
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

/// Refuses a command that reads from the directory that it is to replace; `read` are paths, each behind its flag.
///
/// # Errors
/// The first such path.
pub fn refuse_inside(out: &Path, read: impl IntoIterator<Item = (&'static str, PathBuf)>) -> Result<()> {
    let Ok(place) = fs::canonicalize(out) else {
        return Ok(());
    };
    match read.into_iter().find(|(_, path)| stands_below(path, &place)) {
        Some((flag, path)) => Err(Error::Config(vec![format!(
            "{flag} {} is in --out {}, which --overwrite replaces; choose another --out",
            path.display(),
            out.display()
        )])),
        None => Ok(()),
    }
}

/// Whether a path, or what it links to, is below a place.
fn stands_below(path: &Path, place: &Path) -> bool {
    let parent =
        path.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
    let target = fs::canonicalize(path).is_ok_and(|target| target.starts_with(place));
    target
        || parent.is_some_and(|parent| fs::canonicalize(parent).is_ok_and(|found| found.starts_with(place)))
}

/// Whether anything but empty directories, which a run that was stopped early leaves, stands at a path.
fn holds_files(path: &Path) -> bool {
    let Ok(mut entries) = fs::read_dir(path) else { return path.exists() };
    entries.any(|entry| match entry.and_then(|entry| Ok((entry.file_type()?, entry.path()))) {
        Ok((kind, below)) if kind.is_dir() => holds_files(&below),
        _ => true,
    })
}

fn check_free(path: &Path, existing: Existing) -> Result<()> {
    let taken = holds_files(path);
    let out = path.display();
    match (existing, is_ours(path)) {
        _ if !taken => Ok(()),
        (Existing::Overwrite, true) => Ok(()),
        (Existing::Refuse, true) => Err(Error::Config(vec![format!(
            "--out {out} already holds a run; add --resume to go on with it or --overwrite to replace it"
        )])),
        (_, false) => Err(Error::Config(vec![format!(
            "--out {out} holds files that are not a run of ours; choose another directory"
        )])),
    }
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
        let mut run = RunDir::create(Some(&path), "pretrain", Existing::Refuse, 2, &[]).unwrap();
        run.write(SETTINGS, b"").unwrap();
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
            run = RunDir::open(&path, 2).unwrap();
            run.save(step, &files, reason).unwrap();
            assert_eq!(steps(&run), kept, "after step {step}");
            let newest = path.join(save_name(step));
            assert_eq!(run.newest().unwrap(), Some(newest));
        }
        assert!(path.join("best/config.json").is_file(), "the best stays");
        Written::open(&path).unwrap().clear(&path, &[]).unwrap();
        let left = |path: &Path| fs::read_dir(path).unwrap().count();
        assert_eq!((left(&path), left(&path.join("training"))), (1, 2), "the settings and the list");
    }
}
