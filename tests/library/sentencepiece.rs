//! Tokenizers of SentencePiece through GGUF: the same ids when the file is read again, and what llama.cpp makes of it.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use kindling::checkpoint::Checkpoint;
use kindling::formats::gguf::{Gguf, Metadata, WeightType, to_gguf};
use kindling::formats::{Files, directory_files};
use kindling::model::Transformer;
use kindling::tokenizer::{Tokenizer, TokenizerFiles};
use serde_json::{Value, json};

use crate::tiny::{config, largest_difference, logits};

/// By tests/golden/metaspace/make.py, as the texts with their ids.
const GOLDEN: &str = include_str!("../golden/metaspace/tokenizer.json");
const EXPECTED: &str = include_str!("../golden/metaspace/expected.json");

/// Texts that begin with no space and hold no special token, of which llama.cpp makes the same.
const PLAIN: [&str; 8] = [
    "Once upon a time there was a small dragon who lived in a tower.",
    "In 2024, 1234567 otters swam 42.195 km -- that's far!",
    "runs   of    spaces, \ttabs\n\n  and\r\nlines   ",
    "\n\nlines first",
    "def f(x):\n    return {'a': x ** 2}  # a comment\n",
    "从前有一条小龙，住在一座高高的塔里。",
    "naïve café, Straße, Привет, こんにちは, 안녕하세요 🙂👍🏽",
    "====---- aaaaaaaaa ...... <0x0A> [PAD7]",
];
/// Texts of which Metaspace and llama.cpp make different tokens.
const OTHER: [&str; 6] = [
    " one space first",
    "   three spaces first",
    "▁first",
    "<s>user\nWhere is the heron?</s>\n<s>assistant\n",
    "</s> space behind",
    "",
];

/// What llama.cpp makes of a text, from a file's metadata (`llm_tokenizer_spm` and `llama_vocab::impl::tokenize` in its
/// src/llama-vocab.cpp).
struct LlamaCpp<'a> {
    ids: HashMap<&'a str, usize>,
    scores: &'a [f32],
    special: Vec<&'a str>,
    prefix: bool,
}

impl<'a> LlamaCpp<'a> {
    fn new(metadata: &'a Metadata) -> Self {
        assert_eq!(metadata.text("tokenizer.ggml.model").unwrap(), Some("llama"));
        let tokens = metadata.texts("tokenizer.ggml.tokens").unwrap().unwrap();
        let kinds = metadata.integers("tokenizer.ggml.token_type").unwrap().unwrap();
        let special = tokens.iter().zip(kinds).filter(|(_, kind)| [2, 3, 4].contains(*kind));
        Self {
            ids: tokens.iter().enumerate().map(|(id, token)| (token.as_str(), id)).collect(),
            scores: metadata.floats("tokenizer.ggml.scores").unwrap().unwrap(),
            special: special.map(|(token, _)| token.as_str()).collect(),
            prefix: metadata.flag("tokenizer.ggml.add_space_prefix").unwrap().unwrap(),
        }
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids: Vec<usize> = Vec::new();
        let (mut behind_special, mut rest) = (true, text);
        while !rest.is_empty() {
            let found = self.special.iter().filter_map(|token| Some((rest.find(token)?, *token)));
            let next = found.min_by_key(|(at, token)| (*at, Reverse(token.len())));
            let (at, token) = next.unwrap_or((rest.len(), ""));
            if at > 0 {
                let space = if self.prefix && behind_special { " " } else { "" };
                ids.extend(self.merged(&format!("{space}{}", &rest[..at])));
            }
            behind_special = !token.is_empty();
            ids.extend(self.ids.get(token));
            rest = &rest[at + token.len()..];
        }
        ids.into_iter().map(|id| id as u32).collect()
    }

    /// The pair of the best score is merged, the leftmost of equal ones, until no pair is a piece.
    fn merged(&self, text: &str) -> Vec<usize> {
        let mut symbols: Vec<String> = text.replace(' ', "▁").chars().map(String::from).collect();
        loop {
            let score = |pair: &[String]| self.ids.get(pair.concat().as_str()).map(|&id| self.scores[id]);
            let pairs = symbols.windows(2).enumerate();
            let pairs = pairs.filter_map(|(at, pair)| Some((at, score(pair)?)));
            let best = pairs.reduce(|best, pair| if pair.1 > best.1 { pair } else { best });
            let Some((at, _)) = best else { break };
            let right = symbols.remove(at + 1);
            symbols[at] += &right;
        }
        let spelt = symbols.iter().flat_map(|symbol| match self.ids.get(symbol.as_str()) {
            Some(&id) => vec![id],
            None => symbol.bytes().map(|byte| self.ids[format!("<0x{byte:02X}>").as_str()]).collect(),
        });
        spelt.collect()
    }
}

fn tokenizer(json: &Value, config: &Value) -> Tokenizer {
    let files = TokenizerFiles {
        tokenizer_json: json.to_string().into_bytes(),
        tokenizer_config_json: Some(config.to_string().into_bytes()),
    };
    Tokenizer::from_files(&files).unwrap()
}

/// A tiny model with a tokenizer, as GGUF.
fn exported(tokenizer: &Tokenizer) -> Vec<u8> {
    let config = config(tokenizer.vocab_size());
    let model = Transformer::init(&config, 5, &Device::flex()).unwrap();
    let weights = pollster::block_on(model.weights()).unwrap();
    let files = directory_files(&config, &weights, Some(tokenizer)).unwrap();
    to_gguf(&files, WeightType::F32).unwrap()
}

