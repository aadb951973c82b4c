//! Where the kept rows stand, by their numbers.

use crate::data::scan::RowStart;
use crate::error::{Error, Result};
use crate::told::told;

/// Numbers in a block: the list grows by blocks, so that it is never copied and has no more spare room than one.
const BLOCK: usize = 1 << 16;
/// Bits of a line's number beside that of its file.
const LINE_BITS: u32 = 40;

/// A list that grows without being copied.
#[derive(Default)]
struct Blocks(Vec<Vec<u64>>);

impl Blocks {
    fn push(&mut self, number: u64) {
        match self.0.last_mut().filter(|block| block.len() < BLOCK) {
            Some(block) => block.push(number),
            None => {
                let mut block = Vec::with_capacity(BLOCK);
                block.push(number);
                self.0.push(block);
            }
        }
    }

    fn get(&self, at: usize) -> Option<u64> {
        self.0.get(at / BLOCK)?.get(at % BLOCK).copied()
    }

    fn bytes(&self) -> u64 {
        8 * (self.0.len() * BLOCK) as u64
    }
}

/// The file and the line of every kept row, 8 bytes a row, and where they are read again 8 more for the byte.
pub(super) struct Places {
    lines: Blocks,
    offsets: Option<Blocks>,
    len: u32,
}

impl Places {
    /// None so far; `reread` keeps what it takes to read a row again.
    pub(super) fn new(reread: bool) -> Self {
        Self { lines: Blocks::default(), offsets: reread.then(Blocks::default), len: 0 }
    }

    /// Adds a row of a file; its number.
    ///
    /// # Errors
    /// More rows, files or lines than there are numbers for.
    pub(super) fn push(&mut self, file: usize, place: RowStart) -> Result<u32> {
        let number = self.len;
        if number == u32::MAX - 1 || file >= 1 << (64 - LINE_BITS) || place.line >= 1 << LINE_BITS {
            return Err(Error::Data(told!(
                "data.dedup_full",
                "--dedup tells at most 4,294,967,294 rows of 16,777,216 files apart; deduplicate the data in parts"
            )));
        }
        self.lines.push(((file as u64) << LINE_BITS) | place.line);
        self.offsets.iter_mut().for_each(|offsets| offsets.push(place.offset));
        self.len += 1;
        Ok(number)
    }

    /// The file of a row, and its place there; the byte is 0 where it was not kept.
    pub(super) fn get(&self, number: u32) -> Option<(usize, RowStart)> {
        let at = number as usize;
        let line = self.lines.get(at)?;
        let offset = self.offsets.as_ref().map_or(Some(0), |offsets| offsets.get(at))?;
        Some(((line >> LINE_BITS) as usize, RowStart { offset, line: line & ((1 << LINE_BITS) - 1) }))
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> u64 {
        self.len.into()
    }

    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> u64 {
        self.lines.bytes() + self.offsets.as_ref().map_or(0, Blocks::bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_kept_and_too_many_are_refused() {
        let mut places = Places::new(true);
        let place = |row: u64| RowStart { offset: 1000 * row, line: row + 1 };
        for row in 0..100_000 {
            assert_eq!(places.push((row % 7) as usize, place(row)).unwrap(), row as u32);
        }
        for row in [0, 65_535, 65_536, 99_999] {
            assert_eq!(places.get(row), Some(((row % 7) as usize, place(row.into()))));
        }
        assert_eq!((places.get(100_000), places.len(), places.bytes()), (None, 100_000, 2 * 2 * 8 * 65_536));
        let lines = RowStart { offset: 0, line: 1 << 40 };
        assert!(places.push(0, lines).unwrap_err().to_string().contains("deduplicate the data in parts"));
        assert!(places.push(1 << 24, place(0)).is_err());
        let mut named = Places::new(false);
        named.push(3, place(9)).unwrap();
        assert_eq!(named.get(0), Some((3, RowStart { offset: 0, line: 10 })));
    }
}
