//! Numbers as people read them, the same in both languages.

/// Puts values into a sentence's `{}`, in order.
pub fn fill(sentence: &str, values: &[&str]) -> String {
    let mut parts = sentence.split("{}");
    let mut whole = String::from(parts.next().unwrap_or_default());
    let mut values = values.iter();
    for part in parts {
        whole.push_str(values.next().unwrap_or(&""));
        whole.push_str(part);
    }
    whole
}

/// A size in bytes: `820 B`, `1.5 MB`; thousands, as browsers and disks count.
pub fn bytes(count: f64) -> String {
    scaled(count, 1000.0, &[" B", " kB", " MB", " GB", " TB"])
}

/// A count of many things: `950`, `26.1M`.
pub fn count(count: f64) -> String {
    scaled(count, 1000.0, &["", "k", "M", "B"])
}

fn scaled(mut value: f64, step: f64, units: &[&str]) -> String {
    let mut unit = 0;
    // 999.6 would print as 1000 of the smaller unit.
    while value >= step - 0.5 && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 99.95);
    format!("{value:.digits$}{}", units.get(unit).unwrap_or(&""))
}

/// A span of time: `8 s`, `2 min 5 s`, `1 h 20 min`.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, 0) => format!("{m} min"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, m, _) => format!("{h} h {m} min"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_where_the_sentence_has_braces() {
        assert_eq!(fill("{} of {}", &["1", "2"]), "1 of 2");
        assert_eq!(fill("第 {} 步", &["7"]), "第 7 步");
        assert_eq!(fill("{}{}", &["a"]), "a");
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
        assert_eq!(count(950.0), "950");
        assert_eq!(count(26_100_000.0), "26.1M");
    }

    #[test]
    fn durations_have_two_units_at_most() {
        for (seconds, text) in
            [(-1.0, "0 s"), (7.6, "8 s"), (60.0, "1 min"), (125.0, "2 min 5 s"), (4800.0, "1 h 20 min")]
        {
            assert_eq!(duration(seconds), text);
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
