//! The bytes of a file as the parquet crate reads them, and a walk through some of them.

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

use crate::data::source::Source;

/// The bytes of a file; room is made only for those that are there.
pub(super) struct FileBytes(Arc<dyn Source>);

impl FileBytes {
    pub(super) fn new(source: Arc<dyn Source>) -> Self {
        Self(source)
    }
}

impl Length for FileBytes {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl ChunkReader for FileBytes {
    type T = BufReader<Forward>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(BufReader::new(Forward { source: Arc::clone(&self.0), offset: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.0.len()) {
            return Err(failure("the file is damaged or cut off: a page lies outside of it"));
        }
        let mut bytes = vec![0; length];
        Forward { source: Arc::clone(&self.0), offset: start }.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// Reads a source from a place on.
pub(super) struct Forward {
    source: Arc<dyn Source>,
    offset: u64,
}

impl Read for Forward {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read_at(self.offset, buffer)?;
        self.offset += count as u64;
        Ok(count)
    }
}

/// What is left of some bytes; every step gives `None` where they end.
pub(super) struct Rest<'a>(pub(super) &'a [u8]);

impl<'a> Rest<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    /// An integer with seven bits a byte, the lowest ones first; the highest bit says that another byte follows.
    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

/// What this folder says, in the parquet crate's form.
pub(super) fn failure(why: impl Into<String>) -> ParquetError {
    ParquetError::General(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::source::Memory;

    #[test]
    fn bytes_that_are_not_there_are_not_asked_for() {
        let file = FileBytes::new(Arc::new(Memory::new("a", "abcdef")));
        assert_eq!(file.get_bytes(2, 4).unwrap(), "cdef");
        assert!(file.get_bytes(3, 4).is_err());
        assert!(file.get_bytes(3, usize::MAX).is_err());
        let mut rest = String::new();
        file.get_read(4).unwrap().read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "ef");
    }

    #[test]
    fn varints_end_or_are_none() {
        assert_eq!(Rest(&[0x7F]).varint(), Some(127));
        assert_eq!(Rest(&[0xAC, 0x02]).varint(), Some(300));
        assert_eq!(Rest(&[0x80]).varint(), None);
        assert_eq!(Rest(&[0xFF; 11]).varint(), None);
    }
}
