//! How long a model stays loaded behind a request, as Ollama's `keep_alive` says it
//! (<https://docs.ollama.com/faq#how-do-i-keep-a-model-loaded-in-memory-or-make-it-unload-immediately>).

use std::time::Duration;

use serde_json::Value;

use super::ApiError;
use super::fields::Fields;

/// A time beyond which nobody counts.
const LONGEST: f64 = 1e9;

/// How long a model stays when nothing more is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepAlive {
    /// Until the server ends.
    Always,
    /// So long; not at all where it is zero.
    For(Duration),
}

impl KeepAlive {
    /// Not at all.
    pub const NONE: Self = Self::For(Duration::ZERO);

    /// Takes `keep_alive`: seconds as a number, or a text such as `5m`, `1h30m` or `-1s`; what is negative is for ever.
    ///
    /// # Errors
    /// What is no time.
    pub(super) fn of(fields: &mut Fields) -> Result<Option<Self>, ApiError> {
        let path = fields.path("keep_alive");
        let seconds = match fields.take("keep_alive") {
            None => return Ok(None),
            Some(Value::Number(number)) => number.as_f64(),
            Some(Value::String(text)) => seconds(&text),
            Some(other) => {
                return Err(ApiError::wrong_type(&path, "a number of seconds or a text such as 5m", &other));
            }
        };
        let wrong = || {
            let message = format!(
                "Invalid '{path}': it is no time; write seconds as a number, or numbers with their units: 300, \"5m\", \
                 \"1h30m\", and -1 for ever."
            );
            ApiError::invalid(&path, message)
        };
        match seconds.filter(|seconds| seconds.is_finite()).ok_or_else(wrong)? {
            seconds if !(0.0..=LONGEST).contains(&seconds) => Ok(Some(Self::Always)),
            seconds => Ok(Some(Self::For(Duration::from_secs_f64(seconds)))),
        }
    }
}

/// The seconds of a time as Go writes it, <https://pkg.go.dev/time#ParseDuration>.
fn seconds(text: &str) -> Option<f64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0.0);
    }
    let mut sum = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, behind) = rest.split_at(digits);
        let unit = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit);
        let factor = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * factor;
        rest = behind;
    }
    (!text.is_empty() && text.ends_with(|c: char| c.is_ascii_alphabetic())).then_some(sign * sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<Option<KeepAlive>, ApiError> {
        KeepAlive::of(&mut Fields::of_body(format!(r#"{{"keep_alive": {value}}}"#).as_bytes())?)
    }

    #[test]
    fn times_are_read_as_ollama_reads_them() {
        for (value, seconds) in [
            ("300", 300.0),
            ("0", 0.0),
            ("0.5", 0.5),
            (r#""5m""#, 300.0),
            (r#""1h30m""#, 5400.0),
            (r#""0""#, 0.0),
            (r#""1.5s""#, 1.5),
            (r#""250ms""#, 0.25),
            (r#""+2s""#, 2.0),
        ] {
            let expected = KeepAlive::For(Duration::from_secs_f64(seconds));
            assert_eq!(read(value), Ok(Some(expected)), "{value}");
        }
        for value in ["-1", r#""-1m""#, "-0.5", "1e300"] {
            assert_eq!(read(value), Ok(Some(KeepAlive::Always)), "{value}");
        }
        assert_eq!((read("null"), KeepAlive::of(&mut Fields::empty())), (Ok(None), Ok(None)));
        for value in [
            "true",
            r#""5""#,
            r#""""#,
            r#""-""#,
            r#""m""#,
            r#""5 m""#,
            r#""5d""#,
            r#""1..2s""#,
            r#""5m3""#,
            "[]",
        ] {
            assert_eq!(read(value).unwrap_err().param.as_deref(), Some("keep_alive"), "{value}");
        }
    }
}
