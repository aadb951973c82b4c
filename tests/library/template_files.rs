//! The files of a tokenizer among those of a checkpoint, and the cases of `../shared` that hold them.

use kindling::checkpoint::{Checkpoint, from_single_file, open_tokenizer, put_tokenizer, to_single_file};
use kindling::formats::{Files, directory_files, from_zip, to_zip};
use kindling::model::Transformer;
use kindling::text::{Conversation, Message};
use kindling::tokenizer::Tokenizer;
use serde_json::{Map, Value};

use crate::shared_tokenizers::{self, shared};
use crate::tiny::{config, tokenizer};

const OLD: &str = "{% for m in messages %}old {{ m.content }}{% endfor %}";
const NEW: &str = "{% for m in messages %}new {{ m.content }}{% endfor %}";

/// A model's files, with the old template in `tokenizer_config.json` and the new one beside it.
fn files() -> Files {
    let mut tokenizer = tokenizer();
    tokenizer.set_chat_template(OLD).unwrap();
    let config = config(tokenizer.vocab_size());
    let model = Transformer::init(&config, 7, &burn::tensor::Device::flex()).unwrap();
    let weights = pollster::block_on(model.weights()).unwrap();
    let mut files = directory_files(&config, &weights, Some(&tokenizer)).unwrap();
    assert_eq!(files["chat_template.jinja"], OLD.as_bytes());
    files.insert("chat_template.jinja".into(), NEW.into());
    files
}

fn open(files: &Files) -> Tokenizer {
    Checkpoint::open(|name| Ok(files.get(name).cloned())).unwrap().tokenizer.unwrap()
}

fn says(tokenizer: &Tokenizer, text: &str) -> String {
    let conversation = Conversation::new(vec![Message::new("user", text)]);
    let ids = tokenizer.render_prompt(&conversation, &Map::new()).unwrap();
    tokenizer.decode(&ids, false).unwrap()
}

#[test]
fn the_file_wins_however_a_checkpoint_comes() {
    let files = files();
    let single = from_single_file(&to_single_file(&files).unwrap()).unwrap();
    let zip = from_zip(&to_zip(&files).unwrap()).unwrap();
    for form in [&files, &single, &zip] {
        assert_eq!(says(&open(form), "a"), "new a");
    }
    // A model that only the file teaches to talk.
    let mut untaught = files.clone();
    let mut config: Value = serde_json::from_slice(&files["tokenizer_config.json"]).unwrap();
    config.as_object_mut().unwrap().remove("chat_template");
    untaught.insert("tokenizer_config.json".into(), config.to_string().into_bytes());
    assert_eq!(says(&open(&untaught), "a"), "new a");
}

#[test]
fn what_won_is_written_into_both() {
    let (mut files, tokenizer) = (files(), open(&files()));
    files.insert("special_tokens_map.json".into(), b"{}".to_vec());
    put_tokenizer(&mut files, &tokenizer).unwrap();
    assert_eq!(files["chat_template.jinja"], NEW.as_bytes());
    let config: Value = serde_json::from_slice(&files["tokenizer_config.json"]).unwrap();
    assert_eq!(config["chat_template"], NEW);
    assert!(!files.contains_key("special_tokens_map.json"), "what it said stands in the config");
    assert!(files.contains_key("model.safetensors") && files.contains_key("vocab.json"));
}

#[test]
fn models_of_transformers_5_talk_by_their_file() {
    for name in ["j_a", "j_b"] {
        let Some(path) = shared(&format!("cases/interop/{name}")) else { return };
        let tokenizer = shared_tokenizers::open(&path);
        let said = says(&tokenizer, "a");
        assert!(said.starts_with("<|im_start|>user\na<|im_end|>\n"), "{name}: {said}");
        let file = std::fs::read_to_string(path.join("chat_template.jinja")).unwrap();
        assert_eq!(tokenizer.chat_template(), Some(file.as_str()));
    }
}

#[test]
fn tokens_of_the_config_alone_are_tokens() {
    let Some(path) = shared("cases/data/decoderonly") else { return };
    let tokenizer = shared_tokenizers::open(&path);
    // As transformers 5.24 and 4.57 encode it with PreTrainedTokenizerFast, which takes tokenizer.json as it is.
    let ids = [512, 261, 513, 410, 268];
    assert_eq!(tokenizer.encode("<|im_start|>a<|im_end|> b").unwrap(), ids);
    assert_eq!((tokenizer.vocab_size(), tokenizer.eos()), (514, Some(513)));
    assert_eq!(tokenizer.turn_end().unwrap(), Some(513));
    let mut files = Files::new();
    put_tokenizer(&mut files, &tokenizer).unwrap();
    files.remove("tokenizer_config.json");
    let again = open_tokenizer(&mut |name: &str| Ok(files.get(name).cloned())).unwrap().unwrap();
    assert_eq!(again.encode("<|im_start|>a<|im_end|> b").unwrap(), ids);
}

#[test]
fn a_class_that_makes_other_ids_than_the_file_is_told_when_a_model_is_opened() {
    let mut files = files();
    let config: Value = serde_json::from_slice(&files["tokenizer_config.json"]).unwrap();
    let told = |files: &Files| {
        let opened = Checkpoint::open(|name| Ok(files.get(name).cloned())).unwrap();
        opened.warnings.into_iter().find(|warning| warning.contains("transformers 5 opens the tokenizer as"))
    };
    assert_eq!(told(&files), None, "PreTrainedTokenizerFast follows tokenizer.json");
    let mut tokenizer: Value = serde_json::from_slice(&files["tokenizer.json"]).unwrap();
    tokenizer["normalizer"] = serde_json::json!({"type": "Lowercase"});
    files.insert("tokenizer.json".into(), tokenizer.to_string().into_bytes());
    let mut gpt2 = config.clone();
    gpt2["tokenizer_class"] = "GPT2Tokenizer".into();
    files.insert("tokenizer_config.json".into(), gpt2.to_string().into_bytes());
    let warning = told(&files).unwrap();
    assert!(warning.contains("GPT2Tokenizer") && warning.contains("PreTrainedTokenizerFast"), "{warning}");
    // A model that is made of it can be opened there as it is.
    let opened = Checkpoint::open(|name| Ok(files.get(name).cloned())).unwrap();
    let model = opened.model(&burn::tensor::Device::flex()).unwrap();
    let made = opened.files_with(&pollster::block_on(model.weights()).unwrap()).unwrap();
    assert_eq!(told(&made), None);
    let made: Value = serde_json::from_slice(&made["tokenizer_config.json"]).unwrap();
    assert_eq!(made["tokenizer_class"], config["tokenizer_class"]);
}

#[test]
fn a_template_that_looks_at_the_date_is_known() {
    for (text, looks) in [
        ("{{ strftime_now('%Y') }}", true),
        ("{% for m in messages %}{% if now is defined %}{{ now }}{% endif %}{% endfor %}", true),
        ("{% macro day() %}{{ strftime_now('%d') }}{% endmacro %}{{ day() }}", true),
        ("{# strftime_now #}{% for m in messages %}now {{ m.content }}{% endfor %}", false),
        ("{% set now = 'x' %}{{ now }}", false),
    ] {
        let mut tokenizer = tokenizer();
        tokenizer.set_chat_template(text).unwrap();
        assert_eq!(tokenizer.prints_date(), looks, "{text}");
    }
}
