//! Small tokenizers of every kind, made here: byte-level ones, with merged spaces, and SentencePiece's ways to put a
//! space before a text.

use kindling::tokenizer::{Tokenizer, TokenizerFiles, TokenizerTraining, train};
use serde_json::{Map, Value, json};

/// Tokens that are never split, in all of them.
const SPECIAL: [&str; 11] = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<s>",
    "</s>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|user|>",
    "<|assistant|>",
    "<unk>",
];

/// Where a tokenizer puts a space that the text does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstSpace {
    /// Nowhere.
    Never,
    /// Before a text that begins with another character.
    OfText,
    /// Before each part between special tokens, likewise.
    OfEach,
    /// Before each part, even where it begins with one.
    Always,
}

/// A tokenizer and what is known of it.
pub struct TinyTokenizer {
    pub name: &'static str,
    pub first_space: FirstSpace,
    pub tokenizer: Tokenizer,
    json: Vec<u8>,
}

impl TinyTokenizer {
    fn new(name: &'static str, first_space: FirstSpace, json: &Value) -> Self {
        let json = json.to_string().into_bytes();
        Self { name, first_space, tokenizer: open(&json, "</s>", ""), json }
    }

    /// Gives it another token that ends an answer, and a template.
    pub fn ends_with(&mut self, eos: &str, template: &str) {
        self.tokenizer = open(&self.json, eos, template);
    }

    /// The bytes that the tokens of a text spell, and where in the text each stands: its own, and the spaces put before.
    pub fn spelled(&self, text: &str) -> Vec<(u8, usize)> {
        let mut spelled = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            let special = SPECIAL.iter().find(|special| rest.starts_with(**special));
            let length = match special {
                Some(special) => special.len(),
                None => {
                    let next = SPECIAL.iter().filter_map(|special| rest.find(*special)).min();
                    let begins = rest.starts_with(' ');
                    let put = match self.first_space {
                        FirstSpace::Never => false,
                        FirstSpace::OfText => at == 0 && !begins,
                        FirstSpace::OfEach => !begins,
                        FirstSpace::Always => true,
                    };
                    spelled.extend(put.then_some((b' ', at)));
                    next.unwrap_or(rest.len())
                }
            };
            spelled.extend(rest.bytes().take(length).enumerate().map(|(i, byte)| (byte, at + i)));
            at += length;
        }
        spelled
    }
}

fn open(json: &[u8], eos: &str, template: &str) -> Tokenizer {
    let config = json!({"bos_token": "<s>", "eos_token": eos, "chat_template": template});
    let files = TokenizerFiles {
        tokenizer_json: json.to_vec(),
        tokenizer_config_json: Some(config.to_string().into_bytes()),
    };
    Tokenizer::from_files(&files).unwrap()
}

/// One of each kind.
pub fn all() -> Vec<TinyTokenizer> {
    let plain = byte_level(&["the lamp is in Paris, two by two; 3 + 4. 北京 end. User: Assistant: [INST] q"]);
    let spaces =
        byte_level(&["a\n\nb\n\nc  d  e    f\n\n\nParis Paris the lamp\n\n  x  y\n Assistant: Paris"]);
    let mut prefixed = plain.clone();
    prefixed["pre_tokenizer"]["add_prefix_space"] = true.into();
    let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    let legacy = json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, replace]});
    let metaspace = |scheme: &str| json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": false});
    let words = |scheme: &str| json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": true});
    let null = Value::Null;
    vec![
        TinyTokenizer::new("byte-level", FirstSpace::Never, &plain),
        TinyTokenizer::new("byte-level with merged spaces", FirstSpace::Never, &spaces),
        TinyTokenizer::new("byte-level with a first space", FirstSpace::OfEach, &prefixed),
        TinyTokenizer::new("Metaspace, first", FirstSpace::OfText, &sentence(&null, &metaspace("first"))),
        TinyTokenizer::new("Metaspace, always", FirstSpace::OfEach, &sentence(&null, &words("always"))),
        TinyTokenizer::new("Metaspace, never", FirstSpace::Never, &sentence(&null, &metaspace("never"))),
        TinyTokenizer::new("Prepend", FirstSpace::Always, &sentence(&legacy, &null)),
    ]
}

/// A byte-level tokenizer trained on some texts.
fn byte_level(texts: &[&str]) -> Value {
    let settings = TokenizerTraining {
        vocab_size: 420,
        min_frequency: 1,
        special_tokens: SPECIAL.map(str::to_string).into(),
        digits_single: false,
        han_single: false,
    };
    let tokenizer = train(texts.iter().cycle().take(20).map(|text| text.to_string()), &settings).unwrap();
    let files: Map<String, Value> = tokenizer
        .to_files()
        .unwrap()
        .into_iter()
        .filter(|(name, _)| name == "tokenizer.json")
        .map(|(name, bytes)| (name, serde_json::from_slice(&bytes).unwrap()))
        .collect();
    files["tokenizer.json"].clone()
}

/// Words that are tokens in SentencePiece's tokenizers, some of them across spaces.
const PIECES: [&str; 16] = [
    "▁▁",
    "▁▁▁▁",
    "▁Paris",
    "Par",
    "is",
    "▁the",
    "▁lamp",
    "▁two",
    "one",
    "▁A",
    "▁B",
    "北京",
    "in",
    "line",
    ":▁",
    "▁[",
];

/// A tokenizer of byte-pair merges over characters, with bytes for what it does not know.
fn sentence(normalizer: &Value, pre_tokenizer: &Value) -> Value {
    let mut vocab = Map::new();
    let mut add = |token: String| {
        let id = vocab.len();
        vocab.entry(token).or_insert_with(|| id.into());
    };
    SPECIAL.iter().for_each(|token| add(token.to_string()));
    (0..=255u8).for_each(|byte| add(format!("<0x{byte:02X}>")));
    (' '..='~').skip(1).chain("▁北京".chars()).for_each(|character| add(character.to_string()));
    let mut merges: Vec<[String; 2]> = Vec::new();
    for piece in PIECES {
        let mut made = String::new();
        for character in piece.chars() {
            let merge = [made.clone(), character.to_string()];
            made.push(character);
            if !merge[0].is_empty() && !merges.contains(&merge) {
                add(made.clone());
                merges.push(merge);
            }
        }
    }
    let added = SPECIAL.iter().enumerate().map(|(id, token)| {
        json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    });
    let replace = json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "});
    let strip = json!({"type": "Strip", "content": " ", "start": 1, "stop": 0});
    let decoders = json!([replace, {"type": "ByteFallback"}, {"type": "Fuse"}, strip]);
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added.collect::<Vec<_>>(),
        "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
                  "vocab": vocab, "merges": merges},
    })
}
