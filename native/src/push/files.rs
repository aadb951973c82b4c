//! What is sent of a directory: the files of a model or of an adapter, and nothing that lies beside them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use kindling::checkpoint::WEIGHTS_INDEX;
use kindling::error::{Error, Result};
use kindling::formats::{ADAPTER_CONFIG, ADAPTER_WEIGHTS, GENERATION};
use kindling::tokenizer::TOKENIZER_FILES;
use serde_json::{Map, Value};

use super::upload::Upload;
use crate::failure::io_error;
use crate::hub;
use crate::model_files::{ADAPTER, CONFIG, MODEL, WEIGHTS, at};
use crate::shell_word::path_word;

/// Files of a tokenizer that others read and that are written beside it.
const BESIDE_TOKENIZER: [&str; 2] = ["vocab.json", "merges.txt"];
/// Where further chat templates stand, each in a file under its name.
const TEMPLATES: &str = "additional_chat_templates";
/// Keys with which programs say where a model came from; a path in them is of no use elsewhere.
const FROM: [&str; 2] = ["_name_or_path", "name_or_path"];
/// The key of PEFT for the model that an adapter belongs to.
const BASE: &str = "base_model_name_or_path";
/// Our own card among the settings of generation, and what in it names another model.
const CARD: [&str; 2] = ["kindling", "parent"];

/// What a repository holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A model that computes.
    Model,
    /// A LoRA adapter.
    Adapter,
}

/// The files of a directory that are sent, in the order of their names, and what was changed in them, a sentence each.
/// `base` is what an adapter's base is called on the hub.
///
/// # Errors
/// A directory that is none of a model or an adapter; settings that cannot be read or that hold a path of this machine.
pub fn uploads(directory: &Path, kind: Kind, base: Option<&str>) -> Result<(Vec<Upload>, Vec<String>)> {
    let names = names(directory, kind)?;
    refuse_links(directory, &names)?;
    let (mut uploads, mut remarks) = (Vec::new(), left_out(directory, &names)?.into_iter().collect());
    for name in names {
        uploads.push(
            match [CONFIG, GENERATION, ADAPTER_CONFIG, "tokenizer_config.json"].contains(&name.as_str()) {
                true => settings(directory, &name, base, &mut remarks)?,
                false => Upload::file(directory, &name)?,
            },
        );
    }
    Ok((uploads, remarks))
}

/// Refuses files that are links to what lies elsewhere: whoever pushes a directory may not know what that is.
fn refuse_links(directory: &Path, names: &BTreeSet<String>) -> Result<()> {
    let home = directory.canonicalize().map_err(|e| io_error(directory, e))?;
    let leads_out = |name: &String| {
        let real = directory.join(name).canonicalize().ok()?;
        (!real.starts_with(&home)).then(|| format!("{name} leads to {}", real.display()))
    };
    let outside: Vec<String> = names.iter().filter_map(leads_out).collect();
    if outside.is_empty() {
        return Ok(());
    }
    let shown = directory.display();
    Err(Error::Checkpoint(
        format!(
            "{shown}: nothing was sent, because links lead out of the directory: {}; push a copy that holds the files themselves, \
             as `cp -rL {} COPY` makes one",
            outside.join(", "),
            path_word(directory)
        )
        .into(),
    ))
}

/// What lies in the directory and is not sent, in a sentence: a repository holds what opens as a model or an adapter, and no
/// logs, results, saves or states of training.
fn left_out(directory: &Path, names: &BTreeSet<String>) -> Result<Option<String>> {
    const SHOWN: usize = 12;
    let mut others = BTreeSet::new();
    let folder = format!("{TEMPLATES}/");
    let is_in_folder = names.iter().any(|name| name.starts_with(&folder));
    let inside = if is_in_folder { entries(directory, &folder)? } else { Vec::new() };
    for name in entries(directory, "")?.into_iter().chain(inside) {
        let is_sent = names.contains(&name) || (is_in_folder && name == folder);
        if !is_sent {
            others.insert(name);
        }
    }
    let count = others.len();
    let shown = others.into_iter().take(SHOWN).collect::<Vec<_>>().join(", ");
    let more = if count > SHOWN { format!(" and {} more", count - SHOWN) } else { String::new() };
    Ok((count > 0).then(|| format!("left out, because they are no part of what opens: {shown}{more}")))
}

