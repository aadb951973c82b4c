//! Special tokens that `tokenizer_config.json` alone knows, added as `transformers` adds them.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Value, json};
use tokenizers::AddedToken;

use super::config::TokenizerConfig;
use crate::error::{Error, Result};
use crate::told::{Told, told};

/// The key that lists tokens by id.
pub(super) const ADDED_TOKENS_DECODER: &str = "added_tokens_decoder";
/// Lists of special tokens without a role, in today's files and in those of before.
const LISTS: [&str; 2] = ["extra_special_tokens", "additional_special_tokens"];

/// Adds to the tokenizer what `tokenizer_config.json` lists beside it, and makes special what has a role there; says
/// whether anything was added. A role's token that the vocabulary does not know is left out: it has no id.
///
/// # Errors
/// A list that is damaged, or that gives a token another id than `tokenizer.json` does.
pub(super) fn complete(inner: &mut tokenizers::Tokenizer, config: &TokenizerConfig) -> Result<bool> {
    let listed = listed(config)?;
    let known: HashMap<String, AddedToken> = inner
        .get_added_tokens_decoder()
        .into_iter()
        .map(|(_, token)| (token.content.clone(), token))
        .collect();
    let named = named(config);
    let roles: HashSet<&str> = named.iter().map(|token| token.content.as_str()).collect();
    let mut missing: Vec<AddedToken> = Vec::new();
    for token in listed.values().filter(|token| known.get(&token.content) != Some(*token)) {
        let special = token.special || roles.contains(token.content.as_str());
        missing.push(token.clone().special(special));
    }
    let there: HashSet<&str> =
        known.keys().map(String::as_str).chain(listed.values().map(|token| token.content.as_str())).collect();
    let fits = |token: &&AddedToken| {
        !there.contains(token.content.as_str()) && inner.token_to_id(&token.content).is_some()
    };
    missing.extend(named.iter().filter(fits).cloned());
    let changes = !missing.is_empty();
    if changes {
        inner.add_tokens(missing).map_err(Error::tokenizer_failed)?;
    }
    for (id, token) in &listed {
        check_id(*id, &token.content, inner)?;
    }
    Ok(changes)
}

fn check_id(id: u32, token: &str, inner: &tokenizers::Tokenizer) -> Result<()> {
    let own = inner.token_to_id(token);
    if own == Some(id) || token.is_empty() {
        return Ok(());
    }
    let own = own.map_or("none".to_string(), |own| own.to_string());
    Err(Error::Tokenizer(told!(
        "tokenizer.two_ids",
        "tokenizer_config.json gives '{token}' the id {id} ({added_tokens_decoder}), but beside tokenizer.json it gets \
         {own}; the two files do not belong together: take both from one save",
        token,
        id,
        added_tokens_decoder = ADDED_TOKENS_DECODER,
        own
    )))
}

/// The tokens of `added_tokens_decoder` by their ids.
fn listed(config: &TokenizerConfig) -> Result<BTreeMap<u32, AddedToken>> {
    let refused = |fact: Told| {
        Error::Tokenizer(told!(
            "tokenizer.added",
            "tokenizer_config.json: {added_tokens_decoder} {fact}",
            added_tokens_decoder = ADDED_TOKENS_DECODER,
            fact
        ))
    };
    let entries = match config.get(ADDED_TOKENS_DECODER) {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::Object(entries)) => entries,
        Some(_) => return Err(refused(told!("tokenizer.added_kind", "is no object of tokens by their ids"))),
    };
    let mut listed = BTreeMap::new();
    for (key, value) in entries {
        let id = key
            .parse::<u32>()
            .map_err(|_| refused(told!("tokenizer.added_key", "has the key '{key}', which is no id", key)))?;
        let token = value.as_object().and_then(|_| token(value));
        listed.insert(
            id,
            token.ok_or_else(|| {
                refused(told!(
                    "tokenizer.added_token",
                    "has no token for the id {key} but {value}",
                    key,
                    value
                ))
            })?,
        );
    }
    Ok(listed)
}

/// The tokens that have a role, in `transformers`' order: those of `*_token` keys, then those of the lists.
pub(super) fn named(config: &TokenizerConfig) -> Vec<AddedToken> {
    let roles =
        config.keys().filter(|(key, _)| key.ends_with("_token")).filter_map(|(_, value)| token(value));
    let list = LISTS.iter().find_map(|key| match config.get(key) {
        Some(Value::Array(list)) if !list.is_empty() => {
            Some(list.iter().filter_map(token).collect::<Vec<_>>())
        }
        Some(Value::Object(list)) if !list.is_empty() => Some(list.values().filter_map(token).collect()),
        _ => None,
    });
    let all = roles.chain(list.into_iter().flatten());
    all.filter(|token| !token.content.is_empty()).map(|token| token.special(true)).collect()
}

/// A token as files write it: its text, or an object with `content` and how it is found in a text.
fn token(value: &Value) -> Option<AddedToken> {
    if let Some(text) = value.as_str() {
        return Some(AddedToken::from(text, true));
    }
    let flag = |key: &str| value.get(key).and_then(Value::as_bool);
    let special = flag("special").unwrap_or(false);
    let token = AddedToken::from(value.get("content")?.as_str()?, special);
    let token = token.normalized(flag("normalized").unwrap_or(!special));
    let token = token.lstrip(flag("lstrip").unwrap_or(false)).rstrip(flag("rstrip").unwrap_or(false));
    Some(token.single_word(flag("single_word").unwrap_or(false)))
}

