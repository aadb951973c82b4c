//! What a page asks for, and what of it this server does not train: that is refused by name, before anything is written.
use clap::ValueEnum;
use kindling::error::Error;
use kindling::told::{Told, told};
use kindling::train::Stage;
use serde::Deserialize;
use serde_json::{Map, Value};
use toml::Table;

use super::asked_run::Training;
use super::refused::Refused;
use super::run_settings::{lora_config, train_config};
use super::shelf::name_of;
use super::trainer::Means;
use crate::serve::names::{Named, Names};
use crate::serve::refusal::Refusal;

/// The ends of names whose files are texts.
const TEXTS: [&str; 5] = ["jsonl", "json", "csv", "tsv", "txt"];
/// Settings of an adapter whose flags have another name.
const OF_LORA: [&str; 4] = ["rank", "alpha", "dropout", "targets"];

/// The body of a request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// Which model it begins with; an empty text is the first one, and an adapter is the model below it.
    #[serde(default)]
    model: String,
    /// What it is to be.
    training: Training,
    /// What it trains on.
    files: Vec<Rows>,
}

/// Rows as a text.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rows {
    /// The name of their file, which tells its form.
    name: String,
    /// The text.
    text: String,
}

/// A run that can begin.
#[derive(Debug)]
pub struct Wish {
    /// What it is to be called, if nothing else is.
    pub name: String,
    /// Whether an adapter learns.
    pub adapts: bool,
    /// What it begins with.
    pub base: Named,
    /// Its settings, by their flags.
    pub settings: Table,
    /// What it trains on: names of files that lead nowhere else, and their texts.
    pub files: Vec<(String, String)>,
}

/// Reads a request.
///
/// # Errors
/// A body that is no such request; what this server does not train; settings that do not hold, all at once.
pub fn read(body: &[u8], names: &Names, means: &Means) -> Result<Wish, Refused> {
    let asked: Asked = serde_json::from_slice(body)
        .map_err(|error| Refusal::bad("invalid_json", error.to_string()))
        .map_err(Refused::from)?;
    let Asked { model, training, files } = asked;
    refuse_others(&training)?;
    if means.has_parts {
        return Err(told!(
            "served_run.beside",
            "the model of this server takes parts from --preset, --model-config or --tokenizer, beside which it does not \
             train; make a directory of it with `kindling import`, and serve that"
        )
        .into());
    }
    let listed = names.find(Some(&model)).ok_or_else(|| Refusal::no_model(&model, &names.texts()))?;
    // A new adapter stands beside the model, as in a tab, and not upon the one that was asked last.
    let below = listed.named.base.as_deref().and_then(|base| names.find(Some(base)));
    let base = below.map_or(listed.named, |below| below.named);
    let settings = settings(&training, means)?;
    let first = files.first().map(|rows| stem(own(&rows.name))).unwrap_or_default();
    let files = texts(files)?;
    let name = training.name.filter(|name| !name.trim().is_empty()).unwrap_or(first);
    Ok(Wish { name, adapts: training.adapter.is_some(), base, settings, files })
}

/// Refuses what acts in a tab and not here.
fn refuse_others(training: &Training) -> Result<(), Told> {
    if training.stage != Stage::Sft {
        let stage = training.stage.name();
        return Err(told!(
            "served_run.stage",
            "this server trains on conversations (sft), with an adapter or without one, and not by {stage}; train that in the \
             tab, or on the command line",
            stage
        ));
    }
    let parts = [
        ("dpo", training.dpo.is_some()),
        ("distill", training.distill.is_some()),
        ("reason", training.reason.is_some()),
        ("grpo", training.grpo.is_some()),
        ("teacher", training.teacher.is_some()),
        ("preset", training.preset.is_some()),
        ("experts", training.experts.is_some()),
        ("encoding", training.encoding.is_some()),
        ("questions", !training.questions.is_empty()),
    ];
    match parts.into_iter().find(|(_, is_there)| *is_there) {
        None => Ok(()),
        Some((name, _)) => Err(told!(
            "served_run.part",
            "'{name}' does not act where this server trains; leave it out, or train in the tab",
            name
        )),
    }
}

/// The settings of a run by their flags, once they hold: every step is reported, because a page watches.
fn settings(training: &Training, means: &Means) -> Result<Table, Told> {
    let adapts = training.adapter.is_some();
    let config = train_config(training.stage, adapts, training.config.clone())?;
    let mut problems = config.problems();
    let mut all: Map<String, Value> = [("log-every".to_string(), Value::from(1))].into_iter().collect();
    all.extend(training.config.clone());
    if let Some(changed) = &training.adapter {
        problems.extend(lora_config(changed.clone())?.problems());
        let flag = |name: &String| match OF_LORA.contains(&name.as_str()) {
            true => format!("lora-{name}"),
            false => name.clone(),
        };
        all.extend(changed.iter().map(|(name, value)| (flag(name), value.clone())));
        let weights =
            means.weights.and_then(|weights| Some(weights.to_possible_value()?.get_name().to_string()));
        all.extend(weights.map(|weights| ("weights".to_string(), weights.into())));
    }
    if !problems.is_empty() {
        return Err(Error::Config(problems).told());
    }
    if let Some(sample) = training.sample.as_ref().filter(|sample| sample.every > 0) {
        all.insert("sample-every".into(), sample.every.into());
        all.insert("sample-prompt".into(), vec![sample.prompt.clone()].into());
    }
    // What is null is as it would be.
    all.retain(|_, value| !value.is_null());
    Table::try_from(all).map_err(|e| told!("settings.unread", "a setting cannot be used: {e}", e))
}

