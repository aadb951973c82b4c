//! From a GGUF file's metadata to Hugging Face's `tokenizer.json` and `tokenizer_config.json`.

use serde_json::{Value as Json, json};

use super::assemble::{Roles, assemble};
use super::pre_tokenizer::PreTokenizer;
use super::vocabulary::{TOKENIZER, Vocabulary};
use super::{Metadata, sentencepiece};
use crate::error::{Error, Result};
use crate::told::told;

/// The chat template; before a dot and a name, that of another one.
pub(super) const CHAT_TEMPLATE: &str = "tokenizer.chat_template";
/// The names of the others.
pub(super) const CHAT_TEMPLATES: &str = "tokenizer.chat_templates";

/// The contents of the tokenizer's two files.
pub struct TokenizerJson {
    /// `tokenizer.json`.
    pub tokenizer: Json,
    /// `tokenizer_config.json`.
    pub config: Json,
}

/// The tokenizer of a GGUF file; `None` where it has none.
///
/// # Errors
/// A kind of tokenizer or a pre-tokenizer that is not supported, by name; a damaged vocabulary.
pub fn tokenizer_json(metadata: &Metadata) -> Result<Option<TokenizerJson>> {
    let model = metadata.text(&format!("{TOKENIZER}model"))?;
    let (tokenizer, roles) = match model {
        None | Some("none" | "no_vocab") => return Ok(None),
        Some("gpt2") => byte_level_bpe(metadata)?,
        Some("llama") => sentencepiece::tokenizer(metadata)?,
        Some(other) => {
            return Err(Error::Checkpoint(told!(
                "gguf.tokenizer_kind",
                "the GGUF file's tokenizer is of the kind '{other}' (tokenizer.ggml.model); byte-level BPE ('gpt2') and \
                SentencePiece BPE ('llama') can be read",
                other
            )));
        }
    };
    Ok(Some(TokenizerJson { tokenizer, config: config(metadata, &roles)? }))
}

/// `tokenizer.ggml.model` is `gpt2`.
fn byte_level_bpe(metadata: &Metadata) -> Result<(Json, Roles<'_>)> {
    let vocabulary = Vocabulary::new(metadata)?;
    let pre = metadata.text(&format!("{TOKENIZER}pre"))?.unwrap_or("default");
    let pre = PreTokenizer::by_name(pre)?;
    let roles = Roles {
        bos: vocabulary.role("bos", None)?,
        eos: vocabulary.role("eos", None)?,
        unk: vocabulary.role("unknown", None)?,
        pad: vocabulary.role("padding", None)?,
        add_bos: vocabulary.flag("add_bos_token", pre.add_bos)?,
        add_eos: vocabulary.flag("add_eos_token", false)?,
    };
    let merges = metadata.texts(&format!("{TOKENIZER}merges"))?.ok_or_else(|| {
        Error::Checkpoint(told!(
            "gguf.no_merges",
            "the GGUF file's tokenizer has no merges (tokenizer.ggml.merges)"
        ))
    })?;
    let merges = merges.iter().map(|merge| pair(merge)).collect::<Result<Vec<Json>>>()?;
    let decoder =
        json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true});
    let model = json!({
        "type": "BPE",
        "dropout": null,
        "unk_token": null,
        "continuing_subword_prefix": null,
        "end_of_word_suffix": null,
        "fuse_unk": false,
        "byte_fallback": false,
        "ignore_merges": pre.ignore_merges,
        "vocab": vocabulary.vocab(),
        "merges": merges,
    });
    Ok((assemble(&vocabulary, &roles, [pre.normalizer(), pre.json(), decoder], model), roles))
}

/// The two parts of a merge; a first letter may be the space itself.
fn pair(merge: &str) -> Result<Json> {
    let first = merge.chars().next().map_or(0, char::len_utf8);
    let space = merge[first..].find(' ').map(|at| first + at);
    let parts = space.map(|at| (&merge[..at], &merge[at + 1..])).filter(|(_, right)| !right.is_empty());
    parts.map(|(left, right)| json!([left, right])).ok_or_else(|| {
        Error::Checkpoint(told!(
            "gguf.merge",
            "the GGUF file's tokenizer has the merge '{merge}', which is no pair",
            merge
        ))
    })
}

/// `tokenizer_config.json`. Its class takes `tokenizer.json` as it is.
fn config(metadata: &Metadata, roles: &Roles) -> Result<Json> {
    let text = |token: Option<(usize, &str)>| token.map(|(_, token)| token.to_string());
    let mut config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": roles.add_bos && roles.bos.is_some(),
        "add_eos_token": roles.add_eos && roles.eos.is_some(),
        "clean_up_tokenization_spaces": false,
        "bos_token": text(roles.bos),
        "eos_token": text(roles.eos),
        "pad_token": text(roles.pad),
        "unk_token": text(roles.unk),
    });
    if let Some(templates) = templates(metadata)? {
        config["chat_template"] = templates;
    }
    Ok(config)
}

