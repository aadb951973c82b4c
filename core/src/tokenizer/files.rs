//! The files of a tokenizer. Versions of `transformers` spread it over several: what is read in their order, and which
//! of them wins, becomes two.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, Value, json};

use super::added::{ADDED_TOKENS_DECODER, named};
use super::config::{DEFAULT, TokenizerConfig};
use crate::error::{Error, Result};
use crate::told::{Told, told};

const TOKENIZER: &str = "tokenizer.json";
const CONFIG: &str = "tokenizer_config.json";
/// Roles of the special tokens, in files of before.
const SPECIAL_TOKENS_MAP: &str = "special_tokens_map.json";
/// Ids of added tokens, in files of before.
const ADDED_TOKENS: &str = "added_tokens.json";
/// The chat template of `transformers` 5, as text.
const CHAT_TEMPLATE: &str = "chat_template.jinja";
/// Where further templates stand, each under its name.
const TEMPLATES: &str = "additional_chat_templates";
/// The names of further templates that files have; others are looked for where `tokenizer_config.json` names them.
const NAMES: [&str; 2] = ["tool_use", "rag"];
/// A name that can be that of a file everywhere has this many bytes at most.
const LONGEST_NAME: usize = 64;

/// What a tokenizer is read from. All but the first may be absent.
pub const TOKENIZER_FILES: [&str; 7] = [
    TOKENIZER,
    CONFIG,
    CHAT_TEMPLATE,
    "additional_chat_templates/tool_use.jinja",
    "additional_chat_templates/rag.jinja",
    SPECIAL_TOKENS_MAP,
    ADDED_TOKENS,
];

/// The files of a tokenizer, as bytes.
#[derive(Clone, Debug)]
pub struct TokenizerFiles {
    /// `tokenizer.json`: vocabulary, merges, added tokens.
    pub tokenizer_json: Vec<u8>,
    /// `tokenizer_config.json`: roles of the special tokens and the chat template.
    pub tokenizer_config_json: Option<Vec<u8>>,
}

impl TokenizerFiles {
    /// Reads [`TOKENIZER_FILES`] as `transformers` does; `read` gives a file's bytes, or `None` where it is absent.
    /// `chat_template.jinja` wins over what `tokenizer_config.json` holds. `None` without a `tokenizer.json`.
    ///
    /// # Errors
    /// What `read` says; files that are damaged, by name.
    pub fn gather(mut read: impl FnMut(&str) -> Result<Option<Vec<u8>>>) -> Result<Option<Self>> {
        let Some(tokenizer_json) = read(TOKENIZER)? else {
            return Ok(None);
        };
        let bytes = read(CONFIG)?;
        let mut config = match &bytes {
            Some(bytes) => TokenizerConfig::parse(bytes)?,
            None => TokenizerConfig::default(),
        };
        let templates = templates(&config, &mut read)?;
        let mut changed = !templates.is_empty();
        if changed {
            config.set_templates(&templates);
        }
        // Where the config lists the added tokens, `transformers` reads nothing else about them.
        if config.get(ADDED_TOKENS_DECODER).is_none() {
            if let Some(map) = object(SPECIAL_TOKENS_MAP, read(SPECIAL_TOKENS_MAP)?)? {
                map.into_iter().for_each(|(key, value)| config.insert(&key, value));
                changed = true;
            }
            if let Some(ids) = object(ADDED_TOKENS, read(ADDED_TOKENS)?)? {
                let listed = listed(&config, &ids)?;
                config.insert(ADDED_TOKENS_DECODER, listed);
                changed = true;
            }
        }
        let tokenizer_config_json = if changed { Some(config.to_bytes()?) } else { bytes };
        Ok(Some(Self { tokenizer_json, tokenizer_config_json }))
    }
}

