//! The model that is open in this tab, which a reload opens again where the browser still has it.

use js_sys::JSON;
use wasm_bindgen::prelude::JsValue;

use super::engine::get;
use super::fetch::asked;
use super::storage;
use crate::messages::model::ModelInfo;

/// This tab's key for where it came from, and behind a space what its matrices are held as, which comes first.
const KEY: &str = "kindling-open";

/// Notes where the open model came from; one from picked files cannot be found again.
pub fn note(model: &ModelInfo, source: Option<&JsValue>) {
    let found = source.filter(|source| source.is_string() || get(source, "kept").is_string());
    let found = found.and_then(|source| JSON::stringify(source).ok()?.as_string());
    let text = found.map(|source| format!("{} {source}", model.weights.word())).unwrap_or_default();
    storage::keep_by_tab(KEY, &text);
}

/// Where the model of before the reload came from, and what its matrices were held as; nothing where the page's address
/// asks for another one, or for an adapter of another one.
pub fn noted() -> Option<(JsValue, String)> {
    let is_free = ["model", "adapter"].iter().all(|key| asked(key).is_none());
    let text = storage::kept_by_tab(KEY).filter(|_| is_free)?;
    let (weights, source) = text.split_once(' ')?;
    Some((JSON::parse(source).ok()?, weights.to_string()))
}
