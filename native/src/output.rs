//! Results go to stdout, words for people to stderr.

use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use kindling::error::Error;
use serde::Serialize;

/// Whether another process tells of the work.
static SILENT: AtomicBool = AtomicBool::new(false);

/// Says nothing from here on, but why the process fails.
pub fn silence() {
    SILENT.store(true, Ordering::SeqCst);
}

fn is_silent() -> bool {
    SILENT.load(Ordering::SeqCst)
}

/// How much is said, and in which form.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Results as one compact JSON object a line.
    pub json: bool,
    /// No progress, no remarks.
    pub quiet: bool,
    /// Remarks that are usually left out.
    pub verbose: bool,
}

impl Output {
    /// A result line for people; nothing in JSON mode.
    pub fn line(&self, text: &str) {
        if !(self.json || is_silent()) {
            note(writeln!(io::stdout(), "{text}"));
        }
    }

    /// A piece of a result, shown as it comes.
    pub fn piece(&self, text: &str) {
        if !(self.json || is_silent()) {
            let mut stdout = io::stdout();
            note(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()));
        }
    }

    /// A result for programs; nothing otherwise.
    pub fn json(&self, value: &impl Serialize) {
        if self.json
            && !is_silent()
            && let Ok(text) = serde_json::to_string(value)
        {
            note(writeln!(io::stdout(), "{text}"));
        }
    }

    /// A remark on stderr.
    pub fn say(&self, text: &str) {
        if !(self.quiet || is_silent()) {
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Something a person should know, even a quiet one.
    pub fn warn(&self, text: &str) {
        warn(text);
    }
}

/// [`Output::warn`], which is the same for every one of them.
pub fn warn(text: &str) {
    if !is_silent() {
        let _ = writeln!(io::stderr(), "warning: {text}");
    }
}

/// A result that could not be written; told once, at the end.
static LOST: Mutex<Option<io::Error>> = Mutex::new(None);

fn note(written: io::Result<()>) {
    // A reader that has seen enough closes the pipe; that is no failure.
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
        && let Ok(mut lost) = LOST.lock()
    {
        *lost = Some(error);
    }
}

/// Whether all results reached stdout.
///
/// # Errors
/// What the system said when one did not.
pub fn flushed() -> Result<(), Error> {
    note(io::stdout().flush());
    let lost = LOST.lock().ok().and_then(|mut lost| lost.take());
    lost.map_or(Ok(()), |source| Err(Error::Io { path: "stdout".into(), source }))
}

/// A count with the words behind it, behind one and behind many: `1 row`, `1,234 rows`.
pub fn counted(count: u64, [one, many]: [&str; 2]) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { many })
}

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the unit that fits.
pub fn bytes(count: u64) -> String {
    let count = count as f64;
    match count {
        c if c >= 1e9 => format!("{:.1} GB", c / 1e9),
        c if c >= 1e6 => format!("{:.1} MB", c / 1e6),
        c if c >= 1e3 => format!("{:.0} kB", c / 1e3),
        c => format!("{c} bytes"),
    }
}

/// Seconds as `1h 02m`, `3m 05s` or `7s`.
pub fn duration(seconds: f64) -> String {
    let s = seconds.max(0.0).round() as u64;
    match (s / 3600, s / 60 % 60, s % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m {s:02}s"),
        (h, m, _) => format!("{h}h {m:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(duration(6.6), "7s");
        assert_eq!(duration(185.0), "3m 05s");
        assert_eq!(duration(3720.0), "1h 02m");
        assert_eq!(bytes(2_500_000), "2.5 MB");
        assert_eq!((bytes(91), bytes(1500)), ("91 bytes".to_string(), "2 kB".to_string()));
    }
}
