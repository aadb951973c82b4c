//! `tokenizer.json` of strangers. The crate `tokenizers` believes what it reads: what would make it panic, or fill the
//! memory, is refused before.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::told::{Told, told};

/// The parts that are made of steps.
const PARTS: [&str; 4] = ["normalizer", "pre_tokenizer", "post_processor", "decoder"];
/// Where steps hold others.
const INNER: [&str; 4] = ["normalizers", "pretokenizers", "processors", "decoders"];
/// Steps of a part; known ones have six. The expression of one may take a tenth of a second to compile.
const MOST_STEPS: usize = 16;
/// Sequences in sequences. Reading one copies all that is in it.
const DEEPEST: usize = 4;
/// How many times longer the steps of a part may make a text; a space of Llama's becomes 3 bytes.
const MOST_GROWTH: usize = 1024;
/// Bytes of a piece in a Unigram vocabulary, which is a tree with a level for each.
const LONGEST_PIECE: usize = 1024;

/// Reads a tokenizer.
///
/// # Errors
/// A file that is damaged; parts that the crate cannot be given, by name.
pub(super) fn read(bytes: &[u8]) -> Result<tokenizers::Tokenizer> {
    let told = |e: serde_json::Error| {
        Error::Tokenizer(told!("tokenizer.unreadable", "tokenizer.json cannot be read: {e}", e))
    };
    let json: Value = serde_json::from_slice(bytes).map_err(told)?;
    for part in PARTS {
        Steps { part, count: 0, growth: 1 }.check(&json[part], 0)?;
    }
    check_model(&json["model"])?;
    // Not from the bytes: of two equal keys the crate reads both, and it panics where a decoder is cut off.
    serde_json::from_value(json).map_err(told)
}

fn refused(fact: Told) -> Error {
    Error::Tokenizer(told!(
        "tokenizer.refused",
        "tokenizer.json: {fact}; it is damaged, or of a kind that is not supported",
        fact
    ))
}

/// The steps of a part so far.
struct Steps {
    part: &'static str,
    count: usize,
    growth: usize,
}

impl Steps {
    fn check(&mut self, step: &Value, depth: usize) -> Result<()> {
        self.count += 1;
        self.growth = self.growth.saturating_mul(growth(step));
        let fact = match step["type"].as_str() {
            _ if depth > DEEPEST => {
                told!("step.deep", "has sequences in sequences, more than {deepest} deep", deepest = DEEPEST)
            }
            _ if self.count > MOST_STEPS => {
                told!("step.many", "has more than {most_steps} steps", most_steps = MOST_STEPS)
            }
            _ if self.growth > MOST_GROWTH => told!(
                "step.growth",
                "makes a text more than {most_growth} times longer",
                most_growth = MOST_GROWTH
            ),
            // Its table of places is followed without a look at the bounds.
            Some("Precompiled") => told!("step.precompiled", "is a table of SentencePiece (Precompiled)"),
            _ if step.get("precompiled_charsmap").is_some() => {
                told!("step.charsmap", "is a table of SentencePiece")
            }
            Some("FixedLength") if step["length"] == 0 => {
                told!("step.no_length", "cuts a text into pieces of no length")
            }
            // It looks for as many characters as it was told, also where a token has fewer.
            _ if step.get("stop").is_some_and(|stop| *stop != 0) => {
                told!("step.strips", "strips the ends of tokens")
            }
            _ => return INNER.iter().try_for_each(|key| self.check_all(&step[*key], depth + 1)),
        };
        Err(refused(told!("tokenizer.step", "its {part} {fact}", part = self.part, fact)))
    }

    fn check_all(&mut self, steps: &Value, depth: usize) -> Result<()> {
        steps.as_array().into_iter().flatten().try_for_each(|step| self.check(step, depth))
    }
}

/// How many times longer a step makes a text, at most. Where the kind is an old one, its keys alone tell what it is.
fn growth(step: &Value) -> usize {
    let has = |key: &str| step.get(key).is_some();
    let by_kind = match step["type"].as_str().unwrap_or_default() {
        // U+0390 and U+FDFA grow most.
        "NFC" | "NFD" => 4,
        "NFKC" | "NFKD" => 12,
        "ByteLevel" | "Lowercase" | "Bert" | "BertNormalizer" => 3,
        _ => 1,
    };
    let by_keys = match () {
        () if has("pattern") && has("content") => replaced(step),
        // BPEDecoder and CTC, whose separators may be empty.
        () if has("suffix") || has("word_delimiter_token") => 3,
        () => 1,
    };
    by_keys.saturating_mul(by_kind)
}

/// The growth of a replacement; what an expression matches may be empty.
fn replaced(step: &Value) -> usize {
    let content = step["content"].as_str().map_or(0, str::len);
    match step["pattern"]["String"].as_str().map_or(0, str::len) {
        0 => content + 1,
        pattern => content.div_ceil(pattern).max(1),
    }
}

