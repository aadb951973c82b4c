//! One command: its words, its end, and what it said.
//!
//! Some things hold for every command, so they are checked here: no panic reaches a person, and under
//! `--json` stdout holds nothing but JSON.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A command that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(2);

/// What a finished command left behind.
pub struct Outcome {
    pub line: String,
    /// `None` after a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// The most memory that was seen, in KiB; 0 where the system does not tell.
    pub peak_kib: u64,
    pub elapsed: Duration,
}

impl Outcome {
    /// Checks the exit code, and that stderr holds every part.
    pub fn expect(self, code: i32, parts: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        for part in parts {
            assert!(self.stderr.contains(part), "stderr lacks {part:?}\n{self}");
        }
        self
    }

    /// Checks for success.
    pub fn ok(self) -> Self {
        self.expect(0, &[])
    }

    /// The lines of stdout as JSON.
    pub fn json(&self) -> Vec<Value> {
        let parse =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line:?}\n{self}"));
        self.stdout.lines().map(parse).collect()
    }

    /// The single line of stdout as JSON.
    pub fn result(&self) -> Value {
        let mut values = self.json();
        assert_eq!(values.len(), 1, "{self}");
        values.remove(0)
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { line, code, stdout, stderr, .. } = self;
        write!(out, "$ kindling {line}\nexit code {code:?}\nstdout: {stdout}\nstderr: {stderr}")
    }
}

/// A command that goes on in the background; it is killed when this is dropped.
pub struct Running {
    line: String,
    child: Child,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
    started: Instant,
    peak_kib: u64,
}

impl Running {
    /// Starts `kindling` in `directory`, by way of `wrapper` where one is given.
    pub fn start(directory: &Path, wrapper: &[&str], args: &[&str]) -> Self {
        Self::start_with_env(directory, &[], wrapper, args)
    }

    /// The same with variables in its environment.
    pub fn start_with_env(directory: &Path, env: &[(&str, &str)], wrapper: &[&str], args: &[&str]) -> Self {
        let program = env!("CARGO_BIN_EXE_kindling");
        let words: Vec<&str> = wrapper.iter().chain(&[program]).chain(args).copied().collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(directory).envs(env.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{}: {e}", words[0]));
        let (stdout, stderr) = (child.stdout.take().map(reader), child.stderr.take().map(reader));
        Self { line: args.join(" "), child, stdout, stderr, started: Instant::now(), peak_kib: 0 }
    }

    /// Gives the command its whole input.
    pub fn feed(&mut self, input: impl AsRef<[u8]>) {
        use std::io::Write;
        if let Some(mut stdin) = self.child.stdin.take() {
            // A command that fails early reads nothing, and that is not this function's concern.
            let _ = stdin.write_all(input.as_ref());
        }
    }

    /// Gives the command some input, behind which more may come.
    #[cfg(unix)]
    pub fn type_in(&mut self, input: &str) {
        use std::io::Write;
        let stdin = self.child.stdin.as_mut().expect("the input is open");
        stdin.write_all(input.as_bytes()).and_then(|()| stdin.flush()).expect("the command reads");
    }

    /// Sends a signal by name, such as `INT`.
    #[cfg(unix)]
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status().expect("sh runs");
        assert!(status.success(), "{kill}");
    }

    /// Kills the command, which cannot prepare for it.
    pub fn kill(self) {
        drop(self);
    }

    /// Waits for the end.
    pub fn finish(self) -> Outcome {
        self.finish_within(LIMIT)
    }

    /// Waits for the end, which must come in time.
    pub fn finish_within(mut self, limit: Duration) -> Outcome {
        drop(self.child.stdin.take());
        let status = self.wait(limit);
        let text = |reader: Option<JoinHandle<String>>| reader.map_or(String::new(), |r| r.join().unwrap());
        let outcome = Outcome {
            line: self.line.clone(),
            code: status.code(),
            stdout: text(self.stdout.take()),
            stderr: text(self.stderr.take()),
            peak_kib: self.peak_kib,
            elapsed: self.started.elapsed(),
        };
        check_always(&outcome);
        outcome
    }

    fn wait(&mut self, limit: Duration) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(begun.elapsed() < limit, "`kindling {}` has not ended after {limit:?}", self.line);
            self.peak_kib = self.peak_kib.max(peak_kib(self.child.id()).unwrap_or(0));
            thread::sleep(POLL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn reader(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The most memory that a process has held so far; known on Linux only.
fn peak_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn check_always(outcome: &Outcome) {
    for word in ["panicked", "backtrace"] {
        assert!(!outcome.stderr.contains(word), "a person sees a panic\n{outcome}");
    }
    if outcome.line.split(' ').any(|word| word == "--json") {
        outcome.json();
    }
}
