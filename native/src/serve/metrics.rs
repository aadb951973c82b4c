//! Counters of a server, as Prometheus reads them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::tracking::family;

/// Upper bounds of the time to the first token, in seconds; as those of vLLM.
const BOUNDS: [f64; 16] =
    [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 30.0];

/// All counters of a server.
#[derive(Default)]
pub struct Metrics {
    /// Requests by route and status: as many as there are routes and statuses, whatever is asked.
    requests: Mutex<BTreeMap<(String, u16), u64>>,
    first_token: Mutex<Times>,
    prompt_tokens: AtomicU64,
    generated_tokens: AtomicU64,
    cancelled: AtomicU64,
    put_off: AtomicU64,
    running: AtomicUsize,
    waiting: AtomicUsize,
    loaded: AtomicUsize,
}

/// How many times were at most each bound; the last counts those above all of them.
#[derive(Default)]
struct Times {
    counts: [u64; BOUNDS.len() + 1],
    sum: f64,
}

impl Metrics {
    /// A request was answered.
    pub fn request(&self, route: &str, status: u16) {
        if let Ok(mut requests) = self.requests.lock() {
            *requests.entry((route.to_string(), status)).or_default() += 1;
        }
    }

    /// A request's first token came after so many seconds.
    pub fn first_token(&self, seconds: f64) {
        if let Ok(mut times) = self.first_token.lock() {
            let place = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
            times.counts[place] += 1;
            times.sum += seconds;
        }
    }

    /// A request is done, with so many tokens read and written.
    pub fn tokens(&self, prompt: usize, generated: usize) {
        self.prompt_tokens.fetch_add(prompt as u64, Ordering::Relaxed);
        self.generated_tokens.fetch_add(generated as u64, Ordering::Relaxed);
    }

    /// A client left before its answer was whole.
    pub fn cancelled(&self) {
        self.cancelled.fetch_add(1, Ordering::Relaxed);
    }

    /// So many answers lost their place for a while.
    pub fn put_off(&self, answers: u64) {
        self.put_off.fetch_add(answers, Ordering::Relaxed);
    }

    /// An answer ended, whose client may ask for these numbers before the round is over.
    pub fn ended(&self) {
        let less = |running: usize| Some(running.saturating_sub(1));
        let _ = self.running.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// How it stands now.
    pub fn now(&self, running: usize, waiting: usize, loaded: usize) {
        self.running.store(running, Ordering::Relaxed);
        self.waiting.store(waiting, Ordering::Relaxed);
        self.loaded.store(loaded, Ordering::Relaxed);
    }

    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut family =
            |name: &str, kind: &str, help: &str, lines: &str| family(&mut text, name, kind, help, lines);
        let one = |name: &str, value: u64| format!("kindling_{name} {value}\n");
        let load = |value: &AtomicUsize| value.load(Ordering::Relaxed) as u64;
        family("requests_total", "counter", "Requests by route and status.", &self.requests_lines());
        for (name, help, value) in [
            ("prompt_tokens_total", "Prompt tokens of answered requests.", &self.prompt_tokens),
            ("generated_tokens_total", "Tokens that were written.", &self.generated_tokens),
            ("cancelled_total", "Requests whose client left, or whose time was over.", &self.cancelled),
            (
                "put_off_total",
                "Times that an answer gave way to those before it, for want of memory.",
                &self.put_off,
            ),
        ] {
            family(name, "counter", help, &one(name, value.load(Ordering::Relaxed)));
        }
        for (name, help, value) in [
            ("answers_running", "Answers that are being written.", &self.running),
            ("answers_waiting", "Answers that wait for a place.", &self.waiting),
            ("models_loaded", "Models and adapters that are loaded.", &self.loaded),
        ] {
            family(name, "gauge", help, &one(name, load(value)));
        }
        let help = "Seconds from a request to its first token.";
        family("time_to_first_token_seconds", "histogram", help, &self.first_token_lines());
        text
    }

    fn requests_lines(&self) -> String {
        let requests = self.requests.lock().map(|requests| requests.clone()).unwrap_or_default();
        let line = |((route, status), count): (&(String, u16), &u64)| {
            format!("kindling_requests_total{{route=\"{route}\",status=\"{status}\"}} {count}\n")
        };
        requests.iter().map(line).collect()
    }

    fn first_token_lines(&self) -> String {
        let Ok(times) = self.first_token.lock() else { return String::new() };
        let (mut text, mut count) = (String::new(), 0);
        let bounds = BOUNDS.iter().map(f64::to_string).chain(["+Inf".to_string()]);
        for (bound, more) in bounds.zip(times.counts) {
            count += more;
            let _ = writeln!(text, "kindling_time_to_first_token_seconds_bucket{{le=\"{bound}\"}} {count}");
        }
        let _ = writeln!(text, "kindling_time_to_first_token_seconds_sum {}", times.sum);
        let _ = writeln!(text, "kindling_time_to_first_token_seconds_count {count}");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let metrics = Metrics::default();
        metrics.request("/v1/models", 200);
        metrics.request("/v1/models", 200);
        metrics.first_token(0.03);
        metrics.first_token(99.0);
        metrics.tokens(5, 7);
        metrics.now(2, 2, 3);
        metrics.ended();
        metrics.put_off(4);
        let text = metrics.text();
        for line in [
            "kindling_requests_total{route=\"/v1/models\",status=\"200\"} 2",
            "kindling_time_to_first_token_seconds_bucket{le=\"0.02\"} 0",
            "kindling_time_to_first_token_seconds_bucket{le=\"0.04\"} 1",
            "kindling_time_to_first_token_seconds_bucket{le=\"30\"} 1",
            "kindling_time_to_first_token_seconds_bucket{le=\"+Inf\"} 2",
            "kindling_time_to_first_token_seconds_count 2",
            "kindling_prompt_tokens_total 5",
            "kindling_generated_tokens_total 7",
            "kindling_answers_waiting 2",
            "kindling_put_off_total 4",
            "kindling_answers_running 1",
            "# TYPE kindling_models_loaded gauge",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