/// What lies in a folder of the directory, by its path in that; what are folders end in `/`.
fn entries(directory: &Path, folder: &str) -> Result<Vec<String>> {
    let place = directory.join(folder);
    let entries = fs::read_dir(&place).map_err(|e| io_error(&place, e))?;
    let names = entries.map(|entry| {
        let entry = entry.map_err(|e| io_error(&place, e))?;
        let name = format!("{folder}{}", entry.file_name().to_string_lossy());
        Ok(if entry.path().is_dir() { format!("{name}/") } else { name })
    });
    names.collect()
}

fn names(directory: &Path, kind: Kind) -> Result<BTreeSet<String>> {
    let has = |name: &str| directory.join(name).is_file();
    let lacks = |name: &str, remedy: &str| {
        Error::Checkpoint(format!("{}: there is no {name} in it; {remedy}", directory.display()).into())
    };
    let mut names: BTreeSet<String> = match kind {
        Kind::Adapter if !has(ADAPTER_CONFIG) => {
            return Err(lacks(ADAPTER_CONFIG, "a model is sent with --model"));
        }
        Kind::Adapter if !has(ADAPTER_WEIGHTS) => {
            return Err(lacks(
                ADAPTER_WEIGHTS,
                "name the directory of a finished run or of one of its checkpoints",
            ));
        }
        Kind::Adapter => ADAPTER.map(String::from).into(),
        Kind::Model if has(ADAPTER_CONFIG) && !has(CONFIG) => {
            return Err(lacks(CONFIG, "it is an adapter, which is sent with --adapter"));
        }
        Kind::Model if !has(CONFIG) => {
            return Err(lacks(
                CONFIG,
                "any other form becomes such a directory with `kindling export --to hf`",
            ));
        }
        Kind::Model => model(directory)?,
    };
    let beside = TOKENIZER_FILES.into_iter().chain(BESIDE_TOKENIZER);
    names.extend(beside.filter(|name| has(name)).map(String::from));
    if directory.join(TEMPLATES).is_dir() {
        let templates = entries(directory, &format!("{TEMPLATES}/"))?;
        names.extend(templates.into_iter().filter(|name| name.ends_with(".jinja")));
    }
    Ok(names)
}

/// The files of a model, its tokenizer's aside: weights in one file, or in those that an index names.
fn model(directory: &Path) -> Result<BTreeSet<String>> {
    let has = |name: &&str| directory.join(name).is_file();
    let mut names: BTreeSet<String> = MODEL.into_iter().filter(has).map(String::from).collect();
    if names.contains(WEIGHTS) {
        return Ok(names);
    }
    let index = directory.join(WEIGHTS_INDEX);
    let bytes = fs::read(&index).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => Error::Checkpoint(
            format!(
                "{}: there is no {WEIGHTS} in it; name the directory of a finished run or of one of its checkpoints",
                directory.display()
            )
            .into(),
        ),
        _ => io_error(&index, e),
    })?;
    let parts: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let parts = parts["weight_map"].as_object().map(|map| map.values().filter_map(Value::as_str));
    let parts: BTreeSet<String> = parts.into_iter().flatten().map(String::from).collect();
    let foreign = parts.iter().find(|part| part.contains(['/', '\\']) || !has(&part.as_str()));
    if parts.is_empty() || foreign.is_some() {
        let named = foreign.map_or("no files".to_string(), |part| format!("'{part}', which is not there"));
        return Err(at(&index, Error::Checkpoint(format!("it names {named}").into())));
    }
    names.extend(parts);
    names.insert(WEIGHTS_INDEX.into());
    Ok(names)
}

