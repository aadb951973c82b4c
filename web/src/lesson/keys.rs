//! The keys of a lesson's file, taken one by one, and the texts under them.

use serde_json::{Map, Value};

use super::problem::{Problem, Wanted};

/// An object of the file, of which keys are taken; null is as good as absent.
pub(super) struct Keys {
    /// Where it stands, with a dot behind.
    pub(super) path: String,
    pub(super) map: Map<String, Value>,
}

impl Keys {
    pub(super) fn of(value: Value, path: &str) -> Result<Self, Problem> {
        match value {
            Value::Object(map) => Ok(Self { path: format!("{path}."), map }),
            _ => Err(Problem::kind(path, Wanted::Object)),
        }
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.map.shift_remove(key).filter(|value| !value.is_null())
    }

    pub(super) fn needed(&mut self, key: &str) -> Result<Value, Problem> {
        self.take(key).ok_or_else(|| Problem::Missing { key: format!("{}{key}", self.path) })
    }

    /// Names what nobody took.
    pub(super) fn rest(self, unused: &mut Vec<String>) {
        unused.extend(self.map.keys().map(|key| format!("{}{key}", self.path)));
    }
}

/// A text of so many characters at most.
pub(super) fn text_of(value: Value, path: &str, most: usize, needed: bool) -> Result<String, Problem> {
    let Value::String(text) = value else { return Err(Problem::kind(path, Wanted::Text)) };
    let found = text.chars().count();
    if found > most {
        return Err(Problem::TooLong { key: path.into(), found, most });
    }
    match needed && text.trim().is_empty() {
        true => Err(Problem::Empty { key: path.into() }),
        false => Ok(text),
    }
}

/// A question has one line, as the page's field for them has one for each.
pub(super) fn one_line(text: String) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