/// What the crate does not check of a vocabulary.
fn check_model(model: &Value) -> Result<()> {
    let pieces = model["vocab"].as_array().into_iter().flatten();
    let long = |piece: &Value| piece[0].as_str().is_some_and(|piece| piece.len() > LONGEST_PIECE);
    if let Some(at) = pieces.map(long).position(|long| long) {
        return Err(refused(told!(
            "tokenizer.piece_long",
            "its piece {at} has more than {longest_piece} bytes",
            at,
            longest_piece = LONGEST_PIECE
        )));
    }
    // Merged pieces are put together in a buffer of this length.
    let longest = model["vocab"].as_object().and_then(|vocab| vocab.keys().map(String::len).max());
    let prefix = model["continuing_subword_prefix"].as_str().map_or(0, str::len);
    let fits = |left: &str, right: &str| {
        right.is_char_boundary(prefix) && left.len() + right.len() - prefix <= longest.unwrap_or(0)
    };
    for (i, merge) in model["merges"].as_array().into_iter().flatten().enumerate() {
        let pair = match merge {
            Value::String(pair) => pair.split_once(' '),
            pair => pair[0].as_str().zip(pair[1].as_str()),
        };
        if pair.is_some_and(|(left, right)| !fits(left, right)) {
            return Err(refused(told!("tokenizer.merge", "its merge {i} makes no token", i)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tokenizer() -> Value {
        json!({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}})
    }

    fn with(pointer: &str, value: Value) -> String {
        let mut json = tokenizer();
        json[pointer] = value;
        read(json.to_string().as_bytes()).map_or_else(|e| e.to_string(), |_| "read".into())
    }

    #[test]
    fn usual_parts_are_read() {
        let replace =
            |from: &str, to: &str| json!({"type": "Replace", "pattern": {"String": from}, "content": to});
        let strip = json!({"type": "Strip", "content": " ", "start": 1, "stop": 0});
        let decoders = json!([replace("▁", " "), {"type": "ByteFallback"}, {"type": "Fuse"}, strip]);
        let steps = json!([{"type": "Prepend", "prepend": "▁"}, replace(" ", "▁")]);
        assert_eq!(with("normalizer", json!({"type": "Sequence", "normalizers": steps})), "read");
        assert_eq!(with("decoder", json!({"type": "Sequence", "decoders": decoders})), "read");
        assert_eq!(with("pre_tokenizer", json!({"type": "FixedLength", "length": 5})), "read");
        let unigram = json!({"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a", -1.0]]});
        assert_eq!(with("model", unigram), "read");
    }

    #[test]
    fn what_would_panic_is_refused() {
        let whole = tokenizer().to_string();
        (0..whole.len()).for_each(|length| assert!(read(&whole.as_bytes()[..length]).is_err(), "{length}"));
        assert!(read(br#"{"decoder": {"type": "Fu"#).is_err());
        // The first of two keys is not read.
        let twice = tokenizer().to_string().replacen(
            '{',
            r#"{"normalizer": {"type": "Precompiled"}, "normalizer": null, "#,
            1,
        );
        assert!(read(twice.as_bytes()).is_ok());
        assert!(with("normalizer", json!({"type": "Precompiled"})).contains("its normalizer is a table"));
        assert!(with("pre_tokenizer", json!({"type": "FixedLength", "length": 0})).contains("of no length"));
        let strip = json!({"type": "Strip", "content": " ", "start": 0, "stop": 1});
        assert!(with("decoder", strip).contains("its decoder strips the ends"));
        let model = |merges: Value, prefix: &str| {
            let vocab = json!({"a": 0, "b": 1, "é": 2});
            json!({"type": "BPE", "vocab": vocab, "merges": merges, "continuing_subword_prefix": prefix})
        };
        for (merges, prefix) in [
            (json!([["a", "é"]]), ""),
            (json!(["a é"]), ""),
            (json!([["a", "b"]]), "##"),
            (json!([["a", "é"]]), "x"),
        ] {
            assert!(with("model", model(merges, prefix)).contains("its merge 0 makes no token"));
        }
    }

    #[test]
    fn what_would_fill_the_memory_is_refused() {
        let double = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"});
        let sequence = |steps: Vec<Value>| json!({"type": "Sequence", "normalizers": steps});
        assert!(with("normalizer", sequence(vec![double; 11])).contains("more than 1024 times longer"));
        let regex = json!({"type": "Replace", "pattern": {"Regex": ""}, "content": "a".repeat(2000)});
        assert!(with("normalizer", regex).contains("times longer"));
        let plain = || json!({"type": "StripAccents"});
        assert!(with("normalizer", sequence(vec![plain(); 16])).contains("more than 16 steps"));
        let deep = (0..6).fold(plain(), |inner, _| sequence(vec![inner]));
        assert!(with("normalizer", deep).contains("more than 4 deep"));
        let long =
            json!({"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a".repeat(2000), -1.0]]});
        assert!(with("model", long).contains("its piece 1 has more than 1024 bytes"));
    }
}
