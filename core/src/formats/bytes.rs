//! The bytes of a file, in memory or mapped into it.

use std::ops::{Deref, Range};

/// What a reader gives: its own copy, or something that only looks like one.
pub struct Bytes(Box<dyn Backing>);

/// What shows the bytes of a file.
pub trait Backing: Send + Sync {
    /// The bytes.
    fn bytes(&self) -> &[u8];

    /// Says that these bytes are not read soon; they stay readable. A memory map may give their pages back.
    fn release(&self, _range: Range<usize>) {}
}

impl Backing for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }
}

impl Bytes {
    /// Takes anything that shows bytes, such as a memory map.
    pub fn new(bytes: impl Backing + 'static) -> Self {
        Self(Box::new(bytes))
    }

    /// As [`Backing::release`].
    pub(crate) fn release(&self, range: Range<usize>) {
        self.0.release(range);
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(bytes)
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.bytes()
    }
}
