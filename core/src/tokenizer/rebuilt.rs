//! Classes of `transformers` 5 that take vocabulary, merges and added tokens of `tokenizer.json` and build the rest anew.
//! The file is followed here: where such a class makes other ids of a text, that is told, and what is written names a
//! class that follows the file, too.
//!
//! Source: `AutoTokenizer.from_pretrained` and `TokenizersBackend.convert_to_native_format` of transformers 5.24.

use serde_json::{Map, Value, json};

use super::config::TokenizerConfig;
use super::{Tokenizer, foreign};
use crate::error::Result;
use crate::told::{Told, told};

const CLASS: &str = "tokenizer_class";
/// The class that follows `tokenizer.json` in every version.
const FOLLOWS: &str = "PreTrainedTokenizerFast";
/// How Qwen2's class cuts a text.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Texts whose ids are compared, beside words behind special tokens.
const TEXTS: [&str; 4] = ["word", " word", "It's 1307 words,\n\n\tand  more 12.5!", "cafe\u{301} 你好"];
/// Special tokens that a word is put behind.
const MOST_SPECIAL: usize = 4;
/// Ids that are shown of a text.
const MOST_SHOWN: usize = 12;

/// A class that builds its own normalizer and pre-tokenizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Llama,
    CodeLlama,
    Gpt2,
    Qwen2,
    Gemma,
}

const CLASSES: [Class; 5] = [Class::Llama, Class::CodeLlama, Class::Gpt2, Class::Qwen2, Class::Gemma];

/// What a class puts in the place of the file's.
struct Parts {
    normalizer: Value,
    pre_tokenizer: Value,
    fuse_unk: bool,
    byte_fallback: bool,
    unk_token: Value,
}

/// A text that the file and a class make different ids of.
struct Difference {
    text: String,
    file: Vec<u32>,
    /// `None` where the class fails.
    class: Option<Vec<u32>>,
}

impl Class {
    fn name(self) -> &'static str {
        match self {
            Self::Llama => "LlamaTokenizer",
            Self::CodeLlama => "CodeLlamaTokenizer",
            Self::Gpt2 => "GPT2Tokenizer",
            Self::Qwen2 => "Qwen2Tokenizer",
            Self::Gemma => "GemmaTokenizer",
        }
    }

    /// The class of a name, where it is one of these and is not passed over for this file.
    fn of_name(name: &str, json: &[u8]) -> Option<Self> {
        let name = name.strip_suffix("Fast").unwrap_or(name);
        let class = CLASSES.into_iter().find(|class| class.name() == name);
        class.filter(|class| *class != Self::Llama || !holds(json, b"\"ByteLevel\""))
    }

    /// The class that opens a tokenizer beside a model, where it is one of these.
    fn beside(model_type: &str, name: Option<&str>, json: &[u8]) -> Option<Self> {
        match (model_type, name) {
            ("mistral" | "ministral", _) => None,
            // transformers lists it among the models whose files name a wrong class.
            ("qwen2", _) | ("qwen3" | "qwen3_moe", None) => Some(Self::Qwen2),
            (_, name) => name.and_then(|name| Self::of_name(name, json)),
        }
    }

    fn parts(self, config: &TokenizerConfig) -> Parts {
        let flag = |key: &str| config.get(key).and_then(Value::as_bool);
        let (prefix, legacy) = (flag("add_prefix_space"), flag("legacy"));
        let metaspace = |scheme: &str| json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": false});
        let bytes = |use_regex: bool| json!({"type": "ByteLevel", "add_prefix_space": prefix.unwrap_or(false), "trim_offsets": true, "use_regex": use_regex});
        let (normalizer, pre_tokenizer) = match self {
            Self::Llama | Self::CodeLlama if prefix == Some(false) => (Value::Null, metaspace("never")),
            Self::Llama if legacy == Some(true) => (Value::Null, metaspace("always")),
            Self::Llama | Self::CodeLlama => (Value::Null, metaspace("first")),
            Self::Gpt2 => (Value::Null, bytes(true)),
            Self::Qwen2 => {
                let split = json!({"type": "Split", "pattern": {"Regex": QWEN2}, "behavior": "Isolated", "invert": false});
                (json!({"type": "NFC"}), json!({"type": "Sequence", "pretokenizers": [split, bytes(false)]}))
            }
            Self::Gemma => (
                json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"}),
                json!({"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": false}),
            ),
        };
        let pieces = !matches!(self, Self::Gpt2 | Self::Qwen2);
        let unk_token = match self {
            Self::CodeLlama | Self::Gemma => json!(config.token("unk_token").unwrap_or("<unk>")),
            _ => Value::Null,
        };
        Parts { normalizer, pre_tokenizer, fuse_unk: pieces, byte_fallback: pieces, unk_token }
    }

    /// A text of which the class makes other ids than the file, where there is one.
    fn difference(self, tokenizer: &Tokenizer, file: &Value) -> Option<Difference> {
        let parts = self.parts(&tokenizer.config);
        if parts.are_those_of(file) {
            return None;
        }
        let rebuilt = parts.rebuilt(file);
        let ids = |text: &str| Some(rebuilt.as_ref().ok()?.encode_fast(text, false).ok()?.get_ids().to_vec());
        texts(tokenizer).into_iter().find_map(|text| {
            let (file, class) = (tokenizer.encode(&text).ok()?, ids(&text));
            (class.as_ref() != Some(&file)).then_some(Difference { text, file, class })
        })
    }
}

