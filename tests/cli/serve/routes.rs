//! Every route answers, and the model's answers are those of the command line.

use serde_json::{Value, json};

use super::site::{Site, question, said};
use crate::place::Place;

#[test]
fn a_chat_and_a_completion_are_those_of_the_command_line() {
    let place = Place::with_model();
    let site = Site::start(&place, "--model tiny=model");
    let told = site.post("/v1/chat/completions", &question("What is 3 plus one?", 8)).expect(200);
    let words = ["chat", "--model", "model", "--prompt", "What is 3 plus one?", "--max-new-tokens", "8"];
    let words = [&words[..], &["--temperature", "0", "--ignore-eos", "--json"]].concat();
    assert_eq!(said(&told), place.run_words(&words).ok().result()["content"].as_str().unwrap());
    assert_eq!((&told["object"], &told["model"]), (&json!("chat.completion"), &json!("tiny")));
    assert_eq!(told["choices"][0]["finish_reason"], "length");
    assert_eq!(told["usage"]["completion_tokens"], 8);

    let asked = json!({
        "model": "tiny", "prompt": "the lamp", "temperature": 0, "max_tokens": 6, "ignore_eos": true, "echo": true,
        "logprobs": 1,
    });
    let told = site.post("/v1/completions", &asked).expect(200);
    let words = [
        "generate",
        "--model",
        "model",
        "--prompt",
        "the lamp",
        "--max-new-tokens",
        "6",
        "--temperature",
        "0",
    ];
    let alone = place.run_words(&[&words[..], &["--ignore-eos", "--json"]].concat()).ok().result();
    assert_eq!(told["choices"][0]["text"], format!("the lamp{}", alone["text"].as_str().unwrap()));
    // The likelihoods of the prompt are those of `score`, which counts no token before the first.
    let logprobs = told["choices"][0]["logprobs"]["token_logprobs"].as_array().unwrap();
    let score = place.run_words(&["score", "--model", "model", "--text", "the lamp", "--json"]).ok().result();
    let scored = score["logprobs"].as_array().unwrap();
    assert_eq!(logprobs.len(), scored.len() + 6);
    for (told, scored) in logprobs.iter().zip(scored).skip(1) {
        assert!((told.as_f64().unwrap() - scored.as_f64().unwrap()).abs() < 1e-4, "{told} {scored}");
    }
    // What the harness asks: ids, their likelihoods, and nothing new.
    let ids = score["tokens"].clone();
    let asked = json!({"model": "tiny", "prompt": ids, "max_tokens": 0, "echo": true, "logprobs": 1});
    let told = site.post("/v1/completions", &asked).expect(200);
    assert_eq!(told["choices"][0]["logprobs"]["token_logprobs"].as_array().unwrap().len(), scored.len());
    assert_eq!(told["choices"][0]["text"], "the lamp");
}

