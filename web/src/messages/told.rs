//! What is said in sentences: errors and warnings.

use serde_json::{Map, Value};

messages! {
    /// A sentence of the engine, which a page can say in words of its own by its code and values.
    struct Told {
        /// What it says, in a word; "other" has only its message.
        code: String,
        /// What stands in it, by name.
        values: Map<String, Value> as "Record<string, ToldValue>",
        /// The sentence in English.
        message: String,
    }
}

#[cfg(target_family = "wasm")]
impl From<&kindling::told::Told> for Told {
    fn from(told: &kindling::told::Told) -> Self {
        let values = match serde_json::to_value(told) {
            Ok(Value::Object(mut told)) => told.remove("values"),
            _ => None,
        };
        let values = match values {
            Some(Value::Object(values)) => values,
            _ => Map::new(),
        };
        Self { code: told.code().into(), values, message: told.to_string() }
    }
}
