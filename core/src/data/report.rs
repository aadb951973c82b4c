//! What the data holds: counted once, when it is opened.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::{Parsed, Row, RowWarning};

/// Counts over all rows; `rows` = `usable` + `bad` + `filtered` + `duplicates`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataReport {
    /// Rows found, up to the limit of usable ones.
    pub rows: u64,
    /// Rows that are used.
    pub usable: u64,
    /// Usable rows that are documents.
    pub documents: u64,
    /// Usable rows that are conversations.
    pub conversations: u64,
    /// Rows that cannot be used.
    pub bad: u64,
    /// The first five of them, as `file:line: reason`.
    pub bad_rows: Vec<String>,
    /// Rows left out because they are too short or too long.
    pub filtered: u64,
    /// Rows left out because an equal one stands before them.
    pub duplicates: u64,
    /// Usable rows that are odd, by kind.
    pub warnings: BTreeMap<RowWarning, WarningCount>,
    /// The texts of all usable rows in UTF-8 bytes.
    pub bytes_of_text: u64,
}

/// How often a warning occurs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarningCount {
    /// In how many rows.
    pub rows: u64,
    /// Where first, as `file:line`.
    pub first: String,
}

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

impl DataReport {
    pub(super) fn add_bad(&mut self, origin: &RowOrigin, reason: &str) {
        const SHOWN: usize = 5;
        self.bad += 1;
        if self.bad_rows.len() < SHOWN {
            self.bad_rows.push(format!("{origin}: {reason}"));
        }
    }

    pub(super) fn add_usable(&mut self, parsed: &Parsed, origin: &RowOrigin) {
        self.usable += 1;
        match parsed.row {
            Row::Document(_) => self.documents += 1,
            Row::Conversation(_) => self.conversations += 1,
        }
        self.bytes_of_text += parsed.row.bytes();
        for warning in &parsed.warnings {
            let none = || WarningCount { rows: 0, first: origin.to_string() };
            self.warnings.entry(*warning).or_insert_with(none).rows += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_counted_with_their_first_place() {
        let mut report = DataReport::default();
        for line in [3, 8] {
            let origin = RowOrigin { source: "a.txt".to_string(), line };
            report.add_usable(&Parsed::new(Row::Document(" ".to_string())), &origin);
        }
        let count = &report.warnings[&RowWarning::EmptyDocument];
        assert_eq!((count.rows, count.first.as_str()), (2, "a.txt:3"));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["warnings"]["empty_document"]["rows"], 2);
    }
}
