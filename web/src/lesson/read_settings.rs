//! The settings in a lesson's file.

use serde_json::{Map, Value};

use super::keys::{Keys, one_line, text_of};
use super::problem::{Problem, Wanted};
use super::{BEGIN_NEW, MOST_QUESTION, MOST_TITLE, STAGES, Settings};
use crate::settings::is_list_of;

/// Reads the settings; keys that nothing reads are named in `unused`.
pub(super) fn settings_of(value: Value, unused: &mut Vec<String>) -> Result<Settings, Problem> {
    let (mut settings, mut keys) = (Settings::default(), Keys::of(value, "settings")?);
    if let Some(stage) = keys.take("stage") {
        let known = stage.as_str().filter(|stage| STAGES.contains(stage));
        let wanted = || Problem::kind("settings.stage", Wanted::Stage);
        settings.stage = known.ok_or_else(wanted)?.to_string();
    }
    match keys.take("adapter") {
        None | Some(Value::Bool(true)) => (),
        Some(Value::Bool(false)) => settings.adapter = None,
        Some(numbers @ Value::Object(_)) => {
            settings.adapter = Some(values_of(numbers, "settings.adapter", word_or_number)?)
        }
        Some(_) => return Err(Problem::kind("settings.adapter", Wanted::Adapter)),
    }
    if let Some(config) = keys.take("config") {
        settings.config = values_of(config, "settings.config", setting_of)?;
    }
    for (key, own) in settings.groups() {
        if let Some(values) = keys.take(key) {
            *own = values_of(values, &format!("settings.{key}"), word_or_number)?;
        }
    }
    for (key, own) in settings.words() {
        if let Some(text) = keys.take(key) {
            *own = text_of(text, &format!("settings.{key}"), MOST_TITLE, false)?;
        }
    }
    if let Some(sample) = keys.take("sample") {
        let mut sample = Keys::of(sample, "settings.sample")?;
        let every = sample.take("every").map(|every| number_of(every, "settings.sample.every"));
        settings.every = every.transpose()?;
        if let Some(prompt) = sample.take("prompt") {
            let prompt = text_of(prompt, "settings.sample.prompt", MOST_QUESTION, false)?;
            settings.prompt = one_line(prompt);
        }
        sample.rest(unused);
    }
    keys.rest(unused);
    refuse_idle_preset(&settings)?;
    Ok(settings)
}

/// Refuses a new model where the page would pass it over: beside an adapter, or in a stage that goes on from a trained one.
fn refuse_idle_preset(settings: &Settings) -> Result<(), Problem> {
    if settings.preset.is_empty() {
        return Ok(());
    }
    if !BEGIN_NEW.contains(&settings.stage.as_str()) {
        return Err(Problem::PresetOfStage { stage: settings.stage.clone() });
    }
    match settings.adapter {
        Some(_) => Err(Problem::PresetAdapts),
        None => Ok(()),
    }
}

/// Settings by their names; null is as good as absent.
fn values_of(
    value: Value,
    path: &str,
    read: fn(Value, &str) -> Result<Value, Problem>,
) -> Result<Map<String, Value>, Problem> {
    let keys = Keys::of(value, path)?;
    let set = keys.map.into_iter().filter(|(_, value)| !value.is_null());
    set.map(|(key, value)| Ok((key.clone(), read(value, &format!("{path}.{key}"))?))).collect()
}

/// The names of losses, and of what an adapter begins as, are words.
fn word_or_number(value: Value, path: &str) -> Result<Value, Problem> {
    if value.is_string() { Ok(value) } else { setting_of(value, path) }
}

/// A number, or what stands in the place of one: a switch, or a list of words.
fn setting_of(value: Value, path: &str) -> Result<Value, Problem> {
    match value {
        Value::Bool(_) => Ok(value),
        Value::Array(_) if is_list_of(&value, |_| true) => Ok(value),
        other => number_of(other, path),
    }
}

fn number_of(value: Value, path: &str) -> Result<Value, Problem> {
    match value {
        Value::Number(_) => Ok(value),
        _ => Err(Problem::kind(path, Wanted::Number)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(settings: Value) -> Result<Settings, Problem> {
        settings_of(settings, &mut Vec::new())
    }

    #[test]
    fn settings_are_those_of_the_page() {
        let settings = json!({
            "stage": "pretrain", "adapter": { "rank": 4 }, "config": { "epochs": 2.5, "steps": null },
            "sample": { "every": 10, "prompt": "Once\nupon" }, "name": "tale",
        });
        let settings = read(settings).unwrap();
        assert_eq!(settings.stage, "pretrain");
        assert_eq!(settings.adapter.unwrap(), *json!({ "rank": 4 }).as_object().unwrap());
        assert_eq!(settings.config, *json!({ "epochs": 2.5 }).as_object().unwrap());
        assert_eq!((settings.every, settings.prompt.as_str()), (Some(json!(10)), "Once upon"));
        assert_eq!(read(json!({ "adapter": false })).unwrap().adapter, None);
        let finer =
            json!({ "config": { "muon": true, "freeze": ["norm"] }, "adapter": { "init-lora": "pissa" } });
        let finer = read(finer).unwrap();
        assert_eq!((&finer.config["muon"], &finer.config["freeze"]), (&json!(true), &json!(["norm"])));
        assert_eq!(finer.adapter.unwrap()["init-lora"], json!("pissa"));
        for odd in [json!("often"), json!([1]), json!({})] {
            let problem = Problem::kind("settings.config.ema", Wanted::Number);
            assert_eq!(read(json!({ "config": { "ema": odd } })).unwrap_err(), problem);
        }
        let own = read(json!({ "stage": "dpo", "dpo": { "dpo-loss": "ipo" } })).unwrap();
        assert_eq!((own.stage.as_str(), &own.dpo["dpo-loss"]), ("dpo", &json!("ipo")));
    }

    #[test]
    fn a_new_model_is_named_only_where_it_can_learn() {
        for stage in BEGIN_NEW {
            let named = |adapter: Value| json!({ "stage": stage, "preset": "nano", "adapter": adapter });
            assert_eq!(read(named(json!(false))).unwrap().preset, "nano");
            for adapter in [json!(true), json!({ "rank": 4 }), json!(null)] {
                assert_eq!(read(named(adapter)).unwrap_err(), Problem::PresetAdapts, "{stage}");
            }
        }
        for stage in STAGES.into_iter().filter(|stage| !BEGIN_NEW.contains(stage)) {
            let named = json!({ "stage": stage, "preset": "nano", "adapter": false });
            assert_eq!(read(named).unwrap_err(), Problem::PresetOfStage { stage: stage.into() });
        }
        assert_eq!(read(json!({ "preset": "" })).unwrap().preset, "", "the open model");
    }
}
