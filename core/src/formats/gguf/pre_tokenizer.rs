//! How byte-level tokenizers cut a text into words before they merge: by name in GGUF, written out in
//! `tokenizer.json`.

use serde_json::{Value as Json, json};

use crate::error::{Error, Result};
use crate::told::told;

/// One step of cutting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step<'a> {
    /// What the expression matches stands alone.
    Split(&'a str),
    /// Digits stand apart: each alone, or runs of them.
    Digits(bool),
    /// Bytes become letters of GPT-2's alphabet; `true` cuts with GPT-2's expression first.
    ByteLevel(bool),
}

/// A known way to cut.
#[derive(Debug)]
pub(super) struct PreTokenizer {
    /// Names in GGUF (`tokenizer.ggml.pre`); the first is written.
    names: &'static [&'static str],
    steps: &'static [Step<'static>],
    /// Texts are brought into Unicode's composed form first. llama.cpp never does.
    composed: bool,
    /// A word that is a token is that token, whatever the merges say.
    pub(super) ignore_merges: bool,
    /// Texts begin with BOS where the file does not say.
    pub(super) add_bos: bool,
}

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

const PLAIN: PreTokenizer =
    PreTokenizer { names: &[], steps: &[], composed: false, ignore_merges: false, add_bos: false };

/// By the models' own `tokenizer.json`, and `llama-vocab.cpp` of llama.cpp, which gives them their names.
const KNOWN: [PreTokenizer; 7] = [
    PreTokenizer { names: &["gpt-2", "phi-2"], steps: &[Step::ByteLevel(true)], ..PLAIN },
    PreTokenizer {
        names: &["smollm", "starcoder", "refact", "codeshell"],
        steps: &[Step::Digits(true), Step::ByteLevel(true)],
        ..PLAIN
    },
    PreTokenizer {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3"],
        steps: &[Step::Split(LLAMA3), Step::ByteLevel(false)],
        ignore_merges: true,
        add_bos: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["smaug-bpe", "dbrx"],
        steps: &[Step::Split(LLAMA3), Step::ByteLevel(false)],
        ..PLAIN
    },
    PreTokenizer {
        names: &["qwen2", "deepseek-r1-qwen", "megrez"],
        steps: &[Step::Split(QWEN2), Step::ByteLevel(false)],
        composed: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["deepseek-coder"],
        steps: &[
            Step::Split("[\r\n]"),
            Step::Split(r"\s?\p{L}+"),
            Step::Split(r"\s?\p{P}+"),
            Step::Split("[\u{4e00}-\u{9fa5}\u{800}-\u{4e00}\u{ac00}-\u{d7ff}]+"),
            Step::Digits(true),
            Step::ByteLevel(false),
        ],
        ..PLAIN
    },
    // What llama.cpp does where a file names nothing.
    PreTokenizer {
        names: &["default"],
        steps: &[
            Step::Split(r"[\p{P}\$\+<=>\^~\|]+"),
            Step::Split(GPT2),
            Step::Digits(false),
            Step::Split("[0-9][0-9][0-9]"),
            Step::ByteLevel(false),
        ],
        ..PLAIN
    },
];

