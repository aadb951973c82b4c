//! What is being made stands in a hidden folder beside its place until it is whole. The folder has a lock that goes with its
//! process, so that what an interrupted command left is known by the next one, which removes it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use kindling::error::Result;
use tempfile::TempDir;

use crate::failure::io_error;
use crate::output;

/// How the folders' names end.
const ENDING: &str = ".tmp";
/// In the folder: the lock, which says whose it is, and what is being made.
const LOCK: &str = ".kindling-making";
const MADE: &str = "made";

/// A hidden folder that is removed when it is dropped.
pub struct InMaking {
    /// Closed before the folder goes.
    _lock: File,
    _folder: TempDir,
    made: PathBuf,
}

impl InMaking {
    /// A new one beside `out`, under a name that nothing else has. What commands that are gone left there is removed.
    ///
    /// # Errors
    /// A place that cannot be written.
    pub fn beside(out: &Path, name: &OsStr) -> Result<Self> {
        let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(parent).map_err(|e| io_error(parent, e))?;
        remove_left(parent);
        let prefix = format!(".{}.", name.to_string_lossy());
        let folder = tempfile::Builder::new().prefix(&prefix).suffix(ENDING).tempdir_in(parent);
        let folder = folder.map_err(|e| io_error(out, e))?;
        let lock = lock_in(folder.path()).map_err(|e| io_error(out, e))?;
        Ok(Self { _lock: lock, made: folder.path().join(MADE), _folder: folder })
    }

    /// Where the file or directory is to be made.
    pub fn made(&self) -> &Path {
        &self.made
    }
}

/// Locks a folder. The lock gets its name once it is held, so that nobody takes the folder for one that was left.
fn lock_in(folder: &Path) -> io::Result<File> {
    let new = folder.join(MADE);
    let file = File::create_new(&new)?;
    // On a disk without locks nobody gets one, and nothing is taken for left.
    let _ = file.try_lock();
    fs::rename(&new, folder.join(LOCK))?;
    Ok(file)
}

/// Removes what commands that are gone left in a place.
fn remove_left(place: &Path) {
    let Ok(entries) = fs::read_dir(place) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let folder = entry.path();
        if !(name.starts_with('.') && name.ends_with(ENDING) && is_left(&folder)) {
            continue;
        }
        let told = match fs::remove_dir_all(&folder) {
            Ok(()) => "was removed".to_string(),
            Err(e) => format!("cannot be removed ({e}); remove it"),
        };
        output::warn(&format!("{}: what an interrupted command left there {told}", folder.display()));
    }
}

/// Whether a folder is one of these, and its process is gone; a folder that holds anything else is somebody's.
fn is_left(folder: &Path) -> bool {
    if !fs::symlink_metadata(folder).is_ok_and(|found| found.is_dir()) {
        return false;
    }
    let Ok(lock) = File::open(folder.join(LOCK)) else { return false };
    let ours = |name: &OsStr| name == LOCK || name == MADE;
    let only_ours = fs::read_dir(folder)
        .is_ok_and(|mut entries| entries.all(|entry| entry.is_ok_and(|entry| ours(&entry.file_name()))));
    only_ours && lock.try_lock().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_left_is_removed_and_what_one_makes_or_somebody_has_stays() {
        let root = tempfile::tempdir().unwrap();
        let place = root.path();
        let write = |file: &str| {
            let path = place.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        };
        // As a killed process leaves it, which holds no lock any more.
        write(&format!(".old.aB3.tmp/{LOCK}"));
        write(&format!(".old.aB3.tmp/{MADE}/model.safetensors"));
        let mine = format!(".mine.tmp/{LOCK}");
        let others: [&str; 4] = [".old.tmp/notes.txt", "old.tmp/made", &mine, ".file.tmp"];
        others.iter().for_each(|file| write(file));
        write(".mine.tmp/notes.txt");
        let out = place.join("new");
        let first = InMaking::beside(&out, OsStr::new("new")).unwrap();
        assert!(!place.join(".old.aB3.tmp").exists());
        fs::write(first.made(), "half").unwrap();
        let second = InMaking::beside(&out, OsStr::new("new")).unwrap();
        assert!(first.made().exists() && first.made() != second.made(), "another process makes it");
        drop((first, second));
        assert!(others.iter().all(|file| place.join(file).exists()));
        assert_eq!(fs::read_dir(place).unwrap().count(), others.len(), "nothing of ours stays");
    }
}
