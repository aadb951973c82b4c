//! Reading a source forward in blocks, so that memory stays the same whatever the source's size.

use std::sync::Arc;

use super::source::Source;
use crate::error::{Error, Result};

/// How many bytes are held at once.
pub const READ_BLOCK: usize = 256 * 1024;

/// A place in a source and the bytes that follow it.
pub struct BlockReader {
    source: Arc<dyn Source>,
    block: Vec<u8>,
    /// Offset in the source of the block's first byte.
    start: u64,
    /// How much of the block is read, and how much of that is consumed.
    filled: usize,
    consumed: usize,
}

impl BlockReader {
    /// Reads `source` from `offset` on.
    pub fn new(source: Arc<dyn Source>, offset: u64) -> Self {
        let size = usize::try_from(source.len()).unwrap_or(READ_BLOCK).clamp(1, READ_BLOCK);
        Self { source, block: vec![0; size], start: offset, filled: 0, consumed: 0 }
    }

    /// The offset of the next byte.
    pub fn offset(&self) -> u64 {
        self.start + self.consumed as u64
    }

    /// The bytes that come next: at least `wanted` (at most [`READ_BLOCK`]) unless the source ends; none at its end.
    ///
    /// # Errors
    /// [`Error::Io`] with the source's name.
    pub fn peek(&mut self, wanted: usize) -> Result<&[u8]> {
        if self.filled - self.consumed < wanted {
            self.fill()?;
        }
        Ok(&self.block[self.consumed..self.filled])
    }

    /// Passes over `count` bytes that [`peek`](Self::peek) has shown.
    pub fn consume(&mut self, count: usize) {
        self.consumed = (self.consumed + count).min(self.filled);
    }

    /// Goes to an offset; bytes that are still held are not read again.
    pub fn seek(&mut self, offset: u64) {
        let held = self.start..=self.start + self.filled as u64;
        if held.contains(&offset) {
            self.consumed = (offset - self.start) as usize;
        } else {
            (self.start, self.filled, self.consumed) = (offset, 0, 0);
        }
    }

    /// Moves what is left to the front and reads until the block is full or the source ends.
    fn fill(&mut self) -> Result<()> {
        self.block.copy_within(self.consumed..self.filled, 0);
        self.start += self.consumed as u64;
        self.filled -= self.consumed;
        self.consumed = 0;
        while self.filled < self.block.len() {
            let offset = self.start + self.filled as u64;
            match self.source.read_at(offset, &mut self.block[self.filled..]) {
                Ok(0) => break,
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(Error::Io { path: self.source.name().to_string(), source });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::source::Memory;

    fn blocks(len: usize) -> BlockReader {
        let bytes: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        BlockReader::new(Arc::new(Memory::new("a", bytes)), 0)
    }

    #[test]
    fn every_byte_is_shown_once_and_memory_stays_a_block() {
        let mut blocks = blocks(3 * READ_BLOCK + 5);
        let mut total = 0;
        loop {
            let shown = blocks.peek(1).unwrap();
            if shown.is_empty() {
                break;
            }
            assert!(shown.iter().enumerate().all(|(i, byte)| *byte == ((total + i) % 251) as u8));
            let count = shown.len().min(100_000);
            blocks.consume(count);
            total += count;
            assert_eq!(blocks.offset(), total as u64);
        }
        assert_eq!(total, 3 * READ_BLOCK + 5);
        assert_eq!(blocks.block.len(), READ_BLOCK);
    }

    #[test]
    fn as_many_bytes_as_wanted_are_shown_across_a_block_end() {
        let mut blocks = blocks(2 * READ_BLOCK);
        let first = blocks.peek(1).unwrap().len();
        blocks.consume(first - 3);
        assert!(blocks.peek(10).unwrap().len() >= 10);
        assert_eq!(blocks.peek(10).unwrap()[0], ((READ_BLOCK - 3) % 251) as u8);
    }

    #[test]
    fn seeking_goes_back_and_forth() {
        let mut blocks = blocks(2 * READ_BLOCK);
        for offset in [READ_BLOCK + 7, 3, 5, 2 * READ_BLOCK - 1] {
            blocks.seek(offset as u64);
            assert_eq!(blocks.peek(1).unwrap()[0], (offset % 251) as u8);
        }
        blocks.seek(2 * READ_BLOCK as u64);
        assert!(blocks.peek(1).unwrap().is_empty());
    }
}