/// The golden pieces in one of the layouts of make.py.
fn layout(name: &str) -> Value {
    let mut json: Value = serde_json::from_str(GOLDEN).unwrap();
    if name == "prepend" {
        let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
        let steps = json!([{"type": "Prepend", "prepend": "▁"}, replace]);
        json["normalizer"] = json!({"type": "Sequence", "normalizers": steps});
        json["pre_tokenizer"] = Value::Null;
        return json;
    }
    json["pre_tokenizer"]["prepend_scheme"] = name.into();
    if name == "never" {
        json["decoder"]["decoders"].as_array_mut().unwrap().pop();
    }
    json
}

fn ids(row: &Value, name: &str) -> Vec<u32> {
    serde_json::from_value(row[name].clone()).unwrap()
}

#[test]
fn every_layout_has_its_ids_here_in_gguf_and_in_llama_cpp() {
    let expected: Vec<Value> = serde_json::from_str(EXPECTED).unwrap();
    assert_eq!(expected.len(), 56);
    let config = json!({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"});
    for (name, there) in
        [("first", "prepend"), ("always", "prepend"), ("never", "never"), ("prepend", "prepend")]
    {
        let source = tokenizer(&layout(name), &config);
        let bytes = exported(&source);
        let again = Checkpoint::open_gguf(bytes.clone()).unwrap().tokenizer.unwrap();
        let gguf = Gguf::open(&bytes).unwrap();
        let peer = LlamaCpp::new(&gguf.metadata);
        for row in &expected {
            let text = row["text"].as_str().unwrap();
            let right = ids(row, name);
            assert_eq!(source.encode(text).unwrap(), right, "{name}: {text:?}");
            assert_eq!(again.encode(text).unwrap(), right, "{name} through GGUF: {text:?}");
            assert_eq!(again.decode(&right, false).unwrap(), source.decode(&right, false).unwrap());
            assert_eq!(peer.encode(text), ids(row, there), "{name} in llama.cpp: {text:?}");
        }
        let facts = ["bos", "eos", "unknown"]
            .map(|role| gguf.metadata.integer(&format!("tokenizer.ggml.{role}_token_id")).unwrap().unwrap());
        assert_eq!(facts, [1, 2, 0], "{name}");
        assert_eq!(gguf.metadata.flag("tokenizer.ggml.add_bos_token").unwrap(), Some(true), "{name}");
        assert_eq!(gguf.metadata.flag("tokenizer.ggml.add_eos_token").unwrap(), Some(false), "{name}");
        let kinds = gguf.metadata.integers("tokenizer.ggml.token_type").unwrap().unwrap();
        assert_eq!((&kinds[..4], &kinds[440..]), (&[2, 3, 3, 6][..], &[3, 3, 4][..]), "{name}");
    }
}

/// A part of the shared data, or a visible note that a test did not run.
fn shared(part: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let path = std::env::var_os("KINDLING_SHARED").map_or(beside, PathBuf::from).join(part);
    if !path.exists() {
        eprintln!("SKIPPED: {} is absent", path.display());
        return None;
    }
    Some(path)
}

/// The tokens of a directory's tokenizer, of its GGUF file read again, and of that file in llama.cpp.
fn assert_the_same(name: &str, source: &Tokenizer, gguf: &[u8]) {
    let again = Checkpoint::open_gguf(gguf.to_vec()).unwrap().tokenizer.unwrap();
    for text in PLAIN.iter().chain(&OTHER) {
        let ids = source.encode_document(text).unwrap();
        assert_eq!(again.encode_document(text).unwrap(), ids, "{name} through GGUF: {text:?}");
    }
    let gguf = Gguf::open(gguf).unwrap();
    let peer = LlamaCpp::new(&gguf.metadata);
    for text in PLAIN {
        assert_eq!(peer.encode(text), source.encode(text).unwrap(), "{name} in llama.cpp: {text:?}");
    }
    // What the export warns of.
    assert_eq!(peer.encode(" a"), source.encode("  a").unwrap(), "{name}");
    assert_eq!(peer.encode("<s>a")[1..], source.encode("a").unwrap(), "{name}");
}

#[test]
fn a_model_of_transformers_5_scores_the_same_from_its_gguf() {
    let Some(folder) = shared("cases/interop/k_v5sm") else { return };
    let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let files: Files = entries.map(|path| (name(&path), std::fs::read(&path).unwrap())).collect();
    let directory = Checkpoint::open(|name| Ok(files.get(name).cloned())).unwrap();
    let bytes = to_gguf(&files, WeightType::F32).unwrap();
    let source = directory.tokenizer.as_ref().unwrap();
    assert_the_same("k_v5sm", source, &bytes);
    let [here, there] = [&directory, &Checkpoint::open_gguf(bytes).unwrap()].map(|checkpoint| {
        assert_eq!(checkpoint.config.eos_token_ids, directory.config.eos_token_ids);
        let model = checkpoint.model(&Device::flex()).unwrap();
        let tokenizer = checkpoint.tokenizer.as_ref().unwrap();
        let logits_of = |text: &&str| {
            let ids = tokenizer.encode_document(text).unwrap();
            logits(&model, &ids.iter().map(|&id| id as i32).collect::<Vec<_>>())
        };
        PLAIN.iter().chain(&OTHER).map(logits_of).collect::<Vec<_>>().concat()
    });
    assert!(largest_difference(&here, &there) < 1e-6);
}

#[test]
fn mistrals_own_tokenizer_goes_through_gguf() {
    let Some(folder) = shared("data/tokenizers/mistral") else { return };
    let json =
        |name: &str| -> Value { serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap() };
    let source = tokenizer(&json("tokenizer.json"), &json("tokenizer_config.json"));
    assert_eq!(source.vocab_size(), 32_000);
    assert_the_same("mistral", &source, &exported(&source));
}
