//! A directory of its own for every test, with small data and a small model.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Outcome, Running};

/// The smallest model that has everything: grouped heads, tied embeddings.
pub const TINY: &str = r#"{"model_type": "llama", "vocab_size": 300, "hidden_size": 16,
    "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
    "max_position_embeddings": 128, "tie_word_embeddings": true}"#;

/// Flags of a training run of a moment.
pub const SHORT: &str = "--steps 3 --batch-size 2 --max-seq-len 32 --log-every 1";

/// A fresh directory in which commands run; it is removed at the end.
pub struct Place {
    directory: TempDir,
}

impl Place {
    /// An empty directory.
    pub fn new() -> Self {
        Self { directory: TempDir::new().expect("a temporary directory") }
    }

    /// With `docs.jsonl` (200 texts), `chat.jsonl` (100 conversations), a tokenizer in `tok`, the sizes of a
    /// model in `tiny.json` and a run of such a model in `model`.
    pub fn with_model() -> Self {
        let place = Self::new();
        place.write("docs.jsonl", (0..200).map(document).collect::<String>());
        place.write("chat.jsonl", (0..100).map(conversation).collect::<String>());
        place.write("tiny.json", TINY);
        place.run("tokenizer train --data docs.jsonl --vocab-size 300 --out tok").ok();
        let new = "pretrain --data docs.jsonl --model-config tiny.json --tokenizer tok --out model";
        place.run(&format!("{new} {SHORT}")).ok();
        place
    }

    pub fn root(&self) -> &Path {
        self.directory.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    pub fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Writes a file, with the directories above it.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    pub fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.read(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub fn remove(&self, name: &str) {
        let path = self.path(name);
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.unwrap_or_else(|e| panic!("{name}: {e}"));
    }

    /// Copies a directory with everything below it.
    pub fn copy(&self, from: &str, to: &str) {
        copy(&self.path(from), &self.path(to));
    }

    /// Every file below a directory with its bytes, by name: equal before and after means untouched.
    pub fn contents(&self, name: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        collect(&self.path(name), &mut files);
        files.sort();
        files
    }

    /// Runs a command whose words hold no spaces, on the processor unless the line says otherwise.
    pub fn run(&self, line: &str) -> Outcome {
        self.start(line).finish()
    }

    /// Runs a command of any words.
    pub fn run_words(&self, words: &[&str]) -> Outcome {
        Running::start(self.root(), &[], &on_cpu(words.to_vec())).finish()
    }

    /// Runs a command that reads `input`.
    pub fn run_with_input(&self, line: &str, input: impl AsRef<[u8]>) -> Outcome {
        let mut running = self.start(line);
        running.feed(input);
        running.finish()
    }

    /// Starts a command.
    pub fn start(&self, line: &str) -> Running {
        Running::start(self.root(), &[], &on_cpu(line.split_whitespace().collect()))
    }

    /// Starts a command with variables in its environment.
    pub fn start_with_env(&self, env: &[(&str, &str)], line: &str) -> Running {
        Running::start_with_env(self.root(), env, &[], &on_cpu(line.split_whitespace().collect()))
    }

    /// Runs a command that may write no file of more than so many KiB: a disk that is full for large files.
    pub fn run_limited(&self, kib: u64, line: &str) -> Outcome {
        let kib = kib.to_string();
        let limit = ["bash", "-c", "ulimit -f \"$0\" && exec \"$@\"", &kib];
        Running::start(self.root(), &limit, &on_cpu(line.split_whitespace().collect())).finish()
    }

    /// The lines of a run's `log.jsonl`.
    pub fn log(&self, run: &str) -> Vec<Value> {
        let text = self.text(&format!("{run}/log.jsonl"));
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line:?}"));
        text.lines().map(parse).collect()
    }

    /// The logged steps of a run: everything that must not depend on how often it was interrupted.
    pub fn logged_steps(&self, run: &str) -> Vec<[f64; 5]> {
        let keys = ["step", "loss", "lr", "grad_norm", "tokens"];
        let steps = self.log(run).into_iter().filter(|line| line.get("event").is_none());
        steps.map(|line| keys.map(|key| line[key].as_f64().unwrap())).collect()
    }

    /// The steps whose checkpoints are kept, in order.
    pub fn checkpoints(&self, run: &str) -> Vec<u64> {
        let names = fs::read_dir(self.path(run)).unwrap().map(|entry| entry.unwrap().file_name());
        let step = |name: std::ffi::OsString| name.to_str()?.strip_prefix("checkpoint-")?.parse().ok();
        let mut steps: Vec<u64> = names.filter_map(step).collect();
        steps.sort_unstable();
        steps
    }

    /// Waits until a run has logged that it saved.
    pub fn wait_for_save(&self, run: &str) {
        self.wait_for("a save", || self.logged(run).contains(r#""event":"save""#));
    }

    /// What a run has logged so far; the last line may be incomplete.
    pub fn logged(&self, run: &str) -> String {
        fs::read_to_string(self.path(run).join("log.jsonl")).unwrap_or_default()
    }

    /// Waits until something holds.
    pub fn wait_for(&self, what: &str, holds: impl Fn() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < Duration::from_secs(180), "waited three minutes for {what}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A line of a data file for pretraining.
pub fn document(i: usize) -> String {
    let number = i * 37 % 101;
    format!("{{\"text\": \"The {i}. lamp stands beside the river and shines at night number {number}.\"}}\n")
}

/// A line of a data file for fine-tuning.
pub fn conversation(i: usize) -> String {
    let answer = i + 1;
    format!("{{\"user\": \"What is {i} plus one?\", \"assistant\": \"It is {answer}.\"}}\n")
}

fn on_cpu(mut words: Vec<&str>) -> Vec<&str> {
    if !words.contains(&"--device") {
        words.extend(["--device", "cpu"]);
    }
    words
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

fn collect(directory: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
}

/// The logged steps of a run, as they stand in its log.
pub fn steps(place: &Place, run: &str) -> Vec<Value> {
    place.log(run).into_iter().filter(|line| line.get("event").is_none()).collect()
}

/// A number in a line of a log.
pub fn number(line: &Value, name: &str) -> f64 {
    line[name].as_f64().unwrap_or_else(|| panic!("{name} in {line}"))
}
