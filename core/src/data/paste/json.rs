//! Pasted JSON: lines, lists, values over several lines, with a comma too many.

use serde_json::{Value, json};

use super::pasted::{Candidate, PasteFault};
use crate::data::boundary::{Boundary, JsonValue};

/// A value in a text.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
    /// Whether its last bracket is there.
    is_closed: bool,
}

/// Whether a text means to be JSON.
pub(super) fn is_json(text: &str) -> bool {
    let mut signs = text.chars().filter(|c| !c.is_whitespace());
    match (signs.next(), signs.next()) {
        (Some('{'), next) => next.is_none_or(|next| "\"}'“".contains(next)),
        (Some('['), next) => next.is_none_or(|next| "{[\"]".contains(next)),
        _ => false,
    }
}

/// The rows of a text, each with its line.
pub(super) fn rows(text: &str) -> Vec<Candidate> {
    let text = Lines::of(without_idle_commas(text));
    let whole = text.text.as_str();
    let values = if is_lines(whole) { lines(whole) } else { values(whole, 0, whole.len()) };
    values.into_iter().flat_map(|value| unfolded(&text, value)).collect()
}

/// A text, and where its lines begin.
struct Lines {
    text: String,
    starts: Vec<usize>,
}

impl Lines {
    fn of(text: String) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    /// The number of the line that a place is in, from 1, and what stands before it there.
    fn before(&self, place: usize) -> (u64, &str) {
        let line = self.starts.partition_point(|start| *start <= place);
        (line as u64, &self.text[self.starts[line - 1]..place])
    }
}

/// The values between two places, with commas or blanks between them.
fn values(text: &str, start: usize, end: usize) -> Vec<Span> {
    let (mut at, mut values) = (start, Vec::new());
    loop {
        let rest = text[at..end].trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        if rest.is_empty() {
            return values;
        }
        let start = end - rest.len();
        let length = Boundary::Json(JsonValue::default()).feed(rest.as_bytes());
        at = start + length.unwrap_or(rest.len());
        // A bare word or number is ended by what follows it.
        values.push(Span { start, end: at, is_closed: length.is_some() || !rest.starts_with(['[', '{']) });
    }
}

/// Whether every line is a value of its own: a broken one breaks no other, then.
fn is_lines(text: &str) -> bool {
    let lines = text.lines().map(|line| line.trim().trim_end_matches(','));
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    let is_whole = |line: &&str| {
        (line.starts_with('{') && line.ends_with('}')) || (line.starts_with('[') && line.ends_with(']'))
    };
    // A list over several lines begins with one that opens it.
    let is_open = lines.first().is_some_and(|line| line.starts_with('[') && !is_whole(line));
    let whole = lines.iter().filter(|line| is_whole(line)).count();
    lines.len() > 1
        && !is_open
        && 2 * whole >= lines.len()
        && lines.iter().all(|line| line.starts_with(['{', '[']))
}

/// Every line that is not blank, without a comma behind it.
fn lines(text: &str) -> Vec<Span> {
    let (mut start, mut spans) = (0, Vec::new());
    for line in text.split('\n') {
        let value = line.trim_end().trim_end_matches(',');
        let blank = value.len() - value.trim_start().len();
        if blank < value.len() {
            spans.push(Span { start: start + blank, end: start + value.len(), is_closed: true });
        }
        start += line.len() + 1;
    }
    spans
}

/// The rows that a value holds: a list of messages is one row, any other list is one of rows.
fn unfolded(lines: &Lines, span: Span) -> Vec<Candidate> {
    let text = lines.text.as_str();
    let value = &text[span.start..span.end];
    if !value.starts_with('[') {
        return vec![read(lines, span)];
    }
    let end = if span.is_closed && value.ends_with(']') { span.end - 1 } else { span.end };
    let elements = values(text, span.start + 1, end);
    let first = elements.first().map(|first| &text[first.start..first.end]);
    let first = first.and_then(|first| serde_json::from_str::<Value>(first).ok());
    let is_row = match &first {
        Some(Value::Object(fields)) => fields.contains_key("role") || fields.contains_key("from"),
        Some(Value::String(_)) => true,
        _ => false,
    };
    if is_row {
        return vec![read(lines, span)];
    }
    let mut rows: Vec<Candidate> = elements.iter().map(|element| read(lines, *element)).collect();
    if !span.is_closed && elements.iter().all(|element| element.is_closed) {
        rows.push(Candidate { line: lines.before(span.start).0, row: Err(PasteFault::Unclosed) });
    }
    rows
}

/// One row; two strings in a list are a question and its answer.
fn read(lines: &Lines, span: Span) -> Candidate {
    let value = &lines.text[span.start..span.end];
    let (line, before) = lines.before(span.start);
    match serde_json::from_str::<Value>(value) {
        Ok(Value::Array(list)) => {
            let row = match list.as_slice() {
                [Value::String(question), Value::String(answer)] => {
                    json!({ "question": question, "answer": answer })
                }
                _ => Value::Array(list),
            };
            Candidate { line, row: Ok(row) }
        }
        Ok(value) => Candidate { line, row: Ok(value) },
        Err(_) if !span.is_closed => Candidate { line, row: Err(PasteFault::Unclosed) },
        Err(error) => {
            let below = error.line().saturating_sub(1);
            let broken = value.split('\n').nth(below).unwrap_or(value);
            // serde counts bytes; an editor counts characters.
            let within = broken.bytes().take(error.column()).filter(|byte| byte & 0xC0 != 0x80).count();
            let column = within + if below == 0 { before.chars().count() } else { 0 };
            Candidate { line: line + below as u64, row: Err(PasteFault::Json { column }) }
        }
    }
}

