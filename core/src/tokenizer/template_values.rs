//! JSON into a template and out of it again, as Python writes it.

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind};

use crate::text::Message;

/// The widest indent: a template comes with a stranger's model, and every item of a row is set in by it.
const WIDEST_INDENT: usize = 64;

/// A JSON value as a template sees it; objects keep the order of their keys.
pub(super) fn from_json(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(flag) => Value::from(*flag),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => Value::from(integer),
            (None, Some(integer)) => Value::from(integer),
            (None, None) => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Array(items) => items.iter().map(from_json).collect(),
        serde_json::Value::Object(map) => {
            Value::from_pairs(map.iter().map(|(key, value)| (key.as_str(), from_json(value))))
        }
    }
}

/// A message with its own keys and those beside them.
pub(super) fn message_value(message: &Message) -> Value {
    let own =
        [("role", Value::from(message.role.as_str())), ("content", Value::from(message.content.as_str()))];
    let extra = message.extra.iter().map(|(key, value)| (key.as_str(), from_json(value)));
    Value::from_pairs(own.into_iter().chain(extra))
}

/// The messages with the arguments of their calls as JSON text; `None` where none is an object.
pub(super) fn with_text_arguments(messages: &[Message]) -> Option<Vec<Message>> {
    let mut messages = messages.to_vec();
    let mut changed = false;
    for call in messages
        .iter_mut()
        .filter_map(|message| message.extra.get_mut("tool_calls")?.as_array_mut())
        .flatten()
    {
        // OpenAI's form holds the call in `function`.
        let call = if call["function"].is_object() { &mut call["function"] } else { call };
        let Some(arguments) = call.get_mut("arguments").filter(|arguments| arguments.is_object()) else {
            continue;
        };
        let none = Kwargs::from_iter(std::iter::empty::<(&str, Value)>());
        *arguments = tojson(&from_json(arguments), none).ok()?.into();
        changed = true;
    }
    changed.then_some(messages)
}

/// The `tojson` filter of `transformers`: Python's `json.dumps(value, ensure_ascii=False, …)`, without the
/// HTML escapes of Jinja's own filter.
pub(super) fn tojson(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent = options.get::<Option<usize>>("indent")?;
    if let Some(wide) = indent.filter(|indent| *indent > WIDEST_INDENT) {
        return Err(invalid(format!("tojson: an indent of {wide} characters is more than {WIDEST_INDENT}")));
    }
    let separators = options.get::<Option<Vec<String>>>("separators")?;
    let (item, key) = match separators.as_deref() {
        Some([item, key]) => (item.clone(), key.clone()),
        Some(_) => return Err(invalid("tojson: separators are two strings")),
        None if indent.is_some() => (",".to_string(), ": ".to_string()),
        None => (", ".to_string(), ": ".to_string()),
    };
    let mut json = Json {
        indent,
        item,
        key,
        sort_keys: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        ascii: options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        text: String::new(),
    };
    options.assert_all_used()?;
    json.value(value, 0)?;
    Ok(json.text)
}

/// A writer of JSON in one of Python's styles.
struct Json {
    indent: Option<usize>,
    item: String,
    key: String,
    sort_keys: bool,
    ascii: bool,
    text: String,
}

