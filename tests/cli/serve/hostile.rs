//! What no client should send: the server answers or closes, and goes on.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::json;

use super::client::{ask, connect, head, send};
use super::site::{Site, question};
use crate::place::Place;

const CHAT: &str = "/v1/chat/completions";

#[test]
fn bodies_that_cannot_be_read_are_refused_and_the_server_goes_on() {
    let place = Place::with_model();
    let site = Site::start(&place, "--model model --max-request-mb 0.01");
    for body in [
        &b"{"[..],
        b"",
        b"null",
        b"[1, 2]",
        b"{\"model\": \"model\"}",
        b"\xff\xfe",
        b"{\"model\": \"model\", \"messages\": [{\"role\": \"user\", \"content\": \"\xff\"}]}",
        b"{\"model\": \"model\", \"messages\": \"hi\"}",
        b"{\"model\": \"model\", \"messages\": [{\"role\": \"user\", \"content\": \"hi\"}], \"temperature\": -1}",
        b"{\"model\": \"model\", \"messages\": [{\"role\": \"user\", \"content\": \"hi\"}], \"no_such_key\": 1}",
    ] {
        let answer = ask(&site.address, "POST", CHAT, &[], body);
        answer.refused(400, "invalid_request_error");
    }
    let deep = format!("{}{}", "[".repeat(4000), "]".repeat(4000));
    ask(&site.address, "POST", CHAT, &[], deep.as_bytes()).refused(400, "invalid_request_error");
    let mut long = question("hi", 3);
    long["messages"][0]["content"] = json!("lamp ".repeat(500));
    let message = site.post(CHAT, &long).refused(400, "invalid_request_error");
    assert!(message.contains("128"), "{message}");
    // Too large, whether the head says it or not.
    let large = vec![b' '; 20_000];
    ask(&site.address, "POST", CHAT, &[], &large).refused(413, "invalid_request_error");
    let mut chunked =
        head("POST", CHAT, &[("connection", "close"), ("transfer-encoding", "chunked")]) + "\r\n";
    for _ in 0..20 {
        chunked += &format!("3e8\r\n{}\r\n", " ".repeat(1000));
    }
    let answer = send(&site.address, format!("{chunked}0\r\n\r\n").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("request_too_large"), "{answer}");
    site.post(CHAT, &question("hi", 2)).expect(200);
}

#[test]
fn heads_without_end_and_slow_ones_are_closed() {
    let place = Place::with_model();
    let site = Site::start(&place, "--model model --read-timeout 1");
    let lines = (0..5000).map(|i| format!("x-{i}: y\r\n")).collect::<String>();
    let flood = send(&site.address, format!("{}{lines}\r\n", head("GET", "/health", &[])).as_bytes());
    assert!(flood.is_empty() || flood.starts_with("HTTP/1.1 4"), "{flood}");
    let long = send(
        &site.address,
        format!("{}x: {}\r\n\r\n", head("GET", "/health", &[]), "y".repeat(1 << 20)).as_bytes(),
    );
    assert!(long.is_empty() || long.starts_with("HTTP/1.1 4"), "{long}");
    let garbage = send(&site.address, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n");
    assert!(garbage.is_empty() || garbage.starts_with("HTTP/1.1 400"), "{garbage}");
    let begun = Instant::now();
    let headless = send(&site.address, head("POST", CHAT, &[]).as_bytes());
    assert!(headless.is_empty() || headless.starts_with("HTTP/1.1 408"), "{headless}");
    let half = head("POST", CHAT, &[("content-length", "100")]) + "\r\n{\"model\"";
    let slow = send(&site.address, half.as_bytes());
    assert!(slow.starts_with("HTTP/1.1 408") && slow.contains("timeout"), "{slow}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    site.post(CHAT, &question("hi", 2)).expect(200);
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    let place = Place::with_model();
    let site = Site::start(&place, "--model model --max-connections 32 --read-timeout 2");
    site.post(CHAT, &question("hi", 2)).expect(200);
    for round in 0..2000 {
        let mut stream = connect(&site.address);
        if round % 2 == 0 {
            let _ = stream.write_all(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x");
        }
    }
    site.post(CHAT, &question("hi", 2)).expect(200);
    assert_eq!(site.metric("kindling_answers_running"), 0.0);
}
