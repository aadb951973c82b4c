//! A running server beside the models of a place.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{self, Answer, Events};
use crate::place::{Place, SHORT};

/// A model whose answers take long enough to be looked at.
const LONG: &str = r#"{"model_type": "llama", "vocab_size": 300, "hidden_size": 64,
    "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 16384, "tie_word_embeddings": true}"#;

/// A server that is killed when this is dropped.
pub struct Site {
    child: Child,
    pub address: String,
    stderr: Option<JoinHandle<String>>,
}

impl Site {
    /// Starts `serve` with these flags on a free port.
    pub fn start(place: &Place, flags: &str) -> Self {
        Self::start_with_env(place, &[], flags)
    }

    /// The same with variables in its environment.
    pub fn start_with_env(place: &Place, env: &[(&str, &str)], flags: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kindling"));
        command.args("serve --port 0 --device cpu".split(' ')).args(flags.split_whitespace());
        command.current_dir(place.root()).env_remove("KINDLING_API_KEY").envs(env.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let stderr = thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stderr.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        match line.trim_end().strip_prefix("listening on http://") {
            Some(address) => Self { address: address.to_string(), child, stderr: Some(stderr) },
            None => panic!("{line:?}\n{}", stderr.join().unwrap()),
        }
    }

    pub fn get(&self, path: &str) -> Answer {
        client::ask(&self.address, "GET", path, &[], b"")
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        client::ask(&self.address, "POST", path, &[], body.to_string().as_bytes())
    }

    pub fn stream(&self, path: &str, body: &Value) -> Events {
        Events::open(&self.address, path, &[], body)
    }

    /// A number of the metrics.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        line.unwrap_or_else(|| panic!("{name} in\n{text}"))
    }

    /// Waits until a number of the metrics is this one.
    pub fn wait_for(&self, name: &str, value: f64) {
        let begun = Instant::now();
        while self.metric(name) != value {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{name} is {}, not {value}",
                self.metric(name)
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The server's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name, such as `TERM`.
    #[cfg(unix)]
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits for the end; the exit code, and what was said on stderr.
    pub fn finish(mut self) -> (Option<i32>, String) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "the server does not end");
            thread::sleep(Duration::from_millis(10));
        };
        (status.code(), self.stderr.take().unwrap().join().unwrap())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let said = self.stderr.take().map(|stderr| stderr.join().unwrap_or_default()).unwrap_or_default();
        if !thread::panicking() {
            assert!(!said.contains("panicked"), "{said}");
        }
    }
}

/// A place with a model of a long context, in `long`, beside the others.
pub fn with_long_model() -> Place {
    let place = Place::with_model();
    place.write("long.json", LONG);
    let new = "pretrain --data docs.jsonl --model-config long.json --tokenizer tok --out long";
    place.run(&format!("{new} {SHORT}")).ok();
    place
}

/// A question, greedy, of so many tokens.
pub fn question(text: &str, tokens: usize) -> Value {
    json!({
        "model": "", "messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": tokens,
        "ignore_eos": true,
    })
}

/// The text of a whole chat answer.
pub fn said(answer: &Value) -> String {
    let message = &answer["choices"][0]["message"];
    let thoughts = message["reasoning_content"].as_str().unwrap_or_default();
    format!("{thoughts}{}", message["content"].as_str().unwrap_or_default())
}

/// The same of a stream, with its last word.
pub fn streamed(events: Vec<String>) -> (String, Value) {
    let (last, parts) = events.split_last().unwrap();
    assert_eq!(last, "[DONE]", "{events:?}");
    let parts: Vec<Value> = parts.iter().map(|part| serde_json::from_str(part).unwrap()).collect();
    let text = |part: &Value| {
        let delta = &part["choices"][0]["delta"];
        let thoughts = delta["reasoning_content"].as_str().unwrap_or_default();
        format!("{thoughts}{}", delta["content"].as_str().unwrap_or_default())
    };
    (parts.iter().map(text).collect(), parts.last().cloned().unwrap())
}
