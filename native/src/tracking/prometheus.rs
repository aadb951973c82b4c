//! `--metrics-port`: the newest measures of a run for Prometheus, on this machine alone.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use kindling::error::Result;

use super::exposition::{family, gauge, label, plain};
use super::{About, Moment, Tracker};
use crate::commands::doctor::resident;
use crate::failure::io_error;

/// How often connections, and the end, are looked for.
const LOOK: Duration = Duration::from_millis(50);
/// How long a whole request may take, and its answer.
const LIMIT: Duration = Duration::from_secs(2);
/// The longest head of a request.
const HEAD_BYTES: usize = 8192;

/// A server of the newest measures; it ends with its run.
#[derive(Debug)]
pub struct Prometheus {
    port: u16,
    newest: Arc<Mutex<Newest>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What is served.
#[derive(Debug, Default)]
struct Newest {
    /// The labels of the run.
    labels: String,
    total_steps: u64,
    step: u64,
    numbers: BTreeMap<String, f64>,
}

/// Takes the port.
///
/// # Errors
/// A port that is not free.
pub fn bind(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

impl Prometheus {
    /// Begins to serve.
    ///
    /// # Errors
    /// A port that is not free.
    pub fn open(port: u16, about: &About) -> Result<Self> {
        let place = || format!("127.0.0.1:{port}");
        let listener = bind(port).and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
        let listener = listener.map_err(|e| io_error(place().as_ref(), e))?;
        let labels = format!(
            "run=\"{}\",stage=\"{}\",version=\"{}\"",
            label(&about.name),
            label(&about.stage),
            env!("CARGO_PKG_VERSION")
        );
        let newest = Newest { labels, total_steps: about.total_steps, ..Newest::default() };
        let (newest, ends) = (Arc::new(Mutex::new(newest)), Arc::new(AtomicBool::new(false)));
        let (served, stop) = (Arc::clone(&newest), Arc::clone(&ends));
        let thread = spawn(move || serve(&listener, &served, &stop));
        Ok(Self { port, newest, ends, thread: Some(thread) })
    }
}

impl Tracker for Prometheus {
    fn name(&self) -> String {
        format!("--metrics-port {}", self.port)
    }

    fn numbers(&mut self, at: Moment, numbers: &[(String, f64)]) -> Result<()> {
        if let Ok(mut newest) = self.newest.lock() {
            newest.step = at.step;
            newest.numbers.extend(numbers.iter().cloned());
        }
        Ok(())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Newest {
    /// The text that Prometheus reads.
    fn text(&self) -> String {
        let (mut text, labels) = (String::new(), &self.labels);
        let info = format!("kindling_run_info{{{labels}}} 1\n");
        family(&mut text, "run_info", "gauge", "The run that trains.", &info);
        gauge(&mut text, "step", "Optimizer steps taken.", self.step as f64);
        gauge(&mut text, "steps", "Optimizer steps in all, as far as is known.", self.total_steps as f64);
        for (name, value) in &self.numbers {
            gauge(&mut text, &plain(name), &format!("{name}, as docs/tracking.md tells."), *value);
        }
        if let Some(bytes) = resident() {
            let help = "Memory that the process holds, in bytes.";
            gauge(&mut text, "resident_memory_bytes", help, bytes as f64);
        }
        text
    }
}

/// Answers one request after another until the end.
fn serve(listener: &TcpListener, newest: &Mutex<Newest>, ends: &AtomicBool) {
    while !ends.load(Ordering::Relaxed) {
        match listener.accept() {
            // What breaks a connection concerns nobody else.
            Ok((stream, _)) => drop(answer(stream, newest)),
            Err(_) => sleep(LOOK),
        }
    }
}

fn answer(mut stream: TcpStream, newest: &Mutex<Newest>) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(LIMIT))?;
    let head = head(&mut stream)?;
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let (status, body) = match (method, path) {
        ("GET" | "HEAD", "/metrics") => {
            ("200 OK", newest.lock().map(|newest| newest.text()).unwrap_or_default())
        }
        ("GET" | "HEAD", _) => ("404 Not Found", "the measures are at /metrics\n".to_string()),
        _ => ("405 Method Not Allowed", "GET /metrics\n".to_string()),
    };
    let length = body.len();
    let body = if method == "HEAD" { "" } else { &body };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

/// A request's head, up to the empty line.
fn head(stream: &mut TcpStream) -> std::io::Result<String> {
    let (begun, mut head, mut piece) = (Instant::now(), Vec::new(), [0; 1024]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = LIMIT.checked_sub(begun.elapsed()).filter(|left| !left.is_zero());
        let left = left.ok_or(ErrorKind::TimedOut)?;
        stream.set_read_timeout(Some(left))?;
        let count = stream.read(&mut piece)?;
        if count == 0 || head.len() + count > HEAD_BYTES {
            return Err(ErrorKind::InvalidData.into());
        }
        head.extend_from_slice(&piece[..count]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(port: u16, request: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    #[test]
    fn the_newest_measures_are_served_until_the_run_ends() {
        let port = bind(0).unwrap().local_addr().unwrap().port();
        let about = About { name: "a\"b".into(), stage: "sft".into(), total_steps: 9, ..About::default() };
        let mut served = Prometheus::open(port, &about).unwrap();
        assert!(Prometheus::open(port, &about).is_err(), "the port is taken");
        let at = |step: u64| Moment { step, time: 0.0 };
        served.numbers(at(1), &[("train/loss".into(), 2.5), ("eval/loss".into(), 2.0)]).unwrap();
        served.numbers(at(2), &[("train/loss".into(), 1.5)]).unwrap();
        let answer = ask(port, "GET /metrics?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        for line in [
            "kindling_step 2",
            "kindling_steps 9",
            "kindling_train_loss 1.5",
            "kindling_eval_loss 2",
            "# TYPE kindling_train_loss gauge",
        ] {
            assert!(answer.lines().any(|found| found == line), "{line} in\n{answer}");
        }
        assert!(answer.contains("kindling_run_info{run=\"a\\\"b\",stage=\"sft\",version="), "{answer}");
        assert!(ask(port, "GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
        assert!(ask(port, "POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
        assert_eq!(ask(port, &"x".repeat(HEAD_BYTES + 1)), "");
        drop(served);
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
    }
}