impl Json {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        match value.kind() {
            ValueKind::None => self.text.push_str("null"),
            ValueKind::Bool => self.text.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number if value.is_integer() => self.text.push_str(&value.to_string()),
            ValueKind::Number => self.text.push_str(&python_float(f64::try_from(value.clone())?)),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => self.list(value, depth)?,
            ValueKind::Map => self.object(value, depth)?,
            other => {
                return Err(invalid(format!("a value of type {other} is not JSON serializable")));
            }
        }
        Ok(())
    }

    fn list(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        self.text.push('[');
        let mut empty = true;
        for item in value.try_iter()?.checked() {
            self.begin_item(empty, depth);
            self.value(&item?, depth + 1)?;
            empty = false;
        }
        self.end(empty, depth, ']');
        Ok(())
    }

    fn object(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        let mut keys = value.try_iter()?.checked().collect::<Result<Vec<Value>, Error>>()?;
        if self.sort_keys {
            keys.sort_by_key(key_text);
        }
        self.text.push('{');
        for (index, key) in keys.iter().enumerate() {
            self.begin_item(index == 0, depth);
            self.string(&key_text(key));
            let separator = self.key.clone();
            self.text.push_str(&separator);
            self.value(&value.get_item(key)?, depth + 1)?;
        }
        self.end(keys.is_empty(), depth, '}');
        Ok(())
    }

    fn begin_item(&mut self, first: bool, depth: usize) {
        if !first {
            let separator = self.item.clone();
            self.text.push_str(&separator);
        }
        self.new_line(depth + 1);
    }

    fn end(&mut self, empty: bool, depth: usize, bracket: char) {
        if !empty {
            self.new_line(depth);
        }
        self.text.push(bracket);
    }

    fn new_line(&mut self, depth: usize) {
        if let Some(indent) = self.indent {
            self.text.push('\n');
            self.text.extend(std::iter::repeat_n(' ', indent * depth));
        }
    }

    fn string(&mut self, string: &str) {
        self.text.push('"');
        for character in string.chars() {
            match character {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                '\u{8}' => self.text.push_str("\\b"),
                '\u{c}' => self.text.push_str("\\f"),
                control if control < ' ' => self.escape(control),
                wide if self.ascii && !wide.is_ascii() => self.escape(wide),
                other => self.text.push(other),
            }
        }
        self.text.push('"');
    }

    /// `\uXXXX`, with a surrogate pair beyond U+FFFF.
    fn escape(&mut self, character: char) {
        for unit in character.encode_utf16(&mut [0; 2]) {
            self.text.push_str(&format!("\\u{unit:04x}"));
        }
    }
}

/// Python's spelling of a key that is not a string.
fn key_text(key: &Value) -> String {
    match key.kind() {
        ValueKind::None => "null".to_string(),
        ValueKind::Bool => key.is_true().to_string(),
        _ => key.to_string(),
    }
}

/// Python's `repr` of a float: the shortest digits that read back, exponents below -4 and from 16 on.
pub(super) fn python_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_string();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_string();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = value.to_string();
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::Environment;
    use serde_json::json;

    fn render(expression: &str, value: serde_json::Value) -> String {
        let mut environment = Environment::new();
        environment.add_filter("tojson", tojson);
        let context = Value::from_pairs([("value", from_json(&value))]);
        environment.render_str(&format!("{{{{ {expression} }}}}"), context).unwrap()
    }

    #[test]
    fn json_as_python_writes_it() {
        let value = json!({"z": "<a & 'b'> \"你\"\n\u{1}", "a": [1, 2.0, -3, true, null], "e": {}, "l": []});
        let expected =
            r#"{"z": "<a & 'b'> \"你\"\n\u0001", "a": [1, 2.0, -3, true, null], "e": {}, "l": []}"#;
        assert_eq!(render("value | tojson", value), expected);
    }

    #[test]
    fn options_of_json_dumps() {
        let value = json!({"b": [1, "你😀"], "a": {}});
        let indented = "{\n  \"b\": [\n    1,\n    \"你😀\"\n  ],\n  \"a\": {}\n}";
        assert_eq!(render("value | tojson(indent=2)", value.clone()), indented);
        assert_eq!(render("value | tojson(sort_keys=true)", value.clone()), r#"{"a": {}, "b": [1, "你😀"]}"#);
        assert_eq!(
            render("value | tojson(separators=[',', ':'])", value.clone()),
            r#"{"b":[1,"你😀"],"a":{}}"#
        );
        let ascii = r#"{"b": [1, "\u4f60\ud83d\ude00"], "a": {}}"#;
        assert_eq!(render("value | tojson(ensure_ascii=true)", value), ascii);
    }

    #[test]
    fn floats_as_python_writes_them() {
        let cases = [
            (0.0, "0.0"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (-2.5e-7, "-2.5e-07"),
        ];
        for (value, expected) in cases {
            assert_eq!(python_float(value), expected);
        }
    }
}
