//! What strangers send to break a server: it answers or closes, in bounded memory, and nothing of it stays.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::client::{ask, connect, head, send};
use super::site::{Site, question, said};
use crate::place::Place;

const CHAT: &str = "/v1/chat/completions";
const JSON: &str = "application/json";
/// What a flood may add to the most memory that the server ever had, in kB: a MB of JSON takes thirty as values.
const MORE: u64 = 160 << 10;

/// How a server stands: its open files and the most memory that it had, in kB.
struct Standing {
    files: usize,
    memory: u64,
    said: String,
}

impl Standing {
    /// That of a server that has answered once.
    fn of(site: &Site) -> Self {
        let said = said(&site.post(CHAT, &question("hi", 6)).expect(200));
        Self { files: files(site), memory: memory(site), said }
    }

    /// Checks that the server answers as before, and holds no more than it did.
    fn holds(&self, site: &Site) {
        assert_eq!(site.get("/health").expect(200)["status"], "ok");
        assert_eq!(said(&site.post(CHAT, &question("hi", 6)).expect(200)), self.said);
        let begun = Instant::now();
        while files(site) > self.files {
            assert!(begun.elapsed() < Duration::from_secs(20), "{} files, not {}", files(site), self.files);
            thread::sleep(Duration::from_millis(20));
        }
        let memory = memory(site);
        assert!(memory < self.memory + MORE, "{memory} kB, and it was {} kB", self.memory);
        site.wait_for("kindling_answers_running", 0.0);
    }
}

fn files(site: &Site) -> usize {
    fs::read_dir(format!("/proc/{}/fd", site.pid())).unwrap().count()
}

fn memory(site: &Site) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", site.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// How many files a process may have open at once.
fn most_files() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap_or(1 << 20)
}

/// Checks that bytes are refused: by a status from 400 to 499, or by a closed connection.
fn refused(site: &Site, what: &str, bytes: &[u8]) {
    let answer = send(&site.address, bytes);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{what}: {answer}");
}

/// A POST of a chat with these headers, and what follows them.
fn post(headers: &[(&str, &str)], rest: &str) -> Vec<u8> {
    let headers = [&[("content-type", JSON), ("connection", "close")], headers].concat();
    format!("{}\r\n{rest}", head("POST", CHAT, &headers)).into_bytes()
}

