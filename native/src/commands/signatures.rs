//! What finding near-duplicates computed, kept beside the shards in the making: a preparation that was interrupted takes it
//! from there.

use std::fs::{self, File, TryLockError};
use std::io::{BufReader, BufWriter, Read, Take, Write};
use std::path::{Path, PathBuf};

use kindling::data::{BANDS, KeptSignature, fnv1a};
use kindling::error::{Error, Result};

use crate::failure::io_error;

/// The name of the file.
pub const SIGNATURES: &str = "prepared.signatures.bin";
/// Bytes of a signature, and of a record: a row's number, a hash of what it means, its signature, a checksum.
const SIGNATURE: usize = 4 * BANDS;
const RECORD: usize = 16 + SIGNATURE + 8;

/// Records in the order of their rows, to which others are added at the end.
pub struct Signatures {
    path: PathBuf,
    known: Take<BufReader<File>>,
    /// The next one that was not asked for yet.
    next: Option<KeptSignature>,
    added: BufWriter<File>,
}

impl Signatures {
    /// Opens those of a directory, which is made with them.
    ///
    /// # Errors
    /// A directory that cannot be written, or in which another command is at the same work.
    pub fn open(directory: &Path) -> Result<Self> {
        let path = directory.join(SIGNATURES);
        fs::create_dir_all(directory).map_err(|e| io_error(directory, e))?;
        let added = File::options().append(true).create(true).open(&path).map_err(|e| io_error(&path, e))?;
        if let Err(TryLockError::WouldBlock) = added.try_lock() {
            return Err(Error::Config(vec![
                format!(
                    "--out {}: another command prepares data there; wait for it, or choose another directory",
                    directory.display()
                )
                .into(),
            ]));
        }
        // A record that was cut off by the end of its process would move all behind it.
        let bytes = added.metadata().map_err(|e| io_error(&path, e))?.len();
        let whole = bytes / RECORD as u64 * RECORD as u64;
        added.set_len(whole).map_err(|e| io_error(&path, e))?;
        let known = File::open(&path).map_err(|e| io_error(&path, e))?;
        let known = BufReader::new(known).take(whole);
        Ok(Self { path, known, next: None, added: BufWriter::new(added) })
    }

    /// What is kept of a row; rows are asked for in their order.
    pub fn of_row(&mut self, row: u64) -> Option<KeptSignature> {
        while self.next.is_none_or(|next| next.row < row) {
            self.next = Some(self.read()?);
        }
        self.next.filter(|next| next.row == row)
    }

    /// Adds one.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn add(&mut self, signature: &KeptSignature) -> Result<()> {
        self.added.write_all(&to_bytes(signature)).map_err(|e| io_error(&self.path, e))
    }

    /// Brings everything into the file.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn finish(mut self) -> Result<()> {
        self.added.flush().map_err(|e| io_error(&self.path, e))
    }

    /// The next whole record; `None` at the end. What cannot be read is computed again.
    fn read(&mut self) -> Option<KeptSignature> {
        let mut record = [0; RECORD];
        loop {
            self.known.read_exact(&mut record).ok()?;
            if let Some(signature) = from_bytes(&record) {
                return Some(signature);
            }
        }
    }
}

fn to_bytes(signature: &KeptSignature) -> Vec<u8> {
    let mut bytes = signature.row.to_le_bytes().to_vec();
    bytes.extend(signature.meaning.to_le_bytes());
    signature.bands.iter().for_each(|band| bytes.extend(band.to_le_bytes()));
    let sum = checksum(&bytes);
    bytes.extend(sum.to_le_bytes());
    bytes
}

/// A record whose checksum holds.
fn from_bytes(record: &[u8; RECORD]) -> Option<KeptSignature> {
    let long =
        |at: usize| record.get(at..at + 8).and_then(|eight| eight.try_into().ok()).map(u64::from_le_bytes);
    let mut bands = [0; BANDS];
    for (band, four) in bands.iter_mut().zip(record[16..].chunks_exact(4)) {
        *band = u32::from_le_bytes([four[0], four[1], four[2], four[3]]);
    }
    let holds = long(RECORD - 8)? == checksum(&record[..RECORD - 8]);
    let signature = KeptSignature { row: long(0)?, meaning: long(8)?, bands };
    holds.then_some(signature)
}

fn checksum(bytes: &[u8]) -> u64 {
    fnv1a(bytes.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(row: u64) -> KeptSignature {
        KeptSignature {
            row,
            meaning: 1000 + row,
            bands: std::array::from_fn(|band| row as u32 + band as u32),
        }
    }

    #[test]
    fn what_is_kept_is_found_again_and_what_is_damaged_is_not() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("out");
        let open = || Signatures::open(&directory).unwrap();
        let mut signatures = open();
        assert_eq!(signatures.of_row(0), None);
        [1, 2, 5].into_iter().for_each(|row| signatures.add(&signature(row)).unwrap());
        let twice = Signatures::open(&directory).err().unwrap().to_string();
        assert!(twice.contains("another command prepares data there"), "{twice}");
        signatures.finish().unwrap();

        let mut signatures = open();
        let found =
            |signatures: &mut Signatures| (0..7).filter_map(|row| signatures.of_row(row)).collect::<Vec<_>>();
        assert_eq!(found(&mut signatures), [1, 2, 5].map(signature));
        signatures.add(&signature(6)).unwrap();
        signatures.finish().unwrap();

        // The second record is damaged, and half of another one stands at the end.
        let path = directory.join(SIGNATURES);
        let mut bytes = fs::read(&path).unwrap();
        assert_eq!(bytes.len(), 4 * RECORD);
        bytes[RECORD + 20] ^= 1;
        bytes.extend([7; 30]);
        fs::write(&path, bytes).unwrap();
        let mut signatures = open();
        assert_eq!(found(&mut signatures), [1, 5, 6].map(signature));
        signatures.finish().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 4 * RECORD as u64);
    }
}
