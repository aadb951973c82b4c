//! What the engine says, in the page's words: a Chinese sentence for each code of core and of the worker. English comes
//! with the message. The command line's flags become the page's fields.
//!
//! A line of the tables is `code: sentence`, with the values of the English sentence as `{name}`; one of `words.txt` is
//! `English = Chinese`, for values that are words.

use serde_json::Value;

use super::text::Sentence;
use super::{Language, in_fields};
use crate::format::fill;
use crate::messages::told::Told;

/// The sentences, by what they are about.
const SENTENCES: [&str; 7] = [
    include_str!("rows.txt"),
    include_str!("prepared.txt"),
    include_str!("models.txt"),
    include_str!("gguf.txt"),
    include_str!("adapters.txt"),
    include_str!("runs.txt"),
    include_str!("evaluate.txt"),
];
/// Values that are words.
const WORDS: &str = include_str!("words.txt");

/// Stages and parts of a model as the engine calls them where a value is one, or several with commas between.
const NAMES: [(&str, Sentence); 13] = [
    ("sft", |t| t.teach.sft),
    ("pretrain", |t| t.teach.pretrain),
    ("dpo", |t| t.stages.dpo),
    ("distill", |t| t.stages.distill),
    ("reason", |t| t.stages.reason),
    ("grpo", |t| t.stages.grpo),
    ("embedding", |t| t.finer.embedding),
    ("norm", |t| t.finer.norm),
    ("attention", |t| t.finer.attention),
    ("mlp", |t| t.finer.mlp),
    ("experts", |t| t.finer.experts),
    ("router", |t| t.finer.router),
    ("head", |t| t.finer.head),
];
/// Values that are such.
const NAMED: [&str; 3] = ["stage", "part", "parts"];

/// What the engine says, for a reader of this language.
pub fn in_words(told: &Told, language: Language) -> String {
    let (t, mut text) = (language.text(), sentence(told, language));
    if told.code.starts_with("unmask.") {
        // A run has steps too.
        text = text.replace("--steps", &fill(t.page.field, &[t.diffusion.steps]));
    }
    in_fields(&text, t)
}

/// The same with flags; what has no sentence of its own keeps the English one.
fn sentence(told: &Told, language: Language) -> String {
    match language {
        Language::English => told.message.clone(),
        Language::Chinese => match entry(SENTENCES, ": ", &told.code) {
            Some(sentence) => filled(sentence, told),
            None => told.message.clone(),
        },
    }
}

/// The line of a table that begins so.
fn entry<'a>(tables: impl IntoIterator<Item = &'a str>, between: &'static str, key: &str) -> Option<&'a str> {
    let mut lines = tables.into_iter().flat_map(str::lines).filter(|line| !line.starts_with('#'));
    lines.find_map(|line| line.split_once(between).filter(|(own, _)| *own == key).map(|(_, rest)| rest))
}

/// A Chinese sentence with its values; braces around anything else stay.
fn filled(sentence: &str, told: &Told) -> String {
    let (mut whole, mut rest) = (String::new(), sentence);
    while let Some(at) = rest.find('{') {
        let (before, behind) = rest.split_at(at);
        whole.push_str(before);
        let name = behind[1..].split('}').next().unwrap_or_default();
        match told.values.get(name) {
            Some(value) => {
                whole.push_str(&named(name, value).unwrap_or_else(|| spoken(value)));
                rest = &behind[name.len() + 2..];
            }
            None => {
                whole.push('{');
                rest = &behind[1..];
            }
        }
    }
    whole + rest
}

/// The stage or the parts of a model that a value of this name is, as the page calls them.
fn named(name: &str, value: &Value) -> Option<String> {
    let words = value.as_str().filter(|_| NAMED.contains(&name))?.split(',');
    let own = |word: &str| {
        NAMES.iter().find(|(known, _)| *known == word).map(|(_, own)| own(Language::Chinese.text()))
    };
    Some(words.map(own).collect::<Option<Vec<_>>>()?.join("、"))
}

/// A value in Chinese: a sentence within the sentence, several of them, a word, or what is alike in every language.
fn spoken(value: &Value) -> String {
    match value {
        Value::Object(_) => inner(value),
        Value::Array(list) => match list.as_slice() {
            [one] => format!("：{}", inner(one)),
            many => many.iter().fold("：".into(), |text, item| format!("{text}\n  - {}", inner(item))),
        },
        Value::Number(number) => match number.as_f64() {
            Some(whole) if whole.fract() == 0.0 && whole.abs() < 1e15 => format!("{whole:.0}"),
            _ => number.to_string(),
        },
        Value::String(text) => entry([WORDS], " = ", text).unwrap_or(text).to_string(),
        other => other.to_string(),
    }
}

fn inner(value: &Value) -> String {
    let told = serde_json::from_value::<Told>(value.clone());
    told.map_or_else(|_| value.to_string(), |told| sentence(&told, Language::Chinese))
}

#[cfg(test)]
mod tests;
