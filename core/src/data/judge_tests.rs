//! Tests of what is left out, and how it is told.

use std::collections::HashSet;

use super::dataset::Dataset;
use super::dataset::tests::{open, refusal, rows, skipping, source};
use super::language::TextLanguage;
use super::options::{DataOptions, Dedup};
use super::origin::{LeftOut, RowOrigin, Why};
use super::watch::{KeptSignature, Watch};
use crate::error::Result;

/// Notes all that it is told, and keeps signatures.
#[derive(Default)]
struct Noted {
    left: Vec<LeftOut>,
    kept: Vec<KeptSignature>,
    known: Vec<KeptSignature>,
}

impl Watch for Noted {
    fn left_out(&mut self, row: &LeftOut) -> Result<()> {
        self.left.push(row.clone());
        Ok(())
    }

    fn kept(&mut self, row: u64) -> Option<KeptSignature> {
        self.known.iter().find(|known| known.row == row).copied()
    }

    fn keep(&mut self, signature: &KeptSignature) -> Result<()> {
        self.kept.push(*signature);
        Ok(())
    }
}

fn watched(text: &str, options: &DataOptions, noted: &mut Noted) -> Dataset {
    let sources = vec![source("a.jsonl", text)];
    Dataset::open_watched(sources, &[], options.clone(), noted).unwrap()
}

/// 30 words, of which the last `changed` are others.
fn text(number: usize, changed: usize) -> String {
    let word = |i: usize| if i + changed < 30 { format!("w{number}x{i} ") } else { format!("v{i} ") };
    format!("{{\"text\": \"{}\"}}\n", (0..30).map(word).collect::<String>())
}

#[test]
fn near_duplicates_are_left_out_and_told_with_what_they_double() {
    let file = [text(1, 0), text(2, 0), text(1, 2), text(3, 0), text(2, 0), text(3, 20)].concat();
    let options = DataOptions { dedup: Dedup::Minhash, ..DataOptions::default() };
    let mut noted = Noted::default();
    let data = watched(&file, &options, &mut noted);
    let origin = |line: u64| RowOrigin { source: "a.jsonl".into(), line };
    // Row 3 shares 24 of 28 different shingles with row 1.
    let left = [(3, Why::Near(origin(1), 24.0 / 28.0)), (5, Why::Near(origin(2), 1.0))];
    assert_eq!(noted.left, left.map(|(line, why)| LeftOut { origin: origin(line), why }));
    let report = data.report();
    assert_eq!((data.len(), report.duplicates, report.near_duplicates), (4, 2, 2));
    assert_eq!(noted.kept.iter().map(|kept| kept.row).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    // With what was kept nothing is computed again, and nothing else comes out.
    let mut again = Noted { known: noted.kept.clone(), ..Noted::default() };
    assert_eq!(watched(&file, &options, &mut again).fingerprint(), data.fingerprint());
    assert_eq!((again.left, again.kept.len()), (noted.left.clone(), 0));
    // What was kept of other rows is not taken.
    let mut other = noted.kept;
    other.iter_mut().for_each(|kept| kept.row = (kept.row + 1) % 6);
    let mut again = Noted { known: other, ..Noted::default() };
    assert_eq!(watched(&file, &options, &mut again).fingerprint(), data.fingerprint());
    assert_eq!((again.left, again.kept.len()), (noted.left, 6));
}

#[test]
fn every_row_that_is_left_out_is_told_with_its_reason() {
    let texts = ["a long one", "你好世界", "nonsense", "x", "y = f(x); z = [1];", "a long one", "1 2 3 4"];
    let row = |text: &&str| match *text {
        "nonsense" => "nonsense\n".to_string(),
        text => format!("{{\"text\": \"{text}\"}}\n"),
    };
    let options = DataOptions {
        min_chars: Some(2),
        max_chars: Some(18),
        languages: vec![TextLanguage::En],
        dedup: Dedup::Exact,
        ..skipping()
    };
    let mut noted = Noted::default();
    let data = watched(&texts.iter().map(row).collect::<String>(), &options, &mut noted);
    let left: Vec<(u64, Why)> = noted.left.into_iter().map(|row| (row.origin.line, row.why)).collect();
    assert!(matches!(&left[1], (3, Why::Bad(why)) if why.starts_with("broken JSON")), "{left:?}");
    let first = RowOrigin { source: "a.jsonl".into(), line: 1 };
    assert_eq!(left[0], (2, Why::Language("zh")));
    assert_eq!(
        left[2..],
        [(4, Why::TooShort), (5, Why::Language("code")), (6, Why::Equal(first)), (7, Why::Language("none"))]
    );
    let report = data.report();
    assert_eq!(
        (report.usable, report.bad, report.filtered, report.other_languages, report.duplicates),
        (1, 1, 1, 3, 1)
    );
    assert_eq!(report.rows, 7);
    let counts: Vec<(&str, u64)> =
        report.languages_left.iter().map(|(name, rows)| (name.as_str(), *rows)).collect();
    assert_eq!(counts, [("code", 1), ("none", 1), ("zh", 1)]);
    let chinese = DataOptions { languages: vec![TextLanguage::Zh], ..DataOptions::default() };
    let none = refusal(&[("a.jsonl", "{\"text\": \"only English\"}\n")], chinese);
    assert!(none.ends_with("0 too short or too long; 1 are in other languages"), "{none}");
}

#[test]
fn many_rows_on_many_threads_are_judged_in_their_order() {
    // More than a batch of rows, each twice, with a bad one after every hundred.
    let line = |i: usize| match i % 101 {
        100 => "bad\n".to_string(),
        _ => format!("{{\"text\": \"row {} {}\"}}\n", i / 2, "and more ".repeat(i / 2 % 40)),
    };
    let text: String = (0..12_000).map(line).collect();
    let data = open(&[("a.jsonl", &text)], DataOptions { dedup: Dedup::Exact, ..skipping() }).unwrap();
    let seen = rows(&data);
    let mut expected = Vec::new();
    let mut known = HashSet::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| *line != "bad") {
        if known.insert(line.to_string()) {
            let own = &line[10..line.len() - 2];
            expected.push(format!("a.jsonl:{} {own}", at + 1));
        }
    }
    assert!(seen == expected);
    assert_eq!(data.report().bad, 118);
    let source = || vec![source("a.jsonl", text.as_str())];
    let limited = DataOptions { limit: Some(5000), ..skipping() };
    let limited = Dataset::open(source(), limited).unwrap();
    assert_eq!((limited.len(), limited.report().rows), (5000, 5049));
    let all = Dataset::open(source(), skipping()).unwrap();
    let raw: Vec<_> = (0..3).map(|row| all.raw_row(row).unwrap().unwrap()).collect();
    let parsed = |row: usize| all.parse(&raw[row]).unwrap();
    assert_eq!(parsed(2), all.row(2).unwrap().unwrap().0);
}