/// The text with blanks in the place of commas that nothing follows.
fn without_idle_commas(text: &str) -> String {
    let (mut in_string, mut escaped, mut comma) = (false, false, None);
    let mut idle = Vec::new();
    for (at, byte) in text.bytes().enumerate() {
        if in_string {
            // No string goes over a line end, so that one that is not closed spoils no other line.
            in_string = byte != b'\n' && (escaped || byte != b'"');
            escaped = byte == b'\\' && !escaped;
            continue;
        }
        match byte {
            b'}' | b']' => idle.extend(comma.take()),
            b',' => comma = Some(at),
            byte if byte.is_ascii_whitespace() => {}
            _ => comma = None,
        }
        (in_string, escaped) = (byte == b'"', false);
    }
    let sign = |(at, c): (usize, char)| if idle.binary_search(&at).is_ok() { ' ' } else { c };
    text.char_indices().map(sign).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(u64, Result<Value, PasteFault>)> {
        assert!(is_json(text), "{text}");
        rows(text).into_iter().map(|candidate| (candidate.line, candidate.row)).collect()
    }

    fn pair(question: &str) -> Result<Value, PasteFault> {
        Ok(json!({"q": question, "a": "x"}))
    }

    #[test]
    fn rows_are_found_however_the_json_is_printed() {
        let [one, two] = ["1", "2"].map(|q| format!("{{\"q\": \"{q}\", \"a\": \"x\"}}"));
        for (text, lines) in [
            (format!("{one}\n\n{two}\n"), [1, 3]),
            (format!("{one},\n{two},"), [1, 2]),
            (format!("[{one}, {two}]"), [1, 1]),
            (format!("[\n  {one},\n  {two},\n]"), [2, 3]),
            (format!("{{\n  \"q\": \"1\",\n  \"a\": \"x\",\n}}\n{two}"), [1, 5]),
            (format!("[{one}]\n[{two}]"), [1, 2]),
        ] {
            assert_eq!(found(&text), [(lines[0], pair("1")), (lines[1], pair("2"))], "{text}");
        }
    }

    #[test]
    fn escaped_signs_are_texts() {
        let text = "{\"q\": \"a\\nb,]\", \"a\": \"\\\"c\\\\\"}\n{\"q\": \"{\", \"a\": \",\"}";
        let rows = [json!({"q": "a\nb,]", "a": "\"c\\"}), json!({"q": "{", "a": ","})];
        assert_eq!(found(text), [(1, Ok(rows[0].clone())), (2, Ok(rows[1].clone()))]);
    }

    #[test]
    fn lists_of_messages_and_of_two_strings_are_rows() {
        let messages = json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]);
        let strings = json!({"question": "q", "answer": "a"});
        for (text, row) in [
            (messages.to_string(), &messages),
            (format!("[{messages}]"), &messages),
            ("[\"q\", \"a\"]".to_string(), &strings),
            ("[[\"q\", \"a\"]]".to_string(), &strings),
        ] {
            assert_eq!(found(&text), [(1, Ok(row.clone()))], "{text}");
        }
    }

    #[test]
    fn what_is_broken_is_named_once_by_line_and_column() {
        let good = "{\"q\": \"1\", \"a\": \"x\"}";
        // The bad sign is the 12th character of its line, and the 14th byte.
        let bad = "{\"甲\": \"x\", 1: 2}";
        assert_eq!(
            found(&format!("{good}\n{bad}")),
            [(1, pair("1")), (2, Err(PasteFault::Json { column: 12 }))]
        );
        assert_eq!(found(&format!("[{bad}]")), [(1, Err(PasteFault::Json { column: 13 }))]);
        assert_eq!(found("{\n \"q\": x\n}"), [(2, Err(PasteFault::Json { column: 7 }))]);
        let open = found("{\"q\": \"1, \"a\": \"x\"}\n{\"q\": \"1\", \"a\": \"x\"}");
        assert!(matches!(open[0], (1, Err(PasteFault::Json { .. }))), "{open:?}");
        assert_eq!(open[1..], [(2, pair("1"))]);
        assert_eq!(found(&format!("\n[{good},")), [(2, pair("1")), (2, Err(PasteFault::Unclosed))]);
        assert_eq!(found(&format!("[{good},\n{{\"q\": [")), [(1, pair("1")), (2, Err(PasteFault::Unclosed))]);
    }

    #[test]
    fn texts_in_brackets_are_no_json() {
        for text in ["[Chapter 1] Once", "{name}", "hello {\"a\": 1}", "", "12"] {
            assert!(!is_json(text), "{text}");
        }
    }
}
