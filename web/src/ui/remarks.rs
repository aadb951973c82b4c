//! What is odd about the data, in the page's words.

use super::engine;
use crate::format::{count, fill};
use crate::language::Text;
use crate::messages::run::{DataReport, RowCount};

/// A sentence for each odd thing.
pub fn remarks(report: &DataReport, t: &Text) -> Vec<String> {
    let odd = |(kind, RowCount { rows, first }): (&String, &RowCount)| {
        fill(t.teach.odd_rows, &[&count(*rows, &t.units), oddity(kind, t), &engine::placed(first)])
    };
    let mut remarks: Vec<String> = report.warnings.iter().map(odd).collect();
    let named = |name: &str, rows: f64| fill(t.teach.unused_key, &[name, &count(rows, &t.units)]);
    let unused = report.unused_keys.iter();
    let mut unused: Vec<String> = unused.map(|(key, of)| named(&unused_key(key, t), of.rows)).collect();
    if report.more_unused > 0.0 {
        unused.push(named(t.teach.other_keys, report.more_unused));
    }
    if !unused.is_empty() {
        remarks.push(fill(t.teach.unused_keys, &[&unused.join(t.teach.list_comma)]));
    }
    if let Some(RowCount { rows, first }) = &report.on_both_sides {
        remarks.push(fill(t.teach.on_both_sides, &[&count(*rows, &t.units), &engine::placed(first)]));
    }
    remarks
}

/// The name of an unused key, which may stand inside a message.
fn unused_key(key: &str, t: &Text) -> String {
    match key.strip_suffix(" of a message") {
        Some(own) => fill(t.teach.key_of_message, &[own]),
        None => key.to_string(),
    }
}

/// What a kind of oddity is called; one that the page does not know keeps the engine's word.
fn oddity<'a>(kind: &'a str, t: &Text) -> &'a str {
    match kind {
        "empty_document" => t.teach.empty_document,
        "empty_turn" => t.teach.empty_turn,
        "ends_on_user" => t.teach.ends_on_user,
        "ends_on_tool" => t.teach.ends_on_tool,
        "no_trained_turn" => t.teach.no_trained_turn,
        "weight_without_effect" => t.teach.weight_without_effect,
        other => other,
    }
}
