//! llama2.c's vocabulary (<https://github.com/karpathy/llama2.c>, tokenizer.py), a piece and a score each, as
//! `tokenizer.json`.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Files;
use super::gguf::{decoder, normalizer};
use crate::error::{Error, Result};

/// Longest piece of a vocabulary, in bytes; those of Llama go to 48.
const LONGEST_PIECE: usize = 128;
/// Known vocabularies have two pairs for a piece.
const MOST_PAIRS: usize = 16;
/// The pieces without a text of their own, which every such vocabulary begins with.
const SPECIAL: [&str; 3] = ["<unk>", "<s>", "</s>"];

/// `tokenizer.json` and `tokenizer_config.json` from llama2.c's `tokenizer.bin`: byte-pair encoding over characters
/// that falls back to bytes, its merges in the order of the scores, as `transformers` converts SentencePiece's.
/// `vocab_size` is the model's; the file itself does not tell it.
///
/// # Errors
/// A file that is cut off, has another number of pieces, or pieces that are no text, too long or there twice.
pub fn llama2c_tokenizer(bytes: &[u8], vocab_size: usize) -> Result<Files> {
    let pieces = pieces(bytes)?;
    if pieces.len() != vocab_size {
        return Err(Error::Tokenizer(format!(
            "the llama2.c tokenizer has {} pieces, the model {vocab_size}; use the one that the model was trained with",
            pieces.len()
        ).into()));
    }
    let mut ids = BTreeMap::new();
    for (id, (piece, _)) in pieces.iter().enumerate() {
        if ids.insert(piece.as_str(), id).is_some() {
            return Err(damaged(&format!("has the piece {piece:?} twice")));
        }
    }
    let tokenizer = tokenizer_json(&pieces, &merges(&pieces, &ids)?);
    let config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "add_bos_token": true,
        "add_eos_token": false,
        "clean_up_tokenization_spaces": false,
    });
    let named = [("tokenizer.json", tokenizer), ("tokenizer_config.json", config)];
    Ok(named.into_iter().map(|(name, json)| (name.into(), format!("{json:#}\n").into_bytes())).collect())
}

/// Pieces and their scores: the length of the longest, then for each its score, its length and its bytes.
fn pieces(bytes: &[u8]) -> Result<Vec<(String, f32)>> {
    let (mut rest, mut pieces) = (bytes.get(4..).unwrap_or_default(), Vec::new());
    while !rest.is_empty() {
        let cut = || damaged("ends within a piece");
        let (score, behind) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        let (length, behind) = behind.split_first_chunk::<4>().ok_or_else(cut)?;
        let length = u32::from_le_bytes(*length) as usize;
        if length > LONGEST_PIECE {
            return Err(damaged(&format!("has a piece of {length} bytes, {LONGEST_PIECE} are the most")));
        }
        let (piece, behind) = behind.split_at_checked(length).ok_or_else(cut)?;
        let piece = std::str::from_utf8(piece).map_err(|_| damaged("has a piece that is no UTF-8"))?;
        let score = f32::from_le_bytes(*score);
        if !score.is_finite() {
            return Err(damaged(&format!("has the score {score}")));
        }
        // The special pieces are written with line breaks around them, and SentencePiece's sign of a space as a space.
        let special = SPECIAL.get(pieces.len()).map(ToString::to_string);
        pieces.push((special.unwrap_or_else(|| piece.replace(' ', "▁")), score));
        rest = behind;
    }
    Ok(pieces)
}

fn damaged(what: &str) -> Error {
    Error::Tokenizer(
        format!("the llama2.c tokenizer {what}; it is damaged, or another kind of file: copy it again")
            .into(),
    )
}

