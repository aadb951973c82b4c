//! The file of an offline run of Weights & Biases: LevelDB's log, <https://github.com/google/leveldb/blob/main/doc/log_format.md>,
//! with a head of its own, and plain CRC-32 in the place of CRC-32C.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use kindling::error::Result;

use super::watched::Watched;
use crate::failure::io_error;

/// The head of a file: its name, a number that no text has, and the version of its form.
const HEAD: [u8; 7] = [b':', b'W', b'&', b'B', 0xe1, 0xbe, 0];
/// No part of a record goes over the end of a block.
const BLOCK: usize = 32_768;
/// Before each part of a record: its checksum, its length, and which part it is.
const PART_HEAD: usize = 7;
/// A part that is the whole record.
const FULL: u8 = 1;
/// The first of several.
const FIRST: u8 = 2;
/// One between the first and the last.
const MIDDLE: u8 = 3;
/// The last of several.
const LAST: u8 = 4;

/// A file to which records are added.
#[derive(Debug)]
pub struct RecordLog {
    path: PathBuf,
    file: File,
    length: usize,
    watched: Watched,
}

/// A record of a file, and where it begins and ends there.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// Its first byte's place.
    pub begins: usize,
    /// The place behind its last byte.
    pub ends: usize,
    /// Its bytes.
    pub data: Vec<u8>,
}

impl RecordLog {
    /// Begins a file.
    ///
    /// # Errors
    /// A name that is taken, or a file that cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let mut file = File::create_new(path).map_err(|e| io_error(path, e))?;
        file.write_all(&HEAD).map_err(|e| io_error(path, e))?;
        let watched = Watched::of(path, &file)?;
        Ok(Self { path: path.to_path_buf(), file, length: HEAD.len(), watched })
    }

    /// Goes on with a file behind its first bytes, of which so many stay.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn go_on(path: &Path, length: usize) -> Result<Self> {
        let open = || {
            let file = File::options().append(true).open(path)?;
            file.set_len(length as u64)?;
            Ok(file)
        };
        let file = open().map_err(|e| io_error(path, e))?;
        let watched = Watched::of(path, &file)?;
        Ok(Self { path: path.to_path_buf(), file, length, watched })
    }

    /// Adds a record, in one write.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn append(&mut self, data: &[u8]) -> Result<()> {
        let parts = framed(self.length, data);
        self.file.write_all(&parts).map_err(|e| io_error(&self.path, e))?;
        self.length += parts.len();
        self.watched.has(self.length as u64);
        Ok(())
    }

    /// The file as it was written last.
    pub fn watched(&self) -> &Watched {
        &self.watched
    }

    /// Brings all of it onto the disk.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_all().map_err(|e| io_error(&self.path, e))
    }
}

/// A record as it stands in a file that holds so many bytes before it.
fn framed(before: usize, data: &[u8]) -> Vec<u8> {
    let (mut parts, mut rest, mut is_first) = (Vec::new(), data, true);
    loop {
        let left = BLOCK - (before + parts.len()) % BLOCK;
        if left < PART_HEAD {
            parts.resize(parts.len() + left, 0);
            continue;
        }
        let (part, more) = rest.split_at(rest.len().min(left - PART_HEAD));
        let kind = match (is_first, more.is_empty()) {
            (true, true) => FULL,
            (true, false) => FIRST,
            (false, false) => MIDDLE,
            (false, true) => LAST,
        };
        parts.extend(checksum(kind, part).to_le_bytes());
        parts.extend((part.len() as u16).to_le_bytes());
        parts.push(kind);
        parts.extend(part);
        if more.is_empty() {
            return parts;
        }
        (rest, is_first) = (more, false);
    }
}

/// CRC-32 over which part it is, and its bytes.
fn checksum(kind: u8, part: &[u8]) -> u32 {
    let mut hash = crc32fast::Hasher::new();
    hash.update(&[kind]);
    hash.update(part);
    hash.finalize()
}

