//! The rows of all data files together: every row is judged once, when the data is opened.

use std::sync::Arc;

use super::dedup::DedupIndex;
use super::file::DataFile;
use super::fingerprint::Fingerprints;
use super::judge::judge;
use super::mix::{Mix, SourceShare};
use super::options::{DataOptions, Turns};
use super::origin::RowOrigin;
use super::overlap::on_both_sides;
use super::report::{DataReport, WarningCount};
use super::rows::{RawRow, Rows};
use super::source::Source;
use super::split::{Split, split};
use super::tokens::TokenRows;
use super::watch::{Unwatched, Watch};
use crate::error::{Error, Result};
use crate::text::Row;
use crate::told::told;

/// What kinds of rows a dataset holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataKind {
    /// Only documents.
    Documents,
    /// Only conversations.
    Conversations,
    /// Only pairs of answers.
    Preferences,
    /// Documents and conversations.
    Mixed,
}

/// The index of kept rows that duplicates were looked for in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexUse {
    /// Rows that it held.
    pub rows: u64,
    /// Bytes of memory that it took.
    pub bytes: u64,
}

impl IndexUse {
    fn of(index: &DedupIndex) -> Self {
        Self { rows: index.rows(), bytes: index.bytes() }
    }
}

/// Rows by number, read from their files when they are asked for.
///
/// Memory does not grow with the files, but for one bit a row if any row is left out.
pub struct Dataset {
    pub(super) rows: Rows,
    pub(super) report: DataReport,
    pub(super) fingerprints: Fingerprints,
    pub(super) skip_bad_rows: bool,
    pub(super) turns: Turns,
    /// What finding duplicates took.
    pub(super) index_use: IndexUse,
    /// The shares of its sources, where they have any.
    pub(super) mix: Option<Mix>,
    /// The rows, where they are tokens already; then there are no others.
    pub(super) tokens: Option<Arc<dyn TokenRows>>,
}

impl Dataset {
    /// Reads and judges every row once.
    ///
    /// # Errors
    /// [`Error::BadRows`] with all bad rows counted and the first five named, unless they are skipped;
    /// [`Error::Data`] for a file that is empty or cannot be a data file, and if no usable row is left;
    /// [`Error::Io`] if reading fails.
    pub fn open(sources: Vec<Arc<dyn Source>>, options: DataOptions) -> Result<Self> {
        Self::open_mix(sources, &[], options)
    }

    /// The same of several sources with a share each, whose files follow each other; without shares, all rows are alike.
    /// A limit of rows is divided as the shares say.
    ///
    /// # Errors
    /// As [`Dataset::open`]; shares that do not hold, a source without a usable row.
    pub fn open_mix(
        sources: Vec<Arc<dyn Source>>,
        shares: &[SourceShare],
        options: DataOptions,
    ) -> Result<Self> {
        Self::open_watched(sources, shares, options, &mut Unwatched)
    }

    /// The same, followed by `watch`.
    ///
    /// # Errors
    /// As [`Dataset::open_mix`]; what `watch` says.
    pub fn open_watched(
        sources: Vec<Arc<dyn Source>>,
        shares: &[SourceShare],
        options: DataOptions,
        watch: &mut dyn Watch,
    ) -> Result<Self> {
        options.check()?;
        if sources.is_empty() {
            return Err(Error::Data(told!("data.no_file", "no data file was given")));
        }
        let options = Arc::new(options);
        let opened = sources.into_iter().map(|source| DataFile::open(source, Arc::clone(&options)));
        let files = opened.collect::<Result<Vec<_>>>()?;
        check_text_column(&files, &options)?;
        let mut mix = Mix::of(shares)?;
        let verdict = judge(&files, &options, mix.as_mut().map(|mix| (mix, shares)), watch)?;
        mix.iter().try_for_each(Mix::check)?;
        let mut fingerprints = verdict.fingerprints;
        if let Some(mix) = &mix {
            fingerprints.now = mix.fingerprint(&fingerprints.now);
            fingerprints.content_only = fingerprints.content_only.map(|before| mix.fingerprint(&before));
        }
        let mut data = Self {
            rows: Rows::new(files, verdict.index, verdict.unusable, verdict.ends),
            report: verdict.report,
            fingerprints,
            skip_bad_rows: options.skip_bad_rows,
            turns: options.turns,
            index_use: IndexUse::of(&verdict.dedup),
            mix,
            tokens: None,
        };
        data.report.on_both_sides = data.shared(&verdict.hashes, &options)?;
        Ok(data)
    }

