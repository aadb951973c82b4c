use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::*;

/// Where the words begin that are not of our sources.
const OF_JSON: &str = "# What serde_json says of broken JSON.";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn told(value: Value) -> Told {
    serde_json::from_value(value).unwrap()
}

/// The sources below a folder, without their tests.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let (mut found, mut folders) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
                let source = std::fs::read_to_string(&path).unwrap();
                let own = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_string();
                found.push((path, own));
            }
        }
    }
    found
}

/// A text in quotes at the beginning, and what stands behind it.
fn quoted(source: &str) -> Option<(&str, &str)> {
    let inside = source.trim_start().strip_prefix('"')?;
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        match c {
            '"' if !escaped => return Some((&inside[..at], &inside[at + 1..])),
            _ => escaped = c == '\\' && !escaped,
        }
    }
    None
}

/// The names in braces; doubled braces are none.
fn placeholders(sentence: &str) -> BTreeSet<String> {
    let plain = sentence.replace("{{", "").replace("}}", "");
    let names = plain.split('{').skip(1).filter_map(|part| part.split_once('}'));
    let is_name = |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    names.map(|(name, _)| name).filter(is_name).map(String::from).collect()
}

/// The names that a sentence is given: what follows each comma that stands in no brackets.
fn given(source: &str) -> BTreeSet<String> {
    let (mut names, mut depth, mut rest) = (BTreeSet::new(), 0, source);
    while let Some(c) = rest.chars().next() {
        if c == '"' {
            rest = quoted(rest).map_or("", |(_, behind)| behind);
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                let name = rest.trim_start();
                let end = name.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(name.len());
                names.extend((end > 0).then(|| name[..end].to_string()));
            }
            _ => {}
        }
    }
    names
}

/// Every code of core, of the worker and of a server that trains with the names in its sentence.
fn codes() -> BTreeMap<String, BTreeSet<String>> {
    let mut codes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let all = [sources("core/src"), sources("web/src/engine"), sources("native/src/serve/training")].concat();
    for (path, source) in all.iter().filter(|(path, _)| !path.ends_with("core/src/told.rs")) {
        for site in source.split("told!(").skip(1) {
            let Some((code, behind)) = quoted(site) else { continue };
            let (english, behind) = quoted(behind.trim_start().trim_start_matches(',')).unwrap();
            let names = placeholders(english);
            assert_eq!(given(behind), names, "{}: {code} is given other names", path.display());
            let before = codes.entry(code.to_string()).or_insert_with(|| names.clone());
            assert_eq!(*before, names, "{}: {code} is used with other names elsewhere", path.display());
        }
    }
    codes
}

/// The lines of the tables, by code.
fn sentences() -> BTreeMap<&'static str, &'static str> {
    let lines = SENTENCES.into_iter().flat_map(str::lines).filter(|line| !line.starts_with('#'));
    let mut sentences = BTreeMap::new();
    for line in lines {
        let (code, sentence) = line.split_once(": ").expect("a line is `code: sentence`");
        assert!(sentences.insert(code, sentence).is_none(), "{code} has two sentences");
    }
    sentences
}

#[test]
fn every_code_has_a_chinese_sentence_with_the_same_values() {
    // The command line's own paths; the page has none.
    let of_command_line = BTreeMap::from([("peft.no_model", ["adapter", "base"])]);
    let (codes, sentences) = (codes(), sentences());
    assert!(codes.len() > 300, "{}", codes.len());
    for (code, names) in &codes {
        let sentence = sentences.get(code.as_str()).unwrap_or_else(|| panic!("{code} is not in the tables"));
        let mut said = placeholders(sentence);
        let left_out = of_command_line.get(code.as_str()).into_iter().flatten();
        said.extend(left_out.map(ToString::to_string));
        assert_eq!(said, *names, "{code}: {sentence}");
    }
    let script = ["kindling", "served"].map(|name| root().join(format!("web/js/{name}.js")));
    let script = script.map(|path| std::fs::read_to_string(path).unwrap()).concat();
    for code in sentences.keys().filter(|code| !codes.contains_key(**code)) {
        assert!(script.contains(&format!("\"{code}\"")), "nothing says {code} any more");
    }
}

