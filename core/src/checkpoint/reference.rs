//! The reference's log-probabilities as a file of a run: a line of JSON that says what they belong to, then 20 bytes for
//! each example, a hash of it and the log-probability (both little-endian), in the order of the hashes.

use super::header::{read_header, write_header};
use crate::error::{Error, Result};
use crate::told::{Told, told};
use crate::train::ReferenceLogProbs;

/// The file's place in a run's directory.
pub const REFERENCE: &str = "training/reference.bin";
/// Bytes of an example: a hash and a number.
const RECORD: usize = 16 + 4;

/// The file's bytes.
///
/// # Errors
/// A header that cannot be written.
pub fn write_reference(reference: &ReferenceLogProbs) -> Result<Vec<u8>> {
    let mut bytes = write_header(reference.known.len(), &reference.ties, damaged)?;
    for (key, value) in &reference.known {
        bytes.extend(key.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    Ok(bytes)
}

/// Reads them back.
///
/// # Errors
/// A file that is damaged or cut short.
pub fn read_reference(bytes: &[u8]) -> Result<ReferenceLogProbs> {
    let (examples, ties, rest) = read_header(bytes, damaged)?;
    let records = rest.chunks_exact(RECORD);
    if !records.remainder().is_empty() || records.len() != examples {
        return Err(damaged(&told!(
            "reference.length",
            "it holds {found} bytes for {examples} examples of 20 each",
            found = rest.len(),
            examples
        )));
    }
    let record = |record: &[u8]| {
        let (key, value) = record.split_at(16);
        let key = key.iter().rev().fold(0, |key, byte| (key << 8) | u128::from(*byte));
        let value = value.iter().rev().fold(0, |bits, byte| (bits << 8) | u32::from(*byte));
        (key, f32::from_bits(value))
    };
    Ok(ReferenceLogProbs { ties, known: records.map(record).collect() })
}

fn damaged(why: &Told) -> Error {
    Error::Checkpoint(told!(
        "reference.damaged",
        "{file} is damaged: {why}; remove it, and the log-probabilities are computed anew",
        file = REFERENCE,
        why
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::ReferenceTies;

    #[test]
    fn what_is_written_is_read_and_damage_is_named() {
        let text = |text: &str| text.to_string();
        let ties =
            ReferenceTies { model: text("m"), data: text("d"), dtype: text("F32"), settings: text("s\n") };
        let known = [(1u128 << 100, -2.5f32), (7, -0.125), (u128::MAX, -1e-9)].into();
        let reference = ReferenceLogProbs { ties, known };
        let bytes = write_reference(&reference).unwrap();
        assert_eq!(read_reference(&bytes).unwrap(), reference);
        let header = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        assert_eq!(bytes.len(), header + 1 + 3 * 20);
        let newer = String::from_utf8_lossy(&bytes[..=header]).replace("\"version\":1", "\"version\":2");
        for (bytes, part) in [
            (&bytes[..bytes.len() - 1], "59 bytes for 3 examples"),
            (&bytes[..bytes.len() - 20], "40 bytes for 3 examples"),
            (&bytes[..header], "its first line is missing"),
            (b"{}\n", "missing field"),
            (b"", "its first line is missing"),
            (newer.as_bytes(), "its version is 2"),
        ] {
            let told = read_reference(bytes).unwrap_err().to_string();
            assert!(told.contains("training/reference.bin is damaged") && told.contains(part), "{told}");
        }
    }
}