/// The templates that have files of their own, the default one first.
fn templates(
    config: &TokenizerConfig,
    read: &mut impl FnMut(&str) -> Result<Option<Vec<u8>>>,
) -> Result<Vec<(String, String)>> {
    let mut templates = Vec::new();
    if let Some(bytes) = read(CHAT_TEMPLATE)? {
        templates.push((DEFAULT.to_string(), text(CHAT_TEMPLATE, bytes)?));
    }
    let own = config.templates();
    let own = own.iter().map(|(name, _)| *name).filter(|name| is_plain(name));
    let names: BTreeSet<&str> = NAMES.into_iter().chain(own).collect();
    for name in names.into_iter().filter(|name| *name != DEFAULT) {
        let file = template_file(name);
        if let Some(bytes) = read(&file)? {
            templates.push((name.to_string(), text(&file, bytes)?));
        }
    }
    Ok(templates)
}

/// The file of a further template.
fn template_file(name: &str) -> String {
    format!("{TEMPLATES}/{name}.jinja")
}

/// Whether a template's name can be that of a file: it comes from a stranger.
fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(plain)
}

/// The files of the chat templates to write: the default one's, and those of the others.
pub(super) fn template_files(config: &TokenizerConfig) -> Vec<(String, Vec<u8>)> {
    // Without a default one, files would hide what the config holds.
    let Some(default) = config.chat_template() else { return Vec::new() };
    let mut files = vec![(CHAT_TEMPLATE.to_string(), default.as_bytes().to_vec())];
    if config.template(DEFAULT).is_some() {
        let others = config.templates().into_iter().filter(|(name, _)| *name != DEFAULT && is_plain(name));
        files.extend(others.map(|(name, text)| (template_file(name), text.as_bytes().to_vec())));
    }
    files
}

/// `added_tokens.json` as `tokenizer_config.json` lists tokens: special are those that have a role.
fn listed(config: &TokenizerConfig, ids: &Map<String, Value>) -> Result<Value> {
    let named: HashSet<String> = named(config).into_iter().map(|token| token.content).collect();
    let mut listed = Map::new();
    for (text, id) in ids {
        let id = id.as_u64().ok_or_else(|| {
            damaged(ADDED_TOKENS, told!("tokenizer.no_id", "'{text}' has no id but {id}", text, id))
        })?;
        let special = named.contains(text);
        let token = json!({
            "content": text, "single_word": false, "lstrip": false, "rstrip": false, "normalized": !special,
            "special": special,
        });
        listed.insert(id.to_string(), token);
    }
    Ok(Value::Object(listed))
}

fn object(name: &str, bytes: Option<Vec<u8>>) -> Result<Option<Map<String, Value>>> {
    let parse = |bytes: Vec<u8>| serde_json::from_slice(&bytes).map_err(|e| damaged(name, e.to_string()));
    bytes.map(parse).transpose()
}

fn text(name: &str, bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|e| damaged(name, e.to_string()))
}

fn damaged(name: &str, why: impl Into<Told>) -> Error {
    let why = why.into();
    Error::Tokenizer(told!("file.unreadable", "{name} cannot be read: {why}", name, why))
}