/// `tokenizer.json` with the tokens that the tokenizer has now.
pub(super) fn written(bytes: &[u8], inner: &tokenizers::Tokenizer) -> Result<Vec<u8>> {
    let mut json: Value = serde_json::from_slice(bytes).map_err(Error::tokenizer_failed)?;
    let tokens: BTreeMap<u32, AddedToken> = inner.get_added_tokens_decoder().into_iter().collect();
    let entry = |(id, token): (u32, AddedToken)| {
        json!({
            "id": id, "content": token.content, "single_word": token.single_word, "lstrip": token.lstrip,
            "rstrip": token.rstrip, "normalized": token.normalized, "special": token.special,
        })
    };
    if let Some(json) = json.as_object_mut() {
        json.insert("added_tokens".into(), tokens.into_iter().map(entry).collect());
    }
    serde_json::to_vec_pretty(&json).map_err(Error::tokenizer_failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::{Tokenizer, TokenizerFiles};

    /// A vocabulary of letters, `<s>` a special token of it and `<plain>` an ordinary one.
    fn read(config: Value) -> Result<Tokenizer> {
        let bytes =
            json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
        let tokenizer = json!({
            "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
            "pre_tokenizer": bytes, "decoder": bytes,
            "added_tokens": [{"id": 0, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true}],
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
                "vocab": {"<s>": 0, "<plain>": 1, "a": 2, "<": 3, "e": 4, ">": 5, "Ġ": 6}, "merges": [],
            },
        });
        Tokenizer::from_files(&TokenizerFiles {
            tokenizer_json: tokenizer.to_string().into_bytes(),
            tokenizer_config_json: Some(config.to_string().into_bytes()),
        })
    }

    fn entry(content: &str, special: bool) -> Value {
        json!({"content": content, "special": special, "normalized": false, "lstrip": false, "rstrip": false,
            "single_word": false})
    }

    #[test]
    fn tokens_that_only_the_config_lists_are_found_whole() {
        let listed = json!({"8": entry("<f>", false), "7": entry("<e>", false)});
        let tokenizer = read(json!({"eos_token": "<e>", "added_tokens_decoder": listed})).unwrap();
        assert_eq!(tokenizer.encode("a<e>a<f>").unwrap(), [2, 7, 2, 8]);
        assert_eq!((tokenizer.vocab_size(), tokenizer.eos()), (9, Some(7)));
        // What has a role is special.
        assert!(tokenizer.is_special(7) && !tokenizer.is_special(8));
        // The written file needs no list.
        let files = tokenizer.to_files().unwrap();
        let again = TokenizerFiles { tokenizer_json: files[0].1.clone(), tokenizer_config_json: None };
        let again = Tokenizer::from_files(&again).unwrap();
        assert_eq!(again.encode("a<e>a<f>").unwrap(), [2, 7, 2, 8]);
        assert!(again.is_special(7) && !again.is_special(8));
    }

    #[test]
    fn what_is_listed_otherwise_replaces_what_is_there() {
        let mut strips = entry("<s>", true);
        strips["lstrip"] = true.into();
        let tokenizer = read(json!({"added_tokens_decoder": {"0": strips}})).unwrap();
        assert_eq!(tokenizer.encode("a  <s>").unwrap(), [2, 0]);
        let same = read(json!({"added_tokens_decoder": {"0": entry("<s>", true)}})).unwrap();
        assert_eq!(same.encode("a <s>").unwrap(), [2, 6, 0]);
    }

    #[test]
    fn roles_make_known_tokens_special_and_unknown_ones_nothing() {
        let plain = read(json!({})).unwrap();
        assert!(plain.encode("<plain>").unwrap().len() > 1);
        for config in [
            json!({"eos_token": "<plain>", "pad_token": "<pad>"}),
            json!({"eos_token": {"__type": "AddedToken", "content": "<plain>", "special": false}}),
            json!({"additional_special_tokens": ["<plain>", "<x>"]}),
            json!({"extra_special_tokens": {"image_token": "<plain>"}}),
        ] {
            let tokenizer = read(config.clone()).unwrap();
            assert_eq!(tokenizer.encode("<plain>").unwrap(), [1], "{config}");
            assert!(tokenizer.is_special(1) && tokenizer.vocab_size() == 7, "{config}");
        }
    }

    #[test]
    fn lists_that_do_not_fit_are_refused_by_name() {
        let told = |listed: Value| read(json!({"added_tokens_decoder": listed})).unwrap_err().to_string();
        let other = told(json!({"9": entry("<e>", true)}));
        assert!(other.contains("gives '<e>' the id 9") && other.contains("it gets 7"), "{other}");
        assert!(told(json!({"3": entry("<s>", true)})).contains("the id 3"));
        assert!(told(json!({"x": entry("<e>", true)})).contains("the key 'x'"));
        assert!(told(json!({"7": "<e>"})).contains("no token for the id 7"));
        assert!(told(json!([])).contains("no object"));
        assert!(read(json!({"added_tokens_decoder": null})).is_ok());
    }
}
