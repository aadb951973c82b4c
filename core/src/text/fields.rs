//! The keys of a row: what is read counts as used, and texts under the others are named.

use serde_json::{Map, Value};

use super::json::{bears_text, is_blank, keys, kind, parse_json, short};
use super::warning::RowWarning;
use super::weight::reads_as_weight;

/// What is found beside the meaning of a row.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// What is odd about the row, each kind once.
    pub(super) warnings: Vec<RowWarning>,
    /// Keys that hold a text or a weight which nothing uses, each once.
    pub(super) unused: Vec<String>,
}

impl Notes {
    pub(super) fn warn(&mut self, warning: RowWarning) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    pub(super) fn unused(&mut self, key: &str) {
        self.keep_unused(short(key));
    }

    /// Notes a key inside a message.
    pub(super) fn unused_of_message(&mut self, key: &str) {
        self.keep_unused(short(key) + OF_MESSAGE);
    }

    fn keep_unused(&mut self, key: String) {
        if !self.unused.contains(&key) {
            self.unused.push(key);
        }
    }
}

/// What stands behind the name of a key inside a message.
pub(super) const OF_MESSAGE: &str = " of a message";

/// Whether a value under this key is a loss where nothing reads it: a text, or what reads as a weight.
pub(super) fn tells(key: &str, value: &Value) -> bool {
    bears_text(value) || (!value.is_null() && reads_as_weight(key))
}

/// The keys of a row, and which of them were read.
pub(super) struct Fields<'a> {
    all: &'a Map<String, Value>,
    read: Vec<&'a str>,
    /// What is found on the way.
    pub(super) notes: Notes,
}

impl<'a> Fields<'a> {
    pub(super) fn new(all: &'a Map<String, Value>) -> Self {
        Self { all, read: Vec::new(), notes: Notes::default() }
    }

    /// Whether a key is there and not null.
    pub(super) fn has(&self, key: &str) -> bool {
        self.peek(key).is_some()
    }

    /// The value of a key, `None` also for null; it is looked at and not read.
    pub(super) fn peek(&self, key: &str) -> Option<&'a Value> {
        self.all.get(key).filter(|value| !value.is_null())
    }

    /// The keys for a message.
    pub(super) fn found(&self) -> String {
        keys(self.all)
    }

    /// The value of a key, `None` also for null.
    pub(super) fn value(&mut self, key: &'a str) -> Option<&'a Value> {
        self.read.push(key);
        self.peek(key)
    }

    /// A string that must be there.
    pub(super) fn text(&mut self, key: &'a str) -> Result<&'a str, String> {
        self.read.push(key);
        match self.all.get(key) {
            Some(Value::String(text)) => Ok(text),
            Some(other) => Err(format!("{key} must be a string, found {}", kind(other))),
            None => Err(format!("{key} is missing; found {}", self.found())),
        }
    }

    /// A string that may be absent, which is an empty one.
    pub(super) fn optional_text(&mut self, key: &'a str) -> Result<&'a str, String> {
        match self.has(key) {
            true => self.text(key),
            false => Ok(""),
        }
    }

    /// A list, which a CSV cell holds as JSON text; absent or empty gives no items.
    pub(super) fn list(&mut self, key: &'a str) -> Result<Vec<Value>, String> {
        let value = match self.value(key) {
            Some(Value::String(text)) if is_blank(text) => Value::Null,
            Some(Value::String(text)) => parse_json(text).map_err(|why| format!("{key}: {why}"))?,
            Some(value) => value.clone(),
            None => Value::Null,
        };
        match value {
            Value::Null => Ok(Vec::new()),
            Value::Array(list) => Ok(list),
            other => Err(format!("{key} must be a list, found {}", kind(&other))),
        }
    }

    /// What was found, with the texts that nothing has read.
    pub(super) fn finish(mut self) -> Notes {
        // It holds no text, and changes what a template prints.
        const SETTINGS: &str = "chat_template_kwargs";
        let set = |key: &str, value: &Value| {
            key == SETTINGS && value.as_object().is_some_and(|settings| !settings.is_empty())
        };
        for (key, value) in self.all {
            // A weight beside the messages reads as if it acted; it may as well be a note of a loss.
            if !self.read.contains(&key.as_str()) && (tells(key, value) || set(key, value)) {
                self.notes.unused(key);
            }
        }
        self.notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_that_nothing_reads_are_named() {
        let row = json!({
            "text": "a", "id": 7, "lang": "en", "none": null, "blank": " ", "flag": true,
            "meta": {"score": 1, "tags": ["x"]}, "weight": 0, "numbers": [1, 2], "chat_template_kwargs": {"thinking": false},
            "loss_mask": [0, 1],
        });
        let mut fields = Fields::new(row.as_object().unwrap());
        assert_eq!(fields.text("text"), Ok("a"));
        assert_eq!((fields.optional_text("none"), fields.value("none")), (Ok(""), None));
        assert!(fields.has("lang") && !fields.has("none") && fields.peek("meta").is_some());
        assert_eq!(fields.finish().unused, ["lang", "meta", "weight", "chat_template_kwargs", "loss_mask"]);
    }

    #[test]
    fn each_note_is_kept_once() {
        let mut notes = Notes::default();
        (0..2).for_each(|_| notes.warn(RowWarning::EmptyTurn));
        (0..2).for_each(|_| notes.unused(&"x".repeat(100)));
        (0..2).for_each(|_| notes.unused_of_message("note"));
        let unused = vec!["x".repeat(40) + "…", "note of a message".to_string()];
        assert_eq!((notes.warnings.len(), notes.unused), (1, unused));
    }
}