#[test]
fn bodies_that_are_bombs_are_refused() {
    let place = Place::with_model();
    let site = Site::start(&place, "--model model --max-request-mb 1");
    let before = Standing::of(&site);
    let chat =
        |rest: &str| format!(r#"{{"model": "", "messages": [{{"role": "user", "content": "hi"}}], {rest}}}"#);
    let nested = |open: &str, close: &str| format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
    let keys: String = (0..50_000).map(|i| format!("\"k{i}\": 1, ")).collect();
    let bombs = [
        nested("[", "]"),
        nested(r#"{"a":"#, "}"),
        format!(r#"{{"model": "", "messages": {}}}"#, nested("[", "]")),
        chat(&format!(
            r#""response_format": {{"type": "json_schema", "json_schema": {}}}"#,
            nested(r#"{"not":"#, "}")
        )),
        chat(&format!(r#""tools": {}"#, nested("[", "]"))),
        chat(r#""max_tokens": 1e400"#),
        chat(r#""max_tokens": -1"#),
        chat(r#""max_tokens": 99999999999999999999999999"#),
        chat(r#""seed": 1e40"#),
        chat(r#""temperature": 1e999"#),
        chat(r#""n": 1000000000000000000"#),
        chat(r#""top_logprobs": 1e18, "logprobs": true"#),
        chat(r#""logit_bias": {"4294967296": 1}"#),
        chat(&format!(r#""stop": ["{}"]"#, r#"a", ""#.repeat(100))),
        chat(&format!("{keys}\"z\": 1")),
        format!(r#"{{"model": "{}", "messages": []}}"#, "m".repeat(500_000)),
        format!(
            r#"{{"model": "", "messages": [{{"role": "user", "content": "{}"}}]}}"#,
            "\\u0000".repeat(100_000)
        ),
        r#"{"model": "", "messages": [{"role": "user", "content": "\ud800"}]}"#.to_string(),
        format!(r#"{{"model": "", "messages": [{}]}}"#, vec!["{}"; 200_000].join(",")),
    ];
    for bomb in &bombs {
        let answer = ask(&site.address, "POST", CHAT, &[], bomb.as_bytes());
        let shown: String = bomb.chars().take(200).collect();
        assert!((400..500).contains(&answer.status), "{} for {shown}", answer.status);
        assert!(answer.json()["error"]["message"].is_string(), "{shown}");
    }
    for prompt in
        ["[]".to_string(), vec!["[]"; 100_000].join(","), vec!["1"; 300_000].join(","), "[[[1]]]".into()]
    {
        let body = format!(r#"{{"model": "", "prompt": [{prompt}]}}"#);
        ask(&site.address, "POST", "/v1/completions", &[], body.as_bytes())
            .refused(400, "invalid_request_error");
    }
    let all: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    for path in
        [CHAT, "/v1/completions", "/v1/embeddings", "/api/chat", "/api/generate", "/tokenize", "/detokenize"]
    {
        assert_eq!(ask(&site.address, "POST", path, &[], &all).status, 400, "{path}");
    }
    before.holds(&site);
}

#[test]
fn lengths_that_lie_are_refused() {
    let place = Place::with_model();
    let site = Site::start(&place, "--model model --max-request-mb 1 --read-timeout 2");
    let before = Standing::of(&site);
    let waits = post(&[("content-length", "1000000000000"), ("expect", "100-continue")], "");
    assert!(send(&site.address, &waits).starts_with("HTTP/1.1 413"));
    let large = post(&[("content-length", "1000000000000")], &" ".repeat(1 << 20));
    let answer = send(&site.address, &large);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let chunks = "40000\r\n".to_string() + &" ".repeat(0x40000) + "\r\n";
    let answer =
        send(&site.address, &post(&[("transfer-encoding", "chunked")], &(chunks.repeat(40) + "0\r\n\r\n")));
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer}");
    for (what, headers, rest) in [
        ("a length beyond 64 bits", &[("content-length", "99999999999999999999999")][..], "{}"),
        ("a length below zero", &[("content-length", "-1")], "{}"),
        ("two lengths", &[("content-length", "2"), ("content-length", "3")], "{} "),
        (
            "a chunk beyond 64 bits",
            &[("transfer-encoding", "chunked")],
            "fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        ),
        ("a chunk without a size", &[("transfer-encoding", "chunked")], "zz\r\n{}\r\n0\r\n\r\n"),
        ("an unknown encoding", &[("transfer-encoding", "zip")], "{}"),
    ] {
        refused(&site, what, &post(headers, rest));
    }
    let extension = format!("1;{}\r\n{{\r\n0\r\n\r\n", "x".repeat(1 << 20));
    refused(&site, "an extension of a chunk", &post(&[("transfer-encoding", "chunked")], &extension));
    // A body of which less comes than was said.
    let mut half = connect(&site.address);
    half.write_all(&post(&[("content-length", "100")], "{")).unwrap();
    half.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    let _ = half.read_to_string(&mut answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    before.holds(&site);
}

#[test]
fn heads_that_are_no_heads_are_refused() {
    let place = Place::with_model();
    let site = Site::start(&place, "--model model --read-timeout 2");
    let before = Standing::of(&site);
    let long = "a".repeat(1 << 20);
    refused(&site, "a long address", format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes());
    refused(&site, "a long method", format!("{long} / HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes());
    refused(&site, "no line end", long.as_bytes());
    let lines: String = (0..100_000).map(|i| format!("x{i}: y\r\n")).collect();
    refused(&site, "lines without end", format!("{}{lines}\r\n", head("GET", "/health", &[])).as_bytes());
    for (what, bytes) in [
        ("zeros", &[0_u8; 4096][..]),
        ("bytes that are no text", b"GET /health HTTP/1.1\r\nhost: \x00\xff\r\n\r\n"),
        ("a folded line", b"GET /health HTTP/1.1\r\nhost: x\r\n y\r\n\r\n"),
        ("a version of its own", b"GET /health HTTP/9.9\r\nhost: x\r\n\r\n"),
        ("HTTP/2 without a word", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("a name with a space", b"GET /health HTTP/1.1\r\nho st: x\r\n\r\n"),
    ] {
        refused(&site, what, bytes);
    }
    // One request that holds, and garbage behind it.
    let mut mixed = format!("{}\r\n", head("GET", "/health", &[])).into_bytes();
    mixed.extend(b"\x00\x01garbage\r\n\r\n".repeat(100));
    let answer = send(&site.address, &mixed);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // Many at once are answered in order, whoever does not read them meanwhile.
    let last = [("connection", "close")];
    let many =
        format!("{}\r\n", head("GET", "/health", &[])).repeat(2000) + &head("GET", "/health", &last) + "\r\n";
    let mut stream = connect(&site.address);
    let mut writing = stream.try_clone().unwrap();
    let writer = thread::spawn(move || writing.write_all(many.as_bytes()));
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    writer.join().unwrap().unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2001);
    before.holds(&site);
}

#[test]
fn slow_heads_and_bodies_are_closed_and_others_go_on_beside_them() {
    let place = Place::with_model();
    let site = Site::start(&place, "--model model --read-timeout 2");
    let before = Standing::of(&site);
    let heads = post(&[("content-length", "100")], "");
    let slow: Vec<TcpStream> = (0..60)
        .map(|i| {
            let mut stream = connect(&site.address);
            // A third says nothing, a third a part of a head, a third a part of a body.
            let bytes = [&b""[..], &heads[..20], &heads[..]][i % 3];
            stream.write_all(bytes).unwrap();
            stream
        })
        .collect();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        for stream in &slow {
            let mut stream = stream;
            let _ = stream.write_all(b" ");
        }
        site.post(CHAT, &question("hi", 2)).expect(200);
        thread::sleep(Duration::from_millis(200));
    }
    for (i, mut stream) in slow.into_iter().enumerate() {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{i}: {answer}");
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    before.holds(&site);
}

#[test]
fn ten_thousand_connections_come_and_go() {
    let place = Place::with_model();
    let site = Site::start(&place, "--model model --max-connections 4096 --read-timeout 20");
    let before = Standing::of(&site);
    // Tests beside this one open files as well.
    let wave = (most_files() / 3).clamp(50, 2500);
    let asked =
        json!({"model": "", "prompt": "the lamp", "max_tokens": 100, "stream": true, "ignore_eos": true});
    let asked = format!(
        "{}\r\ncontent-length: {}\r\n\r\n{asked}",
        head("POST", "/v1/completions", &[]).trim_end(),
        asked.to_string().len()
    );
    let mut left = 10_000;
    while left > 0 {
        let count = wave.min(left);
        let held: Vec<TcpStream> = (0..count)
            .map(|i| {
                let mut stream = connect(&site.address);
                let bytes = match i % 50 {
                    0 => asked.as_bytes(),
                    1..15 => b"POST /v1/chat/completions HTTP/1.1\r\nhost: x",
                    15..25 => b"\x16\x03\x01\x02\x00\x01\x00",
                    25..30 => b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
                    _ => b"",
                };
                let _ = stream.write_all(bytes);
                if i % 7 == 0 {
                    let _ = stream.shutdown(Shutdown::Write);
                }
                stream
            })
            .collect();
        drop(held);
        left -= count;
        assert_eq!(site.get("/health").expect(200)["status"], "ok", "{left} left");
    }
    before.holds(&site);
}
