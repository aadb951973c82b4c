//! Shows rows as the model sees them: tokens, and which of them it is trained to say.

use super::dom::{El, el};
use super::engine;
use super::remarks::remarks;
use crate::format::{count, fill};
use crate::language::Text;
use crate::messages::run::{Preview, PreviewRow};

/// Fills a place with rows.
pub fn show(place: &El, preview: &Preview, t: &Text) {
    place.clear();
    // A row of two answers is shown as both.
    let lines: std::collections::BTreeSet<u64> = preview.rows.iter().map(|row| row.line as u64).collect();
    let shown = lines.len().to_string();
    place.add(
        &el("p").class("faint").text(&fill(t.teach.previewed, &[&shown, &count(preview.total, &t.units)])),
    );
    let key = el("p").class("faint").child(&el("span").class("piece target").text(t.teach.target));
    place.add(&key.child(&el("span").class("piece").text(t.teach.context)));
    for row in &preview.rows {
        place.add(&row_of(row, t));
    }
    let notes = preview.notes.iter().map(engine::spoken);
    for remark in remarks(&preview.report, t).into_iter().chain(notes) {
        place.add(&el("p").class("bad").text(&remark));
    }
}

fn row_of(row: &PreviewRow, t: &Text) -> El {
    let line = el("div").class("pieces").test("preview-row");
    let number = format!("{}", row.line);
    line.add(&el("span").class("faint").text(&fill(t.teach.line, &[&number])));
    for token in &row.tokens {
        let class = if token.target { "piece target" } else { "piece" };
        // A line end is seen, and still ends the line.
        let text = token.text.replace('\n', "⏎\n");
        line.add(&el("span").class(class).attr("title", &token.id.to_string()).text(&text));
    }
    if row.cut {
        line.add(&el("span").class("bad").text(t.teach.cut));
    }
    if row.more > 0.0 {
        line.add(&el("span").class("faint").text(&fill(t.teach.goes_on, &[&count(row.more, &t.units)])));
    }
    line
}
