//! Keys of `adapter_config.json`: none that changes what the adapter computes is passed over.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::adapter::MERGE_IN_PEFT;
use crate::error::{Error, Result};
use crate::told::{Told, told};

/// The settings' file.
pub const ADAPTER_CONFIG: &str = "adapter_config.json";

/// A table of JSON.
pub(super) type Object = Map<String, Value>;

/// Values are shown up to here.
const MOST_SHOWN: usize = 60;

/// Keys that [`super::settings`] honours.
const READ: [&str; 15] = [
    "alpha_pattern",
    "base_model_name_or_path",
    "exclude_modules",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "lora_alpha",
    "lora_dropout",
    "modules_to_save",
    "peft_type",
    "r",
    "rank_pattern",
    "target_modules",
    "use_dora",
    "use_rslora",
];

/// Keys that say nothing about what the adapter computes: where it came from, and details of what other keys switch on.
const HARMLESS: [&str; 15] = [
    "auto_mapping",
    "corda_config",
    "eva_config",
    "inference_mode",
    "loftq_config",
    "lora_ga_config",
    "megatron_config",
    "megatron_core",
    "merge_weights",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
    // Approximates gradients alone.
    "velora_config",
];

/// Ways to begin that leave the base as it is, so that all that was learned is in the file.
const HARMLESS_STARTS: [&str; 4] = ["gaussian", "orthogonal", "eva", "mica"];

/// Keys of other arithmetic, what they do, and the way out where it is not to merge.
const OTHER_ARITHMETIC: [(&str, &str, Option<&str>); 13] = [
    (
        "alora_invocation_tokens",
        "lets the adapter act only behind these tokens (aLoRA)",
        Some("no merge can do that: use it with PEFT, or train it anew as a plain LoRA"),
    ),
    ("arrow_config", "mixes several adapters for each token (Arrow)", Some("give one of them by itself")),
    ("bias", "brings trained biases", None),
    ("ensure_weight_tying", "lets an adapter of the embedding act on the output, too", None),
    (
        "fan_in_fan_out",
        "is for layers that are stored the other way round, which this family has none of",
        Some("set it to false, as PEFT does for dense layers"),
    ),
    ("kasa_config", "cuts a part out of the base's weights (KaSA)", None),
    ("layer_replication", "repeats blocks of the base", None),
    ("lora_bias", "adds biases to the low-rank paths", None),
    ("monteclora_config", "draws the weights at random (MonteCLoRA)", None),
    ("target_parameters", "adapts parameters that are no dense layers", None),
    ("trainable_token_indices", "puts rows in the place of the embedding's", None),
    ("use_bdlora", "makes the halves block-diagonal (BD-LoRA)", None),
    ("use_qalora", "pools the inputs (QA-LoRA)", None),
];

/// Refuses what would change the arithmetic and is not done here, all of it at once.
///
/// # Errors
/// Each key with its value, what it does and the way out.
pub(super) fn refuse(json: &Object) -> Result<()> {
    let kind = value::<String>(json, "peft_type")?.unwrap_or_else(|| "LORA".into());
    if kind != "LORA" {
        return Err(Error::Checkpoint(told!(
            "peft.type",
            "{adapter_config}: peft_type {kind} is not supported; LoRA, rsLoRA and DoRA are: {merge_in_peft}",
            adapter_config = ADAPTER_CONFIG,
            kind,
            merge_in_peft = MERGE_IN_PEFT
        )));
    }
    let known = |key: &String| READ.contains(&key.as_str()) || HARMLESS.contains(&key.as_str());
    let others = json.iter().filter(|(key, value)| !known(key) && !is_off(key, value));
    let mut problems: Vec<Told> = others.map(|(key, value)| problem(key, value)).collect();
    problems.extend(json.get("init_lora_weights").and_then(changed_base));
    let all = problems.into_iter().reduce(|first, then| told!("both", "{first}; {then}", first, then));
    match all {
        None => Ok(()),
        Some(why) => Err(Error::Checkpoint(told!("at", "{name}: {why}", name = ADAPTER_CONFIG, why))),
    }
}

fn problem(key: &str, value: &Value) -> Told {
    let value = shown(value);
    match OTHER_ARITHMETIC.iter().find(|(known, ..)| *known == key) {
        Some((_, what, way_out)) => {
            let way_out = way_out.unwrap_or(MERGE_IN_PEFT);
            told!(
                "peft.arithmetic",
                "{key} = {value} {what}, which is not supported; {way_out}",
                key,
                value,
                what,
                way_out
            )
        }
        None => told!(
            "peft.unknown",
            "{key} = {value} is not known here, and may change what the adapter computes; {merge_in_peft}, or take the key \
             out where it changes nothing",
            key,
            value,
            merge_in_peft = MERGE_IN_PEFT
        ),
    }
}

