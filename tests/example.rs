//! The generated example: its files, and the embedded default with the accuracy that it promises.
//!
//! A program of its own, so that nothing else runs beside it. Run with `cargo test --release -p native --test example`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn kindling(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kindling")).current_dir(folder).args(args).output().unwrap()
}

#[test]
fn sample_data_is_written_once_and_not_over_itself() {
    let folder = tempfile::tempdir().unwrap();
    assert!(kindling(folder.path(), &["sample-data", "sets"]).status.success());
    for name in ["pretrain", "sft", "lora", "dpo", "dpo_brief", "dpo_invite", "reason", "eval", "eval_choice"]
    {
        let text = std::fs::read_to_string(folder.path().join(format!("sets/{name}.jsonl"))).unwrap();
        assert!(text.lines().count() >= 8, "{name}");
        assert!(text.lines().all(|line| line.parse::<Value>().is_ok()), "{name}");
    }
    let again = kindling(folder.path(), &["sample-data", "sets"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("--overwrite"));
}

#[test]
fn the_embedded_default_answers_what_it_never_saw() {
    let folder = tempfile::tempdir().unwrap();
    let output = kindling(folder.path(), &["sft", "--json", "--device", "cpu"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let done: Value = text.lines().last().unwrap().parse().unwrap();
    eprintln!("{done}");
    assert_eq!(done["event"], "done");
    assert!(done["questions"].as_u64().unwrap() >= 700);
    assert!(done["heldout_before"].as_f64().unwrap() < 0.5);
    assert!(done["heldout_after"].as_f64().unwrap() >= 0.98);
    assert!(done["heldout_sampled"].as_f64().unwrap() >= 0.9);
    assert!(done["constant_answer"].as_f64().unwrap() < 0.1);
    for (part, count) in [("per_kind", 9), ("per_turn", 3), ("per_language", 3)] {
        let shares = done[part].as_object().unwrap();
        assert_eq!(shares.len(), count, "{part}");
        assert!(shares.values().all(|share| share.as_f64().unwrap() >= 0.95), "{part}: {shares:?}");
    }
    // What it made is a checkpoint like any other.
    let out = done["out"].as_str().unwrap();
    let args = ["chat", "--model", out, "--temperature", "0", "--prompt", "What is 31+4?"];
    assert!(kindling(folder.path(), &args).status.success());
}
