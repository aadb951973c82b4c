//! Answers in parts and whole, from what an engine tells of a text: both must say the same.

use serde_json::{Value, json};

use super::played::{head, play, tokenizer, with_served};
use super::{ApiError, ChatRequest, OllamaRequest, Served};
use crate::sample::FinishReason;

/// The answers to a chat's request, in parts or whole.
fn chat(rest: &str, stream: bool, texts: &[(&str, FinishReason)]) -> (Vec<Value>, Option<Value>) {
    let tokenizer = tokenizer();
    let body = format!(
        r#"{{"model": "fable", "messages": [{{"role": "user", "content": "hi"}}], "stream": {stream} {rest}}}"#
    );
    let request = ChatRequest::parse(body.as_bytes()).unwrap();
    let (works, reply) = with_served(&tokenizer, 2000, |served| request.prepare(served, head())).unwrap();
    assert_eq!(works.len(), texts.len());
    play(&tokenizer, reply, texts)
}

/// Adds parts up as OpenAI's clients do.
fn joined(chunks: &[Value]) -> Vec<Value> {
    let mut answers: Vec<Value> = Vec::new();
    for choice in chunks.iter().flat_map(|chunk| chunk["choices"].as_array().unwrap()) {
        let index = choice["index"].as_u64().unwrap() as usize;
        if answers.len() <= index {
            answers.resize(index + 1, json!({"content": "", "thought": "", "calls": [], "logprobs": []}));
        }
        let (answer, delta) = (&mut answers[index], &choice["delta"]);
        let add = |to: &mut Value, more: &Value| {
            *to = (to.as_str().unwrap_or_default().to_string() + more.as_str().unwrap_or_default()).into();
        };
        add(&mut answer["content"], &delta["content"]);
        add(&mut answer["thought"], &delta["reasoning_content"]);
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let calls = answer["calls"].as_array_mut().unwrap();
            let place = call["index"].as_u64().unwrap() as usize;
            if call["id"].is_string() {
                assert_eq!(place, calls.len(), "the index counts up");
                calls.push(json!({"id": call["id"], "type": call["type"], "function": call["function"]}));
            } else {
                add(&mut calls[place]["function"]["arguments"], &call["function"]["arguments"]);
            }
        }
        if let Some(tokens) = choice["logprobs"]["content"].as_array() {
            answer["logprobs"].as_array_mut().unwrap().extend(tokens.iter().cloned());
        }
        if choice["finish_reason"].is_string() {
            answer["finish_reason"] = choice["finish_reason"].clone();
        }
    }
    answers
}

/// Whole answers in the same form.
fn of_whole(whole: &Value) -> Vec<Value> {
    let answer = |choice: &Value| {
        let message = &choice["message"];
        let or = |value: &Value, other: Value| if value.is_null() { other } else { value.clone() };
        json!({
            "content": or(&message["content"], json!("")), "thought": or(&message["reasoning_content"], json!("")),
            "calls": or(&message["tool_calls"], json!([])), "logprobs": or(&choice["logprobs"]["content"], json!([])),
            "finish_reason": choice["finish_reason"],
        })
    };
    whole["choices"].as_array().unwrap().iter().map(answer).collect()
}

const CALLS: &str = "<think>\n热 or not?\n</think>\n\nI ask.\n<tool_call>\n{\"name\": \"warmth\", \"arguments\": \
                     {\"place\": \"奥玛\"}}\n</tool_call>\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";
const TOOLS: &str = r#", "tools": [{"type": "function", "function": {"name": "warmth"}},
    {"type": "function", "function": {"name": "now"}}]"#;

#[test]
fn a_stream_has_the_parts_of_openais_documentation() {
    let (chunks, _) =
        chat(r#", "stream_options": {"include_usage": true}"#, true, &[("你a", FinishReason::Stop)]);
    let chunk = |choices: Value, usage: Value| {
        json!({
            "id": "chatcmpl-7f", "object": "chat.completion.chunk", "created": 951_782_400, "model": "fable",
            "choices": choices, "usage": usage,
        })
    };
    let part = |delta: Value, finish_reason: Value| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason}]);
    assert_eq!(chunks[0], chunk(part(json!({"role": "assistant", "content": ""}), json!(null)), json!(null)));
    // The character has three tokens, and comes with the last of them.
    assert_eq!(chunks[1], chunk(part(json!({"content": "你"}), json!(null)), json!(null)));
    assert_eq!(chunks[2], chunk(part(json!({"content": "a"}), json!(null)), json!(null)));
    assert_eq!(chunks[3], chunk(part(json!({}), json!("stop")), json!(null)));
    let usage = &chunks[4]["usage"];
    assert_eq!(
        (chunks.len(), &chunks[4]["choices"], &usage["completion_tokens"]),
        (5, &json!([]), &json!(4))
    );
    let sum = usage["prompt_tokens"].as_u64().unwrap() + 4;
    assert_eq!(usage["total_tokens"], sum);
    let (chunks, _) = chat("", true, &[("a", FinishReason::Length)]);
    assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none()), "{chunks:?}");
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "length");
}

