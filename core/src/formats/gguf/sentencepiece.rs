//! SentencePiece BPE from a GGUF file, as `transformers` converts it (`LlamaConverter` and `generate_merges` in
//! <https://github.com/huggingface/transformers/blob/main/src/transformers/convert_slow_tokenizer.py>).

use std::collections::HashMap;

use serde_json::{Value as Json, json};

use super::Metadata;
use super::assemble::{Roles, assemble};
use super::space_prefix::SpacePrefix;
use super::vocabulary::{TOKENIZER, Vocabulary, kind};
use crate::error::{Error, Result};
use crate::told::{Counted, told};

/// Pieces have 16 characters by default. All cuts of a piece are tried, so that a long one would take long.
const LONGEST_PIECE: usize = 256;
/// Known vocabularies have two pairs for a piece.
const MOST_PAIRS: usize = 16;

/// The contents of `tokenizer.json`, and the roles.
///
/// # Errors
/// A vocabulary without scores, or with a piece that is far too long.
pub(super) fn tokenizer(metadata: &Metadata) -> Result<(Json, Roles<'_>)> {
    let vocabulary = Vocabulary::new(metadata)?;
    // llama.cpp's defaults for this kind.
    let roles = Roles {
        bos: vocabulary.role("bos", Some(1))?,
        eos: vocabulary.role("eos", Some(2))?,
        unk: vocabulary.role("unknown", Some(0))?,
        pad: vocabulary.role("padding", None)?,
        add_bos: vocabulary.flag("add_bos_token", true)?,
        add_eos: vocabulary.flag("add_eos_token", false)?,
    };
    let scores = metadata.floats(&format!("{TOKENIZER}scores"))?.unwrap_or_default();
    if scores.len() < vocabulary.len() {
        return Err(Error::Checkpoint(told!(
            "gguf.scores",
            "the GGUF file's tokenizer has {scores} for {tokens}; its merges follow from the scores",
            scores = Counted::new(scores.len() as u64, ["score", "scores"]),
            tokens = Counted::new(vocabulary.len() as u64, ["token", "tokens"])
        )));
    }
    let spaces = SpacePrefix::of_gguf(metadata)?;
    let model = json!({
        "type": "BPE",
        "dropout": null,
        "unk_token": roles.unk.map(|(_, token)| token),
        "continuing_subword_prefix": null,
        "end_of_word_suffix": null,
        "fuse_unk": true,
        "byte_fallback": true,
        "ignore_merges": false,
        "vocab": vocabulary.vocab(),
        "merges": merges(&vocabulary, scores)?,
    });
    Ok((assemble(&vocabulary, &roles, spaces.parts(), model), roles))
}

/// A pair of pieces that is a piece.
struct Merge<'a> {
    parts: [&'a str; 2],
    characters: [usize; 2],
    score: f32,
}

/// Every cut of every piece into two pieces, best score first, then longer parts first.
///
/// # Errors
/// A piece that is far too long, or far too many pairs.
pub(super) fn merges(vocabulary: &Vocabulary, scores: &[f32]) -> Result<Json> {
    let pieces: Vec<_> = vocabulary.tokens().filter(|token| token.kind == kind::NORMAL).collect();
    if let Some(long) = pieces.iter().find(|piece| piece.text.len() > LONGEST_PIECE) {
        return Err(Error::Checkpoint(told!(
            "gguf.piece_long",
            "the GGUF file's token {token} has {bytes} bytes, {longest_piece} are the most for a piece of text",
            token = long.id,
            bytes = long.text.len(),
            longest_piece = LONGEST_PIECE
        )));
    }
    let ids: HashMap<&str, usize> = pieces.iter().map(|piece| (piece.text, piece.id)).collect();
    let mut merges = Vec::new();
    for piece in &pieces {
        let cuts = piece.text.char_indices().skip(1).map(|(at, _)| piece.text.split_at(at));
        let mut found: Vec<_> =
            cuts.filter_map(|(a, b)| Some(((*ids.get(a)?, *ids.get(b)?), [a, b]))).collect();
        found.sort_unstable_by_key(|(ids, _)| *ids);
        merges.extend(found.into_iter().map(|(_, parts)| {
            // -0 and 0 are one score.
            Merge { parts, characters: parts.map(|part| part.chars().count()), score: scores[piece.id] + 0.0 }
        }));
        if merges.len() > MOST_PAIRS * pieces.len() {
            return Err(Error::Checkpoint(told!(
                "gguf.pairs",
                "the GGUF file's tokenizer has more than {most_pairs} pairs for each of its {pieces} pieces; that is no \
                vocabulary of merges",
                most_pairs = MOST_PAIRS,
                pieces = pieces.len()
            )));
        }
    }
    merges.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| b.characters.cmp(&a.characters)));
    Ok(merges.into_iter().map(|merge| json!(merge.parts)).collect())
}

#[cfg(test)]
mod tests {
    use super::super::{Array, MetadataValue};
    use super::*;

    fn metadata(pieces: &[(&str, f32, i32)]) -> Metadata {
        let mut metadata = Metadata::default();
        let tokens = pieces.iter().map(|piece| piece.0.to_string()).collect();
        metadata.insert("tokenizer.ggml.tokens", MetadataValue::Array(Array::Texts(tokens)));
        let scores = pieces.iter().map(|piece| piece.1).collect();
        metadata.insert("tokenizer.ggml.scores", MetadataValue::Array(Array::F32(scores)));
        let kinds = pieces.iter().map(|piece| piece.2).collect();
        metadata.insert("tokenizer.ggml.token_type", MetadataValue::Array(Array::I32(kinds)));
        metadata
    }

    #[test]
    fn merges_follow_the_scores() {
        let pieces = [
            ("<unk>", 0.0, 2),
            ("<s>", 0.0, 3),
            ("</s>", 0.0, 3),
            ("<0x0A>", 0.0, 6),
            ("aab", -2.0, 1),
            ("ab", -1.0, 1),
            ("aa", 0.0, 1),
            ("<s", -3.0, 1),
            ("a", -4.0, 1),
            ("b", -5.0, 1),
            (">", -6.0, 1),
        ];
        let metadata = metadata(&pieces);
        let (json, roles) = tokenizer(&metadata).unwrap();
        // No merge makes a special token, and of two cuts the one with the longer left part comes first.
        let expected = json!([["a", "a"], ["a", "b"], ["aa", "b"], ["a", "ab"]]);
        assert_eq!(json["model"]["merges"], expected);
        assert_eq!((roles.bos, roles.unk, roles.add_bos), (Some((1, "<s>")), Some((0, "<unk>")), true));
        assert_eq!(json["added_tokens"].as_array().unwrap().len(), 3);
        assert_eq!(json["decoder"]["decoders"][3]["type"], "Strip");
    }

    #[test]
    fn missing_scores_and_endless_pieces_are_refused() {
        let long = "a".repeat(300);
        let message = tokenizer(&metadata(&[(&long, 0.0, 1)])).err().unwrap().to_string();
        assert!(message.contains("token 0 has 300 bytes"), "{message}");
        let mut none = metadata(&[("a", 0.0, 1)]);
        none.insert("tokenizer.ggml.scores", MetadataValue::Array(Array::F32(Vec::new())));
        assert!(tokenizer(&none).err().unwrap().to_string().contains("0 scores for 1 token;"));
    }
}
