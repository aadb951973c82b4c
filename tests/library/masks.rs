//! What is trained of conversations under templates in use, beside transformers (tests/golden/masks/make.py): the ids
//! of prompts and answers as inference will see them, and of these the answers with their ends.

use std::collections::BTreeMap;

use kindling::checkpoint::open_tokenizer;
use kindling::random::Random;
use kindling::text::{Conversation, Message};
use kindling::tokenizer::Tokenizer;
use serde::Deserialize;
use serde_json::{Map, Value, json};

const GOLDEN: &str = include_str!("../golden/masks/masks.json");

#[derive(Deserialize)]
struct Golden {
    /// The date that templates print.
    now: String,
    /// `tokenizer.json` without added tokens, by name.
    tokenizers: BTreeMap<String, Value>,
    templates: Vec<Template>,
}

#[derive(Deserialize)]
struct Template {
    name: String,
    template: String,
    /// The same with generation tags around what the assistant says.
    marked: String,
    bos: Option<String>,
    eos: Option<String>,
    /// Tokens that are never split: their text, whether they are special, whether they take blanks on their right.
    added: Vec<(String, bool, bool)>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    messages: Vec<Message>,
    tools: Option<Value>,
    /// The texts of the targets.
    said: Vec<String>,
    /// By tokenizer.
    rows: BTreeMap<String, Row>,
}

#[derive(Deserialize, PartialEq)]
struct Row {
    ids: Vec<u32>,
    /// Runs of targets: the first of each, and the one behind its last.
    targets: Vec<(usize, usize)>,
}

/// A tokenizer with the tokens that a template adds and its source, with or without generation tags.
fn equipped(base: &Value, template: &Template, source: &str, now: &str) -> Tokenizer {
    let first = base["model"]["vocab"].as_object().unwrap().len();
    let token = |(i, (text, special, rstrip)): (usize, &(String, bool, bool))| {
        json!({
            "id": first + i, "content": text, "special": special, "rstrip": rstrip,
            "lstrip": false, "single_word": false, "normalized": false,
        })
    };
    let mut tokenizer_json = base.clone();
    tokenizer_json["added_tokens"] = template.added.iter().enumerate().map(token).collect();
    let config = json!({
        "bos_token": template.bos, "eos_token": template.eos, "chat_template": source,
    });
    let mut read = |name: &str| {
        Ok(match name {
            "tokenizer.json" => Some(tokenizer_json.to_string().into_bytes()),
            "tokenizer_config.json" => Some(config.to_string().into_bytes()),
            _ => None,
        })
    };
    let mut tokenizer = open_tokenizer(&mut read).unwrap().unwrap();
    tokenizer.set_template_variable("now", now.into());
    tokenizer
}

/// The runs of targets among the weights, all of which must be 0 or 1.
fn runs(weights: &[f32]) -> Vec<(usize, usize)> {
    assert!(weights.iter().all(|&weight| weight == 0.0 || weight == 1.0), "{weights:?}");
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (i, _) in weights.iter().enumerate().filter(|(_, weight)| **weight == 1.0) {
        match runs.last_mut().filter(|run| run.1 == i) {
            Some(run) => run.1 = i + 1,
            None => runs.push((i, i + 1)),
        }
    }
    runs
}

/// The text of some ids, with what a decoder would strip.
fn text(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let bytes: Vec<u8> = ids.iter().flat_map(|&id| tokenizer.token_bytes(id)).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The ids with what is trained of them in ⟦ ⟧.
fn table(tokenizer: &Tokenizer, row: &Row) -> String {
    let mut table = String::new();
    for (i, &id) in row.ids.iter().enumerate() {
        let begins = if row.targets.iter().any(|run| run.0 == i) { "⟦" } else { "" };
        let ends = if row.targets.iter().any(|run| run.1 == i + 1) { "⟧" } else { "" };
        table += &format!("{begins}{}{ends}·", tokenizer.token_text(id));
    }
    table
}

/// What is wrong with a case, where something is.
fn wrong(tokenizer: &Tokenizer, case: &Case, expected: &Row) -> Option<String> {
    let conversation = Conversation { messages: case.messages.clone(), tools: case.tools.clone() };
    let rendered = match tokenizer.render_training(&conversation) {
        Ok(rendered) => rendered,
        Err(error) => return Some(error.to_string()),
    };
    assert_eq!(rendered.ids.len(), rendered.weights.len());
    let found = Row { targets: runs(&rendered.weights), ids: rendered.ids };
    let said: Vec<String> =
        found.targets.iter().map(|run| text(tokenizer, &found.ids[run.0..run.1])).collect();
    if found == *expected && said == case.said {
        return None;
    }
    let [found, expected] = [&found, expected].map(|row| table(tokenizer, row));
    Some(format!("found\n{found}\nwhere transformers gives\n{expected}\n{said:?}, {:?}", case.said))
}

#[test]
fn what_is_trained_is_what_inference_sees() {
    let golden: Golden = serde_json::from_str(GOLDEN).unwrap();
    assert_eq!((golden.tokenizers.len(), golden.templates.len()), (3, 16));
    let (mut compared, mut failures) = (0, Vec::new());
    for template in &golden.templates {
        for (name, base) in &golden.tokenizers {
            for (kind, source) in [("as it is", &template.template), ("marked", &template.marked)] {
                let tokenizer = equipped(base, template, source, &golden.now);
                for case in &template.cases {
                    compared += 1;
                    if let Some(why) = wrong(&tokenizer, case, &case.rows[name]) {
                        failures.push(format!("{} {kind}, {name}, {}: {why}", template.name, case.name));
                    }
                }
            }
        }
    }
    let shown = failures.iter().take(12).cloned().collect::<Vec<_>>().join("\n\n");
    assert!(failures.is_empty(), "{} of {compared} differ, among them\n\n{shown}", failures.len());
}

/// Words and blanks in any order, a word among them.
fn chatter(random: &mut Random) -> String {
    let pieces = ["Lind", "5", " ", "  ", "\n", "\n\n", "\t", ":", "小水", "é", "🦦", "<", "</", "\"", "- "];
    let some =
        |random: &mut Random| -> String { (0..random.below(4)).map(|_| *random.choose(&pieces)).collect() };
    [some(random), "otter".into(), some(random)].concat()
}

#[test]
fn any_answer_stands_right_behind_the_prompt_of_inference() {
    let golden: Golden = serde_json::from_str(GOLDEN).unwrap();
    let mut random = Random::new(10, 0);
    // One opens a thought that no printed turn shows; the other's tokens take the blanks that begin an answer.
    let others = golden.templates.iter().filter(|one| !["deepseek_r1", "phi"].contains(&one.name.as_str()));
    for template in others {
        for (name, base) in &golden.tokenizers {
            let tokenizer = equipped(base, template, &template.template, &golden.now);
            for _ in 0..12 {
                let turns =
                    ["system", "user", "assistant"].map(|role| Message::new(role, &chatter(&mut random)));
                let asked = Conversation::new(turns[..2].to_vec());
                let prompt = tokenizer.render_prompt(&asked, &Map::new()).unwrap();
                let rendered = tokenizer.render_training(&Conversation::new(turns.to_vec())).unwrap();
                let place = format!("{}, {name}: {turns:?}", template.name);
                assert!(rendered.ids.starts_with(&prompt), "{place}");
                let found = runs(&rendered.weights);
                assert_eq!((found.len(), found[0].0), (1, prompt.len()), "{place}");
                let said = text(&tokenizer, &rendered.ids[found[0].0..found[0].1]);
                assert!(said.contains(turns[2].content.trim()), "{place}: {said:?}");
            }
        }
    }
}
