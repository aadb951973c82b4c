//! Where a row comes from, and why one is left out.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::told::Told;

/// Where a row comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RowOrigin {
    /// The file's name.
    pub source: String,
    /// The line in it where the row begins, from 1.
    pub line: u64,
}

impl fmt::Display for RowOrigin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.source, self.line)
    }
}

/// A row that is not used.
#[derive(Clone, Debug, PartialEq)]
pub struct LeftOut {
    /// Where it stands.
    pub origin: RowOrigin,
    /// Why it is not used.
    pub why: Why,
}

/// Why a row is not used.
#[derive(Clone, Debug, PartialEq)]
pub enum Why {
    /// It cannot be used, for this reason.
    Bad(Told),
    /// A pair in which both answers are equal.
    EqualPair,
    /// It has too few characters.
    TooShort,
    /// It has too many characters.
    TooLong,
    /// It is in no language that was asked for, but in this one: `zh`, `en`, `other`, `code` or `none`.
    Language(&'static str),
    /// It means what this earlier row means.
    Equal(RowOrigin),
    /// It nearly says what this earlier row says, with this Jaccard similarity.
    Near(RowOrigin, f64),
}
