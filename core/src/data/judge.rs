//! The judgement of rows: which are used, which are left out, and why.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use super::file::DataFile;
use super::index::{Entry, RowIndex, RowSet};
use super::options::DataOptions;
use super::report::DataReport;
use super::scan::Scanner;
use crate::error::{Error, Result};
use crate::text::{Parsed, Row};

/// Decides row by row which ones are used.
pub(super) struct Judge<'a> {
    options: &'a DataOptions,
    verdict: Verdict,
    /// Fingerprints of the rows so far, where equal rows are left out.
    seen: HashSet<u128>,
}

/// What is known when all rows are judged.
pub(super) struct Verdict {
    pub(super) report: DataReport,
    /// The usable rows.
    pub(super) index: RowIndex,
    /// The numbers of the others, among all rows.
    pub(super) unusable: RowSet,
}

impl<'a> Judge<'a> {
    pub(super) fn new(options: &'a DataOptions) -> Self {
        let verdict =
            Verdict { report: DataReport::default(), index: RowIndex::new(), unusable: RowSet::default() };
        Self { options, verdict, seen: HashSet::new() }
    }

    /// How many rows are judged.
    pub(super) fn rows(&self) -> u64 {
        self.verdict.report.rows
    }

    /// Whether the limit of usable rows is reached.
    pub(super) fn is_full(&self) -> bool {
        self.options.limit.is_some_and(|limit| self.verdict.report.usable >= limit)
    }

    /// Judges the row that the scanner found last.
    pub(super) fn row(&mut self, file_number: usize, file: &DataFile, scanner: &Scanner) {
        let found = self.rows();
        self.verdict.report.rows += 1;
        let origin = file.origin(scanner);
        match file.parse(scanner.bytes()) {
            Ok(parsed) if self.accepts(&parsed) => {
                self.verdict.report.add_usable(&parsed, &origin);
                self.verdict.index.push(Entry { file: file_number, place: scanner.place(), found });
                return;
            }
            Ok(_) => {}
            Err(reason) => self.verdict.report.add_bad(&origin, &reason),
        }
        self.verdict.unusable.insert(found);
    }

    /// Whether a good row is used; counts it if not.
    fn accepts(&mut self, parsed: &Parsed) -> bool {
        let (min, max) = (self.options.min_chars, self.options.max_chars);
        if min.is_some() || max.is_some() {
            let chars = parsed.row.chars();
            if min.is_some_and(|min| chars < min) || max.is_some_and(|max| chars > max) {
                self.verdict.report.filtered += 1;
                return false;
            }
        }
        if self.options.dedup && !self.seen.insert(fingerprint(&parsed.row)) {
            self.verdict.report.duplicates += 1;
            return false;
        }
        true
    }

    /// The verdict over all rows.
    ///
    /// # Errors
    /// Bad rows that are not to be skipped, or no usable row.
    pub(super) fn finish(self) -> Result<Verdict> {
        let report = &self.verdict.report;
        if report.bad > 0 && !self.options.skip_bad_rows {
            return Err(Error::BadRows { total: report.bad, rows: report.bad_rows.clone() });
        }
        if report.usable == 0 {
            let DataReport { rows, bad, filtered, .. } = report;
            let first =
                report.bad_rows.first().map_or(String::new(), |row| format!("; the first bad one is {row}"));
            return Err(Error::Data(format!(
                "no row of the data is left: of {rows}, {bad} are bad and {filtered} too short or too long{first}"
            )));
        }
        Ok(self.verdict)
    }
}

/// 128 bits of SHA-256 over everything that a row means; equal rows may be spelled differently in their files.
fn fingerprint(row: &Row) -> u128 {
    let mut hash = Sha256::new();
    // A length before each part keeps ("ab", "c") and ("a", "bc") apart.
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    match row {
        Row::Document(text) => part(text),
        Row::Conversation(conversation) => {
            for message in &conversation.messages {
                part(&message.role);
                part(&message.content);
                part(&message.extra.len().to_string());
                for (key, value) in &message.extra {
                    part(key);
                    part(&value.to_string());
                }
            }
            part("tools");
            part(&conversation.tools.as_ref().map_or(String::new(), ToString::to_string));
        }
    }
    let digest = hash.finalize();
    digest.iter().take(16).fold(0, |number, byte| (number << 8) | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::tests::{open, refusal, rows, skipping};
    use crate::text::parse_row;
    use serde_json::json;

    #[test]
    fn a_fingerprint_tells_meanings_apart_not_spellings() {
        let mark = |json: serde_json::Value| fingerprint(&parse_row(&json).unwrap().row);
        let pair = mark(json!({"user": "ab", "assistant": "c"}));
        assert_eq!(pair, mark(json!({"q": "ab", "a": "c"})));
        for other in [
            json!({"user": "a", "assistant": "bc"}),
            json!({"text": "abc"}),
            json!({"user": "ab", "assistant": "c", "tools": [{}]}),
            json!([{"role": "user", "content": "ab", "name": "x"}, {"role": "assistant", "content": "c"}]),
        ] {
            assert_ne!(pair, mark(other.clone()), "{other}");
        }
        // SHA-256 of the length 3 in eight bytes and "abc", its first 16 bytes.
        let expected = Sha256::digest(b"\x03\0\0\0\0\0\0\0abc");
        assert_eq!(mark(json!({"text": "abc"})).to_be_bytes(), expected[..16]);
    }

    #[test]
    fn bad_rows_are_all_counted_and_five_are_named() {
        let text = "{\"text\": \"ok\"}\n".to_string() + &"nonsense\n".repeat(7);
        let message = refusal(&[("a.jsonl", &text)], DataOptions::default());
        let named: Vec<&str> = message.lines().skip(1).collect();
        assert!(message.starts_with("7 of the data's rows cannot be used"), "{message}");
        assert_eq!(named.len(), 5);
        assert_eq!(named[0], "  - a.jsonl:2: broken JSON at column 2: expected a value");
        assert_eq!(open(&[("a.jsonl", &text)], skipping()).unwrap().len(), 1);
    }

    #[test]
    fn equal_and_badly_sized_rows_are_left_out_and_the_limit_counts_what_is_left() {
        let texts = ["aa", "字字", "aa", "bbbb", "c", "字字", "dd", "aa", "ee"];
        let file: String = texts.iter().map(|text| format!("{{\"text\": \"{text}\"}}\n")).collect();
        let options =
            DataOptions { dedup: true, min_chars: Some(2), max_chars: Some(3), ..DataOptions::default() };
        let data = open(&[("a.jsonl", &file)], options.clone()).unwrap();
        assert_eq!(rows(&data), ["a.jsonl:1 aa", "a.jsonl:2 字字", "a.jsonl:7 dd", "a.jsonl:9 ee"]);
        let report = data.report();
        assert_eq!((report.rows, report.usable, report.filtered, report.duplicates), (9, 4, 2, 3));
        let data = open(&[("a.jsonl", &file)], DataOptions { limit: Some(3), ..options }).unwrap();
        assert_eq!((data.len(), data.report().rows), (3, 7));
        assert_eq!(data.row(3).unwrap(), None);
    }
}
