//! Reads bytes in order, and never past their end.

use crate::error::{Error, Result};
use crate::told::{Told, told};

/// The error of a file that contradicts itself.
pub(super) fn damaged(fact: impl Into<Told>) -> Error {
    let fact = fact.into();
    Error::Checkpoint(told!("gguf.damaged", "the GGUF file is damaged: {fact}; copy it again", fact))
}

/// The format's limit for names, in bytes.
const LONGEST_NAME: usize = 65535;

/// A place in bytes.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The beginning of the bytes.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> u64 {
        self.at as u64
    }

    /// Bytes that follow.
    pub(super) fn left(&self) -> u64 {
        (self.bytes.len() - self.at) as u64
    }

    /// The next bytes; `what` is named where they are missing.
    pub(super) fn take(&mut self, count: u64, what: &str) -> Result<&'a [u8]> {
        let end = usize::try_from(count).ok().and_then(|count| self.at.checked_add(count));
        let Some(taken) = end.and_then(|end| self.bytes.get(self.at..end)) else {
            return Err(damaged(told!(
                "gguf.cut",
                "'{what}' takes {count} bytes, and {left} are left",
                what,
                count,
                left = self.left()
            )));
        };
        self.at += taken.len();
        Ok(taken)
    }

    /// The bytes of a number.
    pub(super) fn number<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut number = [0; N];
        number.copy_from_slice(self.take(N as u64, what)?);
        Ok(number)
    }

    /// An unsigned 32-bit number.
    pub(super) fn u32(&mut self, what: &str) -> Result<u32> {
        self.number(what).map(u32::from_le_bytes)
    }

    /// An unsigned 64-bit number.
    pub(super) fn u64(&mut self, what: &str) -> Result<u64> {
        self.number(what).map(u64::from_le_bytes)
    }

    /// A text: its length in bytes, and its bytes.
    pub(super) fn text(&mut self, what: &str) -> Result<String> {
        let length = self.u64(what)?;
        let text = std::str::from_utf8(self.take(length, what)?);
        text.map(str::to_string)
            .map_err(|e| damaged(told!("gguf.not_text", "'{what}' holds no UTF-8 text ({e})", what, e)))
    }

    /// A text that names something, and is short enough to be repeated in messages.
    pub(super) fn name(&mut self, what: &str) -> Result<String> {
        let name = self.text(what)?;
        if name.len() > LONGEST_NAME {
            return Err(damaged(told!(
                "gguf.name_long",
                "{what} has {bytes} bytes, {longest_name} are the most",
                what,
                bytes = name.len(),
                longest_name = LONGEST_NAME
            )));
        }
        Ok(name)
    }

    /// The count of items of at least `least` bytes each, once that many bytes are there.
    pub(super) fn fits(&self, count: u64, least: u64, what: &str) -> Result<usize> {
        let enough = count.checked_mul(least).is_some_and(|bytes| bytes <= self.left());
        let count = usize::try_from(count).ok().filter(|_| enough);
        count.ok_or_else(|| {
            damaged(told!(
                "gguf.items",
                "'{what}' claims more items than the {left} bytes left",
                what,
                left = self.left()
            ))
        })
    }
}