#[test]
fn texts_become_vectors_of_length_one() {
    let place = Place::with_model();
    let site = Site::start(&place, "--model model");
    let vectors = |more: Value| -> Vec<Vec<f64>> {
        let mut asked = json!({"model": "model", "input": ["the lamp", "at night"]});
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let told = site.post("/v1/embeddings", &asked).expect(200);
        assert!(told["usage"]["prompt_tokens"].as_u64().unwrap() > 2);
        let data = told["data"].as_array().unwrap();
        data.iter()
            .map(|one| one["embedding"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect())
            .collect()
    };
    let (mean, last) = (vectors(json!({})), vectors(json!({"pooling": "last"})));
    for vector in mean.iter().chain(&last) {
        assert_eq!(vector.len(), 16);
        assert!((vector.iter().map(|x| x * x).sum::<f64>() - 1.0).abs() < 1e-5);
    }
    assert_ne!(mean, last);
    let ollama = site
        .post("/api/embed", &json!({"model": "model", "input": "the lamp", "truncate": true}))
        .expect(200);
    let first: Vec<f64> =
        ollama["embeddings"][0].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
    assert!(first.iter().zip(&mean[0]).all(|(a, b)| (a - b).abs() < 1e-6));
    let long = "lamp ".repeat(300);
    let message = site
        .post("/v1/embeddings", &json!({"model": "model", "input": long}))
        .refused(400, "invalid_request_error");
    assert!(message.contains("128"), "{message}");
    site.post("/v1/embeddings", &json!({"model": "model", "input": "a", "dimensions": 8}))
        .refused(400, "invalid_request_error");
}

#[test]
fn ollamas_clients_find_what_they_look_for() {
    let place = Place::with_model();
    let site = Site::start(&place, "--model tiny=model");
    let tags = site.get("/api/tags").expect(200);
    assert_eq!(tags["models"][0]["name"], "tiny");
    assert!(tags["models"][0]["size"].as_u64().unwrap() > 1000);
    assert_eq!(
        site.get("/api/ps").expect(200)["models"],
        json!([]),
        "a model is loaded when it is asked for"
    );
    assert!(site.get("/api/version").expect(200)["version"].is_string());
    let shown = site.post("/api/show", &json!({"model": "tiny:latest"})).expect(200);
    assert_eq!(shown["model_info"]["llama.context_length"], 128);
    assert_eq!(site.get("/api/ps").expect(200)["models"][0]["name"], "tiny");
    let asked = json!({
        "model": "tiny", "messages": [{"role": "user", "content": "hi"}], "options": {"temperature": 0, "num_predict": 5},
    });
    let lines: Vec<Value> = site
        .stream("/api/chat", &asked)
        .rest()
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (last, parts) = lines.split_last().unwrap();
    assert_eq!((&last["done"], parts.iter().all(|part| part["done"] == false)), (&json!(true), true));
    let text: String =
        lines.iter().map(|line| line["message"]["content"].as_str().unwrap_or_default()).collect();
    let mut whole = asked.clone();
    whole["stream"] = json!(false);
    let whole = site.post("/api/chat", &whole).expect(200);
    assert_eq!(whole["message"]["content"], text);
    assert_eq!(whole["eval_count"], last["eval_count"]);
    let asked = json!({"model": "tiny", "prompt": "the lamp", "raw": true, "stream": false, "options": {"num_predict": 3}});
    assert!(site.post("/api/generate", &asked).expect(200)["response"].is_string());
    let loaded = site.post("/api/generate", &json!({"model": "tiny", "stream": false})).expect(200);
    assert_eq!(loaded["done_reason"], "load");
    let error = site.post("/api/chat", &json!({"model": "none", "messages": []})).expect(404);
    assert!(error["error"].as_str().unwrap().contains("none"), "{error}");
}

#[test]
fn texts_are_tokens_and_back_and_a_conversation_is_shown() {
    let place = Place::with_model();
    let site = Site::start(&place, "--model model");
    let tokens = site.post("/tokenize", &json!({"content": "the lamp"})).expect(200)["tokens"].clone();
    assert_eq!(site.post("/detokenize", &json!({"tokens": tokens})).expect(200)["content"], "the lamp");
    let messages = json!([{"role": "user", "content": "Where is it?"}]);
    let shown = site.post("/apply-template", &json!({"messages": messages})).expect(200);
    assert!(shown["prompt"].as_str().unwrap().contains("Where is it?"), "{shown}");
    site.post("/detokenize", &json!({"tokens": [99999]})).refused(400, "invalid_request_error");
}

#[test]
fn models_are_listed_and_what_is_not_there_is_told() {
    let place = Place::with_model();
    let site = Site::start(&place, "--model a=model --model org/b=model");
    let listed = site.get("/v1/models").expect(200);
    let ids: Vec<&str> =
        listed["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!((ids, &listed["object"]), (vec!["a", "org/b"], &json!("list")));
    assert_eq!(site.get("/v1/models/org/b").expect(200)["id"], "org/b");
    site.get("/v1/models/none").refused(404, "invalid_request_error");
    let mut asked = question("hi", 3);
    asked["model"] = json!("none");
    let message = site.post("/v1/chat/completions", &asked).refused(404, "invalid_request_error");
    assert!(message.contains("'none'") && message.contains("a, org/b"), "{message}");
    for name in ["a", "org/b", ""] {
        asked["model"] = json!(name);
        site.post("/v1/chat/completions", &asked).expect(200);
    }
    site.get("/v1/nothing").refused(404, "invalid_request_error");
    let wrong = site.get("/v1/chat/completions");
    wrong.refused(405, "invalid_request_error");
    assert_eq!(wrong.header("allow"), Some("POST"));
    assert_eq!(site.get("/health").expect(200)["status"], "ok");
    let metrics = site.get("/metrics");
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let line = "kindling_requests_total{route=\"/v1/chat/completions\",status=\"404\"} 1";
    assert!(metrics.text().contains(line), "{}", metrics.text());
    assert_eq!(site.metric("kindling_models_loaded"), 2.0);
    assert_eq!(site.metric("kindling_time_to_first_token_seconds_count"), 3.0);
    let page = site.get("/").text();
    assert!(page.contains("/v1/chat/completions") && !page.contains("<script"), "{page}");
}

#[test]
fn a_model_that_fills_masks_answers_at_the_same_routes() {
    let place = Place::with_model();
    place.run("convert --model model --to diffusion --out masked").ok();
    let site = Site::start(&place, "--model masked --model model");
    let mut asked = question("hi", 6);
    asked["model"] = json!("masked");
    let whole = site.post("/v1/chat/completions", &asked).expect(200);
    assert_eq!(whole["usage"]["completion_tokens"], 6, "{whole}");
    asked["stream"] = json!(true);
    let (text, _) = super::site::streamed(site.stream("/v1/chat/completions", &asked).rest());
    assert_eq!(text, said(&whole));
    asked["stream"] = json!(false);
    // How masks are filled is its own affair, and that of no other model.
    for (key, value) in [("steps", json!(2)), ("remasking", json!("random")), ("threshold", json!(0.9))] {
        let mut set = asked.clone();
        set[key] = value;
        assert_eq!(
            site.post("/v1/chat/completions", &set).expect(200)["usage"]["completion_tokens"],
            6,
            "{key}"
        );
        set["model"] = json!("model");
        let message = site.post("/v1/chat/completions", &set).refused(400, "invalid_request_error");
        assert!(message.contains(&format!("'{key}'")), "{message}");
    }
    asked["logprobs"] = json!(true);
    site.post("/v1/chat/completions", &asked).refused(400, "invalid_request_error");
    let vector = site.post("/v1/embeddings", &json!({"model": "masked", "input": "the lamp"})).expect(200);
    assert_eq!(vector["data"][0]["embedding"].as_array().unwrap().len(), 16);
}

/// What Open-WebUI (backend/open_webui/routers/openai.py) and FastGPT (its documentation of One API channels) send.
#[test]
fn the_requests_of_open_webui_and_fastgpt_are_answered() {
    let place = Place::with_model();
    let site = Site::start(&place, "--model tiny=model --api-key k");
    let key = [("authorization", "Bearer k")];
    let ask = |method: &str, path: &str, body: &Value| {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        super::client::ask(&site.address, method, path, &key, body.as_bytes())
    };
    assert_eq!(ask("GET", "/v1/models", &Value::Null).expect(200)["data"][0]["id"], "tiny");
    let webui = json!({
        "stream": true, "model": "tiny", "messages": [{"role": "user", "content": "hi"}],
        "stream_options": {"include_usage": true}, "max_tokens": 4,
    });
    let mut events = super::client::Events::open(&site.address, "/v1/chat/completions", &key, &webui);
    let first: Value = serde_json::from_str(&events.next().unwrap()).unwrap();
    assert_eq!(first["choices"][0]["delta"]["role"], "assistant");
    let (_, last) = super::site::streamed(events.rest());
    assert_eq!(last["usage"]["completion_tokens"].as_u64().map(|tokens| tokens <= 4), Some(true), "{last}");
    // A title of the conversation, which is asked for without a stream.
    let title = json!({
        "model": "tiny", "messages": [{"role": "user", "content": "### Task:\nGenerate a title."}], "stream": false,
        "max_completion_tokens": 4,
    });
    ask("POST", "/v1/chat/completions", &title).expect(200);
    // More tokens than the context holds end at the context.
    let fastgpt = json!({
        "model": "tiny", "temperature": 0.01, "max_tokens": 8000, "stream": true, "messages": [
            {"role": "system", "content": "Answer briefly."}, {"role": "user", "content": "hi"}],
    });
    let events = super::client::Events::open(&site.address, "/v1/chat/completions", &key, &fastgpt);
    assert_eq!(events.rest().last().map(String::as_str), Some("[DONE]"));
    let index = json!({"model": "tiny", "input": ["the lamp", "at night"]});
    assert_eq!(ask("POST", "/v1/embeddings", &index).expect(200)["data"].as_array().unwrap().len(), 2);
}
