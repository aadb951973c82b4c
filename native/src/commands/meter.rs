//! How far work over rows has come: a bar on a terminal, lines elsewhere, with its speed and the time that is left.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};
use kindling::platform::now;

use crate::output::{Output, counted, duration, grouped};

/// Seconds between two lines.
const EVERY: f64 = 10.0;

/// Counts rows and tokens.
pub struct Meter {
    output: Output,
    bar: Option<ProgressBar>,
    /// Rows in all, and so far.
    total: u64,
    rows: u64,
    /// Rows that were there already.
    skipped: u64,
    tokens: u64,
    began: f64,
    told: f64,
}

impl Meter {
    /// Begins.
    pub fn new(total: u64, output: Output) -> Self {
        let bar = (!output.quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(total);
            if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} rows · {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self { output, bar, total, rows: 0, skipped: 0, tokens: 0, began: now(), told: now() }
    }

    /// Passes over rows that are done already.
    pub fn skip(&mut self, rows: u64) {
        self.skipped += rows;
        self.rows += rows;
    }

    /// Counts rows and their tokens.
    pub fn advance(&mut self, rows: u64, tokens: u64) {
        self.rows += rows;
        self.tokens += tokens;
        let now = now();
        let line = told(
            self.rows - self.skipped,
            self.total - self.rows.min(self.total),
            self.tokens,
            now - self.began,
        );
        match &self.bar {
            Some(bar) => {
                bar.set_position(self.rows);
                bar.set_message(line);
            }
            None if now - self.told >= EVERY => {
                self.told = now;
                let all = counted(self.total, ["row", "rows"]);
                self.output.say(&format!("{} of {all} · {line}", grouped(self.rows)));
            }
            None => {}
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }
}

/// The speed, and the time for what is left.
fn told(done: u64, left: u64, tokens: u64, elapsed: f64) -> String {
    let elapsed = elapsed.max(1e-9);
    let left = left as f64 * elapsed / done.max(1) as f64;
    format!("{} tokens/s · {} left", grouped((tokens as f64 / elapsed) as u64), duration(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_and_the_time_left_are_reckoned_from_what_was_done_here() {
        assert_eq!(told(100, 300, 5_000_000, 20.0), "250,000 tokens/s · 1m 00s left");
        assert_eq!(told(0, 5, 0, 0.0), "0 tokens/s · 0s left");
    }
}
