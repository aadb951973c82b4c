//! Answers as they come: in order, side by side, and given up when nobody listens.

use std::thread;

use serde_json::{Value, json};

use super::site::{Site, question, said, streamed, with_long_model};
use crate::place::Place;

const CHAT: &str = "/v1/chat/completions";

fn streaming(mut asked: Value) -> Value {
    asked["stream"] = json!(true);
    asked
}

#[test]
fn a_stream_is_the_whole_answer_in_parts() {
    let place = Place::with_model();
    let site = Site::start(&place, "--model model");
    let whole = site.post(CHAT, &question("hi", 12)).expect(200);
    let mut asked = streaming(question("hi", 12));
    asked["stream_options"] = json!({"include_usage": true});
    let events = site.stream(CHAT, &asked);
    assert_eq!(events.status, 200);
    let kind = events.headers.iter().find(|(name, _)| name == "content-type").unwrap();
    assert!(kind.1.starts_with("text/event-stream"), "{kind:?}");
    let (text, last) = streamed(events.rest());
    assert_eq!(text, said(&whole));
    assert_eq!((&last["usage"], &last["choices"]), (&whole["usage"], &json!([])));
    // Two answers have two numbers.
    let mut asked = streaming(question("hi", 4));
    asked["n"] = json!(2);
    let numbers: Vec<u64> = site
        .stream(CHAT, &asked)
        .rest()
        .iter()
        .filter_map(|event| serde_json::from_str::<Value>(event).ok()?["choices"][0]["index"].as_u64())
        .collect();
    assert!(numbers.contains(&0) && numbers.contains(&1), "{numbers:?}");
}

#[test]
fn sixteen_streams_at_once_are_each_what_they_are_alone() {
    let place = Place::with_model();
    let site = Site::start(&place, "--model model --max-streams 8 --queue 16");
    let asked: Vec<Value> = (0..16)
        .map(|i| {
            let mut asked = question(&format!("{} plus one?", "What is ".repeat(i % 5 + 1)), 5 + i);
            if i % 3 == 0 {
                asked["temperature"] = json!(0.9);
                asked["seed"] = json!(i);
            }
            asked
        })
        .collect();
    let alone: Vec<String> = asked.iter().map(|asked| said(&site.post(CHAT, asked).expect(200))).collect();
    let together: Vec<String> = thread::scope(|scope| {
        let site = &site;
        let ask = |asked: &Value| streamed(site.stream(CHAT, &streaming(asked.clone())).rest()).0;
        let threads: Vec<_> = asked.iter().map(|asked| scope.spawn(move || ask(asked))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(together, alone);
    site.wait_for("kindling_answers_running", 0.0);
}

#[test]
fn a_client_that_leaves_frees_its_place() {
    let place = with_long_model();
    let site = Site::start(&place, "--model long --max-streams 1");
    for stream in [true, false] {
        let cancelled = site.metric("kindling_cancelled_total");
        let mut asked = question("hi", 16000);
        asked["stream"] = json!(stream);
        if stream {
            let mut events = site.stream(CHAT, &asked);
            // The first says who speaks; a model that learned nothing may write no whole character for long.
            events.next().unwrap();
            site.wait_for("kindling_answers_running", 1.0);
        } else {
            let connection =
                super::client::begin(&site.address, "POST", CHAT, &[], asked.to_string().as_bytes());
            site.wait_for("kindling_answers_running", 1.0);
            drop(connection);
        }
        site.wait_for("kindling_cancelled_total", cancelled + 1.0);
        site.wait_for("kindling_answers_running", 0.0);
        // The only place is free: another answer comes at once.
        site.post(CHAT, &question("hi", 3)).expect(200);
    }
    let written = site.metric("kindling_generated_tokens_total");
    assert!(written < 100.0, "{written} tokens were written for nobody");
}