impl Parts {
    /// Whether the file is built just so.
    fn are_those_of(&self, file: &Value) -> bool {
        let model = &file["model"];
        let flag = |key: &str| model[key].as_bool().unwrap_or(false);
        // What the vocabulary cannot spell is bytes then.
        let spells_all = self.byte_fallback && model["vocab"].get("<0xFF>").is_some();
        model["type"] == "BPE"
            && plain(&file["normalizer"]) == self.normalizer
            && plain(&file["pre_tokenizer"]) == plain(&self.pre_tokenizer)
            && (flag("fuse_unk"), flag("byte_fallback")) == (self.fuse_unk, self.byte_fallback)
            && !flag("ignore_merges")
            && (spells_all || model["unk_token"] == self.unk_token)
    }

    /// The file with these parts.
    fn rebuilt(&self, file: &Value) -> Result<tokenizers::Tokenizer> {
        let mut rebuilt = file.clone();
        for key in ["truncation", "padding", "post_processor"] {
            rebuilt[key] = Value::Null;
        }
        rebuilt["normalizer"] = self.normalizer.clone();
        rebuilt["pre_tokenizer"] = self.pre_tokenizer.clone();
        let merges = match &file["model"]["merges"] {
            Value::Array(merges) => merges.clone(),
            _ => Vec::new(),
        };
        rebuilt["model"] = json!({
            "type": "BPE", "dropout": null, "unk_token": self.unk_token, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": self.fuse_unk, "byte_fallback": self.byte_fallback,
            "ignore_merges": false, "vocab": by_ids(&file["model"]["vocab"]), "merges": merges,
        });
        foreign::read(&serde_json::to_vec(&rebuilt).map_err(crate::error::Error::tokenizer_failed)?)
    }
}

/// The vocabulary by its tokens; Unigram's is a list of pieces with scores.
fn by_ids(vocab: &Value) -> Value {
    let Value::Array(pieces) = vocab else { return vocab.clone() };
    let entry = |(id, piece): (usize, &Value)| Some((piece[0].as_str()?.to_string(), json!(id)));
    Value::Object(pieces.iter().enumerate().filter_map(entry).collect::<Map<_, _>>())
}

/// A step without what changes no id.
fn plain(step: &Value) -> Value {
    match step {
        Value::Object(keys) => {
            let kept = keys.iter().filter(|(key, _)| *key != "trim_offsets");
            Value::Object(kept.map(|(key, value)| (key.clone(), plain(value))).collect())
        }
        Value::Array(steps) => steps.iter().map(plain).collect(),
        other => other.clone(),
    }
}

