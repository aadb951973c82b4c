//! The list of a save's files, by which a whole save is told from one that was cut short or damaged.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How a file was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Its length.
    pub bytes: u64,
    /// Its CRC-32.
    pub crc: u32,
}

/// The files of a save by their names.
pub type Marks = BTreeMap<String, Mark>;

/// What a save says of itself, written after all of its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Save {
    /// Greater than that of every save before; 0 where an older version of the page wrote it.
    pub number: u64,
    /// Steps taken, where it is a run's.
    pub step: u64,
    /// Steps planned, likewise.
    pub total_steps: u64,
    /// Its files; empty where an older version of the page wrote it.
    pub files: Marks,
}

/// The marks of files.
pub fn marks<'a>(files: impl IntoIterator<Item = (&'a String, &'a Vec<u8>)>) -> Marks {
    let mark = |bytes: &[u8]| Mark { bytes: bytes.len() as u64, crc: crc32(bytes) };
    files.into_iter().map(|(name, bytes)| (name.clone(), mark(bytes))).collect()
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It is not there.
    Missing,
    /// It is cut short, or too long.
    Length {
        /// The bytes that are there.
        found: u64,
        /// Those that were written.
        bytes: u64,
    },
    /// Its checksum is another.
    Checksum,
}

/// What is wrong with the files that lie there now, by their sizes: the first of those that are missing, cut short or too
/// long, with its name.
pub fn torn<'a>(marks: &'a Marks, sizes: &BTreeMap<String, u64>) -> Option<(&'a str, Wrong)> {
    let wrong = |(name, mark): (&'a String, &Mark)| match sizes.get(name) {
        None => Some((name.as_str(), Wrong::Missing)),
        Some(&found) if found != mark.bytes => {
            Some((name.as_str(), Wrong::Length { found, bytes: mark.bytes }))
        }
        Some(_) => None,
    };
    marks.iter().find_map(wrong)
}

/// What is wrong with a file's content.
pub fn damaged(marks: &Marks, name: &str, bytes: &[u8]) -> Option<Wrong> {
    let mark = marks.get(name)?;
    let found = bytes.len() as u64;
    if mark.bytes != found {
        return Some(Wrong::Length { found, bytes: mark.bytes });
    }
    (mark.crc != crc32(bytes)).then_some(Wrong::Checksum)
}

/// Eight tables, so that eight bytes are taken at once; the first is that of one byte.
const TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut i = 0;
    while i < 256 {
        let (mut crc, mut bit) = (i as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        tables[0][i] = crc;
        i += 1;
    }
    let mut at = 256;
    while at < 8 * 256 {
        let before = tables[at / 256 - 1][at % 256];
        tables[at / 256][at % 256] = (before >> 8) ^ tables[0][(before & 255) as usize];
        at += 1;
    }
    tables
}

/// CRC-32 as in zip and PNG (ISO 3309).
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    let (eights, rest) = bytes.as_chunks::<8>();
    for eight in eights {
        let low = u32::from_le_bytes([eight[0], eight[1], eight[2], eight[3]]) ^ crc;
        let [a, b, c, d] = low.to_le_bytes();
        crc = TABLES[7][a as usize] ^ TABLES[6][b as usize] ^ TABLES[5][c as usize] ^ TABLES[4][d as usize];
        let [e, f, g, h] = [eight[4], eight[5], eight[6], eight[7]];
        crc ^= TABLES[3][e as usize] ^ TABLES[2][f as usize] ^ TABLES[1][g as usize] ^ TABLES[0][h as usize];
    }
    for byte in rest {
        crc = (crc >> 8) ^ TABLES[0][(crc as u8 ^ byte) as usize];
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bit by bit, as the standard has it.
    fn slow(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ ((crc & 1) * 0xedb8_8320))
        })
    }

    #[test]
    fn the_checksum_is_that_of_zip() {
        assert_eq!(crc32(b""), 0);
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926, "the standard's check value");
        let bytes: Vec<u8> = (0..100u32).map(|i| (i * i + 7 * i) as u8).collect();
        for end in 0..bytes.len() {
            assert_eq!(crc32(&bytes[..end]), slow(&bytes[..end]), "{end} bytes");
        }
    }

    fn files() -> BTreeMap<String, Vec<u8>> {
        BTreeMap::from([("a".to_string(), vec![1, 2, 3]), ("training/b".to_string(), vec![0; 9])])
    }

    fn sizes(files: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, u64> {
        files.iter().map(|(name, bytes)| (name.clone(), bytes.len() as u64)).collect()
    }

    #[test]
    fn files_that_are_missing_or_of_another_length_are_named() {
        let (mut there, marks) = (files(), marks(&files()));
        assert_eq!(torn(&marks, &sizes(&there)), None);
        there.insert("of-another-save".into(), vec![1]);
        assert_eq!(torn(&marks, &sizes(&there)), None, "what is not its own does not matter");
        there.insert("a".into(), Vec::new());
        assert_eq!(torn(&marks, &sizes(&there)), Some(("a", Wrong::Length { found: 0, bytes: 3 })));
        there.remove("a");
        assert_eq!(torn(&marks, &sizes(&there)), Some(("a", Wrong::Missing)));
    }

    #[test]
    fn a_changed_byte_is_damage() {
        let marks = marks(&files());
        assert_eq!(damaged(&marks, "a", &[1, 2, 3]), None);
        assert_eq!(damaged(&marks, "a", &[1, 2]), Some(Wrong::Length { found: 2, bytes: 3 }));
        assert_eq!(damaged(&marks, "training/b", &[0, 0, 0, 0, 1, 0, 0, 0, 0]), Some(Wrong::Checksum));
    }
}
