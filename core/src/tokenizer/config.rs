//! `tokenizer_config.json`: the roles of the special tokens and the chat template, everything else kept as it
//! is.

use serde_json::{Map, Value};

use super::template::Specials;
use crate::error::{Error, Result};

const CHAT_TEMPLATE: &str = "chat_template";

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
        let keys = serde_json::from_slice(bytes)
            .map_err(|error| Error::Tokenizer(format!("tokenizer_config.json cannot be read: {error}")))?;
        Ok(Self(keys))
    }

    /// The file's bytes.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(&self.0).map_err(super::refused)
    }

    /// The text of a token such as `bos_token`, which files give as a string or as an object with `content`.
    pub(super) fn token(&self, key: &str) -> Option<&str> {
        let value = self.0.get(key)?;
        value.as_str().or_else(|| value.get("content")?.as_str())
    }

    /// A yes-or-no key; absent and `null` are no answer.
    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        self.0.get(key)?.as_bool()
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

    /// The chat template. Where the file holds several by name, it is `default`, or the only one.
    pub(super) fn chat_template(&self) -> Option<&str> {
        match self.0.get(CHAT_TEMPLATE)? {
            Value::String(text) => Some(text),
            Value::Array(named) => {
                let default = named.iter().find(|entry| entry["name"] == "default");
                let only = if named.len() == 1 { named.first() } else { None };
                default.or(only)?.get("template")?.as_str()
            }
            _ => None,
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
    fn the_default_template_is_taken_from_a_list() {
        let list =
            r#"{"chat_template": [{"name": "rag", "template": "R"}, {"name": "default", "template": "D"}]}"#;
        assert_eq!(config(list).chat_template(), Some("D"));
        assert_eq!(
            config(r#"{"chat_template": [{"name": "x", "template": "X"}]}"#).chat_template(),
            Some("X")
        );
        assert_eq!(config(r#"{"chat_template": null}"#).chat_template(), None);
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
