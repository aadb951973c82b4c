//! SentencePiece BPE into a GGUF file's metadata. There the order of merges is said by a score for each piece, so that
//! only tokenizers whose merges follow from such scores can be written: those that were SentencePiece's before.

use std::collections::{HashMap, HashSet};

use serde_json::Value as Json;

use super::sentencepiece::{decoder, merges, normalizer};
use super::vocabulary::{TOKENIZER, Vocabulary, kind};
use super::{Array, Metadata, Value};
use crate::error::{Error, Result};

/// Marks the tokens of bytes, and the one for what cannot be spelt.
pub(super) fn kinds(model: &Json, tokens: &[String], kinds: &mut [i32]) {
    for (token, kind) in tokens.iter().zip(kinds) {
        if model["unk_token"] == *token {
            *kind = kind::UNKNOWN;
        } else if *kind == kind::NORMAL && is_byte(token) {
            *kind = kind::BYTE;
        }
    }
}

/// Adds what this kind has beside tokens and types: scores, from the order of the merges.
///
/// # Errors
/// Texts that are prepared in another way than Llama's; merges that do not follow from scores.
pub(super) fn write(tokenizer: &Json, pairs: &[[&str; 2]], metadata: &mut Metadata) -> Result<()> {
    let prefix = [true, false].into_iter().find(|&prefix| {
        tokenizer["normalizer"] == normalizer(prefix) && tokenizer["decoder"] == decoder(prefix)
    });
    let Some(prefix) = prefix.filter(|_| tokenizer["pre_tokenizer"].is_null()) else {
        return Err(Error::Checkpoint(
            "tokenizer.json prepares texts in another way than Llama's SentencePiece (its normalizer, pre_tokenizer or \
            decoder); GGUF has no name for it: export to Hugging Face's layout instead"
                .into(),
        ));
    };
    let scores = scores(metadata, pairs)?;
    metadata.insert(format!("{TOKENIZER}model"), Value::Text("llama".into()));
    metadata.insert(format!("{TOKENIZER}pre"), Value::Text("default".into()));
    metadata.insert(format!("{TOKENIZER}add_space_prefix"), Value::Bool(prefix));
    metadata.insert(format!("{TOKENIZER}scores"), Value::Array(Array::F32(scores)));
    Ok(())
}

/// A piece's score is the place of its first merge, from 0 downwards. Whether that says all is seen by deriving the
/// merges from the scores again.
fn scores(metadata: &Metadata, pairs: &[[&str; 2]]) -> Result<Vec<f32>> {
    let vocabulary = Vocabulary::new(metadata)?;
    // What is found whole before merging is never merged.
    let whole = [kind::CONTROL, kind::UNKNOWN, kind::USER_DEFINED];
    let whole: HashSet<&str> =
        vocabulary.tokens().filter(|token| whole.contains(&token.kind)).map(|token| token.text).collect();
    let pairs: Vec<_> = pairs.iter().filter(|pair| !whole.contains(pair.concat().as_str())).collect();
    let mut places = HashMap::new();
    for (place, pair) in pairs.iter().enumerate() {
        places.entry(pair.concat()).or_insert(place);
    }
    let mut scores = vec![-(pairs.len() as f32); vocabulary.len()];
    for token in vocabulary.tokens() {
        if let Some(place) = places.get(token.text) {
            scores[token.id] = -(*place as f32);
        }
    }
    let derived = merges(&vocabulary, &scores)?;
    let derived = derived.as_array().into_iter().flatten();
    let derived = derived.filter_map(|pair| Some([pair[0].as_str()?, pair[1].as_str()?]));
    if in_one_order(derived.collect()) != in_one_order(pairs.into_iter().copied().collect()) {
        return Err(Error::Checkpoint(
            "tokenizer.json has merges that do not follow from a score for each piece, which is how GGUF keeps \
            SentencePiece's; export to Hugging Face's layout instead"
                .into(),
        ));
    }
    Ok(scores)
}