impl PreTokenizer {
    /// The way of a name.
    ///
    /// # Errors
    /// An unknown name, with the known ones.
    pub(super) fn by_name(name: &str) -> Result<&'static Self> {
        KNOWN.iter().find(|known| known.names.contains(&name)).ok_or_else(|| {
            let known: Vec<&str> = KNOWN.iter().flat_map(|known| known.names.iter().copied()).collect();
            Error::Checkpoint(told!(
                "gguf.pre_tokenizer",
                "the GGUF file's pre-tokenizer '{name}' (tokenizer.ggml.pre) is not known; known are {known}: take the \
                model's Hugging Face files instead, whose tokenizer.json writes it out",
                name,
                known = known.join(", ")
            ))
        })
    }

    /// The way of a `tokenizer.json`.
    ///
    /// # Errors
    /// A way without a name in GGUF.
    pub(super) fn of_json(tokenizer: &Json) -> Result<&'static Self> {
        let steps = steps(&tokenizer["pre_tokenizer"]);
        let ignore_merges = tokenizer["model"]["ignore_merges"].as_bool().unwrap_or(false);
        let normalizer = &tokenizer["normalizer"];
        let found = KNOWN.iter().find(|known| {
            steps.as_deref() == Some(known.steps)
                && ignore_merges == known.ignore_merges
                && (normalizer.is_null() || known.composed && normalizer["type"] == "NFC")
        });
        found.ok_or_else(|| {
            Error::Checkpoint(
                told!(
                    "gguf.pre_unnamed",
                    "tokenizer.json cuts texts in a way that has no name in GGUF (its normalizer, pre_tokenizer or \
                ignore_merges); those of GPT-2, SmolLM, Llama 3, Qwen 2 and DeepSeek Coder can be written"
                ),
            )
        })
    }

    /// The name in GGUF.
    pub(super) fn name(&self) -> &'static str {
        self.names[0]
    }

    /// `normalizer` in `tokenizer.json`.
    pub(super) fn normalizer(&self) -> Json {
        if self.composed { json!({"type": "NFC"}) } else { Json::Null }
    }

    /// `pre_tokenizer` in `tokenizer.json`.
    pub(super) fn json(&self) -> Json {
        let mut steps: Vec<Json> = self.steps.iter().map(|step| step.json()).collect();
        match steps.len() {
            1 => steps.remove(0),
            _ => json!({"type": "Sequence", "pretokenizers": steps}),
        }
    }
}

impl Step<'_> {
    fn json(self) -> Json {
        match self {
            Self::Split(regex) => {
                json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false})
            }
            Self::Digits(single) => json!({"type": "Digits", "individual_digits": single}),
            Self::ByteLevel(regex) => {
                json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex})
            }
        }
    }
}

/// The steps of a `pre_tokenizer`; `None` where one has no counterpart here.
fn steps(json: &Json) -> Option<Vec<Step<'_>>> {
    let step = match json["type"].as_str()? {
        "Sequence" => {
            let nested: Option<Vec<_>> = json["pretokenizers"].as_array()?.iter().map(steps).collect();
            return nested.map(|nested| nested.concat());
        }
        "Split" if json["behavior"] == "Isolated" && json["invert"] != true => {
            Step::Split(json["pattern"]["Regex"].as_str()?)
        }
        "Digits" => Step::Digits(json["individual_digits"].as_bool()?),
        "ByteLevel" if json["add_prefix_space"] == false => {
            Step::ByteLevel(json["use_regex"].as_bool().unwrap_or(true))
        }
        _ => return None,
    };
    Some(vec![step])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer(known: &PreTokenizer) -> Json {
        json!({
            "normalizer": known.normalizer(), "pre_tokenizer": known.json(),
            "model": {"ignore_merges": known.ignore_merges},
        })
    }

    #[test]
    fn every_way_is_found_again() {
        for known in &KNOWN {
            for name in known.names {
                assert_eq!(PreTokenizer::by_name(name).unwrap().name(), known.name());
            }
            assert_eq!(PreTokenizer::of_json(&tokenizer(known)).unwrap().name(), known.name());
        }
    }

    #[test]
    fn other_ways_are_refused() {
        assert!(PreTokenizer::by_name("gpt-4o").unwrap_err().to_string().contains("'gpt-4o'"));
        let change = |key: &str, value: Json| {
            let mut json = tokenizer(&KNOWN[0]);
            json[key] = value;
            PreTokenizer::of_json(&json).map(PreTokenizer::name)
        };
        assert_eq!(change("post_processor", json!(1)).unwrap(), "gpt-2");
        let prefixed = json!({"type": "ByteLevel", "add_prefix_space": true, "use_regex": true});
        assert!(change("pre_tokenizer", prefixed).is_err());
        assert!(change("pre_tokenizer", Json::Null).is_err());
        assert!(change("normalizer", json!({"type": "NFC"})).is_err());
        assert!(change("model", json!({"ignore_merges": true})).is_err());
    }
}
