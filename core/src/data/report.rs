//! What the data holds: counted once, when it is opened.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use super::origin::RowOrigin;
use super::origin::Why;
use crate::error::{Error, Result};
use crate::text::{Parsed, Row, RowWarning};
use crate::told::{Counted, Told, texts, told};

/// Counts over all rows; `rows` = `usable` + `bad` + `filtered` + `other_languages` + `duplicates` + `equal_pairs`.
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
    /// Usable rows that are pairs of answers.
    #[serde(default, skip_serializing_if = "is_none")]
    pub preferences: u64,
    /// Usable documents that are the joined turns of conversations.
    #[serde(default, skip_serializing_if = "is_none")]
    pub joined: u64,
    /// Rows that cannot be used.
    pub bad: u64,
    /// The first five of them, as `file:line: reason`.
    #[serde(with = "texts")]
    pub bad_rows: Vec<Told>,
    /// Rows left out because they are too short or too long.
    pub filtered: u64,
    /// Those of them that are too short.
    #[serde(default, skip_serializing_if = "is_none")]
    pub too_short: u64,
    /// Rows left out because they are in none of the languages that were asked for.
    #[serde(default, skip_serializing_if = "is_none")]
    pub other_languages: u64,
    /// What they are in: `zh`, `en`, `other`, `code` or `none`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub languages_left: BTreeMap<String, u64>,
    /// Rows left out because one that says the same stands before them.
    pub duplicates: u64,
    /// Those of them that were found by their similarity.
    #[serde(default, skip_serializing_if = "is_none")]
    pub near_duplicates: u64,
    /// Pairs left out because their two answers are equal, and the first of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equal_pairs: Option<WarningCount>,
    /// Usable rows that are odd, by kind.
    pub warnings: BTreeMap<RowWarning, WarningCount>,
    /// Keys of usable rows that hold something which nothing reads, the first [`NAMED_KEYS`] of them.
    pub unused_keys: BTreeMap<String, WarningCount>,
    /// Usable rows with other such keys.
    pub more_unused: u64,
    /// Held-out rows that equal one that is trained on.
    pub on_both_sides: Option<WarningCount>,
    /// The texts of all usable rows in UTF-8 bytes.
    pub bytes_of_text: u64,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

/// Adds how often a warning occurs in rows that stand behind these.
fn add_count(own: &mut Option<WarningCount>, other: Option<&WarningCount>) {
    let Some(other) = other else { return };
    match own {
        Some(own) => own.rows += other.rows,
        None => *own = Some(other.clone()),
    }
}

/// So many bad rows are named.
const MOST_NAMED: usize = 5;

/// So many unused keys are named: rows may have keys that no other row has.
pub const NAMED_KEYS: usize = 64;

/// How often a warning occurs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarningCount {
    /// In how many rows.
    pub rows: u64,
    /// Where first, as `file:line`.
    pub first: String,
}

impl DataReport {
    pub(super) fn add_bad(&mut self, origin: &RowOrigin, reason: &Told) {
        self.bad += 1;
        if self.bad_rows.len() < MOST_NAMED {
            self.bad_rows.push(told!("row.at", "{origin}: {reason}", origin, reason));
        }
    }

    /// Counts a pair in which nothing is to be preferred.
    pub(super) fn add_equal_pair(&mut self, origin: &RowOrigin) {
        let none = || WarningCount { rows: 0, first: origin.to_string() };
        self.equal_pairs.get_or_insert_with(none).rows += 1;
    }

    /// Counts a row that is left out though it could be used.
    pub(super) fn add_left(&mut self, why: &Why) {
        match why {
            Why::TooShort | Why::TooLong => {
                self.filtered += 1;
                self.too_short += u64::from(*why == Why::TooShort);
            }
            Why::Language(language) => {
                self.other_languages += 1;
                *self.languages_left.entry(language.to_string()).or_default() += 1;
            }
            Why::Equal(_) => self.duplicates += 1,
            Why::Near(..) => {
                self.duplicates += 1;
                self.near_duplicates += 1;
            }
            // Counted with their reasons and places.
            Why::Bad(_) | Why::EqualPair => {}
        }
    }

