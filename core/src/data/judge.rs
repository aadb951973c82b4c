//! The judgement of rows: which are used, which are left out, and why.

use std::collections::HashSet;

use super::file::DataFile;
use super::fingerprint::{DataFingerprint, Fingerprints, meaning};
use super::index::{Entry, RowIndex, RowSet};
use super::mix::{Mix, SourceShare};
use super::options::DataOptions;
use super::report::DataReport;
use super::scan::Scanner;
use crate::error::{Error, Result};
use crate::text::{Parsed, Row};
use crate::told::told;

/// Decides row by row which ones are used.
struct Judge<'a> {
    options: &'a DataOptions,
    verdict: Verdict,
    fingerprint: DataFingerprint,
    /// What the rows so far mean, where equal rows are left out.
    seen: HashSet<u128>,
    /// Usable rows that are enough.
    enough: Option<u64>,
}

/// Judges every row of these files, which hold the sources of a mix one behind the other where there is one; the rows of
/// each are counted there.
///
/// # Errors
/// A file without rows, bad rows that are not to be skipped, or no usable row; reading fails.
pub(super) fn judge(
    files: &[DataFile],
    options: &DataOptions,
    mut mix: Option<(&mut Mix, &[SourceShare])>,
) -> Result<Verdict> {
    let mut judge = Judge::new(options);
    let shares = mix.as_ref().map_or(&[][..], |(_, shares)| *shares);
    // Which source each file belongs to.
    let of_file =
        shares.iter().enumerate().flat_map(|(source, share)| std::iter::repeat_n(source, share.files));
    let of_file: Vec<usize> = of_file.collect();
    let mut begun = None;
    for (number, file) in files.iter().enumerate() {
        let source = of_file.get(number).copied();
        if let (Some(source), Some((mix, _))) = (source, &mix)
            && begun != Some(source)
        {
            begun = Some(source);
            judge.enough = options.limit.map(|limit| judge.usable() + mix.limit_of(source, limit));
        }
        if judge.is_full() {
            judge.verdict.ends.push(judge.rows());
            continue;
        }
        let (before, usable) = (judge.rows(), judge.usable());
        judge.file(file);
        let mut scanner = file.scanner();
        while !judge.is_full() && scanner.advance()? {
            judge.row(number, file, &scanner);
        }
        judge.verdict.ends.push(judge.rows());
        if judge.rows() == before {
            return Err(Error::Data(told!(
                "file.no_rows",
                "{name}: the file holds no rows",
                name = file.name()
            )));
        }
        if let (Some(source), Some((mix, _))) = (source, &mut mix) {
            mix.sources[source].rows += judge.usable() - usable;
        }
    }
    judge.finish()
}

/// What is known when all rows are judged.
pub(super) struct Verdict {
    pub(super) report: DataReport,
    /// The usable rows.
    pub(super) index: RowIndex,
    /// The numbers of the others, among all rows.
    pub(super) unusable: RowSet,
    /// How many of all rows there are up to the end of each file, or to where it is read no further.
    pub(super) ends: Vec<u64>,
    /// A hash of what each usable row means, where rows on both sides of the split are looked for.
    pub(super) hashes: Vec<u64>,
    /// What the usable rows are.
    pub(super) fingerprints: Fingerprints,
}

impl<'a> Judge<'a> {
    fn new(options: &'a DataOptions) -> Self {
        let verdict = Verdict {
            report: DataReport::default(),
            index: RowIndex::new(),
            unusable: RowSet::default(),
            ends: Vec::new(),
            hashes: Vec::new(),
            fingerprints: Fingerprints::default(),
        };
        let (fingerprint, seen) = (DataFingerprint::new(options), HashSet::new());
        Self { options, verdict, fingerprint, seen, enough: options.limit }
    }

    /// Begins a file.
    fn file(&mut self, file: &DataFile) {
        self.fingerprint.begin(file);
    }

    /// How many rows are judged.
    fn rows(&self) -> u64 {
        self.verdict.report.rows
    }

    /// How many of them are used.
    fn usable(&self) -> u64 {
        self.verdict.report.usable
    }

    /// Whether the limit of usable rows is reached.
    fn is_full(&self) -> bool {
        self.enough.is_some_and(|enough| self.usable() >= enough)
    }

    /// Judges the row that the scanner found last.
    fn row(&mut self, file_number: usize, file: &DataFile, scanner: &Scanner) {
        let found = self.rows();
        self.verdict.report.rows += 1;
        let origin = file.origin(scanner);
        let bytes = scanner.bytes();
        match file.parse(bytes) {
            Ok(Parsed { row: Row::Preference(pair), .. }) if pair.is_equal() => {
                self.verdict.report.add_equal_pair(&origin);
            }
            Ok(parsed) if self.accepts(&parsed) => {
                self.fingerprint.add(file, bytes.unwrap_or_default());
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
        if !self.options.dedup {
            if self.options.held_out.is_some_and(|share| share.fraction > 0.0) {
                self.verdict.hashes.push(meaning(&parsed.row) as u64);
            }
            return true;
        }
        let is_new = self.seen.insert(meaning(&parsed.row));
        self.verdict.report.duplicates += u64::from(!is_new);
        is_new
    }

    /// The verdict over all rows.
    ///
    /// # Errors
    /// Bad rows that are not to be skipped, or no usable row.
    fn finish(mut self) -> Result<Verdict> {
        self.verdict.fingerprints = self.fingerprint.finish();
        self.verdict.report.check(self.options.skip_bad_rows)?;
        Ok(self.verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::tests::{open, refusal, rows, skipping};
    use crate::text::RowKind;

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

    #[test]
    fn pairs_of_equal_answers_are_counted_and_left_out() {
        let pair = |chosen: &str, rejected: &str| {
            format!("{{\"prompt\": \"q\", \"chosen\": \"{chosen}\", \"rejected\": \"{rejected}\"}}\n")
        };
        let file = [pair("a", "b"), pair("c", "c"), pair("d", "d"), pair("e", "f")].concat();
        let options = DataOptions { kind: Some(RowKind::Preference), ..DataOptions::default() };
        let data = open(&[("a.jsonl", &file)], options.clone()).unwrap();
        assert_eq!(rows(&data), ["a.jsonl:1 q a b", "a.jsonl:4 q e f"]);
        let report = data.report();
        assert_eq!((report.rows, report.usable, report.preferences), (4, 2, 2));
        assert_eq!(
            report.remarks(|count| count.to_string()),
            [
                "2 rows: both answers are equal, so that nothing is to be preferred; they are left out (the first: a.jsonl:2)"
            ]
        );
        let plain = open(&[("a.jsonl", &(pair("a", "b") + &pair("e", "f")))], options.clone()).unwrap();
        assert_eq!(data.fingerprint(), plain.fingerprint(), "what is left out is no part of the data");
        let table = open(&[("a.csv", "prompt,chosen,rejected\nq,a,b\n")], options.clone()).unwrap();
        assert_eq!(rows(&table), ["a.csv:2 q a b"]);
        let none = refusal(&[("a.jsonl", &pair("c", "c"))], options.clone());
        assert!(none.contains("1 are pairs of equal answers (the first: a.jsonl:1)"), "{none}");
        let text = refusal(&[("a.jsonl", "{\"text\": \"t\"}\n")], options);
        assert!(text.contains("expected chosen and rejected, two answers to one prompt"), "{text}");
    }
}
