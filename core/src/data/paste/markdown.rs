//! Tables of Markdown.

use serde_json::Value;

use super::pasted::{Candidate, PasteFault};
use super::table::{Header, object};

/// The rows of all tables in a text; `None` where there is none. Other lines are told as such.
pub(super) fn rows(text: &str) -> Option<Vec<Candidate>> {
    let lines: Vec<&str> = text.lines().collect();
    let is_header =
        |at: usize| lines[at].contains('|') && lines.get(at + 1).is_some_and(|next| is_rule(next));
    if !(0..lines.len()).any(is_header) {
        return None;
    }
    let (mut columns, mut rows) = (Columns::Outside, Vec::new());
    for (at, line) in lines.iter().enumerate() {
        if is_rule(line) && at > 0 && is_header(at - 1) {
            continue;
        }
        let row = if line.trim().is_empty() {
            columns = Columns::Outside;
            None
        } else if is_header(at) {
            let found = cells(line);
            columns = Columns::of(&found);
            matches!(columns, Columns::Odd).then_some(Err(PasteFault::Columns { found }))
        } else {
            columns.row(line)
        };
        rows.extend(row.map(|row| Candidate { line: at as u64 + 1, row }));
    }
    Some(rows)
}

/// The columns of the table that a line is in.
enum Columns {
    Outside,
    Named(Vec<String>),
    Odd,
}

impl Columns {
    fn of(cells: &[String]) -> Self {
        match (Header::of(cells), cells.len()) {
            (Header::Named(names), _) => Self::Named(names),
            // Here the first row is never one like the others.
            (Header::None, 2) => Self::Named(vec!["question".to_string(), "answer".to_string()]),
            _ => Self::Odd,
        }
    }

    /// The row in a line, or why there is none; nothing for a blank one, and for those whose columns were told already.
    fn row(&self, line: &str) -> Option<Result<Value, PasteFault>> {
        match self {
            Self::Named(names) if line.contains('|') => {
                let cells = cells(line);
                cells.iter().any(|cell| !cell.is_empty()).then(|| object(names, &cells))
            }
            Self::Odd if line.contains('|') => None,
            _ => Some(Err(PasteFault::Outside)),
        }
    }
}

/// Whether a line is the rule below the names of columns: `|---|:--:|`.
fn is_rule(line: &str) -> bool {
    let line = line.trim();
    let cells = line.strip_prefix('|').unwrap_or(line);
    let cells = cells.strip_suffix('|').unwrap_or(cells);
    let is_dashes = |cell: &str| {
        let cell = cell.trim();
        let dashes = cell.strip_prefix(':').unwrap_or(cell);
        let dashes = dashes.strip_suffix(':').unwrap_or(dashes);
        !dashes.is_empty() && dashes.chars().all(|sign| sign == '-')
    };
    line.contains('|') && cells.split('|').all(is_dashes)
}

/// The cells of a row; `\|` is a sign of a text, and `<br>` a line end.
fn cells(line: &str) -> Vec<String> {
    let line = line.trim();
    let line = line.strip_prefix('|').unwrap_or(line);
    let (mut cells, mut cell, mut signs) = (Vec::new(), String::new(), line.chars().peekable());
    while let Some(sign) = signs.next() {
        match sign {
            '\\' if signs.peek() == Some(&'|') => cell.extend(signs.next()),
            '|' => cells.push(std::mem::take(&mut cell)),
            _ => cell.push(sign),
        }
    }
    // Behind the last stroke nothing follows.
    if !cell.trim().is_empty() || !line.ends_with('|') {
        cells.push(cell);
    }
    let broken = |cell: &String| {
        ["<br>", "<br/>", "<br />"].iter().fold(cell.clone(), |text, tag| text.replace(tag, "\n"))
    };
    cells.iter().map(broken).map(|cell| cell.trim().to_string()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(text: &str) -> Vec<(u64, Result<Value, PasteFault>)> {
        let rows = rows(text).expect("a table");
        rows.into_iter().map(|candidate| (candidate.line, candidate.row)).collect()
    }

    fn pair(question: &str, answer: &str) -> Result<Value, PasteFault> {
        Ok(json!({"question": question, "answer": answer}))
    }

    #[test]
    fn tables_are_read_with_and_without_strokes_at_their_sides() {
        let text = "| Kysymys | Vastaus |\n| :--- | ---: |\n| Who? | a\\|b |\n\nWer | Was\n--- | :-:\nYou? | one<br>two\n|  | |\n";
        assert_eq!(found(text), [(3, pair("Who?", "a|b")), (7, pair("You?", "one\ntwo"))]);
        let chinese = found("|问题|答案|\n|-|-|\n|谁？||\n");
        assert_eq!(chinese, [(3, Ok(json!({"问题": "谁？", "答案": ""})))]);
    }

    #[test]
    fn other_lines_and_other_columns_are_named() {
        let text = "# Lesson\n| q | a |\n|---|---|\n| 1 | 2 | 3 |\n| 1 |\nThe end.";
        assert_eq!(
            found(text),
            [
                (1, Err(PasteFault::Outside)),
                (4, Err(PasteFault::Fields { found: 3, named: 2 })),
                (5, Err(PasteFault::Fields { found: 1, named: 2 })),
                (6, Err(PasteFault::Outside))
            ]
        );
        let columns = PasteFault::Columns { found: vec!["x".into(), "y".into(), "z".into()] };
        assert_eq!(found("|x|y|z|\n|-|-|-|\n|1|2|3|"), [(1, Err(columns))]);
    }

    #[test]
    fn texts_without_a_rule_are_no_tables() {
        for text in ["a | b\nc | d", "one\n---\ntwo", "", "|---|"] {
            assert!(rows(text).is_none(), "{text}");
        }
    }
}