fn texts(tokenizer: &Tokenizer) -> Vec<String> {
    let special = tokenizer.special_ids.iter().filter_map(|id| tokenizer.inner.id_to_token(*id));
    let behind = special.take(MOST_SPECIAL).map(|token| format!("{token}word"));
    behind.chain(TEXTS.map(String::from)).collect()
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

impl Tokenizer {
    /// What a person should know of this tokenizer beside a model of `model_type`, whose own config may name the class:
    /// that `transformers` 5 makes other ids than `tokenizer.json`, with a text that shows it.
    pub fn class_warning(&self, model_type: &str, class_of_model: Option<&str>) -> Option<Told> {
        // Code that comes with a model may build anything.
        if self.config.get("auto_map").is_some_and(|map| !map.is_null()) {
            return None;
        }
        let name = self.class_name().or(class_of_model);
        let class = Class::beside(model_type, name, &self.json)?;
        let found = class.difference(self, &serde_json::from_slice(&self.json).ok()?)?;
        let remedy = match model_type {
            "qwen2" => told!(
                "tokenizer.class_always",
                "for model_type qwen2 it does so whatever {class} says: open the tokenizer there with {follows} instead of \
                 AutoTokenizer",
                class = CLASS,
                follows = FOLLOWS
            ),
            _ => told!(
                "tokenizer.class_written",
                "what is trained or merged here says {class} {follows}, with which transformers 5 follows the file, too; \
                 write that into this model's tokenizer_config.json to have the same ids of it",
                class = CLASS,
                follows = FOLLOWS
            ),
        };
        Some(told!(
            "tokenizer.class",
            "transformers 5 opens the tokenizer as {name}, which cuts texts in its own way and not as tokenizer.json says: of {sample} \
             it makes {ids}, the file {own}; the file is followed here, and {remedy}",
            name = class.name(),
            sample = format!("{:?}", found.text),
            ids = found.class.map_or("nothing".into(), |ids| shown(&ids)),
            own = shown(&found.file),
            remedy
        ))
    }

    /// `tokenizer_config.json` to write beside `tokenizer.json`, whose parsed form is `file`: it names no class that would
    /// make other ids.
    pub(super) fn config_to_write(&self, file: &Value) -> TokenizerConfig {
        let class = match self.class_name() {
            Some(name) => Class::of_name(name, &self.json),
            // Qwen3's models take it then.
            None => Some(Class::Qwen2),
        };
        let mut config = self.config.clone();
        if class.is_some_and(|class| class.difference(self, file).is_some()) {
            config.insert(CLASS, FOLLOWS.into());
            // Version 4 has another default for this class.
            if config.get("clean_up_tokenization_spaces").is_none() {
                config.insert("clean_up_tokenization_spaces", false.into());
            }
        }
        config
    }

    fn class_name(&self) -> Option<&str> {
        self.config.get(CLASS).and_then(Value::as_str)
    }
}

fn shown(ids: &[u32]) -> String {
    match ids.len() > MOST_SHOWN {
        true => format!("{:?}…", &ids[..MOST_SHOWN]),
        false => format!("{ids:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::TokenizerFiles;

    const METASPACE: &str = include_str!("../../../tests/golden/metaspace/tokenizer.json");
    const BYTES: &str = include_str!("../../../tests/golden/classes/bytes.json");
    /// By tests/golden/classes/make.py, with transformers 5.
    const EXPECTED: &str = include_str!("../../../tests/golden/classes/expected.json");

    /// `tokenizer.json` of a layout, as the script makes it.
    fn layout(name: &str) -> Value {
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let mut file = parse(if name == "bytes" { BYTES } else { METASPACE });
        if name == "prepend" {
            let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
            let steps = [json!({"type": "Prepend", "prepend": "▁"}), replace];
            file["normalizer"] = json!({"type": "Sequence", "normalizers": steps});
            file["pre_tokenizer"] = Value::Null;
        }
        file
    }

    fn tokenizer(file: &Value, config: &Value) -> Tokenizer {
        Tokenizer::from_files(&TokenizerFiles {
            tokenizer_json: file.to_string().into_bytes(),
            tokenizer_config_json: Some(config.to_string().into_bytes()),
        })
        .unwrap()
    }

    /// The ids of the texts by the class, `None` where the file is followed; an inner `None` where the class fails.
    fn by_class(tokenizer: &Tokenizer, model_type: &str, texts: &[String]) -> Option<Option<Vec<Vec<u32>>>> {
        let class = Class::beside(model_type, tokenizer.class_name(), &tokenizer.json)?;
        let file = serde_json::from_slice(&tokenizer.json).unwrap();
        let rebuilt = class.parts(&tokenizer.config).rebuilt(&file).ok();
        Some(rebuilt.and_then(|rebuilt| {
            let ids =
                |text: &String| Some(rebuilt.encode_fast(text.as_str(), false).ok()?.get_ids().to_vec());
            texts.iter().map(ids).collect()
        }))
    }

    #[test]
    fn classes_make_the_ids_that_transformers_makes() {
        let expected: Value = serde_json::from_str(EXPECTED).unwrap();
        let texts: Vec<String> = serde_json::from_value(expected["texts"].clone()).unwrap();
        let mut seen = [0, 0, 0];
        for case in expected["cases"].as_array().unwrap() {
            let model_type = case["model_type"].as_str().unwrap();
            for (name, ids) in case["ids"].as_object().unwrap() {
                let tokenizer = tokenizer(&layout(name), &case["config"]);
                let file: Vec<Vec<u32>> = texts.iter().map(|text| tokenizer.encode(text).unwrap()).collect();
                assert_eq!(json!(file), expected["file"][name], "{name}");
                let found = by_class(&tokenizer, model_type, &texts).unwrap_or(Some(file.clone()));
                let warned = tokenizer.class_warning(model_type, None).is_some();
                let told = format!("{name} {model_type} {}", case["config"]);
                let kind = match ids {
                    Value::Null => found.is_none() && warned,
                    Value::String(_) => found == Some(file) && !warned,
                    ids => json!(found) == *ids && warned,
                };
                assert!(kind, "{told}: {found:?}, warned: {warned}");
                seen[usize::from(warned) + usize::from(ids.is_null())] += 1;
            }
        }
        assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    }

    #[test]
    fn what_is_written_names_a_class_that_follows_the_file() {
        let class = |layout_name: &str, config: Value| {
            let tokenizer = tokenizer(&layout(layout_name), &config);
            let files = tokenizer.to_files().unwrap();
            let written: Value = serde_json::from_slice(&files[1].1).unwrap();
            written[CLASS].as_str().map(String::from)
        };
        let llama = json!({"tokenizer_class": "LlamaTokenizerFast"});
        assert_eq!(class("prepend", llama.clone()).as_deref(), Some(FOLLOWS));
        assert_eq!(class("first", llama.clone()).as_deref(), Some("LlamaTokenizerFast"));
        assert_eq!(class("bytes", llama).as_deref(), Some("LlamaTokenizerFast"));
        assert_eq!(class("prepend", json!({})).as_deref(), Some(FOLLOWS));
        assert_eq!(class("prepend", json!({"tokenizer_class": "Mine"})).as_deref(), Some("Mine"));
    }

    #[test]
    fn the_warning_shows_both_ids_and_the_remedy() {
        let llama = tokenizer(&layout("prepend"), &json!({"tokenizer_class": "LlamaTokenizer"}));
        let told = llama.class_warning("llama", None).unwrap();
        for part in ["as LlamaTokenizer", "word\" it makes [", "the file [", FOLLOWS, "tokenizer_config.json"]
        {
            assert!(told.contains(part), "{told}");
        }
        let none = tokenizer(&layout("prepend"), &json!({}));
        assert_eq!(none.class_warning("llama", None), None);
        assert!(none.class_warning("llama", Some("LlamaTokenizer")).is_some(), "config.json may name it");
        let told = none.class_warning("qwen2", None).unwrap();
        assert!(told.contains("Qwen2Tokenizer") && told.contains("instead of AutoTokenizer"), "{told}");
        let own = tokenizer(&layout("prepend"), &json!({"auto_map": {"AutoTokenizer": ["x", null]}}));
        assert_eq!(own.class_warning("qwen2", None), None);
    }
}