/// The pairs of each piece in one order: a score ranks none of them, and versions of `transformers` differ in theirs.
fn in_one_order(mut pairs: Vec<[&str; 2]>) -> Vec<[&str; 2]> {
    pairs.chunk_by_mut(|a, b| a.concat() == b.concat()).for_each(<[_]>::sort_unstable);
    pairs
}

/// `<0x41>` is the byte 0x41.
fn is_byte(token: &str) -> bool {
    let digits = token.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    digits.is_some_and(|digits| digits.len() == 2 && u8::from_str_radix(digits, 16).is_ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tokenizer_json;
    use super::super::tokenizer_metadata::TokenizerSource;
    use super::*;

    fn tokenizer(pairs: &[[&str; 2]]) -> Json {
        let pieces = ["<unk>", "<s>", "</s>", "<0x0A>", "abc", "ab", "bc", "a", "b", "c"];
        let vocab: serde_json::Map<_, _> =
            pieces.iter().enumerate().map(|(id, piece)| (piece.to_string(), json!(id))).collect();
        let added = |id: usize| json!({"id": id, "content": pieces[id], "special": true});
        json!({
            "added_tokens": [added(0), added(1), added(2)],
            "normalizer": normalizer(true), "pre_tokenizer": null, "decoder": decoder(true),
            "model": {"type": "BPE", "unk_token": "<unk>", "byte_fallback": true, "vocab": vocab, "merges": pairs},
        })
    }

    fn written(tokenizer: &Json) -> Result<Metadata> {
        let (config, none) = (json!({"bos_token": "<s>", "add_bos_token": true}), Json::Null);
        let source = TokenizerSource { tokenizer, config: &config, model: &none, generation: &none };
        let mut metadata = Metadata::default();
        source.write(11, &mut metadata).map(|()| metadata)
    }

    #[test]
    fn merges_become_scores_and_merges_again() {
        let pairs = [["b", "c"], ["ab", "c"], ["a", "bc"], ["a", "b"]];
        let tokenizer = tokenizer(&pairs);
        let metadata = written(&tokenizer).unwrap();
        assert_eq!(metadata.text("tokenizer.ggml.model").unwrap(), Some("llama"));
        let scores = metadata.floats("tokenizer.ggml.scores").unwrap().unwrap();
        assert_eq!(scores[4..8], [-1.0, -3.0, 0.0, -4.0]);
        let kinds = metadata.integers("tokenizer.ggml.token_type").unwrap().unwrap();
        assert_eq!(kinds, [2, 3, 3, 6, 1, 1, 1, 1, 1, 1, 5]);
        let again = tokenizer_json(&metadata).unwrap().unwrap();
        assert_eq!(again.tokenizer["model"]["merges"], json!(pairs));
        assert_eq!(again.tokenizer["model"]["vocab"], tokenizer["model"]["vocab"]);
        assert_eq!(again.config["add_bos_token"], true);
    }

    #[test]
    fn a_piece_may_have_its_pairs_in_any_order() {
        let scores = |pairs: &[[&str; 2]]| {
            let metadata = written(&tokenizer(pairs)).unwrap();
            metadata.floats("tokenizer.ggml.scores").unwrap().unwrap().to_vec()
        };
        let [left, right] = [["ab", "c"], ["a", "bc"]];
        let (b_c, a_b) = (["b", "c"], ["a", "b"]);
        assert_eq!(scores(&[b_c, right, left, a_b]), scores(&[b_c, left, right, a_b]));
    }

    #[test]
    fn what_scores_cannot_say_is_refused() {
        // abc is made in one of its two ways only.
        let message = written(&tokenizer(&[["b", "c"], ["ab", "c"], ["a", "b"]])).unwrap_err().to_string();
        assert!(message.contains("do not follow from a score"), "{message}");
        // The pairs of abc are apart, as if it had two scores.
        let apart = [["ab", "c"], ["b", "c"], ["a", "bc"], ["a", "b"]];
        assert!(written(&tokenizer(&apart)).unwrap_err().to_string().contains("do not follow from a score"));
        let mut spaces = tokenizer(&[]);
        spaces["normalizer"] = Json::Null;
        assert!(written(&spaces).unwrap_err().to_string().contains("another way than Llama's"));
    }
}