/// `merges.txt` as `transformers` reads it; older files hold each pair as one string.
pub(super) fn merges_text(merges: &[Value]) -> String {
    let mut text = "#version: 0.2\n".to_string();
    for merge in merges {
        match merge {
            Value::String(pair) => text.push_str(pair),
            pair => {
                text.push_str(pair[0].as_str().unwrap_or_default());
                text.push(' ');
                text.push_str(pair[1].as_str().unwrap_or_default());
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of `tokenizer_config.json`.
    fn config(files: &[(&str, &str)]) -> Result<TokenizerConfig> {
        let file = |name: &str| files.iter().find(|(own, _)| *own == name);
        let read = |name: &str| Ok(file(name).map(|(_, text)| text.as_bytes().to_vec()));
        let gathered =
            TokenizerFiles::gather(|name| if name == TOKENIZER { Ok(Some(vec![])) } else { read(name) });
        let bytes = gathered?.unwrap().tokenizer_config_json;
        bytes.map_or_else(|| Ok(TokenizerConfig::default()), |bytes| TokenizerConfig::parse(&bytes))
    }

    #[test]
    fn the_templates_of_files_win() {
        let old = r#"{"chat_template": "old", "eos_token": "E"}"#;
        let alone = config(&[(CONFIG, old), (CHAT_TEMPLATE, "new\n")]).unwrap();
        assert_eq!((alone.chat_template(), alone.token("eos_token")), (Some("new\n"), Some("E")));
        assert_eq!(config(&[(CHAT_TEMPLATE, "new")]).unwrap().chat_template(), Some("new"));
        // What the config holds by name goes with the old one, as in transformers.
        let list = r#"{"chat_template": [{"name": "default", "template": "old"}, {"name": "tool_use", "template": "t"},
            {"name": "mine", "template": "m"}, {"name": "../x", "template": "x"}]}"#;
        let file = config(&[(CONFIG, list), (CHAT_TEMPLATE, "new")]).unwrap();
        assert_eq!(file.templates(), [("default", "new")]);
        let tools = "additional_chat_templates/tool_use.jinja";
        let both = [
            (CONFIG, list),
            (CHAT_TEMPLATE, "new"),
            (tools, "T"),
            ("additional_chat_templates/mine.jinja", "M"),
        ];
        assert_eq!(
            config(&both).unwrap().templates(),
            [("default", "new"), ("mine", "M"), ("tool_use", "T")]
        );
        assert_eq!(config(&both[2..]).unwrap().templates(), [("tool_use", "T")]);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let list = r#"{"chat_template": [{"name": "default", "template": "D"}, {"name": "mine", "template": "m"},
            {"name": "../x", "template": "x"}]}"#;
        let written = template_files(&config(&[(CONFIG, list)]).unwrap());
        let mut files: Vec<_> =
            written.iter().map(|(name, text)| (name.as_str(), std::str::from_utf8(text).unwrap())).collect();
        assert_eq!(files, [(CHAT_TEMPLATE, "D"), ("additional_chat_templates/mine.jinja", "m")]);
        files.push((CONFIG, list));
        assert_eq!(config(&files).unwrap().templates(), [("default", "D"), ("mine", "m")]);
        let nameless =
            r#"{"chat_template": [{"name": "a", "template": "A"}, {"name": "b", "template": "B"}]}"#;
        assert!(template_files(&config(&[(CONFIG, nameless)]).unwrap()).is_empty());
        let one = r#"{"chat_template": [{"name": "a", "template": "A"}]}"#;
        assert_eq!(template_files(&config(&[(CONFIG, one)]).unwrap()).len(), 1);
    }

    #[test]
    fn files_of_before_are_read_where_the_config_lists_no_tokens() {
        let map = r#"{"eos_token": {"content": "<e>", "lstrip": false}, "pad_token": "<p>"}"#;
        let before = [(SPECIAL_TOKENS_MAP, map), (ADDED_TOKENS, r#"{"<e>": 7, "<x>": 8}"#)];
        let with = |own: &'static str| config(&[&[(CONFIG, own)][..], &before[..]].concat()).unwrap();
        let read = with(r#"{"eos_token": "<s>"}"#);
        assert_eq!((read.token("eos_token"), read.token("pad_token")), (Some("<e>"), Some("<p>")));
        let tokens = read.get(ADDED_TOKENS_DECODER).unwrap();
        assert_eq!((&tokens["7"]["special"], &tokens["7"]["normalized"]), (&true.into(), &false.into()));
        assert_eq!((&tokens["8"]["special"], &tokens["8"]["normalized"]), (&false.into(), &true.into()));
        let listed = with(r#"{"eos_token": "<s>", "added_tokens_decoder": {}}"#);
        assert_eq!((listed.token("eos_token"), listed.token("pad_token")), (Some("<s>"), None));
    }

    #[test]
    fn damaged_files_are_named() {
        for (name, text) in
            [(SPECIAL_TOKENS_MAP, "[]"), (ADDED_TOKENS, "{"), (ADDED_TOKENS, r#"{"<x>": "1"}"#)]
        {
            let error = config(&[(name, text)]).unwrap_err().to_string();
            assert!(error.starts_with(name), "{error}");
        }
        let bytes = TokenizerFiles::gather(|name| Ok((name != CONFIG).then(|| vec![0xFF])));
        assert!(bytes.unwrap_err().to_string().starts_with(CHAT_TEMPLATE));
    }
}