/// The whole records of a file, up to the first that is damaged or cut; `None` for a file of another kind.
pub fn records(bytes: &[u8]) -> Option<Vec<Found>> {
    if !bytes.starts_with(&HEAD) {
        return None;
    }
    let (mut found, mut at) = (Vec::new(), HEAD.len());
    let mut open: Option<(usize, Vec<u8>)> = None;
    loop {
        let left = BLOCK - at % BLOCK;
        if left < PART_HEAD {
            at += left;
            continue;
        }
        let Some((kind, part)) = part_at(bytes, at, left) else { return Some(found) };
        let begins = at;
        at += PART_HEAD + part.len();
        let (begins, mut data) = match (kind, open.take()) {
            (FULL | FIRST, None) => (begins, Vec::new()),
            (MIDDLE | LAST, Some(begun)) => begun,
            _ => return Some(found),
        };
        data.extend(part);
        match kind {
            FULL | LAST => found.push(Found { begins, ends: at, data }),
            _ => open = Some((begins, data)),
        }
    }
}

/// The part at a place where a block has so many bytes left; `None` where it is cut, damaged or absent.
fn part_at(bytes: &[u8], at: usize, left: usize) -> Option<(u8, &[u8])> {
    let (head, rest) = bytes.get(at..)?.split_at_checked(PART_HEAD)?;
    let (length, kind) = (usize::from(u16::from_le_bytes([head[4], head[5]])), head[6]);
    let part = rest.get(..length).filter(|_| PART_HEAD + length <= left)?;
    (checksum(kind, part).to_le_bytes() == head[..4]).then_some((kind, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_framed_as_by_hand() {
        // The check value of CRC-32 is that of "123456789"; its first byte is taken for which part it is.
        assert_eq!(checksum(b'1', b"23456789"), 0xcbf4_3926);
        let part = framed(HEAD.len(), b"ab");
        assert_eq!(part.len(), PART_HEAD + 2);
        assert_eq!(part[..4], checksum(FULL, b"ab").to_le_bytes());
        assert_eq!(part[4..], [2, 0, FULL, b'a', b'b']);
        // Six bytes are too few for a head: they stay empty.
        let part = framed(BLOCK - 6, b"ab");
        assert_eq!((part.len(), &part[..6], part[12]), (6 + PART_HEAD + 2, &[0; 6][..], FULL));
    }

    #[test]
    fn long_records_are_parted_and_whole_again_and_a_torn_end_is_left_out() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("run.wandb");
        let long: Vec<u8> = (0..100_000_u32).map(|number| (number % 251) as u8).collect();
        // A head's room is left behind it.
        let edge = vec![7; BLOCK - HEAD.len() - 3 * PART_HEAD - 3];
        let all: [&[u8]; 5] = [b"one", &edge, &long, b"", b"last"];
        let mut log = RecordLog::create(&path).unwrap();
        all.iter().for_each(|data| log.append(data).unwrap());
        log.sync().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let found = records(&bytes).unwrap();
        assert_eq!(found.iter().map(|found| found.data.as_slice()).collect::<Vec<_>>(), all);
        assert_eq!((found[0].begins, found[4].ends), (HEAD.len(), bytes.len()));
        assert_eq!(found[1].ends, BLOCK - PART_HEAD);
        // An empty part in what is left of the first block, three blocks that are full, and the rest.
        assert_eq!(found[2].ends - found[2].begins, 100_000 + 5 * PART_HEAD);
        for cut in [found[4].ends - 1, found[4].begins + 3] {
            assert_eq!(records(&bytes[..cut]).unwrap().len(), 4);
        }
        assert_eq!(records(&bytes[..found[2].ends - 1]).unwrap().len(), 2);
        let mut damaged = bytes.clone();
        damaged[found[2].begins + 50] ^= 1;
        assert_eq!(records(&damaged).unwrap().len(), 2);
        assert_eq!(records(b"text"), None);
        let mut log = RecordLog::go_on(&path, found[3].ends).unwrap();
        log.append(b"other").unwrap();
        let again = records(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(again.last().unwrap().data, b"other");
        assert_eq!(again[..4], found[..4]);
    }
}