/// `init_lora_weights`, where it changed the base before training.
fn changed_base(start: &Value) -> Option<Told> {
    let harmless = match start {
        Value::Null | Value::Bool(_) => true,
        Value::String(name) => HARMLESS_STARTS.contains(&name.to_lowercase().as_str()),
        _ => false,
    };
    (!harmless).then(|| {
        told!(
            "peft.start",
            "init_lora_weights = {value} changed the base's weights before training (as PiSSA, OLoRA, CorDA, LoRA-GA and LoftQ \
             do), and the file does not say how; write the adapter anew with PEFT, as the difference to what it was before \
             training: save_pretrained(DIR, path_initial_model_for_weight_conversion=INITIAL). Where the changed base was \
             saved, give that as the model and set init_lora_weights to true",
            value = shown(start)
        )
    })
}

/// Whether a value switches nothing on. An empty table is a variant with all its defaults.
fn is_off(key: &str, value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty() || (key == "bias" && text == "none"),
        Value::Array(items) => items.is_empty(),
        Value::Object(items) => items.is_empty() && !key.ends_with("_config") && key != "use_bdlora",
        _ => false,
    }
}

/// What stands under a key; `None` where it is absent or null.
///
/// # Errors
/// A value of another type, with the key.
pub(super) fn value<T: DeserializeOwned>(json: &Object, key: &str) -> Result<Option<T>> {
    match json.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(found) => serde_json::from_value(found.clone()).map(Some).map_err(|e| {
            Error::Checkpoint(told!(
                "peft.value",
                "{adapter_config}: {key} = {value} cannot be read: {e}",
                adapter_config = ADAPTER_CONFIG,
                key,
                value = shown(found),
                e
            ))
        }),
    }
}

/// The same for a key without which an adapter means nothing.
///
/// # Errors
/// An absent key, too.
pub(super) fn needed<T: DeserializeOwned>(json: &Object, key: &str) -> Result<T> {
    value(json, key)?.ok_or_else(|| {
        Error::Checkpoint(told!(
            "peft.key_missing",
            "{adapter_config} has no {key}, without which its weights mean nothing",
            adapter_config = ADAPTER_CONFIG,
            key
        ))
    })
}

