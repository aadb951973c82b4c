//! What `adapter_config.json` of PEFT says of an adapter, and how an adapter says it there.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::keys::{ADAPTER_CONFIG, Object, needed, refuse, shown, value};
use crate::adapter::{AdapterConfig, LoraConfig, LoraInit, MERGE_IN_PEFT, Scope, Selection, known_module};
use crate::error::{Error, Result};
use crate::told::told;

/// What models call the list of their blocks.
const BLOCKS: [&str; 2] = ["layers", "model.layers"];

#[derive(Deserialize)]
#[serde(untagged, expecting = "it is neither one of its kind nor a list of them")]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

/// Reads PEFT's settings. Without `target_modules` there are no targets.
///
/// # Errors
/// Keys that change the arithmetic and are not supported; values of other types.
pub(super) fn read(json: &Object) -> Result<AdapterConfig> {
    refuse(json)?;
    let rank: usize = needed(json, "r")?;
    if rank == 0 {
        return Err(Error::Checkpoint(told!(
            "peft.rank",
            "{adapter_config}: r = 0; a rank is at least 1",
            adapter_config = ADAPTER_CONFIG
        )));
    }
    let (pattern, targets) = match value::<OneOrMany<String>>(json, "target_modules")? {
        None => (None, Vec::new()),
        Some(OneOrMany::One(pattern)) => (Some(pattern), Vec::new()),
        Some(OneOrMany::Many(names)) => (None, names),
    };
    let blocks = blocks(json)?;
    if pattern.is_some() && blocks.is_some() {
        return Err(Error::Checkpoint(told!(
            "peft.layers",
            "{adapter_config}: layers_to_transform does not go with a pattern as target_modules, in PEFT neither; name the \
             layers",
            adapter_config = ADAPTER_CONFIG
        )));
    }
    let exclude = value::<OneOrMany<String>>(json, "exclude_modules")?.map(|exclude| match exclude {
        OneOrMany::One(pattern) => Selection::Pattern(pattern),
        OneOrMany::Many(names) => Selection::Names(names),
    });
    let scope = Scope {
        pattern,
        exclude,
        blocks,
        to_last: false,
        ranks: patterns(json, "rank_pattern")?,
        alphas: patterns(json, "alpha_pattern")?,
    };
    let lora = LoraConfig {
        rank,
        alpha: needed(json, "lora_alpha")?,
        dropout: value(json, "lora_dropout")?.unwrap_or_default(),
        targets,
        rslora: value(json, "use_rslora")?.unwrap_or_default(),
        dora: value(json, "use_dora")?.unwrap_or_default(),
        init_lora: LoraInit::Default,
        modules_to_save: modules(json)?,
        scope,
    };
    let base_name = value::<String>(json, "base_model_name_or_path")?.filter(|name| !name.is_empty());
    Ok(AdapterConfig { lora, base: None, base_name })
}

/// `modules_to_save`, by the last parts of their names.
fn modules(json: &Object) -> Result<Vec<String>> {
    let names = match value::<OneOrMany<String>>(json, "modules_to_save")? {
        None => Vec::new(),
        Some(OneOrMany::One(name)) => vec![name],
        Some(OneOrMany::Many(names)) => names,
    };
    let known = |name: String| {
        known_module(&name).map(String::from).ok_or_else(|| {
            Error::Checkpoint(told!(
                "peft.modules",
                "{adapter_config}: modules_to_save names '{name}', which is put whole in the place of the base's; that is \
                 supported for embed_tokens and lm_head alone: {merge_in_peft}",
                adapter_config = ADAPTER_CONFIG,
                name,
                merge_in_peft = MERGE_IN_PEFT
            ))
        })
    };
    names.into_iter().map(known).collect()
}

/// `layers_to_transform`, whose numbers are those of blocks.
fn blocks(json: &Object) -> Result<Option<Vec<usize>>> {
    let blocks = match value::<OneOrMany<usize>>(json, "layers_to_transform")? {
        None => return Ok(None),
        Some(OneOrMany::One(block)) => vec![block],
        Some(OneOrMany::Many(blocks)) => blocks,
    };
    let lists = match value::<OneOrMany<String>>(json, "layers_pattern")? {
        None => Vec::new(),
        Some(OneOrMany::One(list)) => vec![list],
        Some(OneOrMany::Many(lists)) => lists,
    };
    let named: Vec<&String> = lists.iter().filter(|list| !list.is_empty()).collect();
    if !named.is_empty() && !named.iter().any(|list| BLOCKS.contains(&list.as_str())) {
        return Err(Error::Checkpoint(told!(
            "peft.layers_pattern",
            "{adapter_config}: layers_pattern = {value} names no blocks of these models, which call them 'layers'; the adapter \
             belongs to another kind of model",
            adapter_config = ADAPTER_CONFIG,
            value = shown(&json["layers_pattern"])
        )));
    }
    Ok((!blocks.is_empty()).then_some(blocks))
}

/// Values of single layers, in the order in which they are tried.
fn patterns<T: DeserializeOwned>(json: &Object, key: &str) -> Result<Vec<(String, T)>> {
    let table: Object = value(json, key)?.unwrap_or_default();
    let mut patterns = Vec::new();
    for pattern in table.keys() {
        if let Some(found) = value(&table, pattern)? {
            patterns.push((pattern.clone(), found));
        }
    }
    Ok(patterns)
}

