//! Models that nobody asks for go, and come back when they are asked for.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::adapters::with_adapter;
use super::site::{Site, question, said};
use crate::place::Place;

const CHAT: &str = "/v1/chat/completions";
const LOADED: &str = "kindling_models_loaded";

/// Ollama's chat with a time to stay.
fn chat(model: &str, keep_alive: Value) -> Value {
    let options = json!({"temperature": 0, "num_predict": 4});
    let messages = json!([{"role": "user", "content": "hi"}]);
    json!({"model": model, "messages": messages, "options": options, "stream": false, "keep_alive": keep_alive})
}

fn expiry(site: &Site) -> String {
    site.get("/api/ps").expect(200)["models"][0]["expires_at"].as_str().unwrap().to_string()
}

#[test]
fn a_model_goes_when_nobody_asks_and_comes_back_as_it_was() {
    let place = Place::with_model();
    let site = Site::start(&place, "--model model --unload-after 0.5");
    let first = said(&site.post(CHAT, &question("hi", 6)).expect(200));
    assert_eq!(site.get("/api/tags").expect(200)["models"][0]["details"]["family"], "llama");
    site.wait_for(LOADED, 0.0);
    assert_eq!(site.get("/api/ps").expect(200)["models"], json!([]));
    assert_eq!(said(&site.post(CHAT, &question("hi", 6)).expect(200)), first);
    // A text that becomes a vector keeps it as an answer does.
    site.wait_for(LOADED, 0.0);
    site.post("/api/embed", &json!({"model": "model", "input": "the lamp", "keep_alive": -1})).expect(200);
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(site.metric(LOADED), 1.0, "for ever");
    place.run("serve --model model --unload-after -1").expect(2, &["--unload-after"]);
}

#[test]
fn a_request_says_how_long_its_model_stays() {
    let place = Place::with_model();
    let site = Site::start(&place, "--model model");
    let told = site.post("/api/chat", &chat("model", json!("5m"))).expect(200);
    assert_eq!(told["done"], true);
    let soon = expiry(&site);
    site.post("/api/chat", &chat("model", json!(-1))).expect(200);
    assert!(expiry(&site) > soon, "{soon}");
    site.post("/api/chat", &chat("model", json!(0))).expect(200);
    site.wait_for(LOADED, 0.0);
    // OpenAI's routes know the field as well.
    let mut asked = question("hi", 2);
    asked["keep_alive"] = json!("0s");
    site.post(CHAT, &asked).expect(200);
    site.wait_for(LOADED, 0.0);
    // A client of Ollama's that stops a model asks for nothing else.
    site.post("/api/generate", &json!({"model": "model", "stream": false})).expect(200);
    site.wait_for(LOADED, 1.0);
    let stopped =
        site.post("/api/generate", &json!({"model": "model", "stream": false, "keep_alive": 0})).expect(200);
    assert_eq!(stopped["done_reason"], "unload");
    site.wait_for(LOADED, 0.0);
    assert!(
        site.post("/api/chat", &chat("model", json!("soon"))).expect(400)["error"]
            .as_str()
            .unwrap()
            .contains("keep_alive")
    );
}

#[test]
fn a_model_that_is_not_loaded_goes_without_being_loaded() {
    let place = Place::with_model();
    place.copy("model", "broken");
    place.write("broken/config.json", "{");
    let site = Site::start(&place, "--model model --model broken");
    let bare = |model: &str| json!({"model": model, "keep_alive": 0});
    for model in ["model", "broken"] {
        for route in ["/api/generate", "/api/chat"] {
            let mut whole = bare(model);
            whole["stream"] = json!(false);
            assert_eq!(site.post(route, &whole).expect(200)["done_reason"], "unload");
            let lines = site.stream(route, &bare(model)).rest();
            let line: Value = serde_json::from_str(&lines[0]).unwrap();
            assert_eq!(
                (lines.len(), &line["done_reason"], &line["done"]),
                (1, &json!("unload"), &json!(true))
            );
        }
        assert_eq!(site.post("/api/embed", &bare(model)).expect(200)["embeddings"], json!([]));
        assert_eq!(site.post("/api/embeddings", &bare(model)).expect(200)["embedding"], json!([]));
    }
    site.post("/api/generate", &bare("none")).expect(404);
    assert_eq!(site.metric(LOADED), 0.0);
    // With a text the model is needed; vectors keep it as answers do.
    let vector = |route: &str, key: &str, keep: Value| {
        let mut asked = json!({"model": "model", "keep_alive": keep});
        asked[key] = json!("the lamp");
        site.post(route, &asked).expect(200)
    };
    vector("/v1/embeddings", "input", json!("1h"));
    assert_eq!(site.metric(LOADED), 1.0);
    vector("/v1/embeddings", "input", json!(0));
    site.wait_for(LOADED, 0.0);
    let told = vector("/api/embeddings", "prompt", json!("0s"));
    assert_eq!(told["embedding"].as_array().unwrap().len(), 16);
    site.wait_for(LOADED, 0.0);
    #[cfg(unix)]
    {
        site.signal("TERM");
        let said = site.finish().1;
        assert_eq!(said.matches("model is loaded from").count(), 2, "{said}");
    }
}

#[test]
fn a_model_stays_as_long_as_its_adapter() {
    let place = with_adapter();
    let site = Site::start(&place, "--model base=model --adapter taught=learned");
    site.post("/api/chat", &chat("taught", json!("1h"))).expect(200);
    site.post("/api/chat", &chat("base", json!(0))).expect(200);
    thread::sleep(Duration::from_millis(800));
    assert_eq!(site.metric(LOADED), 2.0, "the adapter needs it");
    site.post("/api/chat", &chat("taught", json!(0))).expect(200);
    site.wait_for(LOADED, 0.0);
    site.post("/api/chat", &chat("taught", json!(0))).expect(200);
}
