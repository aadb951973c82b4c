//! Adapters that were fetched from an address: one that is here already, as after a reload, is not added once more.

use wasm_bindgen::prelude::JsValue;

use super::engine::{self, Answer};
use super::storage;
use crate::messages::model::AdapterInfo;

/// Before the address of an adapter that was fetched: which that is, and when it was added here; its name may be another's
/// by now.
const KEY: &str = "kindling-adapter-of:";

/// Lets an adapter act, and no other. It came from `url` as `files`, which `mark` tells from others of the same address;
/// `name` is what it is to be called.
pub async fn use_alone(url: &str, mark: &str, name: &str, files: &JsValue) -> Answer<()> {
    let key = format!("{KEY}{url}");
    let kept = storage::kept(&key).unwrap_or_default();
    let known = kept.split_once(' ').filter(|(kept, _)| *kept == mark);
    let known: Option<f64> = known.and_then(|(_, added)| added.parse().ok());
    let here = engine::adapters().await?;
    let here = here.into_iter().find(|adapter| adapter.fits && Some(adapter.made) == known);
    if let Some(adapter) = here {
        engine::use_adapters(&[AdapterInfo { active: true, ..adapter }]).await?;
        return Ok(());
    }
    let list = engine::add_adapter(name, files).await?;
    if let Some(added) = list.iter().find(|adapter| adapter.active) {
        // Without room for this note the next visit adds it under a number.
        storage::keep(&key, &format!("{mark} {}", added.made));
    }
    Ok(())
}