/// Every way to put a piece together from two, the pieces of the best scores first.
///
/// # Errors
/// Far too many of them.
fn merges<'a>(pieces: &'a [(String, f32)], ids: &BTreeMap<&str, usize>) -> Result<Vec<[&'a str; 2]>> {
    let mut scored = Vec::new();
    for (piece, score) in pieces {
        let cuts = piece.char_indices().skip(1).map(|(cut, _)| piece.split_at(cut));
        let known =
            |(left, right): (&'a str, &'a str)| Some((*ids.get(left)?, *ids.get(right)?, [left, right]));
        let mut ways: Vec<_> = cuts.filter_map(known).collect();
        ways.sort();
        scored.extend(ways.into_iter().map(|(_, _, pair)| (*score, pair)));
        if scored.len() > MOST_PAIRS * pieces.len() {
            return Err(damaged(&format!(
                "has more than {MOST_PAIRS} pairs for each of its {} pieces",
                pieces.len()
            )));
        }
    }
    // Stable, so that equal scores stay in the order of the vocabulary.
    scored.sort_by(|(a, _), (b, _)| b.partial_cmp(a).unwrap_or(Ordering::Equal));
    Ok(scored.into_iter().map(|(_, pair)| pair).collect())
}

fn tokenizer_json(pieces: &[(String, f32)], merges: &[[&str; 2]]) -> Value {
    let added = |(id, content): (usize, &&str)| {
        json!({
            "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        })
    };
    let added: Vec<_> = SPECIAL.iter().enumerate().map(added).collect();
    let vocab = pieces.iter().enumerate().map(|(id, (piece, _))| (piece.clone(), json!(id)));
    let vocab: serde_json::Map<_, _> = vocab.collect();
    let bos = || json!({"SpecialToken": {"id": "<s>", "type_id": 0}});
    let text = |id: &str| json!({"Sequence": {"id": id, "type_id": 0}});
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": added,
        "normalizer": normalizer(true),
        "pre_tokenizer": null,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [bos(), text("A")],
            "pair": [bos(), text("A"), bos(), text("B")],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
        },
        "decoder": decoder(true),
        "model": {
            "type": "BPE", "dropout": null, "unk_token": "<unk>",
            "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": vocab, "merges": merges,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The special pieces and these, each with a lower score than the one before.
    fn vocabulary(pieces: &[&str]) -> Vec<u8> {
        let mut bytes = vec![7, 0, 0, 0];
        for (i, piece) in ["<unk>", "\n<s>\n", "\n</s>\n"].iter().chain(pieces).enumerate() {
            bytes.extend((-(i as f32)).to_le_bytes());
            bytes.extend((piece.len() as u32).to_le_bytes());
            bytes.extend(piece.as_bytes());
        }
        bytes
    }

    #[test]
    fn merges_follow_the_scores_and_then_the_ids() {
        let pieces = ["<0x0A>", "ab", " a", " ab", " ", "a", "b"];
        let files = llama2c_tokenizer(&vocabulary(&pieces), 10).unwrap();
        let json: Value = serde_json::from_slice(&files["tokenizer.json"]).unwrap();
        assert_eq!((&json["model"]["vocab"]["</s>"], &json["model"]["vocab"]["▁ab"]), (&json!(2), &json!(6)));
        assert_eq!(json["model"]["merges"], json!([["a", "b"], ["▁", "a"], ["▁a", "b"], ["▁", "ab"]]));
    }

    #[test]
    fn damaged_vocabularies_are_refused() {
        let told = |bytes: &[u8], size| llama2c_tokenizer(bytes, size).unwrap_err().to_string();
        let whole = vocabulary(&["a"]);
        assert!(told(&whole, 5).contains("has 4 pieces, the model 5"));
        (0..whole.len()).for_each(|length| drop(told(&whole[..length], 4)));
        assert!(told(&whole[..whole.len() - 1], 4).contains("ends within a piece"));
        assert!(told(&vocabulary(&["a", "a"]), 5).contains("\"a\" twice"));
        assert!(told(&vocabulary(&["x".repeat(129).as_str()]), 4).contains("piece of 129 bytes"));
        let doubled: Vec<String> = (1..=60).map(|length| "a".repeat(length)).collect();
        let doubled: Vec<&str> = doubled.iter().map(String::as_str).collect();
        assert!(told(&vocabulary(&doubled), 63).contains("more than 16 pairs"));
        let mut endless = whole;
        endless[4..8].copy_from_slice(&f32::NAN.to_le_bytes());
        assert!(told(&endless, 4).contains("score NaN"));
    }
}
