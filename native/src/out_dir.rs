//! What stands at `--out` before a run begins there.

use std::fs;
use std::path::{Path, PathBuf};

use kindling::error::{Error, Result};

use crate::failure::io_error;
use crate::written::is_ours;

/// What is done where the directory already holds a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It is refused.
    Refuse,
    /// It is replaced.
    Overwrite,
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
        Some((flag, path)) => Err(Error::Config(vec![
            format!(
                "{flag} {} is in --out {}, which --overwrite replaces; choose another --out",
                path.display(),
                out.display()
            )
            .into(),
        ])),
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

/// Refuses a directory for a new run that holds something else, or a run that is not to be replaced.
///
/// # Errors
/// What stands there, and what to do.
pub fn check_free(path: &Path, existing: Existing) -> Result<()> {
    let taken = holds_files(path);
    let out = path.display();
    match (existing, is_ours(path)) {
        _ if !taken => Ok(()),
        (Existing::Overwrite, true) => Ok(()),
        (Existing::Refuse, true) => Err(Error::Config(vec![
            format!(
                "--out {out} already holds a run; add --resume to go on with it or --overwrite to replace it"
            )
            .into(),
        ])),
        (_, false) => Err(Error::Config(vec![
            format!("--out {out} holds files that are not a run of ours; choose another directory").into(),
        ])),
    }
}

/// The next free `runs/<stage>-NNN`; the directory is made at once, so that two runs never share one.
///
/// # Errors
/// What the system says.
pub fn numbered(stage: &str) -> Result<PathBuf> {
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
