//! Writes that are whole or absent: under another name first, then renamed; and reads of large files.

use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind, Write};
#[cfg(unix)]
use std::ops::Range;
use std::path::{Path, PathBuf};

use kindling::error::{Error, Result};
use kindling::formats::{Backing, Bytes};
use memmap2::Mmap;
#[cfg(unix)]
use memmap2::UncheckedAdvice;

use crate::failure::io_error;
use crate::in_making::InMaking;

/// Writes a directory that appears at once; `fill` writes into the one it is given.
///
/// # Errors
/// A directory that is not empty, or that cannot be written.
pub fn new_directory(out: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let taken = fs::read_dir(out).map_or(out.exists(), |mut entries| entries.next().is_some());
    // A link to an empty directory stays a link, and its target is filled.
    let target = if out.is_symlink() { fs::canonicalize(out).ok() } else { None };
    let target = target.as_deref().unwrap_or(out);
    let Some(name) = target.file_name().filter(|_| !taken) else {
        return Err(refuse(out, "a directory that is absent or empty"));
    };
    // Where it does not come to its place it is removed.
    let making = InMaking::beside(target, name)?;
    fs::create_dir(making.made()).map_err(|e| io_error(out, e))?;
    fill(making.made())?;
    let placed = match fs::remove_dir(target) {
        // Only an empty directory gives way: another command may have filled it meanwhile.
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => fs::rename(making.made(), target),
    };
    placed.map_err(|e| {
        let filled = fs::read_dir(target).map_or(target.exists(), |mut entries| entries.next().is_some());
        if filled { taken_meanwhile(out) } else { io_error(out, e) }
    })
}

/// Writes a file that appears at once.
///
/// # Errors
/// A name that is taken, or a file that cannot be written.
pub fn new_file(out: &Path, bytes: &[u8]) -> Result<()> {
    let Some(name) = out.file_name().filter(|_| !out.exists()) else {
        return Err(refuse(out, "a file that is absent"));
    };
    let making = InMaking::beside(out, name)?;
    write_synced(making.made(), bytes)?;
    place_file(making.made(), out)?;
    sync_dir(out.parent().unwrap_or(out));
    Ok(())
}

/// Whether a file can be made at this place, before the work that fills it.
///
/// # Errors
/// A place that cannot be written.
pub fn check_place(out: &Path) -> Result<()> {
    out.file_name().map_or(Ok(()), |name| InMaking::beside(out, name).map(drop))
}

/// Brings a whole file to its place; what another command put there meanwhile stays.
fn place_file(made: &Path, out: &Path) -> Result<()> {
    match fs::hard_link(made, out) {
        Ok(()) => Ok(()),
        Err(_) if out.symlink_metadata().is_ok() => Err(taken_meanwhile(out)),
        // A disk without links.
        Err(_) => fs::rename(made, out).map_err(|e| io_error(out, e)),
    }
}

fn taken_meanwhile(out: &Path) -> Error {
    Error::Config(vec![
        format!(
            "--out {} was free when this began, and another command has written there meanwhile, which stays as it is; \
             choose another --out, or remove that and begin again",
            out.display()
        )
        .into(),
    ])
}

fn refuse(out: &Path, remedy: &str) -> Error {
    Error::Config(vec![format!("--out {} is taken; choose {remedy}", out.display()).into()])
}

/// Files of a directory that are written one behind the other, each piece by piece.
pub struct FileWriter {
    directory: PathBuf,
    /// The file that is written, by its name.
    open: Option<(String, BufWriter<File>)>,
    bytes: u64,
}

impl FileWriter {
    /// Into a directory, which is made with the first file.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_path_buf(), open: None, bytes: 0 }
    }

    /// Writes the next bytes of a file; where it is another one than before, that one is closed.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn append(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.directory.join(name);
        if self.open.as_ref().is_none_or(|(open, _)| open != name) {
            self.close()?;
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(|e| io_error(parent, e))?;
            }
            let file = File::create_new(&path).map_err(|e| io_error(&path, e))?;
            self.open = Some((name.to_string(), BufWriter::new(file)));
        }
        if let Some((_, file)) = &mut self.open {
            file.write_all(bytes).map_err(|e| io_error(&path, e))?;
        }
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Brings everything onto the disk; gives the bytes of all files.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn finish(mut self) -> Result<u64> {
        self.close()?;
        Ok(self.bytes)
    }

    fn close(&mut self) -> Result<()> {
        let Some((name, mut file)) = self.open.take() else { return Ok(()) };
        let synced = file.flush().and_then(|()| file.get_ref().sync_all());
        synced.map_err(|e| io_error(&self.directory.join(name), e))
    }
}

