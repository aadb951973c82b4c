//! Tokenizers and chat templates end to end.
//!
//! The project's own golden cases always run; those that read `../shared` (or `KINDLING_SHARED`) print
//! SKIPPED where it is absent.

use std::collections::BTreeMap;

use kindling::error::Error;
use kindling::text::{Conversation, Message};
use kindling::tokenizer::{
    ChatTemplate, Rendered, Specials, StreamDecoder, Tokenizer, TokenizerFiles, TokenizerTraining, cut_text,
    report, train,
};
use serde_json::{Map, Value, json};

#[path = "tokenizer_shared.rs"]
mod shared;

const GOLDEN: &str = include_str!("../golden/chat_templates.json");

const SENTENCES: [&str; 4] = [
    "Once upon a time there was a small dragon who lived in a tower.",
    "从前有一条小龙，住在一座高高的塔里。",
    "  Two  spaces, a tab\tand\r\na line break; 12 + 30 = 42.\n",
    "Émile said: \"naïve\" 😀 👩‍🚀 — ok?",
];

fn own_tokenizer() -> Tokenizer {
    let settings = TokenizerTraining { vocab_size: 400, ..TokenizerTraining::default() };
    train(SENTENCES.iter().cycle().take(40).map(|text| text.to_string()), &settings).unwrap()
}

fn conversation(case: &Value) -> Conversation {
    let messages: Vec<Message> = serde_json::from_value(case["messages"].clone()).unwrap();
    Conversation { messages, tools: case.get("tools").cloned() }
}

/// The conversation as the model sees it, with what it learns to say in ⟦ ⟧.
fn table(tokenizer: &Tokenizer, rendered: &Rendered) -> String {
    assert_eq!(rendered.ids.len(), rendered.weights.len());
    let mut text = String::new();
    let mut start = 0;
    for end in 1..=rendered.ids.len() {
        if end < rendered.ids.len() && rendered.weights[end] == rendered.weights[start] {
            continue;
        }
        let run = tokenizer.decode(&rendered.ids[start..end], false).unwrap();
        text += &if rendered.weights[start] != 0.0 { format!("⟦{run}⟧") } else { run };
        start = end;
    }
    text
}

fn stream(tokenizer: &Tokenizer, ids: &[u32], skip_special: bool) -> String {
    let mut decoder = StreamDecoder::new(tokenizer, skip_special);
    let mut text: String = ids.iter().map(|&id| decoder.push(id).unwrap()).collect();
    text += &decoder.finish();
    text
}

fn assert_round_trip(name: &str, tokenizer: &Tokenizer, texts: &[&str]) {
    for text in texts {
        let ids = tokenizer.encode(text).unwrap();
        let (same, offsets) = tokenizer.encode_with_offsets(text).unwrap();
        assert_eq!(ids, same, "{name}");
        assert_eq!(offsets.last().map(|&(_, end)| end), Some(text.len()), "{name}: {text}");
        assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()), "{name}");
        let decoded = tokenizer.decode(&ids, false).unwrap();
        assert_eq!(decoded, *text, "{name}");
        assert_eq!(stream(tokenizer, &ids, false), decoded, "{name}");
    }
}

#[test]
fn own_golden_templates_render_as_jinja2_does() {
    let specials = Specials { bos: Some("<s>".to_string()), ..Specials::default() };
    let cases: Vec<Value> = serde_json::from_str(GOLDEN).unwrap();
    assert_eq!(cases.len(), 12);
    for case in &cases {
        let template = ChatTemplate::new(case["template"].as_str().unwrap(), &specials).unwrap();
        let prompt = case["add_generation_prompt"].as_bool().unwrap_or(false);
        let variables = case["variables"].as_object().cloned().unwrap_or_default();
        let text = template.render(&conversation(case), prompt, &variables).unwrap();
        assert_eq!(text, case["text"].as_str().unwrap(), "{}", case["name"]);
    }
}

#[test]
fn own_golden_masks_hold_exactly_what_the_assistant_says() {
    let mut tokenizer = own_tokenizer();
    let cases: Vec<Value> = serde_json::from_str(GOLDEN).unwrap();
    for case in cases.iter().filter(|case| case["targets"].is_array()) {
        tokenizer.set_chat_template(case["template"].as_str().unwrap()).unwrap();
        let (text, targets) = tokenizer.render_targets(&conversation(case)).unwrap();
        let said: Vec<&str> = targets.iter().map(|target| &text[target.bytes.clone()]).collect();
        assert_eq!(json!(said), case["targets"], "{}", case["name"]);
    }
}

