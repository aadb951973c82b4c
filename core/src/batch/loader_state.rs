//! Where a loader stands, as a run keeps it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Reused;
use super::walk::EpochPosition;

/// Where a loader stands; enough to go on with the very next batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoaderState {
    /// Full passes over the data.
    pub epoch: u64,
    /// Rows read in this pass (bucketed: before the current window).
    pub position: u64,
    /// Bucketed: pieces of the row at `position` that windows before the current one gave out.
    #[serde(default)]
    pub pieces: usize,
    /// Bucketed: batches already given out of the window that begins at `position`.
    pub served: usize,
    /// Packed: where the tokens that were read and not yet given out begin.
    pub(super) carry: Option<Carry>,
    /// Rows of the first pass that lost their end; texts that go on in another piece are not among them.
    pub cut: u64,
    /// Rows of the first pass that were dropped: too long, or without anything to learn.
    pub dropped: u64,
    /// Rows of the first pass that cannot be used and were left out.
    #[serde(default)]
    pub unusable: u64,
    /// Batches that go on being learned from, where some are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reused: Option<Box<Reused>>,
    /// Rows read so far by the name of their source, where sources have shares: up to the end of the current window.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub drawn: BTreeMap<String, u64>,
}

impl LoaderState {
    /// Packed: tokens that were read and in no row yet, though the first of them was the last target of a row.
    pub fn unread(&self) -> usize {
        self.carry.as_ref().map_or(0, |carry| carry.len)
    }
}

/// Tokens read and not yet given out: they are read again from their first row on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Carry {
    /// The first row's place.
    pub(super) place: EpochPosition,
    /// Tokens of that row that were given out.
    pub(super) skip: usize,
    /// Tokens that were not, of all rows.
    pub(super) len: usize,
}
