//! SentencePiece BPE into a GGUF file's metadata. There the order of merges is said by a score for each piece, so that
//! only tokenizers whose merges follow from such scores can be written: those that were SentencePiece's before.

use std::collections::{HashMap, HashSet};

use serde_json::Value as Json;

use super::sentencepiece::merges;
use super::space_prefix::{SPACE, SpacePrefix, cuts_words};
use super::vocabulary::{TOKENIZER, Vocabulary, kind};
use super::{Array, Metadata, MetadataValue};
use crate::error::{Error, Result};
use crate::told::told;

/// Marks the tokens of bytes, and the one for what cannot be spelt: the model's, or the one that has the role.
pub(super) fn kinds(model: &Json, unknown: Option<u32>, tokens: &[String], kinds: &mut [i32]) {
    for (id, (token, kind)) in (0..).zip(tokens.iter().zip(kinds)) {
        if model["unk_token"] == *token || unknown == Some(id) {
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
    if tokenizer["model"]["ignore_merges"] == true {
        return Err(Error::Checkpoint(told!(
            "gguf.ignore_merges",
            "tokenizer.json takes words that are tokens whole (ignore_merges), which GGUF does not say of \
            SentencePiece's tokenizers; export to Hugging Face's layout instead"
        )));
    }
    let across = || pairs.iter().any(|[_, right]| right.starts_with(SPACE));
    let Some(spaces) = SpacePrefix::of_json(tokenizer).filter(|_| !cuts_words(tokenizer) || !across()) else {
        return Err(Error::Checkpoint(told!(
            "gguf.metaspace",
            "tokenizer.json prepares texts in another way than Llama's SentencePiece (its normalizer, pre_tokenizer or \
            decoder); GGUF has no name for it: export to Hugging Face's layout instead"
        )));
    };
    let scores = scores(metadata, pairs)?;
    metadata.insert(format!("{TOKENIZER}model"), MetadataValue::Text("llama".into()));
    metadata.insert(format!("{TOKENIZER}pre"), MetadataValue::Text("default".into()));
    spaces.write(metadata);
    metadata.insert(format!("{TOKENIZER}scores"), MetadataValue::Array(Array::F32(scores)));
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
        return Err(Error::Checkpoint(told!(
            "gguf.merges_unscored",
            "tokenizer.json has merges that do not follow from a score for each piece, which is how GGUF keeps \
            SentencePiece's; export to Hugging Face's layout instead"
        )));
    }
    Ok(scores)
}

/// The pairs of each piece in one order: a score ranks none of them, and versions of `transformers` differ in theirs.
fn in_one_order(mut pairs: Vec<[&str; 2]>) -> Vec<[&str; 2]> {
    pairs.chunk_by_mut(|a, b| a.concat() == b.concat()).for_each(<[_]>::sort_unstable);
    pairs
}

/// The token of a byte.
pub(super) fn byte_token(byte: u8) -> String {
    format!("<0x{byte:02X}>")
}

/// `<0x41>` is the byte 0x41.
fn is_byte(token: &str) -> bool {
    let digits = token.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    digits.is_some_and(|digits| digits.len() == 2 && u8::from_str_radix(digits, 16).is_ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::space_prefix::{decoder, normalizer};
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
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
            },
            "model": {"type": "BPE", "unk_token": "<unk>", "byte_fallback": true, "vocab": vocab, "merges": pairs},
        })
    }

    fn written(tokenizer: &Json) -> Result<Metadata> {
        let config = json!({"bos_token": "<s>", "unk_token": "<unk>"});
        let none = Json::Null;
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
        let mut whole = tokenizer(&[]);
        whole["model"]["ignore_merges"] = json!(true);
        assert!(written(&whole).unwrap_err().to_string().contains("(ignore_merges)"));
    }

    /// As transformers 5 saves it: the model names no token for what cannot be spelt.
    fn metaspace(pairs: &[[&str; 2]], split: bool) -> Json {
        let mut json = tokenizer(pairs);
        json["normalizer"] = Json::Null;
        json["pre_tokenizer"] =
            json!({"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "first", "split": split});
        json["model"]["unk_token"] = Json::Null;
        json
    }

    #[test]
    fn metaspace_is_written_and_comes_back() {
        let pairs = [["b", "c"], ["ab", "c"], ["a", "bc"], ["a", "b"]];
        let source = metaspace(&pairs, false);
        let metadata = written(&source).unwrap();
        assert_eq!(metadata.flag("tokenizer.ggml.add_space_prefix").unwrap(), Some(true));
        assert_eq!(metadata.flag("tokenizer.ggml.add_bos_token").unwrap(), Some(true));
        let kinds = metadata.integers("tokenizer.ggml.token_type").unwrap().unwrap();
        assert_eq!(kinds[..4], [kind::UNKNOWN, kind::CONTROL, kind::CONTROL, kind::BYTE]);
        let again = tokenizer_json(&metadata).unwrap().unwrap().tokenizer;
        for part in ["normalizer", "pre_tokenizer", "decoder"] {
            assert_eq!(again[part], source[part], "{part}");
        }
        assert_eq!(again["model"]["merges"], json!(pairs));
    }

    #[test]
    fn words_may_be_cut_apart_where_nothing_merges_across() {
        let (inside, across) = ([["a", "b"]], [["a", "▁b"]]);
        let refused =
            |json: &Json| written(json).unwrap_err().to_string().contains("another way than Llama's");
        assert!(refused(&metaspace(&across, true)));
        assert!(!refused(&metaspace(&across, false)), "it has other faults");
        assert!(!refused(&metaspace(&inside, true)));
    }
}