#[test]
fn chatml_trains_the_answer_and_its_end_token() {
    let tokenizer = own_tokenizer();
    let turns = [("system", "S"), ("user", "q1"), ("assistant", "小龙"), ("user", "q2"), ("assistant", "")];
    let messages = turns.iter().map(|(role, content)| Message::new(role, content)).collect();
    let mut conversation = Conversation { messages, tools: None };
    let rendered = tokenizer.render_training(&conversation).unwrap();
    let expected = "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nq1<|im_end|>\n\
                    <|im_start|>assistant\n⟦小龙<|im_end|>⟧\n<|im_start|>user\nq2<|im_end|>\n\
                    <|im_start|>assistant\n⟦<|im_end|>⟧\n";
    assert_eq!(table(&tokenizer, &rendered), expected);

    // What a model is asked at inference is a prefix of what it was trained on.
    conversation.messages.pop();
    let prompt = tokenizer.render_prompt(&conversation, &Map::new()).unwrap();
    assert_eq!(rendered.ids[..prompt.len()], prompt[..]);
    assert_eq!(rendered.weights[prompt.len()], 1.0);
}

#[test]
fn a_trained_tokenizer_survives_its_files() {
    let tokenizer = own_tokenizer();
    assert!(tokenizer.vocab_size() <= 400);
    let roles = [tokenizer.pad(), tokenizer.bos(), tokenizer.eos(), tokenizer.document_end()];
    assert_eq!(roles, [Some(0), Some(1), Some(2), Some(0)]);
    assert_eq!(tokenizer.stop_ids(), [2, 0]);
    assert!(!tokenizer.add_bos());

    let files: BTreeMap<String, Vec<u8>> = tokenizer.to_files().unwrap().into_iter().collect();
    let names: Vec<&String> = files.keys().collect();
    let expected =
        ["chat_template.jinja", "merges.txt", "tokenizer.json", "tokenizer_config.json", "vocab.json"];
    assert_eq!(names, expected);
    let vocab: Map<String, Value> = serde_json::from_slice(&files["vocab.json"]).unwrap();
    assert_eq!((vocab.len(), &vocab["<|im_end|>"]), (tokenizer.vocab_size(), &json!(2)));
    let merges = String::from_utf8(files["merges.txt"].clone()).unwrap();
    assert_eq!(merges.lines().next(), Some("#version: 0.2"));
    assert_eq!(merges.lines().count() - 1, tokenizer.vocab_size() - 259);

    let loaded = Tokenizer::from_files(&TokenizerFiles {
        tokenizer_json: files["tokenizer.json"].clone(),
        tokenizer_config_json: Some(files["tokenizer_config.json"].clone()),
    })
    .unwrap();
    assert_eq!(loaded.chat_template(), tokenizer.chat_template());
    for text in SENTENCES {
        assert_eq!(loaded.encode(text).unwrap(), tokenizer.encode(text).unwrap());
    }
    assert_eq!(
        own_tokenizer().to_files().unwrap(),
        loaded.to_files().unwrap(),
        "the same texts, the same files"
    );
    assert_round_trip("own", &loaded, &SENTENCES);
}

/// The own tokenizer, with these keys of its two files replaced.
fn changed(tokenizer: Value, config: Value) -> Tokenizer {
    let files: BTreeMap<String, Vec<u8>> = own_tokenizer().to_files().unwrap().into_iter().collect();
    let with = |name: &str, changes: Value| {
        let mut file: Map<String, Value> = serde_json::from_slice(&files[name]).unwrap();
        file.extend(changes.as_object().unwrap().clone());
        serde_json::to_vec(&file).unwrap()
    };
    Tokenizer::from_files(&TokenizerFiles {
        tokenizer_json: with("tokenizer.json", tokenizer),
        tokenizer_config_json: Some(with("tokenizer_config.json", config)),
    })
    .unwrap()
}

