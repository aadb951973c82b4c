//! The keys of a `config.json`, each by its type. What has another type is refused: passed over, it would change the model
//! without a word.

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::told::{Told, told};

/// Known models have a hundred and some. A file of any size may claim more, and each costs a list of tensors.
pub(super) const MOST_LAYERS: usize = 1 << 12;
/// What helps where another program computes what this one does not.
pub(super) const ELSEWHERE: &str =
    "use this model with transformers, or take one of the same family without it";
/// What helps where a file says what cannot be meant.
pub(super) const SAVED: &str = "take the config.json that was saved with the weights";

/// Typed access to a JSON object; null is absent.
#[derive(Clone, Copy)]
pub(super) struct Keys<'a>(pub(super) &'a Map<String, Value>);

impl<'a> Keys<'a> {
    pub(super) fn value(&self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>> {
        self.typed(key, Value::as_str, "a text")
    }

    pub(super) fn object(&self, key: &str) -> Result<Option<&'a Map<String, Value>>> {
        self.typed(key, Value::as_object, "an object")
    }

    pub(super) fn list(&self, key: &str) -> Result<Option<&'a Vec<Value>>> {
        self.typed(key, Value::as_array, "a list")
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<f64>> {
        self.typed(key, Value::as_f64, "a number")
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.typed(key, Value::as_bool, "true or false")
    }

    pub(super) fn optional_size(&self, key: &str) -> Result<Option<usize>> {
        self.typed(key, |value| value.as_u64().map(|size| size as usize), "a whole number")
    }

    pub(super) fn size(&self, key: &str) -> Result<usize> {
        self.optional_size(key)?.ok_or_else(|| {
            Error::Model(told!(
                "model.key_missing",
                "config.json has no {key}; a Llama-family model needs it: {saved}",
                key,
                saved = SAVED
            ))
        })
    }

    /// The number of blocks, before lists of that length are made.
    pub(super) fn layers(&self) -> Result<usize> {
        match self.size("num_hidden_layers")? {
            layers if layers > MOST_LAYERS => Err(Error::Model(told!(
                "model.layers",
                "config.json: num_hidden_layers is {layers}; {most_layers} are the most: {saved}",
                layers,
                most_layers = MOST_LAYERS,
                saved = SAVED
            ))),
            layers => Ok(layers),
        }
    }

    fn typed<T>(
        &self,
        key: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
        what: &str,
    ) -> Result<Option<T>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| {
            Error::Model(told!(
                "model.key_kind",
                "config.json: {key} is {value}, not {what}; {saved}",
                key,
                value,
                what,
                saved = SAVED
            ))
        })
    }
}

/// Reads an id, a list of ids, or null.
pub(super) fn token_ids(value: Option<&Value>) -> Vec<u32> {
    let one = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match value {
        Some(Value::Array(ids)) => ids.iter().filter_map(one).collect(),
        Some(value) => one(value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// What is odd about the ids of a special token, each as a sentence: what is no id, and what none of `tokens` has.
pub(crate) fn odd_token_ids(file: &str, key: &str, value: Option<&Value>, tokens: usize) -> Vec<Told> {
    let values: &[Value] = match value {
        None | Some(Value::Null) => &[],
        Some(Value::Array(values)) => values,
        Some(one) => std::slice::from_ref(one),
    };
    let odd = values.iter().filter_map(|value| match value.as_u64() {
        Some(id) if id < tokens as u64 => None,
        Some(id) => Some(told!(
            "model.token_beyond",
            "{file}: {key} {id} is beyond the vocabulary of {tokens} tokens, and never occurs",
            file,
            key,
            id,
            tokens
        )),
        None => Some(told!(
            "model.token_no_id",
            "{file}: {key} has {value}, which is no id of a token, and is left aside",
            file,
            key,
            value
        )),
    });
    odd.collect()
}

/// Whether a value says nothing: null, false, 0, or empty.
pub(super) fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

/// Refuses a value, beside what would be computed and the way out.
pub(super) fn unsupported<T>(key: &str, value: &Value, known: &str) -> Result<T> {
    let found = value.as_str().map_or_else(|| value.to_string(), str::to_string);
    Err(Error::Model(told!(
        "model.key_value",
        "config.json: {key} '{found}' is not supported; supported: {known}; {elsewhere} (a key that the weights were \
         trained without can be taken out)",
        key,
        found,
        known,
        elsewhere = ELSEWHERE
    )))
}