    /// The rows on both sides of the split, which are looked for where each row has a hash.
    fn shared(&self, hashes: &[u64], options: &DataOptions) -> Result<Option<WarningCount>> {
        let Some(share) = options.held_out.filter(|_| !hashes.is_empty()) else {
            return Ok(None);
        };
        let Some((rows, first)) = on_both_sides(hashes, &self.split(share.fraction, share.seed)) else {
            return Ok(None);
        };
        let first = self.rows.find(first, |file, scanner| file.origin(scanner).to_string())?;
        Ok(first.map(|first| WarningCount { rows, first }))
    }

    /// How many usable rows there are.
    pub fn len(&self) -> u64 {
        self.tokens.as_ref().map_or(self.rows.len(), |tokens| tokens.rows())
    }

    /// Rows held out and rows trained on; of a mix each source holds out its share.
    pub fn split(&self, fraction: f64, seed: u64) -> Split {
        match &self.mix {
            None => split(self.len(), fraction, seed),
            Some(mix) => Split::of_sources(&mix.sources, fraction, seed),
        }
    }

    /// Its sources, where they have shares.
    pub fn mix(&self) -> Option<&Mix> {
        self.mix.as_ref()
    }

    /// Never true: data without a usable row does not open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was counted when the data was opened.
    pub fn report(&self) -> &DataReport {
        &self.report
    }

    /// What the usable rows are, wherever their files lie and however these are packed: equal for equal rows in the
    /// same order that are read alike.
    pub fn fingerprint(&self) -> String {
        self.fingerprints.now.clone()
    }

    /// Whether rows that turn out to be bad later, because a template refuses them, are to be left out and counted.
    pub fn skip_bad_rows(&self) -> bool {
        self.skip_bad_rows
    }

    /// What finding duplicates took when the data was opened.
    pub fn index_use(&self) -> IndexUse {
        self.index_use
    }

    /// What becomes of its conversations where texts are read.
    pub fn turns(&self) -> Turns {
        self.turns
    }

    /// What kinds of rows there are.
    pub fn kind(&self) -> DataKind {
        match (self.report.documents, self.report.conversations) {
            (0, 0) => DataKind::Preferences,
            (_, 0) => DataKind::Documents,
            (0, _) => DataKind::Conversations,
            _ => DataKind::Mixed,
        }
    }

    /// The usable row of this number, from 0, and where it comes from; `None` behind the last one. Reading rows in
    /// order needs no search.
    ///
    /// # Errors
    /// Reading fails, or the file has changed since it was opened.
    pub fn row(&self, row: u64) -> Result<Option<(Row, RowOrigin)>> {
        let Some(raw) = self.raw_row(row)? else { return Ok(None) };
        Ok(Some((self.parse(&raw)?, raw.origin)))
    }

    /// The usable row of this number as its file has it, not parsed; `None` behind the last one.
    ///
    /// # Errors
    /// Reading fails, or the file has changed since it was opened.
    pub fn raw_row(&self, row: u64) -> Result<Option<RawRow>> {
        self.only_tokens()?;
        self.rows.raw(row)
    }

    /// What such a row means. Unlike reading it, this goes on many threads at once.
    ///
    /// # Errors
    /// The file has changed since it was opened.
    pub fn parse(&self, raw: &RawRow) -> Result<Row> {
        self.rows.parse(raw)
    }

    /// Refuses to give rows of which only the tokens are left.
    fn only_tokens(&self) -> Result<()> {
        match self.tokens {
            None => Ok(()),
            Some(_) => Err(Error::Data(
                "prepared data holds tokens and no rows; give the files that it was made of".into(),
            )),
        }
    }