#[test]
fn a_whole_answer_has_the_form_of_openais_documentation() {
    let (chunks, whole) = chat(TOOLS, false, &[(CALLS, FinishReason::Stop)]);
    let whole = whole.unwrap();
    assert!(chunks.is_empty());
    let call = |index: u32, name: &str, arguments: &str| {
        json!({
            "id": format!("call_7f_0_{index}"), "type": "function",
            "function": {"name": name, "arguments": arguments},
        })
    };
    let message = json!({
        "role": "assistant", "content": "I ask.", "refusal": null, "reasoning_content": "热 or not?",
        "tool_calls": [call(0, "warmth", "{\"place\": \"奥玛\"}"), call(1, "now", "{}")],
    });
    assert_eq!(
        whole["choices"],
        json!([{"index": 0, "message": message, "logprobs": null, "finish_reason": "tool_calls"}])
    );
    assert_eq!((&whole["object"], &whole["id"]), (&json!("chat.completion"), &json!("chatcmpl-7f")));
    let only = "<tool_call>\n{\"name\": \"now\"}\n</tool_call>";
    let (_, whole) = chat(TOOLS, false, &[(only, FinishReason::Stop)]);
    let message = &whole.unwrap()["choices"][0]["message"];
    assert!(message.as_object().unwrap().contains_key("content") && message["content"].is_null());
}

#[test]
fn parts_joined_are_the_whole_answer() {
    let texts = [
        ("你好, the place is warm 😀.", FinishReason::Stop),
        ("<think>\n嗯…\n</think>\n\n好。", FinishReason::Length),
        (CALLS, FinishReason::Stop),
        ("<tool_call>\n{\"name\": \"warmth\", \"arguments\": {\"place\": \"奥", FinishReason::Length),
        ("<tool_call>no call</tool_call>", FinishReason::Stop),
    ];
    for rest in ["", TOOLS, r#", "logprobs": true, "top_logprobs": 2"#] {
        for text in texts {
            let (chunks, _) = chat(rest, true, &[text]);
            let (_, whole) = chat(rest, false, &[text]);
            assert_eq!(joined(&chunks), of_whole(&whole.unwrap()), "{text:?} {rest}");
        }
        let rest = format!("{rest}, \"n\": 2");
        let (chunks, _) = chat(&rest, true, &texts[1..3]);
        let (_, whole) = chat(&rest, false, &texts[1..3]);
        assert_eq!(joined(&chunks), of_whole(&whole.unwrap()), "two at once, {rest}");
    }
}

#[test]
fn the_parts_of_calls_have_an_index_and_an_id_once() {
    let (chunks, _) = chat(TOOLS, true, &[(CALLS, FinishReason::Stop)]);
    let deltas = chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]);
    let calls: Vec<&Value> = deltas.clone().filter_map(|delta| delta["tool_calls"].get(0)).collect();
    assert_eq!(
        calls[0],
        &json!({"index": 0, "id": "call_7f_0_0", "type": "function", "function": {"name": "warmth", "arguments": ""}})
    );
    assert!(calls.len() > 4, "arguments come in parts: {calls:?}");
    assert!(calls.iter().all(|call| call["index"].is_u64() && call["function"]["arguments"].is_string()));
    assert_eq!(calls.iter().filter(|call| call.get("id").is_some()).count(), 2);
    let roles: Vec<_> = deltas.filter(|delta| delta.get("role").is_some()).collect();
    assert_eq!(roles.len(), 1, "the role stands on the first part alone");
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
}

