//! `tokenizer.json` from its parts, and the tokens that have a role in it.

use serde_json::{Map, Value as Json, json};

use super::vocabulary::Vocabulary;

/// The tokens that have a role in both files.
#[derive(Default)]
pub(super) struct Roles<'a> {
    /// Begins a text.
    pub bos: Option<(usize, &'a str)>,
    /// Ends an answer.
    pub eos: Option<(usize, &'a str)>,
    /// Stands for what the vocabulary cannot spell.
    pub unk: Option<(usize, &'a str)>,
    /// Fills rows up.
    pub pad: Option<(usize, &'a str)>,
    /// Whether BOS is put before a text.
    pub add_bos: bool,
    /// Whether EOS is put behind a text.
    pub add_eos: bool,
}

/// `tokenizer.json`; `parts` are its normalizer, its pre-tokenizer and its decoder.
pub(super) fn assemble(vocabulary: &Vocabulary, roles: &Roles, parts: [Json; 3], model: Json) -> Json {
    let [normalizer, pre_tokenizer, decoder] = parts;
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": vocabulary.added_tokens(),
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post_processor(roles),
        "decoder": decoder,
        "model": model,
    })
}

/// What is put around a text: nothing, BOS, EOS, or both.
fn post_processor(roles: &Roles) -> Json {
    let bos = roles.bos.filter(|_| roles.add_bos);
    let eos = roles.eos.filter(|_| roles.add_eos);
    if bos.is_none() && eos.is_none() {
        return Json::Null;
    }
    let special = |token: Option<(usize, &str)>, text: u8| {
        token.map(|(_, token)| json!({"SpecialToken": {"id": token, "type_id": text}}))
    };
    let around = |name: &str, text: u8| {
        let sequence = json!({"Sequence": {"id": name, "type_id": text}});
        special(bos, text).into_iter().chain([sequence]).chain(special(eos, text)).collect::<Vec<_>>()
    };
    let tokens: Map<String, Json> = [bos, eos]
        .into_iter()
        .flatten()
        .map(|(id, token)| (token.to_string(), json!({"id": token, "ids": [id], "tokens": [token]})))
        .collect();
    let (single, second) = (around("A", 0), around("B", 1));
    let pair = [single.clone(), second].concat();
    json!({
        "type": "TemplateProcessing",
        "single": single,
        "pair": pair,
        "special_tokens": tokens,
    })
}