/// The files by names of their own: where there are several each has its number, so that no two are the same.
fn texts(files: Vec<Rows>) -> Result<Vec<(String, String)>, Told> {
    if files.is_empty() {
        return Err(told!("data.none", "there is no data; paste some text or drop a file"));
    }
    let are_several = files.len() > 1;
    let named = files.into_iter().enumerate().map(|(at, Rows { name, text })| {
        let own = own(&name);
        let kind = own.rsplit_once('.').map(|(_, kind)| kind.to_ascii_lowercase());
        let Some(kind) = kind.filter(|kind| TEXTS.contains(&kind.as_str())) else {
            return Err(told!(
                "served_run.file",
                "{name}: this server takes rows as texts; give .jsonl, .json, .csv, .tsv or .txt, not packed",
                name
            ));
        };
        let number = if are_several { format!("-{}", at + 1) } else { String::new() };
        Ok((format!("{}{number}.{kind}", stem(own)), text))
    });
    named.collect()
}

/// The last part of a path.
fn own(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// What of a file's name without its end can be a name here.
fn stem(name: &str) -> String {
    let stem = name_of(name.rsplit_once('.').map_or(name, |(stem, _)| stem));
    if stem.is_empty() { "rows".into() } else { stem }
}

#[cfg(test)]
mod tests {
    use kindling::kernels::Quantization;
    use serde_json::json;

    use super::*;

    fn asked(changes: Value) -> Result<Wish, Refused> {
        let mut body = json!({
            "training": {"stage": "sft", "config": {"steps": 3, "learning-rate": 0.5}, "adapter": {"rank": 2, "rslora": true}},
            "files": [{"name": "a/../my rows.jsonl", "text": "{}"}],
        });
        for (key, value) in changes.as_object().unwrap() {
            match key.split_once('.') {
                Some((first, second)) => body[first][second] = value.clone(),
                None => body[key] = value.clone(),
            }
        }
        let names = Names::new(&["base=x".to_string()], &["taught=y".to_string()]).unwrap();
        let means = Means { weights: Some(Quantization::Q8_0), ..Means::default() };
        read(body.to_string().as_bytes(), &names, &means)
    }

    fn code(changes: Value) -> &'static str {
        match asked(changes) {
            Err(Refused::Told(told)) => told.code(),
            Err(Refused::Any(refusal)) => refusal.error.code.unwrap_or_default(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_becomes_flags_of_the_command_line() {
        let wish = asked(json!({"training.sample": {"prompt": "-x", "every": 5}})).unwrap();
        assert_eq!((wish.name.as_str(), wish.adapts, wish.base.name.as_str()), ("my-rows", true, "base"));
        assert_eq!(wish.files, [("my-rows.jsonl".to_string(), "{}".to_string())]);
        let expected = "learning-rate = 0.5\nlog-every = 1\nlora-rank = 2\nrslora = true\nsample-every = 5\n\
                        sample-prompt = [\"-x\"]\nsteps = 3\nweights = \"q8_0\"\n";
        let mut lines: Vec<String> = wish.settings.to_string().lines().map(String::from).collect();
        lines.sort();
        assert_eq!(lines.join("\n") + "\n", expected);
        let whole = asked(json!({"training.adapter": null, "training.name": "lamps"})).unwrap();
        assert_eq!((whole.adapts, whole.name.as_str(), whole.settings.len()), (false, "lamps", 3));
        assert_eq!(asked(json!({"model": "taught"})).unwrap().base.name, "base");
        let two = json!([{"name": "a.csv", "text": ""}, {"name": "b/a.CSV", "text": ""}]);
        let names = asked(json!({"files": two})).unwrap().files;
        assert_eq!(names.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a-1.csv", "a-2.csv"]);
        // A number that a name ends with is none of ours.
        let two = json!([{"name": "rows-2.jsonl", "text": "1"}, {"name": "rows.jsonl", "text": "2"}]);
        let wish = asked(json!({"files": two})).unwrap();
        let expected = [("rows-2-1.jsonl", "1"), ("rows-2.jsonl", "2")];
        assert_eq!(wish.files, expected.map(|(name, text)| (name.to_string(), text.to_string())));
        assert_eq!(wish.name, "rows-2", "the run is called as the first file is");
    }

    #[test]
    fn what_is_not_trained_here_is_refused_by_name() {
        for (changes, expected) in [
            (json!({"training.stage": "dpo"}), "served_run.stage"),
            (json!({"training.preset": "nano"}), "served_run.part"),
            (json!({"training.questions": ["x"]}), "served_run.part"),
            (json!({"model": "none"}), "model_not_found"),
            (json!({"files": []}), "data.none"),
            (json!({"files": [{"name": "a.parquet", "text": ""}]}), "served_run.file"),
            (json!({"files": [{"name": "a.jsonl.gz", "text": ""}]}), "served_run.file"),
            (json!({"files": [{"name": "..", "text": ""}]}), "served_run.file"),
            (json!({"files": "x"}), "invalid_json"),
            (json!({"training.config": {"out": "/etc"}}), "settings.unread"),
            (json!({"training.adapter": {"data": "/etc/passwd"}}), "settings.unread"),
            (json!({"training.config": {"batch-size": -1}}), "settings.kind"),
            (json!({"path": "/etc/passwd"}), "invalid_json"),
        ] {
            assert_eq!(code(changes.clone()), expected, "{changes}");
        }
        let Err(Refused::Told(told)) = asked(json!({"training.config": {"batch-size": 0, "epochs": -1}}))
        else {
            panic!("neither holds")
        };
        assert!(told.contains("--batch-size") && told.contains("--epochs"), "{told}");
    }
}