#[test]
fn words_are_those_of_the_sources() {
    let all = [sources("core/src"), sources("web/src/engine")].concat();
    let all: String = all.into_iter().map(|(_, source)| source).collect();
    // A text that goes on in the next line is one text.
    let joined = all.split("\\\n").map(str::trim_start).collect::<String>();
    let own = WORDS.split(OF_JSON).next().unwrap();
    for line in own.lines().filter(|line| !line.starts_with('#')) {
        let (english, chinese) = line.split_once(" = ").expect("a line is `English = Chinese`");
        assert!(joined.contains(&format!("\"{english}\"")), "no source says {english:?}");
        assert!(!chinese.is_empty());
    }
}

#[test]
fn what_is_said_of_broken_json_is_known() {
    let mut said = BTreeSet::new();
    for broken in [
        "{\"a\" 1}",
        "[1 2]",
        "{\"a\": 1 \"b\"}",
        "{1: 2}",
        "{} x",
        "[1,]",
        "\"\\x\"",
        "[01]",
        "[1e999]",
        "\"a\u{1}\"",
        "{\"a\": ",
    ] {
        let message = serde_json::from_str::<Value>(broken).unwrap_err().to_string();
        let what = message.split(" at line ").next().unwrap();
        let what = what.strip_prefix("EOF while parsing ").unwrap_or(what);
        assert!(entry([WORDS], " = ", what).is_some(), "{broken}: {what}");
        said.insert(what.to_string());
    }
    let listed = WORDS.split(OF_JSON).nth(1).unwrap().lines().filter_map(|line| line.split_once(" = "));
    assert_eq!(listed.map(|(english, _)| english.to_string()).collect::<BTreeSet<_>>(), said);
}

#[test]
fn sentences_within_sentences_and_lists_are_said_in_chinese() {
    let reason =
        json!({"code": "row.not_string", "values": {"key": "text", "found": "a number"}, "message": "-"});
    let row = json!({"code": "row.at", "values": {"origin": "a.jsonl:2", "reason": reason}, "message": "-"});
    let one = told(json!({"code": "data.bad_rows", "values": {"total": 1.0, "rows": [row]}, "message": "-"}));
    let text = "数据中有 1 行不能使用：a.jsonl:2：text 必须是字符串，而这里是数字";
    assert_eq!(in_words(&one, Language::Chinese), text);
    let two =
        told(json!({"code": "data.bad_rows", "values": {"total": 2, "rows": [row, row]}, "message": "-"}));
    assert_eq!(in_words(&two, Language::Chinese).lines().count(), 3);
}

#[test]
fn stages_and_parts_have_the_names_of_their_fields() {
    let values = json!({"trained": 5, "parameters": 9, "parts": "mlp,norm", "tied": ""});
    let frozen = told(json!({"code": "freeze.trains", "values": values, "message": "-"}));
    let text = "9 个参数中有 5 个参加训练；冻结的部分：中间层（MLP）、归一化";
    assert_eq!(in_words(&frozen, Language::Chinese), text);
    let values = json!({"field": "grpo", "stage": "distill"});
    let stage = told(json!({"code": "settings.of_stage", "values": values, "message": "-"}));
    assert!(in_words(&stage, Language::Chinese).contains("只在 蒸馏 阶段"));
    // What a person named so keeps its name.
    let values = json!({"part": "a/mlp.zip"});
    let other = told(json!({"code": "freeze.absent", "values": values, "message": "-"}));
    assert!(in_words(&other, Language::Chinese).contains("a/mlp.zip"));
}

#[test]
fn flags_become_fields_and_other_sentences_stay() {
    let values = json!({"length": 900, "context": 512});
    let long =
        told(json!({"code": "train.length_over", "values": values, "message": "--max-seq-len is 900"}));
    let text = "“最长行（词元）” 是 900，而模型只有 512 个位置；最多设为这么多";
    assert_eq!(in_words(&long, Language::Chinese), text);
    assert_eq!(in_words(&long, Language::English), "“Longest row, tokens” is 900");
    let zero = json!({"code": "unmask.zero", "values": {"flag": "--steps"}, "message": "--steps is 0"});
    assert_eq!(in_words(&told(zero), Language::English), "“Steps (empty: one for each token)” is 0");
    let other = told(json!({"code": "other", "values": {}, "message": "it broke"}));
    assert_eq!(in_words(&other, Language::Chinese), "it broke");
    let template = told(json!({"code": "template.no_end", "values": {}, "message": "-"}));
    assert!(in_words(&template, Language::Chinese).contains("{{ eos_token }}"));
}

#[test]
fn no_chinese_sentence_has_a_flag() {
    for (code, sentence) in sentences() {
        let said = in_fields(sentence, Language::Chinese.text());
        assert!(!said.contains(" --") && !said.starts_with("--"), "{code}: {said}");
    }
}
