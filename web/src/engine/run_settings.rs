//! The settings of a run with those that the page changed. `kindling serve --train` includes this file.

use kindling::adapter::LoraConfig;
use kindling::told::{Told, told};
use kindling::train::{Stage, TrainConfig};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The settings of a stage that trains the model, or an adapter beside it, with those that the page changed. Every step is
/// reported: a page watches.
///
/// # Errors
/// A setting that is none, or a value of another kind.
pub fn train_config(stage: Stage, adapts: bool, changed: Map<String, Value>) -> Result<TrainConfig, Told> {
    let defaults = if adapts { TrainConfig::of_adapter(stage) } else { TrainConfig::of(stage) };
    merged(TrainConfig { log_every: 1, ..defaults }, changed)
}

/// The same for models of this context, which may be masked predictors: where the page gives no length, the default is at
/// most what they hold, and an adapter learns as such a model's does. The sentences say so.
///
/// # Errors
/// A setting that is none, or a value of another kind.
pub fn fitted_config(
    stage: Stage,
    adapts: bool,
    changed: Map<String, Value>,
    (context, masked): (usize, bool),
) -> Result<(TrainConfig, Vec<Told>), Told> {
    let said: Vec<String> = changed.keys().cloned().collect();
    let is_said = |setting: &str| said.iter().any(|said| said == setting);
    let mut config = train_config(stage, adapts, changed)?;
    let mut notes = Vec::new();
    if masked && adapts && stage == Stage::Sft {
        notes.extend(config.fit_masked_adapter(is_said));
    }
    if !is_said("max-seq-len") {
        notes.extend(config.fit_default_length(context));
    }
    Ok((config, notes))
}

/// An adapter's settings, likewise.
pub fn lora_config(changed: Map<String, Value>) -> Result<LoraConfig, Told> {
    merged(LoraConfig::default(), changed)
}

/// Settings with those that the page changed.
///
/// # Errors
/// A name that is none, or a value of another kind.
pub fn merged<T: Serialize + DeserializeOwned>(defaults: T, changed: Map<String, Value>) -> Result<T, Told> {
    let mut settings = serde_json::to_value(defaults).map_err(Told::from)?;
    let known = settings.clone();
    if let Value::Object(settings) = &mut settings {
        settings.extend(changed.clone());
    }
    serde_json::from_value(settings).map_err(|e| {
        let each = changed.into_iter().find_map(|setting| of_another_kind::<T>(&known, setting));
        each.unwrap_or_else(|| told!("settings.unread", "a setting cannot be used: {e}", e))
    })
}

/// What to say of a number or a switch among settings that is of another kind; nothing of one that holds, and of what is
/// refused for other reasons.
fn of_another_kind<T: DeserializeOwned>(known: &Value, (key, value): (String, Value)) -> Option<Told> {
    let mut settings = known.clone();
    settings.as_object_mut()?.insert(key.clone(), value.clone());
    let expected = serde_json::from_value::<T>(settings).err()?.to_string();
    // In serde's words.
    let expected = expected.split_once("expected ")?.1;
    let kind = match expected {
        number if ["u8", "u16", "u32", "u64", "usize"].contains(&number) => {
            told!("settings.kind_whole", "a whole number from 0 to 4294967295")
        }
        "f32" | "f64" => told!("settings.kind_number", "a number"),
        "a boolean" => told!("settings.kind_switch", "true or false"),
        _ => return None,
    };
    Some(told!(
        "settings.kind",
        "{name} is {value}; it must be {kind}",
        name = format!("--{key}"),
        value = value.to_string(),
        kind
    ))
}