    /// All usable rows in the order of the files.
    pub fn iter(&self) -> impl Iterator<Item = Result<(Row, RowOrigin)>> + '_ {
        (0..self.len()).filter_map(|row| self.row(row).transpose())
    }
}

/// Refuses the name of a column where no file has any.
fn check_text_column(files: &[DataFile], options: &DataOptions) -> Result<()> {
    if options.text_column.is_some() && files.iter().all(DataFile::is_text) {
        return Err(Error::Config(vec![
            "--text-column names a key or a column, and plain text has none: all of it is read; leave it out"
                .into(),
        ]));
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::data::options::{Dedup, HeldOutShare};
    use crate::data::source::Memory;
    use crate::text::RowWarning;

    pub(in crate::data) fn source(name: &str, bytes: impl Into<Vec<u8>>) -> Arc<dyn Source> {
        Arc::new(Memory::new(name, bytes))
    }

    pub(in crate::data) fn open(files: &[(&str, &str)], options: DataOptions) -> Result<Dataset> {
        Dataset::open(files.iter().map(|(name, text)| source(name, *text)).collect(), options)
    }

    pub(in crate::data) fn refusal(files: &[(&str, &str)], options: DataOptions) -> String {
        open(files, options).err().map_or("opened".to_string(), |error| error.to_string())
    }

    /// Every row as `origin text text …`.
    pub(in crate::data) fn rows(data: &Dataset) -> Vec<String> {
        let show =
            |(row, origin): (Row, RowOrigin)| row.texts().fold(origin.to_string(), |all, t| all + " " + t);
        data.iter().map(|row| show(row.unwrap())).collect()
    }

    pub(in crate::data) const MIXED: &str =
        "{\"text\": \"one\"}\n{\"text\": 2}\n{\"q\": \"three\", \"a\": \"\"}\n";

    pub(in crate::data) fn skipping() -> DataOptions {
        DataOptions { skip_bad_rows: true, ..DataOptions::default() }
    }

    #[test]
    fn files_of_all_formats_are_one_dataset() {
        let csv = "question,answer\nwho,me\n";
        let files =
            [("a.jsonl", MIXED), ("b.csv.gz", csv), ("c.json", "[\n{\"text\": \"x\"}]"), ("d.txt", "end\n")];
        let data = open(&files, skipping()).unwrap();
        assert_eq!(
            rows(&data),
            ["a.jsonl:1 one", "a.jsonl:3 three ", "b.csv.gz:2 who me", "c.json:2 x", "d.txt:1 end\n"]
        );
        assert_eq!((data.len(), data.is_empty(), data.kind()), (5, false, DataKind::Mixed));
        assert_eq!(data.row(5).unwrap(), None);
        let report = data.report();
        assert_eq!(
            (report.rows, report.usable, report.bad, report.documents, report.conversations),
            (6, 5, 1, 3, 2)
        );
        assert_eq!(report.bytes_of_text, 3 + 5 + 6 - 1 + 1 + 4);
        assert_eq!(report.bad_rows, ["a.jsonl:2: text must be a string, found a number"]);
        assert_eq!(
            report.warnings.values().map(|w| (w.rows, w.first.as_str())).collect::<Vec<_>>(),
            [(1, "a.jsonl:3")]
        );
    }

    #[test]
    fn data_without_rows_is_refused_by_name() {
        let plain = DataOptions::default;
        assert_eq!(refusal(&[], plain()), "no data file was given");
        assert_eq!(refusal(&[("a.txt", "x"), ("b.jsonl", "")], plain()), "b.jsonl: the file is empty");
        assert_eq!(refusal(&[("b.jsonl", " \n\n")], skipping()), "b.jsonl: the file holds no rows");
        assert_eq!(refusal(&[("b.json", "[ ]")], plain()), "b.json: the file holds no rows");
        assert_eq!(refusal(&[("b.csv", "text\n")], plain()), "b.csv: the file holds no rows");
        let short = DataOptions { min_chars: Some(5), ..skipping() };
        assert_eq!(
            refusal(&[("a.jsonl", "{\"text\": \"one\"}\n1\n")], short),
            "no row of the data is left: of 2, 1 are bad and 1 too short or too long; the first bad one is \
             a.jsonl:2: expected an object or a list of messages, found a number"
        );
        let none = DataOptions { limit: Some(0), min_chars: Some(2), max_chars: Some(1), ..plain() };
        let message = refusal(&[("a.txt", "x")], none);
        assert!(message.contains("at least 1") && message.contains("at least 2 and at most 1"), "{message}");
    }

    #[test]
    fn a_column_of_plain_text_is_refused() {
        let body = DataOptions { text_column: Some("body".into()), ..DataOptions::default() };
        let texts = [("a.txt", "x"), ("b.txt.gz", "y")];
        assert!(refusal(&texts, body.clone()).contains("--text-column names a key or a column"));
        let rows = [("a.txt", "x"), ("b.jsonl", "{\"body\": \"y\"}")];
        assert_eq!(refusal(&rows, body), "opened");
    }

    #[test]
    fn rows_on_both_sides_of_the_split_are_counted() {
        let row = |i: usize| format!("{{\"text\": \"{i}\"}}\n");
        let text: String = (0..40).map(|i| row(i % 20)).collect();
        let held_out = Some(HeldOutShare { fraction: 0.25, seed: 7 });
        let both = |options: DataOptions| {
            open(&[("a.jsonl", &text)], options).unwrap().report().on_both_sides.clone()
        };
        let count = both(DataOptions { held_out, ..DataOptions::default() }).unwrap();
        let split = split(40, 0.25, 7);
        let part = |part: std::ops::Range<u64>| part.map(|at| split.order().at(at) % 20).collect::<Vec<_>>();
        let trained = part(split.train_part());
        let expected = part(split.validation_part()).iter().filter(|row| trained.contains(row)).count();
        assert!(expected > 0);
        assert_eq!(count.rows, expected as u64);
        assert_eq!(both(DataOptions { held_out, dedup: Dedup::Exact, ..DataOptions::default() }), None);
        assert_eq!(both(DataOptions::default()), None);
    }

    #[test]
    fn a_long_line_is_read_and_one_over_the_limit_is_bad() {
        let long = format!("{{\"text\": \"{}\"}}\n{{\"text\": \"b\"}}\n", "x".repeat(10 << 20));
        let data = open(&[("a.jsonl", &long)], DataOptions::default()).unwrap();
        assert_eq!(data.report().bytes_of_text, (10 << 20) + 1);
        let limited = DataOptions { max_row_bytes: 1 << 20, ..skipping() };
        let data = open(&[("a.jsonl", &long)], limited).unwrap();
        assert_eq!(data.report().bad_rows, ["a.jsonl:1: the row is longer than 1 MiB"]);
        assert_eq!(rows(&data), ["a.jsonl:2 b"]);
    }

    #[test]
    fn real_files_hold_what_is_known_of_them() {
        let beside = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
        let shared = std::env::var_os("KINDLING_SHARED").map_or(beside, std::path::PathBuf::from);
        if !shared.exists() {
            eprintln!("SKIPPED: {} is absent", shared.display());
            return;
        }
        let open = |name: &str| {
            let bytes = std::fs::read(shared.join("data").join(name)).unwrap();
            Dataset::open(vec![source(name, bytes)], DataOptions::default()).unwrap()
        };
        assert_eq!(open("pretrain/tinystories_en.jsonl").report().documents, 7152);
        assert_eq!(open("sft/alpaca_en_demo.raw.json").report().conversations, 999);
        assert_eq!(open("pretrain/tinyshakespeare.txt").report().bytes_of_text, 1_115_394);
        assert_eq!(open("reason/r1_tool_use_demo_50.raw.jsonl").report().conversations, 50);
        // The file's notes tell of 17 empty turns; they all stand in one row.
        let report = open("sft/sharegpt_zh_1k_messages.jsonl").report().clone();
        let counts: Vec<_> = report.warnings.iter().map(|(kind, count)| (*kind, count.rows)).collect();
        assert_eq!(
            (report.usable, counts),
            (1000, vec![(RowWarning::EmptyTurn, 1), (RowWarning::EndsOnUser, 7)])
        );
    }
}
