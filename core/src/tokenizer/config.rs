//! `tokenizer_config.json`: the roles of the special tokens and the chat template, everything else kept as it
//! is.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::template::Specials;
use crate::error::{Error, Result};
use crate::told::told;

const CHAT_TEMPLATE: &str = "chat_template";
/// The name of the template that is used where nobody asks for another.
pub(super) const DEFAULT: &str = "default";

/// The file's keys in their order, so that what is written back holds what was read.
#[derive(Clone, Debug, Default)]
pub(super) struct TokenizerConfig(Map<String, Value>);

impl TokenizerConfig {
    /// Wraps keys that were made here.
    pub(super) fn new(keys: Map<String, Value>) -> Self {
        Self(keys)
    }

    /// Parses the file.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let keys = serde_json::from_slice(bytes).map_err(|error| {
            Error::Tokenizer(told!(
                "tokenizer.config",
                "tokenizer_config.json cannot be read: {error}",
                error
            ))
        })?;
        Ok(Self(keys))
    }

    /// The file's bytes.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(&self.0).map_err(Error::tokenizer_failed)
    }

    /// The text of a token such as `bos_token`, which files give as a string or as an object with `content`.
    pub(super) fn token(&self, key: &str) -> Option<&str> {
        let value = self.0.get(key)?;
        value.as_str().or_else(|| value.get("content")?.as_str())
    }

    /// The special tokens a template can print.
    pub(super) fn specials(&self) -> Specials {
        let owned = |key| self.token(key).map(str::to_string);
        Specials {
            bos: owned("bos_token"),
            eos: owned("eos_token"),
            pad: owned("pad_token"),
            unk: owned("unk_token"),
        }
    }

    /// A key's value.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// Sets a key, in its old place where it has one.
    pub(super) fn insert(&mut self, key: &str, value: Value) {
        self.0.insert(key.to_string(), value);
    }

    /// All keys in their order.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Makes a yes-or-no key say what holds; where it is absent nobody asks for it.
    pub(super) fn correct_flag(&mut self, key: &str, holds: bool) {
        if let Some(Value::Bool(flag)) = self.0.get_mut(key) {
            *flag = holds;
        }
    }

    /// The chat templates by name: a file holds one alone, a list of them, or an object.
    pub(super) fn templates(&self) -> Vec<(&str, &str)> {
        match self.0.get(CHAT_TEMPLATE) {
            Some(Value::String(text)) => vec![(DEFAULT, text.as_str())],
            Some(Value::Array(named)) => {
                let named = named.iter();
                named.filter_map(|it| Some((it["name"].as_str()?, it["template"].as_str()?))).collect()
            }
            Some(Value::Object(named)) => {
                named.iter().filter_map(|(name, text)| Some((name.as_str(), text.as_str()?))).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The names that the templates look up in what they print: what follows a dot or stands in quotes.
    pub(super) fn looked_up(&self) -> BTreeSet<String> {
        let ends = |c: char| !(c.is_alphanumeric() || c == '_' || c == '-');
        let names = |(_, text): (&str, &str)| -> Vec<String> {
            let behind = text.match_indices(['.', '\'', '"']).map(|(at, _)| &text[at + 1..]);
            behind.map(|rest| rest[..rest.find(ends).unwrap_or(rest.len())].to_string()).collect()
        };
        let all = self.templates().into_iter().flat_map(names);
        all.filter(|name| !name.is_empty()).collect()
    }

    /// The template of a name.
    pub(super) fn template(&self, name: &str) -> Option<&str> {
        // Of equal names `transformers` keeps the last.
        self.templates().into_iter().rfind(|(own, _)| *own == name).map(|(_, text)| text)
    }

    /// The chat template. Where the file holds several by name, it is `default`, or the only one.
    pub(super) fn chat_template(&self) -> Option<&str> {
        self.template(DEFAULT).or_else(|| match self.templates().as_slice() {
            [(_, only)] => Some(*only),
            _ => None,
        })
    }

    /// Replaces all chat templates by these, which have names.
    pub(super) fn set_templates(&mut self, named: &[(String, String)]) {
        match named {
            [(name, text)] if name == DEFAULT => self.set_chat_template(text),
            named => {
                let entry = |(name, text): &(String, String)| json!({"name": name, "template": text});
                self.insert(CHAT_TEMPLATE, named.iter().map(entry).collect());
            }
        }
    }

    /// Replaces the chat template.
    pub(super) fn set_chat_template(&mut self, text: &str) {
        self.0.insert(CHAT_TEMPLATE.to_string(), text.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> TokenizerConfig {
        TokenizerConfig::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn tokens_are_strings_or_objects() {
        let config = config(r#"{"bos_token": "<s>", "eos_token": {"content": "</s>"}, "pad_token": null}"#);
        assert_eq!(config.token("bos_token"), Some("<s>"));
        assert_eq!(config.token("eos_token"), Some("</s>"));
        assert_eq!(config.token("pad_token"), None);
        assert_eq!(config.token("unk_token"), None);
    }

    #[test]
    fn names_that_templates_look_up_are_known() {
        let config = config(
            r#"{"chat_template": "a note {{ m.role }}{{ m['mood'] }}{% if \"plan\" in m %}{{ m.get('x-y') }}{% endif %}"}"#,
        );
        let names = ["get", "mood", "plan", "role", "x-y"].map(str::to_string);
        assert!(names.iter().all(|name| config.looked_up().contains(name)), "{:?}", config.looked_up());
        assert!(!config.looked_up().contains("note"), "a word that is printed");
    }

    #[test]
    fn the_default_template_is_taken_from_a_list() {
        let list =
            r#"{"chat_template": [{"name": "rag", "template": "R"}, {"name": "default", "template": "D"}]}"#;
        assert_eq!(config(list).chat_template(), Some("D"));
        assert_eq!(
            config(r#"{"chat_template": [{"name": "x", "template": "X"}]}"#).chat_template(),
            Some("X")
        );
        let object = r#"{"chat_template": {"tool_use": "T", "default": "D"}}"#;
        assert_eq!(config(object).chat_template(), Some("D"));
        assert_eq!(config(object).template("tool_use"), Some("T"));
        for none in [
            r#"null"#,
            "[]",
            "3",
            r#"["D"]"#,
            r#"[{"name": "a", "template": "A"}, {"name": "b", "template": "B"}]"#,
        ] {
            assert_eq!(config(&format!("{{\"chat_template\": {none}}}")).chat_template(), None, "{none}");
        }
    }

    #[test]
    fn templates_are_written_as_they_are_read() {
        let named = |names: &[&str]| -> Vec<(String, String)> {
            names.iter().map(|name| (name.to_string(), name.to_uppercase())).collect()
        };
        let mut config = config(r#"{"a": 1, "chat_template": "old", "b": 2}"#);
        config.set_templates(&named(&["default"]));
        assert_eq!(config.get("chat_template"), Some(&Value::from("DEFAULT")));
        config.set_templates(&named(&["default", "tool_use"]));
        assert_eq!(config.templates(), [("default", "DEFAULT"), ("tool_use", "TOOL_USE")]);
        assert_eq!(config.keys().map(|(key, _)| key).collect::<Vec<_>>(), ["a", "chat_template", "b"]);
    }

    #[test]
    fn a_flag_that_is_there_says_what_holds() {
        let mut config = config(r#"{"add_bos_token": true, "add_eos_token": null}"#);
        for key in ["add_bos_token", "add_eos_token", "add_prefix_space"] {
            config.correct_flag(key, false);
        }
        assert_eq!(config.get("add_bos_token"), Some(&Value::from(false)));
        assert_eq!(config.get("add_eos_token"), Some(&Value::Null));
        assert_eq!(config.keys().count(), 2);
    }

    #[test]
    fn unknown_keys_are_written_back_in_order() {
        let mut config = config(r#"{"zeta": [1], "chat_template": "a", "alpha": {"b": 2.5}}"#);
        config.set_chat_template("b");
        let written: Value = serde_json::from_slice(&config.to_bytes().unwrap()).unwrap();
        let keys: Vec<&String> = written.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["zeta", "chat_template", "alpha"]);
        assert_eq!(written["chat_template"], "b");
        assert_eq!(written["alpha"]["b"], 2.5);
    }

    #[test]
    fn a_broken_file_is_named() {
        let error = TokenizerConfig::parse(b"[1]").unwrap_err().to_string();
        assert!(error.starts_with("tokenizer_config.json cannot be read"), "{error}");
    }
}