/// Removes a file or a directory that may be absent.
pub fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(io_error(path, e)),
        _ => Ok(()),
    }
}

/// Takes a directory out of sight in one step and then removes it, so that no half of it is ever seen.
pub fn discard(path: &Path) -> Result<()> {
    let Some(name) = path.file_name().filter(|_| path.exists()) else {
        return Ok(());
    };
    let old = path.with_file_name(format!(".{}.old", name.to_string_lossy()));
    remove(&old)?;
    fs::rename(path, &old).map_err(|e| io_error(path, e))?;
    remove(&old)
}

/// Writes a file, with the directories above it; on success it is on the disk.
pub fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|e| io_error(parent, e))?;
    }
    let written = File::create(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|e| {
        let _ = fs::remove_file(path);
        io_error(path, e)
    })
}

/// Writes a file in one step, in the place of one that may be there.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = unfinished(path);
    write_synced(&temporary, bytes)?;
    fs::rename(&temporary, path).map_err(|e| io_error(path, e))
}

/// The name of a file that is not whole yet.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

/// Puts a second name for `from` at `to`, replacing it atomically; copies where the disk has no links.
pub fn link(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(|e| io_error(parent, e))?;
    }
    let temporary = unfinished(to);
    remove(&temporary)?;
    if fs::hard_link(from, &temporary).is_err() {
        fs::copy(from, &temporary).map_err(|e| io_error(&temporary, e))?;
    }
    fs::rename(&temporary, to).map_err(|e| io_error(to, e))
}

/// Makes a rename last; not every file system lets a directory be synced.
pub fn sync_dir(path: &Path) {
    if let Ok(directory) = File::open(path) {
        let _ = directory.sync_all();
    }
}

/// Maps a file that may be absent into memory: only what is read of it takes room.
///
/// # Errors
/// A file that cannot be read.
pub fn map(path: &Path) -> Result<Option<Bytes>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io_error(path, e)),
    };
    let len = file.metadata().map_err(|e| io_error(path, e))?.len();
    if len == 0 {
        return Ok(Some(Vec::new().into()));
    }
    // SAFETY: the bytes could change only if another program wrote into this very file meanwhile. Checkpoints are
    // replaced by renaming, which leaves a mapped file as it was.
    #[allow(unsafe_code)]
    let mapped = unsafe { Mmap::map(&file) };
    mapped.map(|mapped| Some(Bytes::new(Mapped(mapped)))).map_err(|e| io_error(path, e))
}

/// A mapped file.
struct Mapped(Mmap);

impl Backing for Mapped {
    fn bytes(&self) -> &[u8] {
        &self.0
    }

    #[cfg(unix)]
    fn release(&self, range: Range<usize>) {
        // SAFETY: the map is of a file and only read, so that a page that is given back is read from the file again.
        #[allow(unsafe_code)]
        let _ = unsafe { self.0.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_commands_that_write_to_one_place_the_later_one_is_told() {
        let place = tempfile::tempdir().unwrap();
        let out = place.path().join("model");
        let write = |directory: &Path, text: &str| write_synced(&directory.join("a"), text.as_bytes());
        let later = new_directory(&out, |new| {
            write(new, "later")?;
            new_directory(&out, |new| write(new, "first"))
        });
        let told = later.unwrap_err().to_string();
        assert!(told.contains("another command has written there") && told.contains("choose another --out"));
        assert_eq!(fs::read_to_string(out.join("a")).unwrap(), "first");
        let (made, file) = (place.path().join("made"), place.path().join("b.gguf"));
        for (text, fits) in [("first", true), ("later", false)] {
            fs::write(&made, text).unwrap();
            let placed = place_file(&made, &file).map_err(|error| error.to_string());
            assert!(
                placed.as_ref().map_or_else(|told| told.contains("another command"), |()| fits),
                "{text}"
            );
            assert_eq!(placed.is_ok(), fits);
            fs::remove_file(&made).unwrap();
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "first");
        let names = fs::read_dir(place.path()).unwrap().count();
        assert_eq!(names, 2, "nothing else is left");
    }
}
