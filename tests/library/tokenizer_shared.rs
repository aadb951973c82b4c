//! Tokenizers and templates of `../shared`: real files that the project does not carry.

use std::path::Path;

use kindling::tokenizer::{ChatTemplate, Specials, StreamDecoder};
use serde_json::Value;

use super::{SENTENCES, assert_round_trip, conversation, stream, table};
use crate::shared_tokenizers::{open, shared};

fn read(path: &Path) -> Option<Vec<u8>> {
    std::fs::read(path).ok()
}

/// The runs of targets in a table.
fn targets(table: &str) -> Vec<&str> {
    table.split('⟦').skip(1).map(|run| run.split('⟧').next().unwrap()).collect()
}

#[test]
fn shared_tokenizers_load_and_round_trip() {
    let Some(shared) = shared("data") else {
        return;
    };
    let folders = ["minimind1", "minimind2", "minimind3", "mistral", "smollm2"];
    let folders = folders.map(|name| shared.join("tokenizers").join(name));
    for folder in folders.iter().chain([&shared.join("weights/stories260k/hf")]) {
        let tokenizer = open(folder);
        let name = folder.display().to_string();
        // SentencePiece puts a space before the first word, so that only texts without one come back.
        assert_round_trip(&name, &tokenizer, &[SENTENCES[0], SENTENCES[1], SENTENCES[3], "你好 world 42"]);
        let files = tokenizer.to_files().unwrap();
        assert_eq!(Some(&files[0].1), read(&folder.join("tokenizer.json")).as_ref(), "{name}");
        assert!(files.iter().any(|(file, _)| file == "merges.txt"), "{name}");
    }
}

#[test]
fn golden_encodings_of_minimind() {
    let Some(folder) = shared("data/tokenizers") else {
        return;
    };
    let second = open(&folder.join("minimind2"));
    let golden: [(&str, &[u32]); 17] = [
        ("<", &[30]),
        ("th", &[450]),
        ("ink", &[1573]),
        (">", &[32]),
        ("</", &[5540]),
        ("ans", &[662]),
        ("w", &[89]),
        ("er", &[275]),
        ("\n", &[201]),
        ("你好", &[5134]),
        ("人工智能", &[2835]),
        ("秦始皇是中国", &[441, 102, 1696, 268, 232, 345, 2366]),
        ("<think>", &[30, 450, 1573, 32]),
        ("</think>", &[5540, 450, 1573, 32]),
        ("<answer>", &[30, 662, 89, 275, 32]),
        ("system", &[85, 736]),
        ("user", &[320, 275]),
    ];
    for (text, ids) in golden {
        assert_eq!(second.encode(text).unwrap(), ids, "{text}");
    }
    let first = open(&folder.join("minimind1"));
    assert_eq!(first.encode("<s>assistant").unwrap(), [1, 1078, 538, 501]);
    let third = open(&folder.join("minimind3"));
    assert_eq!(third.encode("<think>!</think>").unwrap(), [25, 36, 26]);
    assert_eq!(third.decode(&[0, 25, 36, 26, 2], true).unwrap(), "<think>!</think>");
    assert_eq!((first.vocab_size(), second.vocab_size(), third.vocab_size()), (6400, 6400, 6400));
}

#[test]
fn thirty_golden_templates_render_byte_equal() {
    let Some(path) = shared("spec/golden_chat_templates.json") else {
        return;
    };
    let golden: Value = serde_json::from_slice(&read(&path).unwrap()).unwrap();
    let mut rendered = 0;
    for (name, template) in golden["templates"].as_object().unwrap() {
        let template = ChatTemplate::new(template.as_str().unwrap(), &Specials::default()).unwrap();
        for (case_name, case) in golden["cases"].as_object().unwrap() {
            let prompt = case["add_generation_prompt"].as_bool().unwrap();
            let mut variables = case.as_object().unwrap().clone();
            for key in ["messages", "tools", "add_generation_prompt"] {
                variables.remove(key);
            }
            let text = template.render(&conversation(case), prompt, &variables).unwrap();
            assert_eq!(text, golden["rendered"][name][case_name].as_str().unwrap(), "{name} {case_name}");
            rendered += 1;
        }
    }
    assert_eq!(rendered, 30);
}

#[test]
fn masks_of_the_golden_templates() {
    let Some(shared) = shared(".") else {
        return;
    };
    let golden: Value =
        serde_json::from_slice(&read(&shared.join("spec/golden_chat_templates.json")).unwrap()).unwrap();
    let tokenizers = shared.join("data/tokenizers");
    // Of each template: its tokenizer, its end token, and what it makes of reasoning written in the content,
    // given beside it, and of a tool call.
    let call = "<tool_call>\n{\"name\": \"calculate_math\", \"arguments\": {\"expression\": \"256 * 37\"}}\n\
                </tool_call>";
    let content = "<think>\nt\n</think>\n\nans";
    let rows = [
        ("minimind2", "minimind1", "</s>", content, "ans", ""),
        ("spongebob", "minimind1", "</s>", content, "ans", ""),
        ("tinyk", "minimind2", "<|im_end|>", content, "ans", ""),
        ("minimind-2510", "minimind2", "<|im_end|>", content, "ans", call),
        ("minimind3", "minimind3", "<|im_end|>", "t\n</think>\n\nans", "why\n</think>\n\nans", call),
        ("", "smollm2", "<|im_end|>", content, "ans", ""),
        ("", "../weights/stories260k/hf", "</s>", content, "ans", ""),
    ];
    for (template, folder, end, thinking, reasoning, tool_call) in rows {
        let mut tokenizer = open(&tokenizers.join(folder));
        if let Some(text) = golden["templates"][template].as_str() {
            tokenizer.set_chat_template(text).unwrap();
        }
        let expected = [
            ("b_sys_2turn", vec!["a1", "a2"]),
            ("c_think", vec![thinking]),
            ("d_reasoning_content", vec![reasoning]),
            ("e_tools", vec![tool_call, "9472"]),
            ("a_user_only_gen", vec![]),
        ];
        for (case, said) in expected {
            let rendered = tokenizer.render_training(&conversation(&golden["cases"][case]));
            if case == "e_tools" && tool_call.is_empty() {
                // The template prints no call, and nothing would be left of the turn.
                let error = rendered.unwrap_err().to_string();
                assert!(error.contains("message 3 holds calls of tools"), "{template} {folder}: {error}");
                continue;
            }
            let rendered = rendered.unwrap();
            let table = table(&tokenizer, &rendered);
            let said: Vec<String> = said.iter().map(|words| format!("{words}{end}")).collect();
            assert_eq!(targets(&table), said, "{template} {folder} {case}:\n{table}");
            let bos = tokenizer.bos().unwrap();
            assert!(rendered.ids.starts_with(&[bos]) && !rendered.ids.starts_with(&[bos, bos]), "{table}");
        }
    }
}

#[test]
fn a_sentencepiece_stream_keeps_or_drops_the_first_space() {
    let Some(folder) = shared("data/weights/stories260k/hf") else {
        return;
    };
    let tokenizer = open(&folder);
    assert!(tokenizer.add_bos());
    let ids = tokenizer.encode_document("Once upon 你").unwrap();
    assert_eq!(ids[..3], [1, 403, 407]);
    assert_eq!(stream(&tokenizer, &ids, true), "Once upon 你");
    let mut continuing = StreamDecoder::continuing(&tokenizer, true);
    assert_eq!(continuing.push(407).unwrap(), " upon");
    assert_eq!(tokenizer.token_bytes(231), [0xE4]);
}
