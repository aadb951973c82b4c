//! The bytes of a pickle, taken from the front. No length in them is believed before as many bytes are there.

use super::dtype::array;
use super::value::Pickled;
use crate::error::{Error, Result};

/// Bytes, and how far they are read.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        self.take(1).map(|bytes| array::<1>(bytes)[0])
    }

    pub(super) fn take(&mut self, count: u64) -> Result<&'a [u8]> {
        let split = usize::try_from(count).ok().and_then(|count| self.rest.split_at_checked(count));
        let (taken, rest) = split.ok_or_else(|| {
            damaged(&format!("asks for {count} more bytes, of which {} are there", self.rest.len()))
        })?;
        self.rest = rest;
        Ok(taken)
    }

    /// A whole number of `width` bytes, at most 8, without a sign.
    pub(super) fn number(&mut self, width: u64) -> Result<u64> {
        self.take(width).map(|bytes| u64::from_le_bytes(array(bytes)))
    }

    /// A whole number behind its length. Those beyond 64 bits are seeds and the like, never sizes.
    pub(super) fn long(&mut self, width: u64) -> Result<Pickled<'a>> {
        let bytes = self.counted(width)?;
        if bytes.len() > 8 {
            return Ok(Pickled::Other);
        }
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut whole = if negative { [0xff; 8] } else { [0; 8] };
        whole.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Ok(Pickled::Int(i64::from_le_bytes(whole)))
    }

    /// A text behind its length. What is no UTF-8 names no tensor.
    pub(super) fn text(&mut self, width: u64) -> Result<Pickled<'a>> {
        Ok(std::str::from_utf8(self.counted(width)?).map_or(Pickled::Other, Pickled::Text))
    }

    /// Bytes behind their length, which takes `width` bytes itself.
    pub(super) fn counted(&mut self, width: u64) -> Result<&'a [u8]> {
        let length = self.number(width)?;
        self.take(length)
    }

    /// A name up to the end of its line.
    pub(super) fn line(&mut self) -> Result<&'a str> {
        let length = self.rest.iter().position(|byte| *byte == b'\n');
        let line = self.take(length.ok_or_else(|| damaged("has a name without an end"))? as u64)?;
        self.take(1)?;
        std::str::from_utf8(line).map_err(|_| damaged("has a name that is no text"))
    }
}

/// What is wrong with a pickle.
pub(super) fn damaged(what: &str) -> Error {
    Error::Checkpoint(format!(
        "the pickle in the PyTorch file {what}; the file is damaged, or torch.save did not make it: copy it again"
    ).into())
}
