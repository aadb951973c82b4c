//! JSON with reasons in plain words, for rows that a person has to find and mend.

use serde_json::error::Category;
use serde_json::{Map, Value};

use crate::told::{Told, told};

/// Reads one JSON value.
///
/// # Errors
/// What is wrong and in which column (counted in characters), and in which line of the text after the first one.
pub fn parse_json(text: &str) -> Result<Value, Told> {
    serde_json::from_str(text).map_err(|error| reason(text, &error))
}

fn reason(text: &str, error: &serde_json::Error) -> Told {
    let line = text.split('\n').nth(error.line().saturating_sub(1)).unwrap_or(text);
    // serde counts bytes; an editor counts characters.
    let column = line.bytes().take(error.column()).filter(|byte| byte & 0xC0 != 0x80).count();
    let place = match error.line() {
        0 | 1 => told!("place.column", "column {column}", column),
        number => told!("place.line", "line {number} of the row, column {column}", number, column),
    };
    let message = error.to_string();
    let what = message.split(" at line ").next().unwrap_or_default();
    match (error.classify(), what.strip_prefix("EOF while parsing ")) {
        (Category::Eof, Some(part)) => {
            told!("row.json_open", "broken JSON: the row ends inside {part} ({place})", part, place)
        }
        _ => told!("row.json", "broken JSON at {place}: {what}", place, what = plain(what)),
    }
}

fn plain(what: &str) -> &str {
    match what {
        "expected value" | "expected ident" => "expected a value",
        other => other,
    }
}

/// What kind of value this is, with its article: "a number".
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Whether there is no visible character.
pub fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// Whether a value holds a text with a visible character, itself or deep inside.
pub fn bears_text(value: &Value) -> bool {
    match value {
        Value::String(text) => !is_blank(text),
        Value::Array(list) => list.iter().any(bears_text),
        Value::Object(fields) => fields.values().any(bears_text),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The keys of an object in its own order, for a message; null values are marked, long lists are cut.
pub fn keys(fields: &Map<String, Value>) -> Told {
    const SHOWN: usize = 12;
    if fields.is_empty() {
        return told!("row.no_keys", "no keys");
    }
    let mark = |(key, value): (&String, &Value)| short(key) + if value.is_null() { " (null)" } else { "" };
    let shown: Vec<String> = fields.iter().take(SHOWN).map(mark).collect();
    let rest = if fields.len() > SHOWN { ", …" } else { "" };
    told!("row.keys", "keys {names}{rest}", names = shown.join(", "), rest)
}

/// A text cut to a length that fits into a message.
pub fn short(text: &str) -> String {
    const SHOWN: usize = 40;
    let mut cut: String = text.chars().take(SHOWN).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn broken_json_names_the_column() {
        assert_eq!(
            parse_json(r#"{"text": "abc"#),
            Err("broken JSON: the row ends inside a string (column 13)".into())
        );
        assert_eq!(
            parse_json(r#"{"text": 1 "b"}"#),
            Err("broken JSON at column 12: expected `,` or `}`".into())
        );
    }

    #[test]
    fn the_column_counts_characters_and_later_lines_are_named() {
        // The bad `x` is the 9th character and the 13th byte.
        assert_eq!(parse_json(r#"{"甲乙": 1x}"#), Err("broken JSON at column 9: expected `,` or `}`".into()));
        assert_eq!(
            parse_json("{\n  \"a\": ?\n}"),
            Err("broken JSON at line 2 of the row, column 8: expected a value".into())
        );
    }

    #[test]
    fn texts_are_found_at_any_depth() {
        for value in [json!("x"), json!([1, [" ", "x"]]), json!({"a": {"b": ["x"]}})] {
            assert!(bears_text(&value), "{value}");
        }
        for value in [json!(null), json!(7), json!(true), json!(" \n"), json!([]), json!({"a": [1, ""]})] {
            assert!(!bears_text(&value), "{value}");
        }
    }

    #[test]
    fn keys_are_listed_for_messages() {
        let fields = json!({"b": 1, "a": null});
        assert_eq!(keys(fields.as_object().unwrap()), "keys b, a (null)");
        assert_eq!(keys(&Map::new()), "no keys");
        assert_eq!(short(&"x".repeat(41)), "x".repeat(40) + "…");
    }
}
