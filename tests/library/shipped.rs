//! The model that the page opens with (web/model): its table of held-out questions, recomputed from the file.

use burn::tensor::Device;
use kindling::checkpoint::{Checkpoint, from_single_file, to_single_file};
use kindling::example::{DEFAULT_SEED, Examinee, Grades, World, WorldSize, card, rows_known_by};
use kindling::model::Transformer;
use kindling::text::Message;
use kindling::tokenizer::Tokenizer;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../web/model/kindling-nano.safetensors");

pub fn open() -> (Transformer, Tokenizer) {
    let files = from_single_file(&std::fs::read(FILE).unwrap()).unwrap();
    let mut checkpoint = Checkpoint::open(|name| Ok(files.get(name).cloned())).unwrap();
    let tokenizer = checkpoint.tokenizer.take().unwrap();
    (checkpoint.model(&Device::flex()).unwrap(), tokenizer)
}

#[test]
fn the_shipped_model_answers_what_it_never_saw_at_any_turn() {
    assert!(std::fs::metadata(FILE).unwrap().len() < 8 << 20, "the page's model is to stay small");
    let (model, tokenizer) = open();
    let mut examinee = Examinee::new(&model, &tokenizer);
    let mut grades = Grades::default();
    let questions = World::new(DEFAULT_SEED).questions(WorldSize::default().questions);
    for (seed, question) in questions.iter().enumerate() {
        let mut answer = |seed| pollster::block_on(examinee.answer(&question.messages, seed)).unwrap();
        let (greedy, sampled) = (answer(None), answer(Some(seed as u64)));
        if greedy != question.answer {
            let asked = &question.messages.last().unwrap().content;
            eprintln!("turn {}: {asked} → {greedy} (right: {})", question.turn, question.answer);
        }
        grades.add(question, &greedy, &sampled);
    }
    let table = grades.table().join("\n");
    eprintln!("{table}");
    assert!(grades.all().greedy_share() >= 0.98, "{table}");
    assert!(grades.all().sampled_share() >= 0.9, "{table}");
    assert!(grades.by_kind().values().all(|kind| kind.greedy_share() >= 0.95), "{table}");
    assert!(grades.by_turn().values().all(|turn| turn.greedy_share() >= 0.95), "{table}");
}

#[test]
fn the_shipped_model_goes_on_after_its_own_answers() {
    let (model, tokenizer) = open();
    let mut examinee = Examinee::new(&model, &tokenizer);
    let mut messages = Vec::new();
    // What is said in turn, and what each answer must hold.
    let turns = [
        ("Who are you?", "Ember"),
        ("How much is 45+3?", "45+3=48"),
        ("My name is Lulu.", "Lulu"),
        ("你是谁？", "小烬"),
        ("What is my name?", "Lulu"),
        ("谢谢！", "不客气"),
        ("What is the capital of France?", "I do not know"),
    ];
    for (said, held) in turns {
        messages.push(Message::new("user", said));
        let answer = pollster::block_on(examinee.answer(&messages, None)).unwrap();
        assert!(answer.contains(held), "{said} → {answer}");
        messages.push(Message::new("assistant", &answer));
    }
}

#[test]
fn the_shipped_model_spells_no_chinese_in_bytes() {
    let (_, tokenizer) = open();
    let is_han = |c: char| ('\u{4e00}'..='\u{9fff}').contains(&c);
    let (mut tokens, mut characters) = (0, 0);
    let questions = World::new(DEFAULT_SEED).questions(WorldSize::default().questions);
    for message in questions.iter().flat_map(|question| &question.messages) {
        if message.content.contains(is_han) {
            tokens += tokenizer.encode(&message.content).unwrap().len();
            characters += message.content.chars().count();
        }
    }
    assert!(characters > 10_000 && tokens <= characters, "{tokens} tokens for {characters} characters");
}

#[test]
fn the_shipped_models_card_tells_which_rows_it_knows() {
    let (model, _) = open();
    let config = model.config();
    assert_eq!(config.card(), Some(card().unwrap()), "`bash web/model/make card` writes the card of now");
    assert!(rows_known_by(config).unwrap().is_some_and(|rows| rows.len() > 1000));
}

/// Not a test of anything: it writes the card of now into the file, whose weights stay as they are.
#[test]
#[ignore = "`bash web/model/make card` runs it"]
fn the_shipped_model_takes_the_card_of_now() {
    let mut files = from_single_file(&std::fs::read(FILE).unwrap()).unwrap();
    let settings = files.get_mut("generation_config.json").unwrap();
    let mut read: serde_json::Value = serde_json::from_slice(settings).unwrap();
    let is_of_this_world = read["kindling"]["world"] == card().unwrap().world.unwrap();
    assert!(is_of_this_world, "the file knows another version of the world: make it anew, without 'card'");
    read["kindling"] = serde_json::to_value(card().unwrap()).unwrap();
    *settings = [serde_json::to_vec_pretty(&read).unwrap(), b"\n".to_vec()].concat();
    std::fs::write(FILE, to_single_file(&files).unwrap()).unwrap();
}
