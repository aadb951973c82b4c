//! The judgement of rows: which are used, which are left out, and why.

use super::dedup::{DedupIndex, Earlier, Marks};
use super::file::DataFile;
use super::fingerprint::{DataFingerprint, Fingerprints};
use super::index::{Entry, RowIndex, RowSet};
use super::look::{SeenRow, found, look};
use super::mix::{Mix, SourceShare};
use super::options::{DataOptions, Dedup};
use super::origin::{LeftOut, RowOrigin, Why};
use super::report::DataReport;
use super::scan::RowStart;
use super::watch::{KeptSignature, Watch};
use crate::error::{Error, Result};
use crate::text::{Parsed, Row};
use crate::told::told;

/// Decides row by row which ones are used.
struct Judge<'a> {
    files: &'a [DataFile],
    options: &'a DataOptions,
    watch: &'a mut dyn Watch,
    verdict: Verdict,
    fingerprint: DataFingerprint,
    /// Usable rows that are enough.
    enough: Option<u64>,
    /// Bytes of the rows so far.
    bytes: u64,
}

/// Judges every row of these files, which hold the sources of a mix one behind the other where there is one; the rows of
/// each are counted there.
///
/// # Errors
/// A file without rows, bad rows that are not to be skipped, or no usable row; reading fails, or what `watch` says.
pub(super) fn judge(
    files: &[DataFile],
    options: &DataOptions,
    mut mix: Option<(&mut Mix, &[SourceShare])>,
    watch: &mut dyn Watch,
) -> Result<Verdict> {
    let mut judge = Judge::new(files, options, watch);
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
        judge.file(number, file)?;
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
    /// The rows that are kept, where others are compared with them.
    pub(super) dedup: DedupIndex,
}

impl<'a> Judge<'a> {
    fn new(files: &'a [DataFile], options: &'a DataOptions, watch: &'a mut dyn Watch) -> Self {
        let verdict = Verdict {
            report: DataReport::default(),
            index: RowIndex::new(),
            unusable: RowSet::default(),
            ends: Vec::new(),
            hashes: Vec::new(),
            fingerprints: Fingerprints::default(),
            dedup: DedupIndex::new(options.dedup),
        };
        let fingerprint = DataFingerprint::new(options);
        Self { files, options, watch, verdict, fingerprint, enough: options.limit, bytes: 0 }
    }

    /// Judges the rows of a file, up to the limit: they are read one behind the other, looked at by all threads, and decided
    /// in their order.
    fn file(&mut self, number: usize, file: &DataFile) -> Result<()> {
        self.fingerprint.begin(file);
        let mut scanner = file.scanner();
        let mut goes_on = true;
        while goes_on && !self.is_full() {
            // No more than may be used: rows behind the limit are not looked at.
            let room = self.enough.map_or(u64::MAX, |enough| enough - self.usable());
            let (rows, more) = found(&mut scanner, room, self.rows(), self.watch);
            for seen in look(file, self.options, rows) {
                self.bytes += seen.bytes.len() as u64;
                self.row(number, seen)?;
            }
            self.watch.progress(self.rows(), self.bytes);
            goes_on = more?;
        }
        Ok(())
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

    /// Judges a row that was looked at.
    fn row(&mut self, file: usize, seen: SeenRow) -> Result<()> {
        let number = self.rows();
        self.verdict.report.rows += 1;
        let origin = self.origin(file, seen.place);
        self.keep_signature(number, &seen)?;
        let why = match &seen.parsed {
            Err(reason) => {
                self.verdict.report.add_bad(&origin, reason);
                Some(Why::Bad(reason.clone()))
            }
            Ok(Parsed { row: Row::Preference(pair), .. }) if pair.is_equal() => {
                self.verdict.report.add_equal_pair(&origin);
                Some(Why::EqualPair)
            }
            Ok(parsed) => {
                let marks = seen.marks.as_ref();
                let why = match seen.left {
                    Some(why) => Some(why),
                    None => self.earlier(&parsed.row, marks)?,
                };
                match &why {
                    Some(why) => self.verdict.report.add_left(why),
                    None => {
                        self.add(file, (number, seen.place), marks)?;
                        self.fingerprint.add(&self.files[file], &seen.bytes);
                        self.verdict.report.add_usable(parsed, &origin);
                    }
                }
                why
            }
        };
        match why {
            None => Ok(()),
            Some(why) => {
                self.verdict.unusable.insert(number);
                self.watch.left_out(&LeftOut { origin, why })
            }
        }
    }

    /// Adds a row that is used to what finds rows again.
    fn add(&mut self, file: usize, (found, place): (u64, RowStart), marks: Option<&Marks>) -> Result<()> {
        self.verdict.index.push(Entry { file, place, found });
        match marks {
            Some(marks) if self.options.dedup == Dedup::None => {
                self.verdict.hashes.push(marks.meaning as u64);
                Ok(())
            }
            Some(marks) => self.verdict.dedup.add(marks, file, place),
            None => Ok(()),
        }
    }

    /// That an earlier row says what a good row says.
    fn earlier(&self, row: &Row, marks: Option<&Marks>) -> Result<Option<Why>> {
        let Some(marks) = marks else { return Ok(None) };
        let reread = |file: usize, place: RowStart| -> Result<Option<Row>> {
            let Some(file) = self.files.get(file) else { return Ok(None) };
            let mut scanner = file.scanner_at(place);
            let is_there = scanner.advance()?;
            let parsed = is_there.then(|| file.parse(scanner.bytes()));
            Ok(parsed.and_then(Result::ok).map(|parsed| parsed.row))
        };
        let found = self.verdict.dedup.find(row, marks, reread)?;
        Ok(found.map(|Earlier { file, place, jaccard }| {
            let earlier = self.origin(file, place);
            jaccard.map_or(Why::Equal(earlier.clone()), |jaccard| Why::Near(earlier, jaccard))
        }))
    }

    /// Has the signature of a row kept that was computed here.
    fn keep_signature(&mut self, row: u64, seen: &SeenRow) -> Result<()> {
        match &seen.marks {
            Some(Marks { meaning, signature: Some(bands) }) if !seen.was_kept => {
                self.watch.keep(&KeptSignature { row, meaning: *meaning as u64, bands: *bands })
            }
            _ => Ok(()),
        }
    }

    fn origin(&self, file: usize, place: RowStart) -> RowOrigin {
        let source = self.files.get(file).map_or(String::new(), |file| file.name().to_string());
        RowOrigin { source, line: place.line }
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
        let options = DataOptions {
            dedup: Dedup::Exact,
            min_chars: Some(2),
            max_chars: Some(3),
            ..DataOptions::default()
        };
        let data = open(&[("a.jsonl", &file)], options.clone()).unwrap();
        assert_eq!(rows(&data), ["a.jsonl:1 aa", "a.jsonl:2 字字", "a.jsonl:7 dd", "a.jsonl:9 ee"]);
        let report = data.report();
        assert_eq!((report.rows, report.usable, report.filtered, report.duplicates), (9, 4, 2, 3));
        assert_eq!((report.too_short, report.near_duplicates, data.index_use().rows), (1, 0, 4));
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