/// A value for people.
pub(super) fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    fn refusal(key: &str, value: Value) -> Option<String> {
        refuse(&Object::from_iter([(key.to_string(), value)])).err().map(|e| e.to_string())
    }

    #[test]
    fn defaults_and_null_are_fine_under_every_key() {
        let others = OTHER_ARITHMETIC.map(|(key, ..)| key);
        for key in READ.into_iter().chain(HARMLESS).chain(others) {
            assert_eq!(refusal(key, Value::Null), None);
        }
        for (key, value) in [
            ("bias", json!("none")),
            ("init_lora_weights", json!("Gaussian")),
            ("init_lora_weights", json!(false)),
            ("modules_to_save", json!([])),
            ("use_dora", json!(true)),
            ("lora_bias", json!(false)),
            ("auto_mapping", json!({"unsloth_fixed": true})),
            ("loftq_config", json!({"loftq_bits": 4})),
            ("a_key_of_later_versions", json!(false)),
        ] {
            assert_eq!(refusal(key, value), None, "{key}");
        }
    }

    #[test]
    fn other_arithmetic_is_refused_by_name_with_a_way_out() {
        for (key, value, way_out) in [
            ("lora_bias", json!(true), "merge_and_unload"),
            ("bias", json!("lora_only"), "trained biases"),
            ("target_parameters", json!(["experts.w"]), "[\"experts.w\"]"),
            ("alora_invocation_tokens", json!([41, 77]), "with PEFT"),
            ("fan_in_fan_out", json!(true), "set it to false"),
            ("kasa_config", json!({}), "KaSA"),
            ("layer_replication", json!([[0, 4], [2, 5]]), "merge_and_unload"),
            ("a_key_of_later_versions", json!(3), "not known here"),
            ("peft_type", json!("IA3"), "LoRA, rsLoRA and DoRA"),
        ] {
            let message = refusal(key, value).unwrap();
            assert!(message.contains(key) && message.contains(way_out), "{message}");
        }
        let two = Object::from_iter([("use_bdlora", json!(true)), ("lora_bias", json!(true))].map(own));
        let message = refuse(&two).unwrap_err().to_string();
        assert!(message.contains("use_bdlora") && message.contains("lora_bias"), "{message}");
    }

    fn own((key, value): (&str, Value)) -> (String, Value) {
        (key.to_string(), value)
    }

    /// The fields of `LoraConfig` in PEFT 0.21.2, and of its bases. From its wheel (`pip download peft==0.21.2 --no-deps`):
    /// `unzip -p peft-*.whl peft/config.py peft/tuners/lora/config.py | python3 -c "import ast, sys; print([s.target.id for c
    /// in ast.parse(sys.stdin.read()).body if getattr(c, 'name', '') in ('PeftConfigMixin', 'PeftConfig', 'LoraConfig') for
    /// s in c.body if isinstance(s, ast.AnnAssign)])"`.
    const FIELDS: &str = "task_type peft_type auto_mapping peft_version base_model_name_or_path revision peft_type task_type \
        inference_mode r target_modules exclude_modules lora_alpha lora_dropout fan_in_fan_out bias use_rslora \
        modules_to_save init_lora_weights layers_to_transform layers_pattern rank_pattern alpha_pattern megatron_config \
        megatron_core trainable_token_indices loftq_config eva_config corda_config lora_ga_config use_dora velora_config \
        alora_invocation_tokens use_qalora qalora_group_size monteclora_config layer_replication runtime_config lora_bias \
        target_parameters use_bdlora arrow_config kasa_config ensure_weight_tying";

    #[test]
    fn every_field_of_peft_is_honoured_harmless_or_refused_by_what_it_does() {
        for field in FIELDS.split_whitespace() {
            let refused = OTHER_ARITHMETIC.iter().find(|(key, ..)| *key == field);
            let known = READ.contains(&field) || HARMLESS.contains(&field);
            assert!(known != refused.is_some(), "{field}: {known}");
            if let Some((_, what, _)) = refused {
                let message = refusal(field, json!({"on": 1})).unwrap();
                assert!(message.contains(field) && message.contains(what), "{message}");
                assert!(refusal(field, json!(true)).is_some_and(|told| told.contains(what)), "{field}");
            }
        }
    }

    #[test]
    fn the_settings_that_peft_saves_by_default_are_read() {
        let saved = r#"{
            "alora_invocation_tokens": null, "alpha_pattern": {}, "arrow_config": null, "auto_mapping": null,
            "base_model_name_or_path": "x", "bias": "none", "corda_config": null, "ensure_weight_tying": false,
            "eva_config": null, "exclude_modules": null, "fan_in_fan_out": false, "inference_mode": true,
            "init_lora_weights": true, "kasa_config": null, "layer_replication": null, "layers_pattern": null,
            "layers_to_transform": null, "loftq_config": {}, "lora_alpha": 8, "lora_bias": false, "lora_dropout": 0.0,
            "lora_ga_config": null, "megatron_config": null, "megatron_core": "megatron.core", "modules_to_save": null,
            "monteclora_config": null, "peft_type": "LORA", "peft_version": "0.21.2", "qalora_group_size": 16, "r": 8,
            "rank_pattern": {}, "revision": null, "target_modules": ["q_proj"], "target_parameters": null,
            "task_type": "CAUSAL_LM", "trainable_token_indices": null, "use_bdlora": null, "use_dora": false,
            "use_qalora": false, "use_rslora": false, "velora_config": null
        }"#;
        let saved: Object = serde_json::from_str(saved).unwrap();
        assert!(refuse(&saved).is_ok());
        // runtime_config is not saved.
        let fields = FIELDS.split_whitespace().filter(|field| *field != "runtime_config");
        let fields: BTreeSet<&str> = fields.collect();
        assert_eq!(saved.keys().map(String::as_str).collect::<BTreeSet<_>>(), fields);
    }

    #[test]
    fn a_base_that_was_changed_at_the_start_is_refused_with_pefts_way_to_convert() {
        for start in ["pissa", "pissa_niter_16", "olora", "corda", "loftq", "lora_ga", "of later versions"] {
            let message = refusal("init_lora_weights", json!(start)).unwrap();
            for part in [start, "init_lora_weights", "path_initial_model_for_weight_conversion"] {
                assert!(message.contains(part), "{message}");
            }
        }
    }

    #[test]
    fn values_of_other_types_are_told_with_their_keys() {
        let json = Object::from_iter([own(("r", json!("x".repeat(100))))]);
        let message = needed::<usize>(&json, "r").unwrap_err().to_string();
        assert!(message.contains("r = \"xxx") && message.contains("x… cannot be read"), "{message}");
        let message = needed::<f64>(&json, "lora_alpha").unwrap_err().to_string();
        assert!(message.contains("has no lora_alpha"), "{message}");
    }
}