/// The settings as PEFT reads them.
pub(super) fn write(config: &AdapterConfig) -> String {
    let lora = &config.lora;
    let mut json = json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": config.base_name,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "target_modules": lora.target_names(),
        "use_rslora": lora.rslora,
        "bias": "none",
        "fan_in_fan_out": false,
        "init_lora_weights": true,
        "inference_mode": true,
    });
    // Left out where they are off: so that plain adapters open in every version of PEFT.
    if lora.dora {
        json["use_dora"] = json!(true);
    }
    if !lora.modules_to_save.is_empty() {
        json["modules_to_save"] = json!(lora.modules_to_save);
    }
    write_scope(&lora.scope, &mut json);
    format!("{json:#}\n")
}

/// What other programs said, in their keys; an adapter that was made here needs none.
fn write_scope(scope: &Scope, json: &mut Value) {
    if let Some(pattern) = &scope.pattern {
        json["target_modules"] = json!(pattern);
    }
    match &scope.exclude {
        None => {}
        Some(Selection::Names(names)) => json["exclude_modules"] = json!(names),
        Some(Selection::Pattern(pattern)) => json["exclude_modules"] = json!(pattern),
    }
    if let Some(blocks) = &scope.blocks {
        json["layers_to_transform"] = json!(blocks);
    }
    if !scope.ranks.is_empty() {
        json["rank_pattern"] = scope.ranks.iter().map(|(name, rank)| (name.clone(), json!(rank))).collect();
    }
    if !scope.alphas.is_empty() {
        json["alpha_pattern"] =
            scope.alphas.iter().map(|(name, alpha)| (name.clone(), json!(alpha))).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(more: Value) -> Result<AdapterConfig> {
        let mut json = json!({"r": 8, "lora_alpha": 16, "target_modules": ["q_proj"]});
        more.as_object().unwrap().iter().for_each(|(key, value)| json[key] = value.clone());
        read(json.as_object().unwrap())
    }

    #[test]
    fn what_other_programs_say_is_read_and_written_back() {
        let plain =
            config(json!({"use_rslora": null, "lora_dropout": null, "base_model_name_or_path": ""})).unwrap();
        assert_eq!((plain.lora.rank, plain.lora.alpha, plain.lora.rslora), (8, 16.0, false));
        assert_eq!((plain.base_name, &plain.lora.scope), (None, &Scope::default()));
        for (more, scope) in [
            (
                json!({"target_modules": "all-linear"}),
                Scope { pattern: Some("all-linear".into()), ..Scope::default() },
            ),
            (json!({"layers_to_transform": 1}), Scope { blocks: Some(vec![1]), ..Scope::default() }),
            (
                json!({"layers_to_transform": [1, 3], "layers_pattern": ["h", "layers"]}),
                Scope { blocks: Some(vec![1, 3]), ..Scope::default() },
            ),
            (json!({"layers_to_transform": [], "exclude_modules": null}), Scope::default()),
            (
                json!({"exclude_modules": ["up_proj"], "rank_pattern": {"k_proj": 4, "a_proj": 2}}),
                Scope {
                    exclude: Some(Selection::Names(vec!["up_proj".into()])),
                    ranks: vec![("k_proj".into(), 4), ("a_proj".into(), 2)],
                    ..Scope::default()
                },
            ),
            (
                json!({"exclude_modules": ".*up.*", "alpha_pattern": {"k_proj": 4}}),
                Scope {
                    exclude: Some(Selection::Pattern(".*up.*".into())),
                    alphas: vec![("k_proj".into(), 4.0)],
                    ..Scope::default()
                },
            ),
        ] {
            let found = config(more).unwrap();
            assert_eq!(found.lora.scope, scope);
            assert!(!found.lora.dora && found.lora.modules_to_save.is_empty());
            let again: Value = serde_json::from_str(&write(&found)).unwrap();
            assert_eq!(read(again.as_object().unwrap()).unwrap(), found);
        }
    }

    #[test]
    fn magnitudes_and_whole_modules_are_read_and_written_back() {
        let more = json!({"use_dora": true, "modules_to_save": ["model.embed_tokens", "lm_head"]});
        let found = config(more).unwrap();
        assert!(found.lora.dora);
        assert_eq!(found.lora.modules_to_save, ["embed_tokens", "lm_head"]);
        let again: Value = serde_json::from_str(&write(&found)).unwrap();
        assert_eq!(read(again.as_object().unwrap()).unwrap(), found);
        let message = config(json!({"modules_to_save": ["score"]})).unwrap_err().to_string();
        assert!(message.contains("'score'") && message.contains("merge_and_unload"), "{message}");
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_its_key() {
        for (more, told) in [
            (json!({"r": 0}), "r = 0"),
            (json!({"r": -1}), "r = -1"),
            (json!({"lora_alpha": null}), "no lora_alpha"),
            (json!({"target_modules": [1]}), "target_modules = [1]"),
            (json!({"target_modules": "x", "layers_to_transform": [0]}), "layers_to_transform"),
            (json!({"layers_to_transform": [-1]}), "layers_to_transform = [-1]"),
            (json!({"layers_to_transform": [1], "layers_pattern": "h"}), "layers_pattern = \"h\""),
            (json!({"rank_pattern": {"q_proj": "x"}}), "q_proj = \"x\""),
            (json!({"use_rslora": 1}), "use_rslora = 1"),
        ] {
            let message = config(more).unwrap_err().to_string();
            assert!(message.contains(told), "{message}");
        }
    }
}
