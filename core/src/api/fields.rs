//! The fields of a request's JSON, taken one by one: what is left at the end is refused by name.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::ApiError;

/// An object whose fields are taken out as they are read; `null` is the same as no field.
#[derive(Debug)]
pub(super) struct Fields {
    path: String,
    map: Map<String, Value>,
}

impl Fields {
    /// The fields of a request's body.
    ///
    /// # Errors
    /// What is no JSON object.
    pub(super) fn of_body(body: &[u8]) -> Result<Self, ApiError> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(map)) => Ok(Self { path: String::new(), map }),
            Ok(_) => Err(ApiError::no_json("it is another value")),
            Err(error) => Err(ApiError::no_json(&error.to_string())),
        }
    }

    /// No fields at all.
    pub(super) fn empty() -> Self {
        Self { path: String::new(), map: Map::new() }
    }

    /// The fields of an object within it, which errors name by its path.
    ///
    /// # Errors
    /// What is no object.
    pub(super) fn of_value(path: &str, value: Value) -> Result<Self, ApiError> {
        match value {
            Value::Object(map) => Ok(Self { path: path.to_string(), map }),
            other => Err(ApiError::wrong_type(path, "an object", &other)),
        }
    }

    /// How errors name a field.
    pub(super) fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_string() } else { format!("{}.{key}", self.path) }
    }

    /// Whether a field is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.map.get(key).is_some_and(|value| !value.is_null())
    }

    /// A field's value.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.map.shift_remove(key).filter(|value| !value.is_null())
    }

    /// A text.
    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, ApiError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(ApiError::wrong_type(&self.path(key), "a string", &other)),
        }
    }

    /// A text that must be there.
    pub(super) fn required_text(&mut self, key: &str) -> Result<String, ApiError> {
        self.text(key)?.ok_or_else(|| ApiError::missing(&self.path(key)))
    }

    /// True or false.
    pub(super) fn flag(&mut self, key: &str) -> Result<Option<bool>, ApiError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(ApiError::wrong_type(&self.path(key), "a boolean", &other)),
        }
    }

    /// A number within limits.
    pub(super) fn number(&mut self, key: &str, limits: RangeInclusive<f64>) -> Result<Option<f64>, ApiError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let path = self.path(key);
        let number = value.as_f64().ok_or_else(|| ApiError::wrong_type(&path, "a number", &value))?;
        if limits.contains(&number) {
            return Ok(Some(number));
        }
        Err(ApiError::invalid(&path, out_of(&path, &value, limits.start(), limits.end())))
    }

    /// A whole number within limits.
    pub(super) fn whole(&mut self, key: &str, limits: RangeInclusive<i64>) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let path = self.path(key);
        // JavaScript writes whole numbers as 1.0 in places.
        let from_float = || value.as_f64().filter(|x| x.fract() == 0.0 && x.abs() < 9e15).map(|x| x as i64);
        let number = value.as_i64().or_else(from_float);
        let number = number.ok_or_else(|| ApiError::wrong_type(&path, "an integer", &value))?;
        if limits.contains(&number) {
            return Ok(Some(number));
        }
        Err(ApiError::invalid(&path, out_of(&path, &value, limits.start(), limits.end())))
    }

    /// A list.
    pub(super) fn list(&mut self, key: &str) -> Result<Option<Vec<Value>>, ApiError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(other) => Err(ApiError::wrong_type(&self.path(key), "an array", &other)),
        }
    }

    /// An object within it.
    pub(super) fn object(&mut self, key: &str) -> Result<Option<Fields>, ApiError> {
        let path = self.path(key);
        self.take(key).map(|value| Self::of_value(&path, value)).transpose()
    }

    /// All the fields that are left, as they are.
    pub(super) fn rest(self) -> Map<String, Value> {
        self.map
    }

    /// Leaves fields out that clients send and that change nothing of the answer.
    pub(super) fn ignore(&mut self, keys: &[&str]) {
        for key in keys {
            self.map.shift_remove(*key);
        }
    }

    /// Takes a field that can only have the values that change nothing.
    ///
    /// # Errors
    /// Any other value: the field with the remedy.
    pub(super) fn neutral(&mut self, key: &str, neutral: &[Value], remedy: &str) -> Result<(), ApiError> {
        match self.take(key) {
            Some(value) if !neutral.contains(&value) => Err(ApiError::unsupported(&self.path(key), remedy)),
            _ => Ok(()),
        }
    }

    /// Refuses the first field that nothing has taken.
    pub(super) fn finish(self) -> Result<(), ApiError> {
        match self.map.iter().find(|(_, value)| !value.is_null()) {
            Some((key, _)) => Err(ApiError::unknown(&self.path(key))),
            None => Ok(()),
        }
    }
}

fn out_of(path: &str, value: &Value, least: impl std::fmt::Display, most: impl std::fmt::Display) -> String {
    format!("Invalid '{path}': it is {value}, but must lie between {least} and {most}.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(value: Value) -> Fields {
        Fields::of_body(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn fields_are_taken_by_kind_and_the_rest_is_refused_by_name() {
        let mut body =
            fields(json!({"a": "x", "b": 2.0, "c": true, "d": [1], "e": {"f": 1}, "g": null, "n": 0.5}));
        assert_eq!(body.text("a"), Ok(Some("x".to_string())));
        assert_eq!(body.whole("b", 0..=5), Ok(Some(2)));
        assert_eq!((body.flag("c"), body.list("d")), (Ok(Some(true)), Ok(Some(vec![json!(1)]))));
        assert_eq!((body.flag("g"), body.number("n", 0.0..=1.0)), (Ok(None), Ok(Some(0.5))));
        let inner = body.object("e").unwrap().unwrap();
        assert_eq!(inner.finish().unwrap_err().param.as_deref(), Some("e.f"));
        assert_eq!(body.finish(), Ok(()));
        let error = fields(json!({"left": 1})).finish().unwrap_err();
        assert_eq!((error.code, error.param.as_deref()), (Some("unknown_parameter"), Some("left")));
    }

    #[test]
    fn wrong_kinds_and_limits_are_told() {
        let error = fields(json!({"a": 1})).text("a").unwrap_err();
        assert_eq!(error.message, "Invalid type for 'a': expected a string, but got a number instead.");
        let error = fields(json!({"t": 3})).number("t", 0.0..=2.0).unwrap_err();
        assert_eq!(error.message, "Invalid 't': it is 3, but must lie between 0 and 2.");
        assert_eq!(fields(json!({"n": 1.5})).whole("n", 0..=5).unwrap_err().code, Some("invalid_type"));
        assert_eq!(
            fields(json!({})).required_text("model").unwrap_err().code,
            Some("missing_required_parameter")
        );
        let mut body = fields(json!({"suffix": "", "best_of": 2}));
        assert_eq!(body.neutral("suffix", &[json!("")], "leave it out"), Ok(()));
        let error = body.neutral("best_of", &[json!(1)], "ask for n answers and choose").unwrap_err();
        assert!(error.message.contains("ask for n answers and choose"), "{error:?}");
    }

    #[test]
    fn a_body_that_is_no_object_is_refused() {
        for body in [&b""[..], b"[1]", b"{", b"\xff\xfe", b"{\"a\": \"\xff\"}"] {
            assert_eq!(Fields::of_body(body).unwrap_err().code, Some("invalid_json"), "{body:?}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(Fields::of_body(deep.as_bytes()).unwrap_err().status, 400);
    }
}
