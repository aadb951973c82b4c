//! Keys, origins, and how much is taken on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{self, ask};
use super::site::{Site, question, streamed, with_long_model};
use crate::place::Place;

const CHAT: &str = "/v1/chat/completions";

#[test]
fn a_key_is_needed_where_there_is_one() {
    let place = Place::with_model();
    let site =
        Site::start_with_env(&place, &[("KINDLING_API_KEY", "second")], "--model model --api-key first");
    let refused = site.get("/v1/models");
    refused.refused(401, "authentication_error");
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    for (value, status) in
        [("Bearer first", 200), ("Bearer second", 200), ("Bearer firs", 401), ("first", 401)]
    {
        let answer = ask(&site.address, "GET", "/v1/models", &[("authorization", value)], b"");
        assert_eq!(answer.status, status, "{value}");
    }
    assert_eq!(site.get("/health").status, 200);
    assert_eq!(site.get("/").status, 200);
    assert_eq!(site.get("/metrics").status, 401);
    assert_eq!(site.get("/api/tags").expect(401)["error"].as_str().map(str::is_empty), Some(false));
}

#[test]
fn pages_of_other_origins_ask_where_they_may() {
    let place = Place::with_model();
    let site = Site::start(&place, "--model model --cors https://a.example");
    let origin = |origin: &'static str, method: &str| {
        ask(
            &site.address,
            method,
            "/v1/models",
            &[("origin", origin), ("access-control-request-method", "POST")],
            b"",
        )
    };
    let preflight = origin("https://a.example", "OPTIONS");
    assert_eq!(
        (preflight.status, preflight.header("access-control-allow-origin")),
        (204, Some("https://a.example"))
    );
    assert!(preflight.header("access-control-allow-headers").unwrap().contains("authorization"));
    let answer = origin("https://a.example", "GET");
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (200, Some("https://a.example"))
    );
    let other = origin("https://b.example", "GET");
    assert_eq!(other.status, 403);
    // Without --cors no page of elsewhere asks, and no name that only leads here does.
    let closed = Site::start(&place, "--model model");
    assert_eq!(
        ask(&closed.address, "GET", "/v1/models", &[("origin", "https://a.example")], b"").status,
        403
    );
    assert_eq!(ask(&closed.address, "GET", "/v1/models", &[("host", "a.example:8000")], b"").status, 403);
    let own = format!("http://{}", closed.address);
    let own = ask(&closed.address, "GET", "/v1/models", &[("origin", &own), ("host", &closed.address)], b"");
    assert_eq!((own.status, own.header("access-control-allow-origin")), (200, None));
}

#[test]
fn a_full_queue_says_when_to_come_again() {
    let place = with_long_model();
    let site = Site::start(&place, "--model long --max-streams 1 --queue 1");
    let mut asked = question("hi", 16000);
    asked["stream"] = json!(true);
    let mut first = site.stream(CHAT, &asked);
    first.next().unwrap();
    site.wait_for("kindling_answers_running", 1.0);
    let second = client::begin(&site.address, "POST", CHAT, &[], question("hi", 2).to_string().as_bytes());
    site.wait_for("kindling_answers_waiting", 1.0);
    let third = site.post(CHAT, &question("hi", 2));
    third.refused(429, "rate_limit_error");
    assert!(third.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    // The one that waits is answered when its turn comes.
    drop(first);
    let mut second = second;
    assert_eq!(client::read_head(&mut second).0, 200);
}

#[test]
fn a_request_has_a_time_of_its_own() {
    let place = with_long_model();
    let site = Site::start(&place, "--model long --timeout 2");
    site.post(CHAT, &question("hi", 1)).expect(200);
    let begun = Instant::now();
    site.post(CHAT, &question("hi", 16000)).refused(504, "server_error");
    assert!(begun.elapsed() < Duration::from_secs(20));
    let mut asked = question("hi", 16000);
    asked["stream"] = json!(true);
    let events = site.stream(CHAT, &asked).rest();
    let last: Value = serde_json::from_str(events.last().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], "timeout", "{last}");
    site.wait_for("kindling_answers_running", 0.0);
}

#[cfg(unix)]
#[test]
fn what_runs_ends_and_nothing_new_begins_when_the_server_ends() {
    let place = with_long_model();
    let site = Site::start(&place, "--model long");
    let mut asked = question("hi", 12000);
    asked["stream"] = json!(true);
    let mut running = site.stream(CHAT, &asked);
    running.next().unwrap();
    site.signal("TERM");
    let begun = Instant::now();
    loop {
        let answer = site.post(CHAT, &question("hi", 1));
        if answer.status == 503 {
            answer.refused(503, "server_error");
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "the server does not end");
    }
    let (_, last) = streamed(running.rest());
    assert_eq!(last["choices"][0]["finish_reason"], "length", "{last}");
    let (code, said) = site.finish();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn what_does_not_hold_is_told_before_anything_is_opened() {
    let place = Place::with_model();
    let refused = |flags: &str, parts: &[&str]| {
        place.run(&format!("serve {flags}")).expect(2, parts);
    };
    refused("--model none", &["there is no none"]);
    refused("--model a=model --model a=model", &["'a'", "another name"]);
    refused("--model model --adapter x@b=model", &["no --model named 'b'"]);
    refused(
        "--model model --max-streams 0 --timeout 0 --cors a.example --top-p 2",
        &["--max-streams", "--timeout", "--cors a.example", "--top-p"],
    );
    refused("--model model --page tok", &["no index.html"]);
    refused("--model model --model b=model --tokenizer tok", &["--tokenizer", "several"]);
    let site = Site::start(&place, "--model model");
    let port = site.address.rsplit(':').next().unwrap();
    refused(&format!("--model model --port {port}"), &["another program", "--port"]);
}

#[cfg(unix)]
#[test]
fn an_open_door_is_told() {
    let place = Place::with_model();
    for (flags, told) in [("", true), (" --api-key k", false)] {
        let site = Site::start(&place, &format!("--model model --host 0.0.0.0{flags}"));
        site.signal("INT");
        let (code, said) = site.finish();
        assert_eq!((code, said.contains("without --api-key")), (Some(0), told), "{said}");
    }
}
