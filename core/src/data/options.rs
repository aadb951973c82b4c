//! Which rows of the data are used.

use crate::error::{Error, Result};

/// Which rows are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataOptions {
    /// Stop after so many usable rows, in the order of the files.
    pub limit: Option<u64>,
    /// Leave bad rows out and count them, instead of refusing the data.
    pub skip_bad_rows: bool,
    /// Leave out rows that equal an earlier one. While the data is opened this takes a fingerprint of 16 bytes a row
    /// (up to 40 with the set's spare room).
    pub dedup: bool,
    /// The fewest characters that all texts of a row must have together.
    pub min_chars: Option<usize>,
    /// The most characters that all texts of a row may have together.
    pub max_chars: Option<usize>,
    /// The most bytes that a row may have in its file; plain text is cut there.
    pub max_row_bytes: usize,
}

impl Default for DataOptions {
    fn default() -> Self {
        Self {
            limit: None,
            skip_bad_rows: false,
            dedup: false,
            min_chars: None,
            max_chars: None,
            max_row_bytes: 64 << 20,
        }
    }
}

impl DataOptions {
    /// Whether the options fit together.
    ///
    /// # Errors
    /// [`Error::Config`] with everything that does not.
    pub(super) fn check(&self) -> Result<()> {
        let mut problems = Vec::new();
        if self.limit == Some(0) {
            problems.push("the limit of rows must be at least 1".to_string());
        }
        if self.max_row_bytes == 0 {
            problems.push("the limit of a row's bytes must be at least 1".to_string());
        }
        if let (Some(min), Some(max)) = (self.min_chars, self.max_chars)
            && min > max
        {
            problems.push(format!("no row can have at least {min} and at most {max} characters"));
        }
        if problems.is_empty() { Ok(()) } else { Err(Error::Config(problems)) }
    }
}
