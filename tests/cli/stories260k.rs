//! Real weights and a real tokenizer: the stories260K model, where the reference data is at hand.

use std::path::{Path, PathBuf};

use crate::place::Place;

/// The folder of real data, or a word on why a test is skipped.
pub fn shared() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let data = std::env::var_os("KINDLING_SHARED").map_or(beside, PathBuf::from).join("data");
    let found = data.canonicalize().ok().filter(|data| data.join("weights/stories260k/hf").exists());
    if found.is_none() {
        eprintln!("SKIPPED: {} is absent", data.display());
    }
    found
}

/// The model's directory.
fn model() -> Option<String> {
    Some(shared()?.join("weights/stories260k/hf").to_string_lossy().into_owned())
}

#[test]
fn greedy_text_is_a_story() {
    let Some(model) = model() else { return };
    let place = Place::new();
    let words = ["generate", "--model", &model, "--prompt", "Once upon a time", "--temperature", "0"];
    let story = place.run_words(&[&words[..], &["--max-new-tokens", "200", "--json"]].concat()).ok().result();
    let text = story["text"].as_str().unwrap();
    assert!(text.starts_with(", there was a little girl named Lily."), "{text}");
    assert_eq!(story["prompt_tokens"][0], 1, "the tokenizer begins every text with its own token");
    // Coherent to the end: sentences of words, and no byte that is not text.
    assert!(text.matches(". ").count() >= 4 && text.matches("Lily").count() >= 3, "{text}");
    let usual = |c: char| c.is_ascii_alphabetic() || " .,!?'\"\n".contains(c);
    assert!(text.chars().all(usual), "{text}");
    // For people: the same text after its prompt.
    let shown = place.run_words(&[&words[..], &["--max-new-tokens", "200"]].concat()).ok();
    assert_eq!(shown.stdout, format!("Once upon a time{text}\n"));
}

#[test]
fn sense_is_likelier_than_nonsense() {
    let Some(model) = model() else { return };
    let place = Place::new();
    let bits = |text: &str| {
        let score = place.run_words(&["score", "--model", &model, "--text", text, "--json"]).ok().result();
        assert_eq!(score["tokens"][0], 1);
        score["bits_per_byte"].as_f64().unwrap()
    };
    let story = bits("Once upon a time, there was a little girl named Lily. She loved to play outside.");
    let shuffled = bits("Outside she time, loved a girl. Lily upon play to named there little was Once a.");
    assert!(story < 0.3 && shuffled > 1.5, "{story} and {shuffled} bits per byte");
}

#[test]
fn training_goes_on_from_it() {
    let Some(model) = model() else { return };
    let place = Place::new();
    place.write("a.jsonl", "{\"text\": \"Once upon a time, there was a lamp.\"}\n".repeat(8));
    let line = format!(
        "pretrain --model {model} --data a.jsonl --out run --steps 6 --batch-size 4 --max-seq-len 16"
    );
    place.run(&format!("{line} --log-every 1 --learning-rate 0.003 --lr-schedule constant")).ok();
    let losses: Vec<f64> = place.logged_steps("run").iter().map(|step| step[1]).collect();
    assert!(losses[0] < 4.0 && losses[5] < losses[0], "{losses:?}");
    place.run("score --model run --tokens 1,403,407 --json").ok();
}
