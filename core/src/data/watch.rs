//! Who follows the judgement of rows: is told of what is left out and how far it has come, and keeps what took long.

use super::dedup::Signature;
use super::origin::LeftOut;
use crate::error::Result;

/// What was found of a row while near-duplicates were looked for, to be taken again when the same rows are judged again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptSignature {
    /// The row's number among all rows, usable or not.
    pub row: u64,
    /// 64 bits of a hash of what it means: of another row nothing is taken.
    pub meaning: u64,
    /// Its signature.
    pub bands: Signature,
}

/// Follows the judgement of rows, in their order.
pub trait Watch {
    /// Takes note of a row that is not used.
    ///
    /// # Errors
    /// It cannot be noted; the judgement then ends.
    fn left_out(&mut self, _row: &LeftOut) -> Result<()> {
        Ok(())
    }

    /// Takes note of how far it has come: rows, and the bytes that they have in their files.
    fn progress(&mut self, _rows: u64, _bytes: u64) {}

    /// What was kept of the row of this number; rows are asked for in their order.
    fn kept(&mut self, _row: u64) -> Option<KeptSignature> {
        None
    }

    /// Keeps what was found.
    ///
    /// # Errors
    /// It cannot be kept; the judgement then ends.
    fn keep(&mut self, _signature: &KeptSignature) -> Result<()> {
        Ok(())
    }
}

/// Nobody follows.
pub struct Unwatched;

impl Watch for Unwatched {}
