//! The reference's log-probabilities as a file of a run: a line of JSON that says what they belong to, then 20 bytes for
//! each example, a hash of it and the log-probability (both little-endian), in the order of the hashes, then a checksum.

use super::header::{Framed, begin, damaged, seal};
use crate::error::Result;
use crate::told::told;
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
    let ReferenceLogProbs { ties, known, whole } = reference;
    let mut bytes = begin(REFERENCE, (known.len(), *whole), ties)?;
    for (key, value) in known {
        bytes.extend(key.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    Ok(seal(bytes))
}

/// Reads them back.
///
/// # Errors
/// A file that is damaged or cut short.
pub fn read_reference(bytes: &[u8]) -> Result<ReferenceLogProbs> {
    let Framed { examples, whole, ties, said } = Framed::read(bytes, REFERENCE)?;
    let records = said.chunks_exact(RECORD);
    if !records.remainder().is_empty() || records.len() != examples {
        let told = told!(
            "reference.length",
            "it holds {found} bytes for {examples} examples of 20 each",
            found = said.len(),
            examples
        );
        return Err(damaged(REFERENCE, &told));
    }
    let record = |record: &[u8]| {
        let (key, value) = record.split_at(16);
        let key = key.iter().rev().fold(0, |key, byte| (key << 8) | u128::from(*byte));
        let value = value.iter().rev().fold(0, |bits, byte| (bits << 8) | u32::from(*byte));
        (key, f32::from_bits(value))
    };
    Ok(ReferenceLogProbs { ties, known: records.map(record).collect(), whole })
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
        let reference = ReferenceLogProbs { ties, known, whole: true };
        let bytes = write_reference(&reference).unwrap();
        assert_eq!(read_reference(&bytes).unwrap(), reference);
        let begun = ReferenceLogProbs { whole: false, ..reference.clone() };
        assert_eq!(read_reference(&write_reference(&begun).unwrap()).unwrap(), begun);
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        let said = &bytes[end + 1..bytes.len() - 32];
        assert_eq!(said.len(), 3 * 20);
        // A file of before had no checksum, and told nothing of being whole.
        let line = String::from_utf8_lossy(&bytes[..=end]).replace("\"version\":2", "\"version\":1");
        let before = |said: &[u8]| [line.replace("\"whole\":true,", "").as_bytes(), said].concat();
        assert_eq!(read_reference(&before(said)).unwrap(), reference);
        let newer = String::from_utf8_lossy(&bytes[..=end]).replace("\"version\":2", "\"version\":3");
        let mut flipped = bytes.clone();
        flipped[end + 17] ^= 1;
        for (bytes, part) in [
            (&flipped[..], "its checksum is not that of what it holds"),
            (&bytes[..bytes.len() - 1], "its checksum is not that"),
            (&before(&said[..59])[..], "59 bytes for 3 examples"),
            (&before(&said[..40])[..], "40 bytes for 3 examples"),
            (&bytes[..end], "its first line is missing"),
            (b"{}\n", "missing field"),
            (b"", "its first line is missing"),
            (newer.as_bytes(), "its version is 3"),
        ] {
            let told = read_reference(bytes).unwrap_err().to_string();
            assert!(told.contains("training/reference.bin is damaged") && told.contains(part), "{told}");
        }
    }
}
