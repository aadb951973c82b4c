//! The frame of files that hold what a second model said of a run's examples: a first line that tells how many, and what that
//! belongs to; what was said; and a checksum of both.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::told::{Told, told};

/// What is written; files of version 1, which have no checksum, are read, too.
const VERSION: u32 = 2;
/// Bytes of the checksum at the end: SHA-256 of all before it.
const CHECKSUM: usize = 32;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<T> {
    version: u32,
    examples: usize,
    /// Whether all examples of the run were asked about. Version 1 was written behind the last one only.
    #[serde(default = "asked_about")]
    whole: bool,
    ties: T,
}

fn asked_about() -> bool {
    true
}

/// What a file holds.
pub(super) struct Framed<'a, T> {
    /// How many examples.
    pub examples: usize,
    /// Whether all examples of the run were asked about.
    pub whole: bool,
    /// What they belong to.
    pub ties: T,
    /// What was said of them.
    pub said: &'a [u8],
}

/// The first line of a file of this name, about so many examples.
///
/// # Errors
/// Ties that cannot be written.
pub(super) fn begin<T: Serialize>(
    file: &'static str,
    (examples, whole): (usize, bool),
    ties: &T,
) -> Result<Vec<u8>> {
    let header = Header { version: VERSION, examples, whole, ties };
    let mut bytes = serde_json::to_vec(&header).map_err(|e| damaged(file, &e.to_string().into()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// A file whose first line, and what was said, are written.
pub(super) fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = Sha256::digest(&bytes);
    bytes.extend(checksum);
    bytes
}

impl<'a, T: DeserializeOwned> Framed<'a, T> {
    /// Reads a file of this name.
    ///
    /// # Errors
    /// No first line, one that is damaged, or of another version; a checksum that is not that of the bytes.
    pub fn read(bytes: &'a [u8], file: &'static str) -> Result<Self> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let end =
            end.ok_or_else(|| damaged(file, &told!("reference.no_header", "its first line is missing")))?;
        let Header { version, examples, whole, ties } =
            serde_json::from_slice(&bytes[..end]).map_err(|e| damaged(file, &e.to_string().into()))?;
        let checked = match version {
            1 => bytes,
            VERSION => checked(bytes).filter(|checked| checked.len() > end).ok_or_else(|| {
                damaged(file, &told!("reference.checksum", "its checksum is not that of what it holds"))
            })?,
            _ => {
                let told = told!("reference.version", "its version is {version}, known are 1 and 2", version);
                return Err(damaged(file, &told));
            }
        };
        Ok(Self { examples, whole, ties, said: &checked[end + 1..] })
    }
}

/// The bytes before a checksum, which is theirs.
fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let (checked, checksum) = bytes.split_last_chunk::<CHECKSUM>()?;
    (Sha256::digest(checked).as_slice() == checksum).then_some(checked)
}

/// The error of such a file.
pub(super) fn damaged(file: &'static str, why: &Told) -> Error {
    Error::Checkpoint(told!(
        "reference.damaged",
        "{file} is damaged: {why}; remove it, and what it holds is asked anew",
        file,
        why
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "training/some.bin";

    fn read(bytes: &[u8]) -> Result<(usize, bool, String, Vec<u8>)> {
        Framed::read(bytes, FILE).map(|read| (read.examples, read.whole, read.ties, read.said.to_vec()))
    }

    #[test]
    fn every_byte_that_is_changed_or_missing_is_noticed() {
        let said = [1, 2, 3, b'\n', 5];
        let bytes = seal([begin(FILE, (5, false), &"t").unwrap(), said.to_vec()].concat());
        assert_eq!(read(&bytes).unwrap(), (5, false, "t".to_string(), said.to_vec()));
        for at in 0..bytes.len() {
            for flipped in [1, 3, 255] {
                let mut other = bytes.clone();
                other[at] ^= flipped;
                // The version before has no checksum, and then the 32 bytes are more than it may hold.
                let read = read(&other).map(|read| read.3.len());
                assert!(
                    read.as_ref().is_ok_and(|left| *left == said.len() + CHECKSUM) || read.is_err(),
                    "{at}"
                );
            }
            assert!(read(&bytes[..at]).unwrap_err().to_string().contains("some.bin is damaged"), "{at}");
        }
        assert!(read(&[&bytes[..], &[0]].concat()).unwrap_err().to_string().contains("checksum"));
    }

    #[test]
    fn a_file_of_before_has_no_checksum_and_is_whole() {
        let before = b"{\"version\":1,\"examples\":2,\"ties\":\"t\"}\nab";
        assert_eq!(read(before).unwrap(), (2, true, "t".to_string(), b"ab".to_vec()));
    }
}
