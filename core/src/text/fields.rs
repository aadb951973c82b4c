//! The keys of a row: what is read counts as used, and what the others hold is named.

use serde_json::{Map, Value};

use super::json::{bears_text, is_blank, keys, kind, parse_json, short};
use super::warning::RowWarning;
use super::weight::{reads_as_weight, words};
use crate::told::{Told, told};

/// What is found beside the meaning of a row.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// What is odd about the row, each kind once.
    pub(super) warnings: Vec<RowWarning>,
    /// Keys that hold something which nothing uses, each once.
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

/// Last words of keys whose numbers and truth values say what a row is, where it comes from or how large it is: nothing
/// is lost where nobody reads them.
const HARMLESS: &str = "id ids idx index uuid guid key hash sha md5 name title url source file path line row page version \
                        split date day year time timestamp ts created updated modified length len size count tokens 轮次";

/// Whether what stands under a key does no more than label its row. A table's first column of numbers without a name
/// (`Unnamed: 0` and `__index_level_0__`, as pandas writes it, or none at all) counts its rows.
pub(crate) fn is_label(key: &str) -> bool {
    let parted = words(key);
    let last = parted.rsplit(|c: char| !c.is_alphanumeric()).find(|word| !word.is_empty());
    last.is_none_or(|word| HARMLESS.split(' ').any(|known| known == word))
        || parted.ends_with("_at")
        || ["unnamed", "__index_level"].iter().any(|begin| parted.starts_with(begin))
}

/// Whether a value under this key is a loss where nothing reads it: a text, what reads as a weight, and any number or
/// truth value that is no mere label.
pub(super) fn tells(key: &str, value: &Value) -> bool {
    bears_text(value) || (!value.is_null() && reads_as_weight(key)) || counts(key, value)
}

/// Whether a number or a truth value stands under this key, itself or deep inside, that is no mere label.
pub(super) fn counts(key: &str, value: &Value) -> bool {
    match value {
        Value::Number(_) | Value::Bool(_) => reads_as_weight(key) || !is_label(key),
        Value::Array(list) => list.iter().any(|value| counts(key, value)),
        Value::Object(fields) => fields.iter().any(|(key, value)| counts(key, value)),
        Value::Null | Value::String(_) => false,
    }
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
    pub(super) fn found(&self) -> Told {
        keys(self.all)
    }

    /// The value of a key, `None` also for null.
    pub(super) fn value(&mut self, key: &'a str) -> Option<&'a Value> {
        self.read.push(key);
        self.peek(key)
    }

    /// A string that must be there.
    pub(super) fn text(&mut self, key: &'a str) -> Result<&'a str, Told> {
        self.read.push(key);
        match self.all.get(key) {
            Some(Value::String(text)) => Ok(text),
            Some(other) => Err(told!(
                "row.not_string",
                "{key} must be a string, found {found}",
                key,
                found = kind(other)
            )),
            None => {
                Err(told!("row.key_missing", "{key} is missing; found {found}", key, found = self.found()))
            }
        }
    }

    /// A string that may be absent, which is an empty one.
    pub(super) fn optional_text(&mut self, key: &'a str) -> Result<&'a str, Told> {
        match self.has(key) {
            true => self.text(key),
            false => Ok(""),
        }
    }

    /// A list, which a CSV cell holds as JSON text; absent or empty gives no items.
    pub(super) fn list(&mut self, key: &'a str) -> Result<Vec<Value>, Told> {
        let value = match self.value(key) {
            Some(Value::String(text)) if is_blank(text) => Value::Null,
            Some(Value::String(text)) => {
                parse_json(text).map_err(|why| told!("at", "{name}: {why}", name = key, why))?
            }
            Some(value) => value.clone(),
            None => Value::Null,
        };
        match value {
            Value::Null => Ok(Vec::new()),
            Value::Array(list) => Ok(list),
            other => {
                Err(told!("row.not_list", "{key} must be a list, found {found}", key, found = kind(&other)))
            }
        }
    }

    /// What was found, with the keys of what nothing has read.
    pub(super) fn finish(mut self) -> Notes {
        // It changes what a template prints, whatever it holds.
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
    fn what_nothing_reads_is_named() {
        let row = json!({
            "text": "a", "id": 7, "lang": "en", "none": null, "blank": " ", "flag": true,
            "meta": {"score": 1, "tags": ["x"]}, "weight": 0, "numbers": [1, 2], "chat_template_kwargs": {"thinking": false},
            "loss_mask": [0, 1],
        });
        let mut fields = Fields::new(row.as_object().unwrap());
        assert_eq!(fields.text("text"), Ok("a"));
        assert_eq!((fields.optional_text("none"), fields.value("none")), (Ok(""), None));
        assert!(fields.has("lang") && !fields.has("none") && fields.peek("meta").is_some());
        assert_eq!(
            fields.finish().unused,
            ["lang", "flag", "meta", "weight", "numbers", "chat_template_kwargs", "loss_mask"]
        );
    }

    #[test]
    fn numbers_and_truth_values_are_named_unless_they_label_the_row() {
        for key in [
            "wieght",
            "exclude",
            "skip",
            "is_target",
            "label",
            "predict",
            "contextOnly",
            "importance",
            "coef",
            "score",
            "temprature",
            "top-k",
            "stream",
            "thinking",
            "enable_thinking",
            "loss_id",
            "id_weight",
            "权重",
        ] {
            assert!(tells(key, &json!(0)) && tells(key, &json!([false])), "{key}");
            assert!(!tells(key, &json!(null)), "{key}");
        }
        for key in [
            "id",
            "ID",
            "rowId",
            "turn_id",
            "__index_level_0__",
            "timestamp",
            "created_at",
            "n_tokens",
            "Unnamed: 0",
            "",
            "page",
            "year",
        ] {
            assert!(!tells(key, &json!(7)) && !tells(key, &json!({key: [1]})), "{key}");
            assert!(tells(key, &json!("a text")), "{key}");
        }
        assert!(tells("meta", &json!({"id": 1, "quality": 2})) && !tells("meta", &json!({"id": 1})));
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