/// Settings as they are sent: without the places that models have on this machine.
fn settings(directory: &Path, name: &str, base: Option<&str>, remarks: &mut Vec<String>) -> Result<Upload> {
    let path = directory.join(name);
    let bytes = fs::read(&path).map_err(|e| io_error(&path, e))?;
    let told = |why: String| Error::Checkpoint(format!("{}: {why}", path.display()).into());
    let mut value: Value =
        serde_json::from_slice(&bytes).map_err(|e| told(format!("this is no JSON: {e}")))?;
    let before = value.clone();
    if let Value::Object(fields) = &mut value {
        without_places(fields, name, remarks);
        if name == ADAPTER_CONFIG {
            named_base(fields, base, remarks).map_err(told)?;
        }
    }
    if let Some((key, text)) = own_path("", &value) {
        return Err(told(format!(
            "{key} is {text}, a path of this machine, which is not sent; remove it there"
        )));
    }
    match value == before {
        true => Upload::file(directory, name),
        false => {
            let text = serde_json::to_vec_pretty(&value).map_err(|e| told(e.to_string()))?;
            Ok(Upload::made(name, text))
        }
    }
}

fn without_places(fields: &mut Map<String, Value>, file: &str, remarks: &mut Vec<String>) {
    let is_place = |value: &Value| {
        value
            .as_str()
            .is_some_and(|name| !name.is_empty() && !hub::is_repository(name) && !hub::is_address(name))
    };
    for key in FROM {
        if fields.get(key).is_some_and(is_place) {
            fields.remove(key);
            remarks.push(format!("{file} is sent without its {key}, a place of this machine"));
        }
    }
    if let Some(Value::Object(card)) = fields.get_mut(CARD[0])
        // Our own cards name what is on the hub by its address, and all else by its path.
        && card.get(CARD[1]).and_then(Value::as_str).is_some_and(|parent| !hub::is_address(parent))
    {
        card.remove(CARD[1]);
        remarks.push(format!("{file} is sent without {}.{}, a place of this machine", CARD[0], CARD[1]));
    }
}

/// What an adapter's base is called: on the hub, where PEFT looks for it.
fn named_base(
    fields: &mut Map<String, Value>,
    base: Option<&str>,
    remarks: &mut Vec<String>,
) -> std::result::Result<(), String> {
    let own = fields.get(BASE).and_then(Value::as_str).unwrap_or_default();
    match base {
        Some(base) if base != own => {
            remarks.push(format!("{ADAPTER_CONFIG} names {base} as its base"));
            fields.insert(BASE.into(), base.into());
        }
        Some(_) => {}
        None if hub::is_repository(own) => {}
        None => {
            return Err(format!(
                "its base is '{own}', which nobody else finds by that; push that model first and name it with --base owner/name"
            ));
        }
    }
    Ok(())
}

