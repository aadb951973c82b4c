//! Where the bytes of a data file come from: a file, a browser's handle, or memory.

use std::io;

/// Bytes that can be read at any place, and their name for messages.
///
/// The bytes are not compressed: see [`decompressor`](super::compressed::decompressor). Those of a `.parquet` file are
/// the lines of its rows, once it is read as data.
pub trait Source: Send + Sync {
    /// The file's name, as the user gave it; its ending says what format it has.
    fn name(&self) -> &str;

    /// The length in bytes.
    fn len(&self) -> u64;

    /// Whether there is no byte.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name of the encoding that the bytes were made from; `None` for bytes that are UTF-8 by themselves. One that
    /// meant nothing there became a byte that no UTF-8 has.
    fn encoding(&self) -> Option<&str> {
        None
    }

    /// Reads bytes from `offset` on into `buffer` and says how many: fewer than asked for is allowed, none means the
    /// end.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

/// A source in memory.
#[derive(Clone, Debug)]
pub struct Memory {
    name: String,
    bytes: Vec<u8>,
}

impl Memory {
    /// A source of these bytes.
    pub fn new(name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self { name: name.to_string(), bytes: bytes.into() }
    }
}

impl Source for Memory {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let start = usize::try_from(offset).map_or(self.bytes.len(), |start| start.min(self.bytes.len()));
        let count = buffer.len().min(self.bytes.len() - start);
        buffer[..count].copy_from_slice(&self.bytes[start..start + count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_reads_at_any_place_and_ends() {
        let source = Memory::new("a.txt", "abcdef");
        let mut buffer = [0; 4];
        assert_eq!(source.read_at(1, &mut buffer).unwrap(), 4);
        assert_eq!(&buffer, b"bcde");
        assert_eq!(source.read_at(5, &mut buffer).unwrap(), 1);
        assert_eq!(source.read_at(6, &mut buffer).unwrap(), 0);
        assert_eq!(source.read_at(u64::MAX, &mut buffer).unwrap(), 0);
        assert_eq!((source.name(), source.len(), source.is_empty()), ("a.txt", 6, false));
    }
}
