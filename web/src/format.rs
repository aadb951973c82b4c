//! Numbers as people read them.

/// Puts values into a sentence's `{}`, in order. Where it has `{row|rows}`, the first of both stands behind the value 1 and
/// the second behind all others.
pub fn fill(sentence: &str, values: &[&str]) -> String {
    let (mut whole, mut rest, mut last) = (String::new(), sentence, "");
    let mut values = values.iter();
    while let Some(end) = rest.find('}') {
        let Some(start) = rest[..end].rfind('{') else {
            whole.push_str(&rest[..=end]);
            rest = &rest[end + 1..];
            continue;
        };
        whole.push_str(&rest[..start]);
        let inside = &rest[start + 1..end];
        match inside.split_once('|') {
            _ if inside.is_empty() => {
                last = values.next().copied().unwrap_or_default();
                whole.push_str(last);
            }
            Some((one, many)) => whole.push_str(if last == "1" { one } else { many }),
            None => whole.push_str(&rest[start..=end]),
        }
        rest = &rest[end + 1..];
    }
    whole.push_str(rest);
    whole
}

/// How a language counts and tells time.
pub struct Units {
    /// Sizes and names of the units of a count, the smallest first.
    pub counts: &'static [(f64, &'static str)],
    /// What follows a number of seconds.
    pub second: &'static str,
    /// Of minutes.
    pub minute: &'static str,
    /// Of hours.
    pub hour: &'static str,
}

const BYTES: [(f64, &str); 5] = [(1.0, " B"), (1e3, " kB"), (1e6, " MB"), (1e9, " GB"), (1e12, " TB")];

/// A size in bytes: `820 B`, `1.5 MB`; thousands, as browsers and disks count.
pub fn bytes(count: f64) -> String {
    scaled(count, &BYTES)
}

/// A count of many things: `950`, `26.1M`, `2610万`.
pub fn count(count: f64, units: &Units) -> String {
    scaled(count, units.counts)
}

fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    let mut unit = 0;
    // 999.6 would print as 1000 of the smaller unit.
    while unit + 1 < units.len() && value >= units[unit + 1].0 - units[unit].0 / 2.0 {
        unit += 1;
    }
    let (size, name) = units[unit];
    let value = value / size;
    let digits = usize::from(unit > 0 && value < 99.95);
    format!("{value:.digits$}{name}")
}

/// A span of time: `8 s`, `2 min 5 s`, `1 h 20 min`.
pub fn duration(seconds: f64, units: &Units) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    let Units { second, minute, hour, .. } = units;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} {second}"),
        (0, m, 0) => format!("{m} {minute}"),
        (0, m, s) => format!("{m} {minute} {s} {second}"),
        (h, m, _) => format!("{h} {hour} {m} {minute}"),
    }
}

/// A loss, or a dash where it is no number.
pub fn loss(loss: Option<f64>) -> String {
    loss.filter(|loss| loss.is_finite()).map_or_else(|| "–".into(), |loss| format!("{loss:.3}"))
}

/// A share in percent: `97 %`, `0.4 %`.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let digits = usize::from(percent < 9.95);
    format!("{percent:.digits$} %")
}

/// The share of the first of two among both, by their log-probabilities in nats.
pub fn share_of_first([first, second]: [f64; 2]) -> f64 {
    1.0 / (1.0 + (second - first).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Language;

    #[test]
    fn a_share_follows_from_log_probabilities() {
        assert_eq!(share_of_first([-5.0, -5.0]), 0.5);
        assert!((share_of_first([-1.0, -1.0 - 3f64.ln()]) - 0.75).abs() < 1e-12);
        assert_eq!((share_of_first([0.0, -1e6]), share_of_first([-1e6, 0.0])), (1.0, 0.0));
    }

    #[test]
    fn values_stand_where_the_sentence_has_braces() {
        assert_eq!(fill("{} of {}", &["1", "2"]), "1 of 2");
        assert_eq!(fill("第 {} 步", &["7"]), "第 7 步");
        assert_eq!(fill("{}{}", &["a"]), "a");
        // What no value is for stays, and what stands in a value is no sentence.
        assert_eq!(fill("{\"a\": {}} {", &["{x|y}"]), "{\"a\": {x|y}} {");
    }

    #[test]
    fn one_has_another_word_than_many() {
        let rows = |count: &str| fill("{} of {} {row is|rows are} read", &["0", count]);
        assert_eq!(
            [rows("1"), rows("2"), rows("0")],
            ["0 of 1 row is read", "0 of 2 rows are read", "0 of 0 rows are read"]
        );
    }

    #[test]
    fn sizes_take_the_largest_unit_that_fits() {
        for (size, text) in [
            (0.0, "0 B"),
            (999.0, "999 B"),
            (999.6, "1.0 kB"),
            (1.5e6, "1.5 MB"),
            (420e6, "420 MB"),
            (3e9, "3.0 GB"),
        ] {
            assert_eq!(bytes(size), text);
        }
        for (number, english, chinese) in [
            (950.0, "950", "950"),
            (9_500.0, "9.5k", "9500"),
            (9_999.6, "10.0k", "1.0万"),
            (26_100_000.0, "26.1M", "2610万"),
            (1.2e8, "120M", "1.2亿"),
        ] {
            assert_eq!(count(number, &Language::English.text().units), english);
            assert_eq!(count(number, &Language::Chinese.text().units), chinese);
        }
    }

    #[test]
    fn durations_have_two_units_at_most() {
        for (seconds, english, chinese) in [
            (-1.0, "0 s", "0 秒"),
            (7.6, "8 s", "8 秒"),
            (60.0, "1 min", "1 分"),
            (125.0, "2 min 5 s", "2 分 5 秒"),
            (4800.0, "1 h 20 min", "1 小时 20 分"),
        ] {
            assert_eq!(duration(seconds, &Language::English.text().units), english);
            assert_eq!(duration(seconds, &Language::Chinese.text().units), chinese);
        }
    }

    #[test]
    fn a_loss_that_is_no_number_is_a_dash() {
        assert_eq!(loss(Some(1.23456)), "1.235");
        assert_eq!(loss(Some(f64::NAN)), "–");
        assert_eq!(loss(None), "–");
    }

    #[test]
    fn small_shares_keep_a_digit() {
        assert_eq!(percent(0.97), "97 %");
        assert_eq!(percent(0.004), "0.4 %");
    }
}
