//! A file that somebody may take away or cut while it is written.

use std::fs::{self, File, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use kindling::error::Result;

use crate::failure::io_error;

/// A file as it was written last.
#[derive(Clone, Debug)]
pub struct Watched {
    path: PathBuf,
    /// What the disk calls it, where it tells.
    identity: Option<(u64, u64)>,
    /// Its bytes.
    length: u64,
}

impl Watched {
    /// An open file as it is now.
    ///
    /// # Errors
    /// A file that cannot be looked at.
    pub fn of(path: &Path, file: &File) -> Result<Self> {
        let found = file.metadata().map_err(|e| io_error(path, e))?;
        Ok(Self { path: path.to_path_buf(), identity: identity(&found), length: found.len() })
    }

    /// It was written, and has so many bytes now.
    pub fn has(&mut self, length: u64) {
        self.length = length;
    }

    /// Its bytes when it was written last.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Its place and its bytes.
    pub fn written(&self) -> (PathBuf, u64) {
        let whole = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        (whole, self.length)
    }

    /// What somebody did to it since it was written last, in words; `None` where it is as it was, or cannot be looked at, which
    /// writing tells.
    pub fn changed(&self) -> Option<String> {
        let found = match fs::metadata(&self.path) {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => return Some("was removed".into()),
            Err(_) => return None,
        };
        if self.identity.is_some() && identity(&found) != self.identity {
            return Some("was replaced by another file".into());
        }
        resized(self.length, found.len())
    }
}

/// How a file's length changed, in words.
fn resized(before: u64, now: u64) -> Option<String> {
    match now.cmp(&before) {
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Less => Some(format!("was cut from {before} to {now} bytes")),
        std::cmp::Ordering::Greater => {
            Some(format!("was written by another program, from {before} to {now} bytes"))
        }
    }
}

/// What a run lost of a file that it had written so many bytes of, in words; `None` where all of them may still be there.
pub fn lost(path: &Path, written: u64) -> Option<String> {
    match fs::metadata(path) {
        Ok(found) if found.len() < written => resized(written, found.len()),
        Err(error) if error.kind() == ErrorKind::NotFound => Some("is not there any more".into()),
        _ => None,
    }
}

#[cfg(unix)]
fn identity(found: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Option<(u64, u64)> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_to_a_file_is_told() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("m.csv");
        fs::write(&path, "0123456789").unwrap();
        let watched = Watched::of(&path, &File::open(&path).unwrap()).unwrap();
        assert_eq!((watched.changed(), watched.written()), (None, (path.clone(), 10)));
        fs::write(&path, "0123").unwrap();
        assert_eq!(watched.changed().unwrap(), "was cut from 10 to 4 bytes");
        assert_eq!(lost(&path, 10).unwrap(), "was cut from 10 to 4 bytes");
        assert_eq!(lost(&path, 4), None);
        fs::write(&path, "0123456789ab").unwrap();
        assert!(watched.changed().unwrap().contains("by another program, from 10 to 12"));
        assert_eq!(lost(&path, 10), None, "more is no loss");
        fs::remove_file(&path).unwrap();
        assert_eq!(watched.changed().unwrap(), "was removed");
        assert_eq!(lost(&path, 10).unwrap(), "is not there any more");
    }

    #[cfg(unix)]
    #[test]
    fn another_file_of_the_same_name_and_length_is_another_one() {
        let place = tempfile::tempdir().unwrap();
        let (path, other) = (place.path().join("a"), place.path().join("b"));
        fs::write(&path, "0123456789").unwrap();
        let file = File::open(&path).unwrap();
        let watched = Watched::of(&path, &file).unwrap();
        fs::write(&other, "9876543210").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(watched.changed().unwrap(), "was replaced by another file");
    }
}