#[test]
fn log_probabilities_tell_every_token_with_its_bytes() {
    let rest = r#", "logprobs": true, "top_logprobs": 1"#;
    let (_, whole) = chat(rest, false, &[("你", FinishReason::Stop)]);
    let content = whole.unwrap()["choices"][0]["logprobs"]["content"].clone();
    let bytes: Vec<u8> =
        content.as_array().unwrap().iter().map(|token| token["bytes"][0].as_u64().unwrap() as u8).collect();
    assert_eq!(bytes, "你".as_bytes());
    assert_eq!(
        content[0]["top_logprobs"][0]["logprob"], content[0]["logprob"],
        "the likeliest is the one that came"
    );
    // One logit of 4 among others of 0.
    let others = tokenizer().vocab_size() as f64 - 1.0;
    let expected = 4.0 - (4f64.exp() + others).ln();
    assert!((content[0]["logprob"].as_f64().unwrap() - expected).abs() < 1e-9);
}

#[test]
fn ollamas_lines_joined_are_the_whole_answer() {
    let tokenizer = tokenizer();
    let answer = |stream: bool| {
        let body = format!(
            r#"{{"model": "fable", "messages": [{{"role": "user", "content": "hi"}}], "stream": {stream} {TOOLS}}}"#
        );
        let request = OllamaRequest::parse_chat(body.as_bytes()).unwrap();
        let (_, reply) = with_served(&tokenizer, 2000, |served| request.prepare(served, head())).unwrap();
        play(&tokenizer, reply, &[(CALLS, FinishReason::Stop)])
    };
    let (lines, _) = answer(true);
    let whole = answer(false).1.unwrap();
    assert_eq!(whole["message"]["content"], "I ask.");
    assert_eq!(whole["message"]["thinking"], "热 or not?");
    let calls = json!([
        {"function": {"name": "warmth", "arguments": {"place": "奥玛"}}}, {"function": {"name": "now", "arguments": {}}},
    ]);
    assert_eq!(whole["message"]["tool_calls"], calls);
    assert_eq!((&whole["done"], &whole["done_reason"]), (&json!(true), &json!("stop")));
    assert_eq!(
        (&whole["created_at"], &whole["load_duration"]),
        (&json!("2000-02-29T00:00:00Z"), &json!(500_000_000))
    );
    let told = |key: &str| lines.iter().filter_map(|line| line["message"][key].as_str()).collect::<String>();
    assert_eq!((told("content"), told("thinking")), ("I ask.".to_string(), "热 or not?".to_string()));
    let told: Vec<Value> = lines
        .iter()
        .flat_map(|line| line["message"]["tool_calls"].as_array().into_iter().flatten().cloned())
        .collect();
    assert_eq!(json!(told), calls);
    let (last, others) = lines.split_last().unwrap();
    assert!(others.iter().all(|line| line["done"] == false && line.get("done_reason").is_none()));
    for key in ["done", "done_reason", "eval_count", "eval_duration", "prompt_eval_count", "total_duration"] {
        assert_eq!(last[key], whole[key], "{key}");
    }
}

#[test]
fn a_model_is_loaded_where_nothing_is_asked() {
    let request = OllamaRequest::parse_generate(br#"{"model": "fable"}"#).unwrap();
    let (works, mut reply) =
        with_served(&tokenizer(), 100, |served| request.prepare(served, head())).unwrap();
    assert!(works.is_empty() && reply.is_done() && reply.begin().is_empty());
    let line = serde_json::to_value(&reply.finish()[0]).unwrap();
    assert_eq!(
        (&line["response"], &line["done"], &line["done_reason"]),
        (&json!(""), &json!(true), &json!("load"))
    );
}

#[test]
fn what_a_model_cannot_do_is_refused_before_it_begins() {
    let refused = |rest: &str, context: usize, masked: bool| -> ApiError {
        let tokenizer = tokenizer();
        let body = format!(r#"{{"model": "m", "messages": [{{"role": "user", "content": "hi"}}] {rest}}}"#);
        let request = ChatRequest::parse(body.as_bytes()).unwrap();
        let prepared = with_served(&tokenizer, context, |served| {
            request.prepare(&Served { masked, ..*served }, head()).map(|(works, _)| works.len())
        });
        prepared.unwrap_err()
    };
    let long = refused("", 5, false);
    assert_eq!((long.code, long.param.as_deref()), (Some("context_length_exceeded"), Some("messages")));
    for (rest, masked, param) in [
        (r#", "n": 9"#, false, "n"),
        (r#", "response_format": {"type": "json_object"}"#, false, "response_format"),
        (r#", "logprobs": true"#, true, "logprobs"),
        (r#", "chat_template_kwargs": {"mood": 1}"#, false, "chat_template_kwargs.mood"),
        (r#", "reasoning_effort": "high""#, false, "reasoning_effort"),
    ] {
        assert_eq!(refused(rest, 2000, masked).param.as_deref(), Some(param), "{rest}");
    }
}
