//! Several models, and adapters by name: from the start, and while the server runs.

use serde_json::{Value, json};

use super::client::ask;
use super::site::{Site, question, said};
use crate::place::{Place, SHORT};

const CHAT: &str = "/v1/chat/completions";
const LORA: &str = "lora --model model --data chat.jsonl --lora-rank 4 --learning-rate 0.05 --steps 30 --batch-size 4 \
                    --max-seq-len 128 --out learned";

pub fn with_adapter() -> Place {
    let place = Place::with_model();
    place.run(LORA).ok();
    place
}

fn answer(site: &Site, model: &str) -> String {
    let mut asked = question("What is 3 plus one?", 10);
    asked["model"] = json!(model);
    said(&site.post(CHAT, &asked).expect(200))
}

fn alone(place: &Place, flags: &[&str]) -> String {
    let words = ["chat", "--prompt", "What is 3 plus one?", "--max-new-tokens", "10", "--temperature", "0"];
    let words = [&words[..], &["--ignore-eos", "--json"], flags].concat();
    place.run_words(&words).ok().result()["content"].as_str().unwrap().to_string()
}

#[test]
fn an_adapter_is_a_model_by_its_name() {
    let place = with_adapter();
    let site = Site::start(&place, "--model base=model --model other=model --adapter taught@base=learned");
    let (base, taught) =
        (alone(&place, &["--model", "model"]), alone(&place, &["--model", "model", "--adapter", "learned"]));
    assert_ne!(base, taught, "the adapter changes this answer");
    // The adapter first: its model is loaded for it.
    assert_eq!(
        (answer(&site, "taught"), answer(&site, "base"), answer(&site, "taught")),
        (taught.clone(), base.clone(), taught.clone())
    );
    let models = site.get("/v1/models").expect(200);
    assert_eq!(models["data"][2]["parent"], "base");
    let with = |adapters: Value, model: &str| {
        let mut asked = question("What is 3 plus one?", 10);
        (asked["model"], asked["adapters"]) = (json!(model), adapters);
        site.post(CHAT, &asked)
    };
    assert_eq!(said(&with(json!("base"), "taught").expect(200)), base);
    assert_eq!(said(&with(json!(["taught"]), "base").expect(200)), taught);
    with(json!(["taught"]), "other").refused(404, "invalid_request_error");
    assert_eq!(site.metric("kindling_models_loaded"), 2.0, "no one asked for the other model");
    // As much of an adapter as a request says: none of it is the model.
    let strength =
        |strength: f64| said(&with(json!([{"name": "taught", "strength": strength}]), "base").expect(200));
    assert_eq!((strength(0.0), strength(1.0)), (base, taught));
    for part in 1..20 {
        strength(f64::from(part) / 20.0);
    }
    assert!(site.metric("kindling_models_loaded") <= 10.0, "mixtures are kept in a bounded number");
}

#[test]
fn an_adapter_comes_and_goes_while_the_server_runs() {
    let place = with_adapter();
    let site = Site::start(&place, "--model base=model");
    let load = json!({"lora_name": "late", "lora_path": place.path("learned")});
    let told = site.post("/v1/load_lora_adapter", &load);
    assert_eq!((told.status, told.text().contains("'late'")), (200, true), "{}", told.text());
    assert_eq!(answer(&site, "late"), alone(&place, &["--model", "model", "--adapter", "learned"]));
    site.post("/v1/load_lora_adapter", &load).refused(400, "invalid_request_error");
    let none = json!({"lora_name": "x", "lora_path": place.path("tok")});
    site.post("/v1/load_lora_adapter", &none).refused(400, "invalid_request_error");
    assert!(!site.get("/v1/models").text().contains("\"x\""), "what cannot be opened has no name");
    site.post("/v1/unload_lora_adapter", &json!({"lora_name": "base"})).refused(400, "invalid_request_error");
    assert_eq!(site.post("/v1/unload_lora_adapter", &json!({"lora_name": "late"})).status, 200);
    site.post("/v1/unload_lora_adapter", &json!({"lora_name": "late"})).refused(404, "invalid_request_error");
    let mut asked = question("hi", 2);
    asked["model"] = json!("late");
    site.post(CHAT, &asked).refused(404, "invalid_request_error");
    // It may come again.
    assert_eq!(site.post("/v1/load_lora_adapter", &load).status, 200);
    assert_eq!(answer(&site, "late"), alone(&place, &["--model", "model", "--adapter", "learned"]));
}

/// Another model than that of [`Place::with_model`].
const WIDE: &str = r#"{"model_type": "llama", "vocab_size": 300, "hidden_size": 32, "intermediate_size": 64,
    "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
    "tie_word_embeddings": true}"#;

#[test]
fn an_adapter_of_another_model_is_told_before_the_server_listens() {
    let place = with_adapter();
    place.write("wide.json", WIDE);
    let new = "pretrain --data docs.jsonl --model-config wide.json --tokenizer tok --out wide";
    place.run(&format!("{new} {SHORT}")).ok();
    let wrong = ["--adapter taught", "--model wide", "another base", "taught@MODEL=PLACE"];
    place.run("serve --port 0 --model wide --model base=model --adapter taught=learned").expect(2, &wrong);
    place.write("empty/adapter_config.json", "{}");
    let both = "--model wide --model base=model --adapter taught=learned --adapter bad@base=empty";
    place
        .run(&format!("serve --port 0 {both}"))
        .expect(2, &["--adapter taught", "--adapter bad", "has no r,"]);
    // What is no adapter at all is known without the model's shape.
    place.run("export --model model --to single-file --out one.safetensors").ok();
    let bad = place.run("serve --port 0 --model one.safetensors --adapter bad=empty");
    bad.expect(2, &["--adapter bad", "has no r,"]);
    let site = Site::start(&place, "--model wide --model base=model --adapter taught@base=learned");
    assert_eq!(site.metric("kindling_models_loaded"), 0.0, "nothing was loaded for that");
    assert_eq!(answer(&site, "taught"), alone(&place, &["--model", "model", "--adapter", "learned"]));
}

#[test]
fn whoever_comes_without_a_key_opens_no_files() {
    let place = with_adapter();
    let site = Site::start(&place, "--model base=model --host 0.0.0.0");
    let load = json!({"lora_name": "late", "lora_path": place.path("learned")});
    site.post("/v1/load_lora_adapter", &load).refused(403, "permission_error");
    let keyed = Site::start(&place, "--model base=model --host 0.0.0.0 --api-key k");
    let body = load.to_string();
    let key = [("authorization", "Bearer k")];
    assert_eq!(ask(&keyed.address, "POST", "/v1/load_lora_adapter", &key, body.as_bytes()).status, 200);
}

#[test]
fn a_model_that_cannot_be_opened_is_told_to_whoever_asks() {
    let place = Place::with_model();
    place.copy("model", "broken");
    place.write("broken/config.json", "{");
    let site = Site::start(&place, "--model base=model --model broken");
    let mut asked = question("hi", 2);
    asked["model"] = json!("broken");
    let message = site.post(CHAT, &asked).refused(500, "server_error");
    assert!(message.contains("broken"), "{message}");
    site.post(CHAT, &question("hi", 2)).expect(200);
    // Mended, it is opened at the next request.
    place.write("broken/config.json", place.read("model/config.json"));
    site.post(CHAT, &asked).expect(200);
    #[cfg(unix)]
    {
        site.signal("TERM");
        let said = site.finish().1;
        assert_eq!(said.matches("broken cannot be opened: ").count(), 1, "{said}");
    }
}