/// A post-processor that puts `<|im_start|>` before a text, and perhaps `<|im_end|>` behind it.
fn around(eos: bool) -> Value {
    let special = |token: &str| json!({"SpecialToken": {"id": token, "type_id": 0}});
    let known = |token: &str, id: u32| json!({"id": token, "ids": [id], "tokens": [token]});
    let text = json!({"Sequence": {"id": "A", "type_id": 0}});
    let mut single = vec![special("<|im_start|>"), text];
    single.extend(eos.then(|| special("<|im_end|>")));
    json!({"post_processor": {
        "type": "TemplateProcessing", "single": single, "pair": single,
        "special_tokens": {"<|im_start|>": known("<|im_start|>", 1), "<|im_end|>": known("<|im_end|>", 2)},
    }})
}

#[test]
fn the_post_processor_decides_what_stands_around_a_document() {
    let plain = own_tokenizer().encode("a").unwrap();
    let framed = |eos: &[u32]| [&[1][..], plain.as_slice(), eos].concat();
    // As transformers 5: the config's keys are not read beside a tokenizer.json.
    let with_bos = changed(around(false), json!({"add_bos_token": false}));
    assert!(with_bos.add_bos());
    assert_eq!(with_bos.encode("a").unwrap(), plain);
    assert_eq!(with_bos.encode_document("a").unwrap(), framed(&[]));
    assert_eq!(with_bos.encode_document("<|im_start|>a").unwrap(), framed(&[]), "added once");
    assert_eq!(with_bos.encode_whole("a").unwrap(), framed(&[]));
    let both = changed(around(true), json!({"add_eos_token": false}));
    assert_eq!(both.encode_document("a").unwrap(), framed(&[]), "a document goes on");
    assert_eq!(both.encode_whole("a").unwrap(), framed(&[2]));
    assert_eq!(both.encode_whole("a<|im_end|>").unwrap(), framed(&[2]));
    let without = changed(json!({}), json!({"add_bos_token": true, "add_eos_token": true}));
    assert!(!without.add_bos());
    assert_eq!(without.encode_whole("a").unwrap(), plain);
    // What is written says what holds, for programs that do read the keys.
    for (tokenizer, flags) in [(both, [true, true]), (with_bos, [true, false]), (without, [false, false])] {
        let files: BTreeMap<String, Vec<u8>> = tokenizer.to_files().unwrap().into_iter().collect();
        let config: Value = serde_json::from_slice(&files["tokenizer_config.json"]).unwrap();
        assert_eq!([&config["add_bos_token"], &config["add_eos_token"]], flags.map(Value::from).each_ref());
    }
    let mut unknown = around(false);
    unknown["post_processor"]["special_tokens"]["<|im_start|>"]["ids"] = json!([99_999]);
    let mut file: Map<String, Value> =
        serde_json::from_slice(&own_tokenizer().to_files().unwrap().swap_remove(0).1).unwrap();
    file.extend(unknown.as_object().unwrap().clone());
    assert!(refusal(&serde_json::to_vec(&file).unwrap(), None).contains("puts the id 99999 around a text"));
}

#[test]
fn without_a_template_the_remedy_is_told() {
    let untaught = changed(json!({}), json!({"chat_template": null}));
    let error = untaught.render_training(&Conversation { messages: vec![], tools: None }).unwrap_err();
    assert!(error.to_string().contains("no chat template"), "{error}");
    let named = json!([{"name": "rag", "template": "r"}, {"name": "mine", "template": "m"}]);
    let named = changed(json!({}), json!({"chat_template": named}));
    let error = named.check_chat_template().unwrap_err().to_string();
    assert!(error.contains("by name (rag, mine)") && error.contains("--chat-template FILE"), "{error}");
}

#[test]
fn conversations_with_tools_have_a_template_of_their_own() {
    let named = json!([{"name": "default", "template": "D"}, {"name": "tool_use", "template": "T"}]);
    let tokenizer = changed(json!({}), json!({"chat_template": named}));
    let render = |tools: Option<Value>| {
        let conversation = Conversation { messages: vec![Message::new("user", "q")], tools };
        let ids = tokenizer.render_prompt(&conversation, &Map::new()).unwrap();
        tokenizer.decode(&ids, false).unwrap()
    };
    assert_eq!((render(None), render(Some(json!([])))), ("D".to_string(), "T".to_string()));
    let mut replaced = tokenizer.clone();
    replaced.set_chat_template("N").unwrap();
    let tools = Conversation { messages: vec![Message::new("user", "q")], tools: Some(json!([])) };
    let ids = replaced.render_prompt(&tools, &Map::new()).unwrap();
    assert_eq!(replaced.decode(&ids, false).unwrap(), "N");
}

