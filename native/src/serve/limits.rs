//! How much the server takes on, of everything that a stranger may send or ask for.

use std::time::Duration;

use clap::Args;
use kindling::api::KeepAlive;
use kindling::told::Told;

/// Prompt tokens that are read in one step beside the answers.
pub const PREFILL_TOKENS: usize = 256;
/// Most bytes of a request's head; hyper answers 431 to more.
pub const HEAD_BYTES: usize = 64 << 10;
/// Most lines of a request's head.
pub const HEAD_LINES: usize = 100;
/// How long a client may take none of what is sent.
pub const WRITE_LIMIT: Duration = Duration::from_secs(60);
/// After so long without a token a stream gets a comment, which keeps it open at proxies.
pub const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Pieces of an answer that wait for a client, the one that tells of its end among them; one that lags further behind is
/// cut off.
pub const WAITING_PIECES: usize = 4096;
/// New tokens that an answer gets room for at first, and twice what there is when that is full and all can have as much.
pub const GROWTH: usize = 256;

/// The limits of a server.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct Limits {
    /// Answers that a model writes at the same time; those beyond wait
    #[arg(long, default_value_t = 16)]
    pub max_streams: usize,
    /// Requests that may wait in all; those beyond are answered 429 with Retry-After
    #[arg(long, default_value_t = 64)]
    pub queue: usize,
    /// Largest request, in MB; larger ones are answered 413
    #[arg(long, default_value_t = 4.0)]
    pub max_request_mb: f64,
    /// Seconds that a request may take in all, its time in the queue included; one that is not done by then fails (504)
    #[arg(long, default_value_t = 600.0)]
    pub timeout: f64,
    /// Seconds in which the head of a request has to come, and then its body; slower ones are closed
    #[arg(long, default_value_t = 30.0)]
    pub read_timeout: f64,
    /// Connections at the same time; those beyond wait
    #[arg(long, default_value_t = 512)]
    pub max_connections: usize,
    /// Put a model away when nobody asked for it in so many seconds; a request's keep_alive says it otherwise [default: never]
    #[arg(long, value_name = "SECONDS")]
    pub unload_after: Option<f64>,
}

impl Limits {
    /// What does not hold, all at once.
    pub fn problems(&self) -> Vec<Told> {
        let mut problems = Vec::new();
        for (flag, value, most) in [
            ("--max-streams", self.max_streams, 4096),
            ("--queue", self.queue, 1 << 20),
            ("--max-connections", self.max_connections, 1 << 20),
        ] {
            if !(1..=most).contains(&value) {
                problems.push(format!("{flag} is {value}, but it must lie between 1 and {most}").into());
            }
        }
        for (flag, value, most) in [
            ("--max-request-mb", self.max_request_mb, 1024.0),
            ("--timeout", self.timeout, 1e6),
            ("--read-timeout", self.read_timeout, 3600.0),
        ] {
            if !(value > 0.0 && value <= most) {
                problems
                    .push(format!("{flag} is {value}, but it must lie above 0 and at most {most}").into());
            }
        }
        if let Some(seconds) = self.unload_after.filter(|seconds| !(0.0..=1e9).contains(seconds)) {
            problems.push(
                format!(
                    "--unload-after is {seconds}, but it must lie between 0 and 1e9; leave it out for never"
                )
                .into(),
            );
        }
        problems
    }

    /// See [`Limits::unload_after`].
    pub fn keep_alive(&self) -> KeepAlive {
        self.unload_after.map_or(KeepAlive::Always, |after| KeepAlive::For(Duration::from_secs_f64(after)))
    }

    /// Most bytes of a request's body.
    pub fn request_bytes(&self) -> usize {
        (self.max_request_mb * 1e6) as usize
    }

    /// See [`Limits::timeout`].
    pub fn request_time(&self) -> Duration {
        Duration::from_secs_f64(self.timeout)
    }

    /// See [`Limits::read_timeout`].
    pub fn read_time(&self) -> Duration {
        Duration::from_secs_f64(self.read_timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_told_all_at_once() {
        let limits = Limits {
            max_streams: 0,
            queue: 1,
            max_request_mb: f64::NAN,
            timeout: 1.5,
            read_timeout: 0.0,
            max_connections: 1,
            unload_after: Some(-1.0),
        };
        let problems = limits.problems();
        let flags = ["--max-streams", "--max-request-mb", "--read-timeout", "--unload-after"];
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert!(problems.iter().zip(flags).all(|(problem, flag)| problem.starts_with(flag)), "{problems:?}");
        assert_eq!(limits.request_time(), Duration::from_millis(1500));
    }
}
