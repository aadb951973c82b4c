//! One process to a run's directory: a lock of the system's, which goes with its process however that ends.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use kindling::error::{Error, Result};

use crate::failure::io_error;
use crate::output;
use crate::written::LOCK;

/// The right to write into a run's directory, for as long as it lives.
#[derive(Debug)]
pub struct RunLock {
    path: PathBuf,
    file: File,
}

impl RunLock {
    /// Takes it; where the disk knows no locks, a warning takes its place.
    ///
    /// # Errors
    /// A directory in which another process writes, or that cannot be written.
    pub fn take(run: &Path) -> Result<Self> {
        let path = run.join(LOCK);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|e| io_error(parent, e))?;
        }
        loop {
            let opened = File::options().read(true).write(true).create(true).truncate(false).open(&path);
            let file = opened.map_err(|e| io_error(&path, e))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(in_use(run, &file)),
                Err(TryLockError::Error(error)) => output::warn(&format!(
                    "{}: cannot be locked ({error}); see to it that no other command writes into {}",
                    path.display(),
                    run.display()
                )),
            }
            // The one that held it before may have removed the file that was opened here.
            if is_in_place(&file, &path) {
                sign(&file);
                return Ok(Self { path, file });
            }
        }
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        if cfg!(unix) && is_in_place(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        } else {
            let _ = self.file.set_len(0);
        }
    }
}

/// Writes the process's number for whoever comes second; without it the lock holds as well.
fn sign(mut file: &File) {
    let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
}

fn in_use(run: &Path, mut file: &File) -> Error {
    let mut text = String::new();
    let _ = file.read_to_string(&mut text);
    let run = run.display();
    let (who, kill) = match text.trim().parse::<u32>() {
        Ok(process) => (format!("process {process}"), format!(" (kill {process})")),
        Err(_) => ("another process".to_string(), String::new()),
    };
    let why = format!(
        "--out {run} is in use: {who} writes into it; wait for its end, stop it{kill}, or choose another --out"
    );
    Error::Config(vec![why.into()])
}

/// Whether a path still leads to an open file.
#[cfg(unix)]
fn is_in_place(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |found: fs::Metadata| (found.dev(), found.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(own), Ok(there)) => place(own) == place(there),
        _ => false,
    }
}

/// Elsewhere nobody removes it.
#[cfg(not(unix))]
fn is_in_place(_: &File, _: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_at_a_time_and_who_is_told() {
        let place = tempfile::tempdir().unwrap();
        let run = place.path().join("run");
        let first = RunLock::take(&run).unwrap();
        let message = RunLock::take(&run).unwrap_err().to_string();
        let process = format!("process {}", std::process::id());
        assert!(message.contains("run is in use") && message.contains(&process), "{message}");
        drop(first);
        drop(RunLock::take(&run).unwrap());
        // What a killed process leaves is a file without a lock.
        fs::write(run.join(LOCK), "1").unwrap();
        let second = RunLock::take(&run).unwrap();
        assert_eq!(fs::read_to_string(run.join(LOCK)).unwrap(), std::process::id().to_string());
        RunLock::take(&run).unwrap_err();
        drop(second);
        assert!(!cfg!(unix) || !run.join(LOCK).exists());
    }
}