#[test]
fn streaming_gives_whole_characters_and_skips_special_tokens() {
    let tokenizer = own_tokenizer();
    let ids = tokenizer.encode("😀<|im_end|>é").unwrap();
    let mut decoder = StreamDecoder::new(&tokenizer, true);
    let pieces: Vec<String> = ids.iter().map(|&id| decoder.push(id).unwrap()).collect();
    assert!(pieces.iter().all(|piece| !piece.contains('\u{FFFD}')), "{pieces:?}");
    assert_eq!(pieces.concat(), "😀é");
    let cut: Vec<u32> = tokenizer.encode("ꙮ").unwrap()[..1].to_vec();
    assert_eq!(stream(&tokenizer, &cut, true), "\u{FFFD}");
    assert_eq!(tokenizer.decode(&cut, true).unwrap(), "\u{FFFD}");
    assert_eq!(tokenizer.token_text(cut[0]), "<EA>");
}

#[test]
fn the_report_counts_by_language() {
    let tokenizer = own_tokenizer();
    let texts = SENTENCES.iter().map(|text| Ok(text.to_string()));
    let report = report(&tokenizer, texts, &["<|im_end|>", "<think>"]).unwrap();
    assert_eq!((report.texts, report.round_trip_failures), (4, 0));
    assert_eq!(report.bytes, SENTENCES.iter().map(|text| text.len() as u64).sum::<u64>());
    let chinese = tokenizer.encode(SENTENCES[1]).unwrap().len();
    let expected = SENTENCES[1].chars().count() as f64 / chinese as f64;
    assert_eq!(report.zh_chars_per_token, Some(expected));
    assert_eq!(report.costs[0].ids, [2]);
    assert_eq!(report.costs[1].pieces.concat(), "<think>");
}

#[test]
fn the_report_reads_a_long_text_in_pieces() {
    let tokenizer = own_tokenizer();
    let word = "从前有一条小龙".repeat(10_000);
    let spaced = "there was a small dragon ".repeat(10_000);
    let texts = [word.clone(), spaced.clone()].map(Ok);
    let report = report(&tokenizer, texts.into_iter(), &[]).unwrap();
    assert_eq!((report.texts, report.round_trip_failures), (2, 0));
    let tokens =
        |text: &str| cut_text(text).map(|piece| tokenizer.encode(piece).unwrap().len()).sum::<usize>();
    assert!(cut_text(&word).count() > 1 && cut_text(&spaced).count() > 1);
    assert_eq!(report.tokens, (tokens(&word) + tokens(&spaced)) as u64);
    // A cut before a space costs no token.
    assert_eq!(tokens(&spaced), tokenizer.encode(&spaced).unwrap().len());
}

#[test]
fn the_report_stops_at_a_text_that_cannot_be_read() {
    let texts = [Ok("one".to_string()), Err(Error::Data("a.jsonl:2: unreadable".into()))];
    let error = report(&own_tokenizer(), texts.into_iter(), &[]).unwrap_err();
    assert_eq!(error.to_string(), "a.jsonl:2: unreadable");
}

#[test]
fn a_line_without_a_space_trains_in_time() {
    // Merging in a word of two megabytes would take hours.
    let word = "从前有一条小龙住在一座高高的塔里".repeat(40_000);
    let settings = TokenizerTraining { vocab_size: 300, ..TokenizerTraining::default() };
    let tokenizer = train(std::iter::once(word.clone()), &settings).unwrap();
    assert_eq!(tokenizer.vocab_size(), 300);
    let start: String = word.chars().take(100).collect();
    assert_round_trip("one word", &tokenizer, &[&start]);
}

fn refusal(tokenizer: &[u8], config: Option<&[u8]>) -> String {
    let files = TokenizerFiles {
        tokenizer_json: tokenizer.to_vec(),
        tokenizer_config_json: config.map(<[u8]>::to_vec),
    };
    Tokenizer::from_files(&files).unwrap_err().to_string()
}

#[test]
fn broken_files_are_named() {
    assert!(refusal(b"{", None).contains("tokenizer.json"));
    assert!(refusal(b"{}", None).contains("tokenizer.json"));
    let json = own_tokenizer().to_files().unwrap().swap_remove(0).1;
    assert!(refusal(&json, Some(b"{")).contains("tokenizer_config.json"));
}
