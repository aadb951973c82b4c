//! What was kept of a teacher as a file of a run: a line of JSON that says what it belongs to, then for each example a hash of
//! it (16 bytes), the number of its targets (4), their tokens (4 each) and log-probabilities (4 each), all little-endian, in
//! the order of the hashes, then a checksum.

use std::collections::BTreeMap;

use super::header::{Framed, begin, damaged, seal};
use crate::batch::TopTokens;
use crate::error::Result;
use crate::told::told;
use crate::train::{TeacherTies, TeacherTokens};

/// The file's place in a run's directory.
pub const TEACHER: &str = "training/teacher.bin";

/// The file's bytes.
///
/// # Errors
/// A header that cannot be written.
pub fn write_teacher(tokens: &TeacherTokens) -> Result<Vec<u8>> {
    let TeacherTokens { ties, known, whole } = tokens;
    let mut bytes = begin(TEACHER, (known.len(), *whole), ties)?;
    for (key, top) in known {
        bytes.extend(key.to_le_bytes());
        bytes.extend((top.targets() as u32).to_le_bytes());
        top.ids.iter().for_each(|id| bytes.extend(id.to_le_bytes()));
        top.log_probs.iter().for_each(|log_prob| bytes.extend(log_prob.to_le_bytes()));
    }
    Ok(seal(bytes))
}

/// Reads them back.
///
/// # Errors
/// A file that is damaged or cut short.
pub fn read_teacher(bytes: &[u8]) -> Result<TeacherTokens> {
    let Framed { examples, whole, ties, said } = Framed::<TeacherTies>::read(bytes, TEACHER)?;
    let mut known = BTreeMap::new();
    let mut rest = Numbers(said);
    let cut = || damaged(TEACHER, &told!("taught.cut", "it is cut short"));
    for _ in 0..examples {
        let key = [0, 32, 64, 96]
            .into_iter()
            .try_fold(0, |key, shift| rest.next().map(|number| key | (u128::from(number) << shift)));
        let (key, targets) = key.zip(rest.next()).ok_or_else(cut)?;
        let mut top = TopTokens::new(ties.top_k, ties.vocab);
        top.ids = rest.take(targets, ties.top_k).ok_or_else(cut)?;
        let log_probs = rest.take(targets, ties.top_k.saturating_add(1)).ok_or_else(cut)?;
        top.log_probs = log_probs.into_iter().map(f32::from_bits).collect();
        if top.ids.iter().any(|&id| id as usize >= ties.vocab) {
            return Err(damaged(
                TEACHER,
                &told!("taught.token", "it holds a token that the vocabulary lacks"),
            ));
        }
        known.insert(key, top);
    }
    match rest.0.is_empty() && known.len() == examples {
        true => Ok(TeacherTokens { ties, known, whole }),
        false => Err(damaged(TEACHER, &told!("taught.more", "it holds more than its first line says"))),
    }
}

/// Numbers of 32 bits, one behind the other.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn next(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*number))
    }

    /// So many numbers for each of so many targets; `None` where there are fewer.
    fn take(&mut self, targets: u32, each: usize) -> Option<Vec<u32>> {
        let count = (targets as usize).checked_mul(each)?;
        let (numbers, rest) = self.0.split_at_checked(count.checked_mul(4)?)?;
        self.0 = rest;
        let mut numbers = Numbers(numbers);
        Some(std::iter::from_fn(|| numbers.next()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::ReferenceTies;

    fn tokens() -> TeacherTokens {
        let asked =
            ReferenceTies { model: "m".into(), data: "d".into(), dtype: "F32".into(), settings: "s".into() };
        let ties = TeacherTies { asked, top_k: 2, vocab: 4, temperature: 1.5 };
        let top = |targets: usize| {
            let mut top = TopTokens::new(2, 4);
            (0..targets).for_each(|i| assert!(top.push(&[0.0, i as f32, 0.5, -3.0], 1.5)));
            top
        };
        let known = [(1u128 << 100, top(2)), (7, top(0)), (u128::MAX, top(1))].into();
        TeacherTokens { ties, known, whole: true }
    }

    /// A file of before: with this first line, and without a checksum.
    fn of_before(line: &str, said: &[u8]) -> Vec<u8> {
        [line.as_bytes(), b"\n", said].concat()
    }

    #[test]
    fn what_is_written_is_read_and_damage_is_named() {
        let bytes = write_teacher(&tokens()).unwrap();
        assert_eq!(read_teacher(&bytes).unwrap(), tokens());
        let begun = TeacherTokens { whole: false, ..tokens() };
        assert_eq!(read_teacher(&write_teacher(&begun).unwrap()).unwrap(), begun);
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        let said = &bytes[end + 1..bytes.len() - 32];
        assert_eq!(said.len(), 3 * 20 + 3 * 4 * (2 + 3));
        let line = String::from_utf8_lossy(&bytes[..end]).replace("\"version\":2", "\"version\":1");
        let line = line.replace("\"whole\":true,", "");
        assert_eq!(read_teacher(&of_before(&line, said)).unwrap(), tokens());
        let changed = |from: &str, to: &str| of_before(&line.replace(from, to), said);
        let mut flipped = bytes.clone();
        flipped[end + 60] ^= 1;
        for (bytes, part) in [
            (flipped, "its checksum is not that of what it holds"),
            (bytes[..bytes.len() - 1].to_vec(), "its checksum is not that"),
            (bytes[..end].to_vec(), "its first line is missing"),
            (of_before(&line, &said[..said.len() - 1]), "is cut short"),
            (of_before(&line, &said[..8]), "is cut short"),
            (of_before(&line, &[said, &[0; 4]].concat()), "more than its first line says"),
            (changed("\"version\":1", "\"version\":3"), "its version is 3"),
            (changed("\"vocab\":4", "\"vocab\":1"), "a token that the vocabulary lacks"),
            (changed("\"examples\":3", "\"examples\":18446744073709551615"), "is cut short"),
            (changed("\"top_k\":2", "\"top_k\":18446744073709551615"), "is cut short"),
        ] {
            let told = read_teacher(&bytes).unwrap_err().to_string();
            assert!(told.contains("training/teacher.bin is damaged") && told.contains(part), "{told}");
        }
    }
}