/// The chat template; with further ones, which have names, the list of all.
fn templates(metadata: &Metadata) -> Result<Option<Json>> {
    let default = metadata.text(CHAT_TEMPLATE)?;
    let mut named: Vec<Json> = Vec::new();
    for name in metadata.texts(CHAT_TEMPLATES)?.unwrap_or_default() {
        if let Some(template) = metadata.text(&format!("{CHAT_TEMPLATE}.{name}"))? {
            named.push(json!({"name": name, "template": template}));
        }
    }
    if named.is_empty() {
        return Ok(default.map(|template| json!(template)));
    }
    let default = default.map(|template| json!({"name": "default", "template": template}));
    Ok(Some(default.into_iter().chain(named).collect()))
}

#[cfg(test)]
mod tests {
    use super::super::{Array, MetadataValue};
    use super::*;

    fn texts(texts: &[&str]) -> MetadataValue {
        MetadataValue::Array(Array::Texts(texts.iter().map(|text| text.to_string()).collect()))
    }

    fn metadata() -> Metadata {
        let mut metadata = Metadata::default();
        metadata.insert("tokenizer.ggml.model", MetadataValue::Text("gpt2".into()));
        metadata.insert("tokenizer.ggml.pre", MetadataValue::Text("llama-bpe".into()));
        metadata.insert("tokenizer.ggml.tokens", texts(&["a", "b", "ab", "<s>", "<t>", "[PAD5]"]));
        metadata
            .insert("tokenizer.ggml.token_type", MetadataValue::Array(Array::I32(vec![1, 1, 1, 3, 4, 5])));
        metadata.insert("tokenizer.ggml.merges", texts(&["a b"]));
        metadata.insert("tokenizer.ggml.bos_token_id", MetadataValue::U32(3));
        metadata.insert("tokenizer.ggml.padding_token_id", MetadataValue::U32(u32::MAX));
        metadata
    }

    #[test]
    fn byte_level_tokenizers_are_written_out() {
        let json = tokenizer_json(&metadata()).unwrap().unwrap();
        let model = &json.tokenizer["model"];
        assert_eq!(model["vocab"], json!({"a": 0, "b": 1, "ab": 2, "<s>": 3, "<t>": 4}));
        assert_eq!(model["merges"], json!([["a", "b"]]));
        assert_eq!(model["ignore_merges"], true);
        let added = json.tokenizer["added_tokens"].as_array().unwrap();
        let special: Vec<_> = added.iter().map(|token| (&token["content"], &token["special"])).collect();
        assert_eq!(special, [(&json!("<s>"), &json!(true)), (&json!("<t>"), &json!(false))]);
        assert_eq!(json.tokenizer["post_processor"]["single"][0]["SpecialToken"]["id"], "<s>");
        assert_eq!(json.config["add_bos_token"], true);
        assert_eq!((&json.config["bos_token"], &json.config["pad_token"]), (&json!("<s>"), &Json::Null));
    }

    #[test]
    fn merges_are_pairs() {
        assert_eq!(pair("Ġ t").unwrap(), json!(["Ġ", "t"]));
        assert_eq!(pair("  b").unwrap(), json!([" ", "b"]));
        for wrong in ["", "ab", "a ", " "] {
            assert!(pair(wrong).unwrap_err().to_string().contains("no pair"), "{wrong}");
        }
    }

    #[test]
    fn other_tokenizers_are_refused_and_none_is_none() {
        let with = |key: &str, value: MetadataValue| {
            let mut metadata = metadata();
            metadata.insert(format!("tokenizer.ggml.{key}"), value);
            tokenizer_json(&metadata).map(|json| json.is_some()).map_err(|e| e.to_string())
        };
        assert_eq!(with("model", MetadataValue::Text("none".into())), Ok(false));
        assert!(with("model", MetadataValue::Text("bert".into())).unwrap_err().contains("'bert'"));
        assert!(with("pre", MetadataValue::Text("tekken".into())).unwrap_err().contains("'tekken'"));
        assert!(with("tokens", texts(&["a", "a"])).unwrap_err().contains("'a' twice"));
        assert!(
            with("token_type", MetadataValue::Array(Array::I32(vec![1])))
                .unwrap_err()
                .contains("1 types for 6")
        );
        assert!(tokenizer_json(&Metadata::default()).unwrap().is_none());
    }
}
