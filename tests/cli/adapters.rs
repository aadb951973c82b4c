//! `lora`, `merge` and `--adapter`.

use serde_json::{Value, json};

use crate::place::Place;

const LORA: &str = "lora --model model --data chat.jsonl --lora-rank 4 --learning-rate 0.05";
/// Long enough for the rows to hold their answers.
const LONG: &str = "--steps 3 --batch-size 2 --max-seq-len 64 --log-every 1";
const GREEDY: &str = "--tokens 40,41,42 --temperature 0 --max-new-tokens 12 --ignore-eos --json";

fn tokens(place: &Place, model: &str) -> Value {
    place.run(&format!("generate --model {model} {GREEDY}")).ok().result()["tokens"].clone()
}

#[test]
fn an_adapter_is_small_changes_the_answers_and_merges_into_the_same() {
    let place = Place::with_model();
    let run = place.run(&format!("{LORA} --out run {LONG}")).ok();
    let run =
        run.expect(0, &["trained beside", "frozen parameters", "kindling chat --model model --adapter run"]);
    assert_eq!(run.stdout, "run\n");
    for file in
        ["adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "training/progress.json"]
    {
        assert!(place.exists(&format!("run/{file}")), "{file}");
    }
    assert!(!place.exists("run/model.safetensors") && !place.exists("run/config.json"));
    let base = tokens(&place, "model");
    let adapted = tokens(&place, "model --adapter run");
    assert_ne!(base, adapted);
    place.run("merge --model model --adapter run --out merged").ok().expect(0, &["chat --model merged"]);
    assert_eq!(tokens(&place, "merged"), adapted);
    // Scores agree where the greedy answer is only one number of many.
    let score = |model: &str| {
        let scored =
            place.run(&format!("score --model {model} --tokens 40,41,42,43 --logits --json")).ok().result();
        scored["logits"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect::<Vec<_>>()
    };
    for (a, b) in score("model --adapter run").iter().zip(score("merged")) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
    place.run("chat --model model --adapter run --max-new-tokens 3 --prompt hi").ok();
}

#[test]
fn an_adapter_run_resumes_bit_for_bit() {
    let place = Place::with_model();
    let train = format!("{LORA} --lora-dropout 0.1 --steps 6 --batch-size 2 --max-seq-len 64 --log-every 1");
    place.run(&format!("{train} --out whole")).ok();
    place.run(&format!("{train} --out parts --stop-after 2")).ok();
    place.run("lora --resume --out parts").ok();
    let weights = |run: &str| place.read(&format!("{run}/adapter_model.safetensors"));
    assert!(weights("whole") == weights("parts"));
    let changed = place.run("lora --resume --out parts --lora-rank 8");
    changed.expect(2, &["lora-rank"]);
}

#[test]
fn an_adapter_of_another_base_is_refused_by_name() {
    let place = Place::with_model();
    place.run(&format!("{LORA} --out run {LONG}")).ok();
    place.run(&format!("sft --model model --data chat.jsonl --out other {LONG}")).ok();
    for verb in ["generate --prompt hi", "score --text hi", "chat --prompt hi", "merge --out x"] {
        let refused = place.run(&format!("{verb} --model other --adapter run"));
        refused.expect(1, &["run:", "was trained on the weights", "('model')"]);
    }
    assert!(!place.exists("x"));
    let missing = place.run("generate --model model --adapter docs.jsonl --prompt hi");
    missing.expect(1, &["docs.jsonl", "adapter_config.json"]);
}

#[test]
fn an_adapter_that_would_open_half_or_otherwise_is_refused_by_every_verb() {
    let place = Place::with_model();
    place.run(&format!("{LORA} --out run {LONG}")).ok();
    let settings = place.json("run/adapter_config.json");
    let other = |name: &str, key: &str, value: Value| {
        place.copy("run", name);
        let mut settings = settings.clone();
        settings[key] = value;
        place.write(&format!("{name}/adapter_config.json"), settings.to_string());
    };
    other("wide", "r", json!(8));
    other("head", "target_modules", json!(["q_proj", "lm_head"]));
    other("pissa", "init_lora_weights", json!("pissa"));
    other("behind", "alora_invocation_tokens", json!([7]));
    other("null", "fan_in_fan_out", Value::Null);
    for (name, parts) in [
        ("wide", &["wide:", "say rank 8", "of rank 4"][..]),
        ("head", &["head:", "do not name", "down_proj"]),
        ("pissa", &["pissa:", "init_lora_weights", "path_initial_model_for_weight_conversion"]),
        ("behind", &["behind:", "alora_invocation_tokens = [7]"]),
    ] {
        for verb in ["generate --prompt hi", "score --text hi", "chat --prompt hi", "merge --out x"] {
            place.run(&format!("{verb} --model model --adapter {name}")).expect(1, parts);
        }
    }
    assert!(!place.exists("x"));
    assert_eq!(tokens(&place, "model --adapter null"), tokens(&place, "model --adapter run"));
    // What is no pair of mlx-lm's is told as mlx-lm's, not as damaged.
    let mlx =
        json!({"fine_tune_type": "lora", "num_layers": 1, "lora_parameters": {"rank": 4, "scale": 2.0}});
    place.write("mlx/adapter_config.json", mlx.to_string());
    let lacking = place.run("score --text hi --model model --adapter mlx");
    lacking.expect(1, &["mlx:", "there is no adapters.safetensors"]);
    place.write("mlx/adapters.safetensors", place.read("run/adapter_model.safetensors"));
    let foreign = place.run("score --text hi --model model --adapter mlx");
    foreign.expect(1, &["mlx:", "of mlx-lm", "neither lora_a nor lora_b", "mlx_lm.fuse"]);
}

#[test]
fn flags_that_do_not_hold_are_named_before_any_work() {
    let place = Place::with_model();
    let bad = place.run(&format!("{LORA} --lora-targets q_proj,qq --lora-dropout 2 --out run {LONG}"));
    bad.expect(2, &["names 'qq'", "--lora-dropout is 2"]);
    let head = place.run(&format!("{LORA} --lora-targets lm_head --out run {LONG}"));
    head.expect(2, &["'lm_head'", "does not have"]);
    let baseless =
        place.run(&format!("lora --data chat.jsonl --preset nano --tokenizer tok --out run {LONG}"));
    baseless.expect(2, &["lora adapts a trained model", "--model"]);
    place.run("lora").expect(2, &["--data"]);
    place.run(&format!("{LORA} --dora --out run {LONG}")).expect(2, &["not built yet"]);
    assert!(!place.exists("run"));
    let taken = place.run(&format!("{LORA} --out run {LONG}"));
    taken.ok();
    place.run("merge --model model --adapter run --out tok").expect(2, &["--out tok is taken"]);
}
