//! What is being made stands in a hidden folder beside its place until it is whole. The folder has a lock that goes with its
//! process, so that what an interrupted command left is known by the next one, which removes it.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
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
    made: PathBuf,
    _folder: TempDir,
    /// Held until the folder is gone, so that nobody else removes it meanwhile.
    _lock: File,
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
        Ok(Self { made: folder.path().join(MADE), _folder: folder, _lock: lock })
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
        if !(name.starts_with('.') && name.ends_with(ENDING)) {
            continue;
        }
        // Of several commands that find it one removes it: the lock is held until it is gone.
        let Some(_lock) = left(&folder) else { continue };
        let told = match fs::remove_dir_all(&folder) {
            Ok(()) => "was removed".to_string(),
            Err(e) => format!("cannot be removed ({e}); remove it"),
        };
        output::warn(&format!("{}: what an interrupted command left there {told}", folder.display()));
    }
}

/// The lock of a folder that is one of these, and whose process is gone; a folder that holds anything else is somebody's.
fn left(folder: &Path) -> Option<File> {
    let is = |path: &Path, kind: fn(&Metadata) -> bool| fs::symlink_metadata(path).is_ok_and(|of| kind(&of));
    let path = folder.join(LOCK);
    // A link leads elsewhere, and a pipe may never open.
    if !(is(folder, Metadata::is_dir) && is(&path, Metadata::is_file)) {
        return None;
    }
    let lock = File::open(&path).ok()?;
    lock.try_lock().ok()?;
    let ours = |name: &OsStr| name == LOCK || name == MADE;
    let only_ours = fs::read_dir(folder)
        .is_ok_and(|mut entries| entries.all(|entry| entry.is_ok_and(|entry| ours(&entry.file_name()))));
    // Another command may have removed it before it was locked here.
    (only_ours && path.exists()).then_some(lock)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

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
        // A link to a folder of somebody, which looks like one of these.
        write(&format!("elsewhere/{LOCK}"));
        symlink(place.join("elsewhere"), place.join(".linked.tmp")).unwrap();
        // Another command is about to remove this one.
        write(&format!(".both.tmp/{LOCK}"));
        let removing = left(&place.join(".both.tmp")).unwrap();
        assert!(left(&place.join(".both.tmp")).is_none(), "two commands would remove it");
        let out = place.join("new");
        let first = InMaking::beside(&out, OsStr::new("new")).unwrap();
        assert!(!place.join(".old.aB3.tmp").exists());
        fs::write(first.made(), "half").unwrap();
        let second = InMaking::beside(&out, OsStr::new("new")).unwrap();
        assert!(first.made().exists() && first.made() != second.made(), "another process makes it");
        assert!(place.join(".both.tmp").exists());
        drop((first, second, removing));
        assert!(others.iter().all(|file| place.join(file).exists()));
        let kept = [".both.tmp", ".linked.tmp", "elsewhere"];
        assert!(kept.iter().all(|name| place.join(name).join(LOCK).exists()));
        assert_eq!(fs::read_dir(place).unwrap().count(), others.len() + kept.len(), "nothing of ours stays");
    }
}