    /// Adds the counts of other rows, which stand behind these.
    pub(super) fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.usable += other.usable;
        self.documents += other.documents;
        self.conversations += other.conversations;
        self.preferences += other.preferences;
        self.joined += other.joined;
        self.bad += other.bad;
        let named = MOST_NAMED.saturating_sub(self.bad_rows.len());
        self.bad_rows.extend(other.bad_rows.iter().take(named).cloned());
        self.filtered += other.filtered;
        self.too_short += other.too_short;
        self.other_languages += other.other_languages;
        for (language, rows) in &other.languages_left {
            *self.languages_left.entry(language.clone()).or_default() += rows;
        }
        self.duplicates += other.duplicates;
        self.near_duplicates += other.near_duplicates;
        add_count(&mut self.equal_pairs, other.equal_pairs.as_ref());
        add_count(&mut self.on_both_sides, other.on_both_sides.as_ref());
        for (warning, count) in &other.warnings {
            let own =
                self.warnings.entry(*warning).or_insert_with(|| WarningCount { rows: 0, ..count.clone() });
            own.rows += count.rows;
        }
        for (key, count) in &other.unused_keys {
            let own = self
                .unused_keys
                .entry(key.clone())
                .or_insert_with(|| WarningCount { rows: 0, ..count.clone() });
            own.rows += count.rows;
        }
        self.more_unused += other.more_unused;
        self.bytes_of_text += other.bytes_of_text;
    }

    pub(super) fn add_usable(&mut self, parsed: &Parsed, origin: &RowOrigin) {
        self.usable += 1;
        match parsed.row {
            Row::Document(_) => self.documents += 1,
            Row::Conversation(_) => self.conversations += 1,
            Row::Preference(_) => self.preferences += 1,
        }
        self.joined += u64::from(parsed.joined);
        self.bytes_of_text += parsed.row.bytes();
        let none = || WarningCount { rows: 0, first: origin.to_string() };
        for warning in &parsed.warnings {
            self.warnings.entry(*warning).or_insert_with(none).rows += 1;
        }
        self.add_unused(&parsed.unused, origin);
    }

    /// Counts the keys of a usable row that nothing reads.
    pub(super) fn add_unused(&mut self, unused: &[String], origin: &RowOrigin) {
        let mut more = false;
        for key in unused {
            let room = self.unused_keys.len() < NAMED_KEYS;
            match self.unused_keys.get_mut(key) {
                Some(count) => count.rows += 1,
                None if room => {
                    let first = WarningCount { rows: 1, first: origin.to_string() };
                    self.unused_keys.insert(key.clone(), first);
                }
                None => more = true,
            }
        }
        self.more_unused += u64::from(more);
    }

    /// Whether the rows can be used.
    ///
    /// # Errors
    /// Bad rows that are not to be skipped, or no usable row.
    pub(super) fn check(&self, skip_bad_rows: bool) -> Result<()> {
        let Self { rows, bad, filtered, .. } = self;
        if *bad > 0 && !skip_bad_rows {
            return Err(Error::BadRows { total: *bad, rows: self.bad_rows.clone() });
        }
        if self.usable > 0 {
            return Ok(());
        }
        if let Some(WarningCount { rows: equal, first }) = &self.equal_pairs {
            return Err(Error::Data(told!(
                "data.all_equal",
                "no row of the data is left: of {rows}, {equal} are pairs of equal answers (the first: {first}) and {bad} are \
                 bad",
                rows,
                equal,
                first,
                bad
            )));
        }
        let first = self
            .bad_rows
            .first()
            .map_or(Told::default(), |row| told!("data.first_bad", "; the first bad one is {row}", row));
        let languages = match self.other_languages {
            0 => Told::default(),
            count => told!("data.none_in_language", "; {count} are in other languages", count),
        };
        Err(Error::Data(told!(
            "data.none_left",
            "no row of the data is left: of {rows}, {bad} are bad and {filtered} too short or too long{languages}{first}",
            rows,
            bad,
            filtered,
            languages,
            first
        )))
    }

    /// What a person should know of the usable rows, a sentence each; `number` writes a count.
    pub fn remarks(&self, number: impl Fn(u64) -> String) -> Vec<Told> {
        let counted = |rows| Counted::written(number(rows), ["row", "rows"]);
        let odd = |(kind, count): (&RowWarning, &WarningCount)| {
            let kind = kind.told();
            told!(
                "data.odd",
                "{rows}: {kind} (the first: {first})",
                rows = counted(count.rows),
                kind,
                first = count.first
            )
        };
        let mut remarks: Vec<Told> = self.warnings.iter().map(odd).collect();
        if !self.unused_keys.is_empty() {
            let named =
                self.unused_keys.iter().map(|(key, count)| format!("{key} ({})", counted(count.rows)));
            let mut named = named.collect::<Vec<_>>().join(", ");
            if self.more_unused > 0 {
                named = format!("{named}, others ({})", counted(self.more_unused));
            }
            remarks.push(told!("data.unused_keys", "unused keys: {named}; nothing reads them", named));
        }
        if let Some(WarningCount { rows, first }) = &self.equal_pairs {
            remarks.push(told!(
                "data.equal_pairs",
                "{rows}: both answers are equal, so that nothing is to be preferred; they are left out (the first: \
                 {first})",
                rows = counted(*rows),
                first
            ));
        }
        if let Some(WarningCount { rows, first }) = &self.on_both_sides {
            remarks.push(told!(
                "data.both_sides",
                "{rows} trained on (the first: {first}): the held-out loss looks better than it is; --dedup leaves equal rows \
                 out",
                rows = Counted::written(
                    number(*rows),
                    ["held-out row equals a row that is", "held-out rows equal rows that are"]
                ),
                first
            ));
        }
        remarks
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
        assert_eq!(
            report.remarks(|count| count.to_string()),
            ["2 rows: the document is empty (the first: a.txt:3)"]
        );
    }

    #[test]
    fn unused_keys_are_counted_and_not_all_are_named() {
        let mut report = DataReport::default();
        let origin = RowOrigin { source: "a.jsonl".to_string(), line: 1 };
        for i in 0..100 {
            let mut parsed = Parsed::new(Row::Document("x".to_string()));
            parsed.unused = vec!["note".to_string(), format!("key {i}")];
            report.add_usable(&parsed, &origin);
        }
        assert_eq!((report.unused_keys.len(), report.unused_keys["note"].rows), (NAMED_KEYS, 100));
        assert_eq!(report.more_unused, 100 - (NAMED_KEYS as u64 - 1));
        report.on_both_sides = Some(WarningCount { rows: 2000, first: "a.jsonl:7".to_string() });
        let remarks = report.remarks(|count| format!("~{count}"));
        assert!(remarks[0].starts_with("unused keys: key 0 (~1 rows), key 1 (~1 rows), "), "{remarks:?}");
        assert!(remarks[0].contains("note (~100 rows), others (~37 rows); "), "{remarks:?}");
        assert!(
            remarks[1]
                .starts_with("~2000 held-out rows equal rows that are trained on (the first: a.jsonl:7)")
        );
    }

    #[test]
    fn counts_of_several_sources_are_added() {
        let report = |line: u64, text: &str| {
            let mut report = DataReport::default();
            let origin = RowOrigin { source: "a".to_string(), line };
            let mut parsed = Parsed::new(Row::Document(text.to_string()));
            parsed.unused = vec!["note".to_string()];
            report.rows = 3;
            report.add_usable(&parsed, &origin);
            report.add_equal_pair(&origin);
            (0..4).for_each(|_| report.add_bad(&origin, &"why".into()));
            report
        };
        let mut sum = report(1, " ");
        sum.add(&report(2, " "));
        assert_eq!((sum.rows, sum.usable, sum.documents, sum.bad, sum.bad_rows.len()), (6, 2, 2, 8, 5));
        assert_eq!(sum.warnings[&RowWarning::EmptyDocument], WarningCount { rows: 2, first: "a:1".into() });
        assert_eq!(sum.unused_keys["note"], WarningCount { rows: 2, first: "a:1".into() });
        assert_eq!((sum.equal_pairs.unwrap().rows, sum.bytes_of_text), (2, 2));
        let mut none = DataReport::default();
        none.add(&report(2, "x"));
        assert_eq!(none, report(2, "x"));
    }
}