/// A text that is, or holds, a place of this machine, with its key.
fn own_path(key: &str, value: &Value) -> Option<(String, String)> {
    let home = std::env::home_dir().map(|home| home.display().to_string()).filter(|home| home.len() > 1);
    match value {
        Value::String(text) => {
            let is_here = text.len() > 1 && Path::new(text).is_absolute() && Path::new(text).exists();
            let is_below = home.is_some_and(|home| text.contains(&format!("{home}/")));
            (is_here || is_below).then(|| (key.to_string(), text.clone()))
        }
        Value::Array(values) => values.iter().find_map(|value| own_path(key, value)),
        Value::Object(fields) => fields.iter().find_map(|(name, value)| match key {
            "" => own_path(name, value),
            key => own_path(&format!("{key}.{name}"), value),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::upload::Content;
    use super::*;

    #[test]
    fn settings_go_without_the_places_of_this_machine() {
        let place = tempfile::tempdir().unwrap();
        let write = |name: &str, value: Value| fs::write(place.path().join(name), value.to_string()).unwrap();
        write("config.json", serde_json::json!({"_name_or_path": "/x/y", "hidden_size": 8}));
        write("generation_config.json", serde_json::json!({"kindling": {"parent": "runs/a", "world": "w"}}));
        let mut remarks = Vec::new();
        let sent = |name: &str, remarks: &mut Vec<String>| {
            let upload = settings(place.path(), name, None, remarks).unwrap();
            serde_json::from_slice::<Value>(&upload.bytes().unwrap()).unwrap()
        };
        assert_eq!(sent("config.json", &mut remarks), serde_json::json!({"hidden_size": 8}));
        assert_eq!(
            sent("generation_config.json", &mut remarks),
            serde_json::json!({"kindling": {"world": "w"}})
        );
        assert_eq!(remarks.len(), 2, "{remarks:?}");
        write("config.json", serde_json::json!({"_name_or_path": "owner/name"}));
        let kept = settings(place.path(), "config.json", None, &mut remarks).unwrap();
        assert!(matches!(kept.content, Content::File(_)), "nothing is changed, so the bytes stay");
        write("config.json", serde_json::json!({"a": {"b": [place.path()]}}));
        let why = settings(place.path(), "config.json", None, &mut remarks).unwrap_err().to_string();
        assert!(why.contains("a.b is ") && why.contains("a path of this machine"), "{why}");
    }

    #[test]
    fn what_is_no_part_of_a_model_is_left_out_by_name() {
        let place = tempfile::tempdir().unwrap();
        for name in ["config.json", "model.safetensors"] {
            fs::write(place.path().join(name), "{}").unwrap();
        }
        let sent = || {
            let (uploads, remarks) = uploads(place.path(), Kind::Model, None).unwrap();
            (uploads.into_iter().map(|upload| upload.path).collect::<Vec<_>>(), remarks)
        };
        assert_eq!(sent(), (vec!["config.json".to_string(), "model.safetensors".to_string()], Vec::new()));
        fs::write(place.path().join("eval.jsonl"), "{}").unwrap();
        fs::create_dir(place.path().join("training")).unwrap();
        let (paths, remarks) = sent();
        assert_eq!((paths.len(), remarks.len()), (2, 1));
        assert!(remarks[0].ends_with("no part of what opens: eval.jsonl, training/"), "{remarks:?}");
    }

    #[test]
    fn further_templates_are_sent_and_what_lies_beside_them_is_left_out_by_name() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join(TEMPLATES)).unwrap();
        let templates =
            ["tool_use.jinja", "mine.jinja", "notes.txt"].map(|name| format!("{TEMPLATES}/{name}"));
        for name in
            ["config.json", "model.safetensors"].into_iter().chain(templates.iter().map(String::as_str))
        {
            fs::write(place.path().join(name), "{}").unwrap();
        }
        let (sent, remarks) = uploads(place.path(), Kind::Model, None).unwrap();
        let sent: Vec<_> = sent.into_iter().map(|upload| upload.path).collect();
        assert_eq!(sent, [&templates[1], &templates[0], "config.json", "model.safetensors"]);
        assert_eq!(
            remarks,
            ["left out, because they are no part of what opens: additional_chat_templates/notes.txt"]
        );
    }

    #[cfg(unix)]
    #[test]
    fn links_that_lead_out_are_refused_by_name_and_others_are_followed() {
        use std::os::unix::fs::symlink;
        let place = tempfile::tempdir().unwrap();
        let (own, secret) = (place.path().join("model"), place.path().join("secret"));
        fs::create_dir(&own).unwrap();
        fs::write(own.join("config.json"), "{}").unwrap();
        fs::write(own.join("weights"), "here").unwrap();
        symlink("weights", own.join("model.safetensors")).unwrap();
        assert_eq!(uploads(&own, Kind::Model, None).unwrap().0.len(), 2);
        fs::write(&secret, "{}").unwrap();
        symlink(&secret, own.join("generation_config.json")).unwrap();
        let why = uploads(&own, Kind::Model, None).unwrap_err().to_string();
        assert!(why.contains("generation_config.json leads to ") && why.contains("cp -rL"), "{why}");
    }

    #[test]
    fn the_base_of_an_adapter_is_a_name_on_the_hub() {
        let fields = |base: &str| Map::from_iter([(BASE.to_string(), Value::from(base))]);
        for (own, said, expected) in [
            ("owner/base", None, Some("owner/base")),
            ("./runs/base", None, None),
            ("ms:owner/base", None, None),
            ("run", Some("me/base"), Some("me/base")),
        ] {
            let (mut fields, mut remarks) = (fields(own), Vec::new());
            let named = named_base(&mut fields, said, &mut remarks);
            assert_eq!(named.ok().and(fields[BASE].as_str()), expected, "{own} {said:?}");
        }
    }
}
