//! Prometheus' text format, <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::fmt::Write;

/// What the names of all families begin with.
const PREFIX: &str = "kindling_";

/// Adds a family of measures, whose `lines` follow.
pub fn family(text: &mut String, name: &str, kind: &str, help: &str, lines: &str) {
    let _ = write!(text, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}\n{lines}");
}

/// Adds a measure that goes up and down, and is the only one of its family.
pub fn gauge(text: &mut String, name: &str, help: &str, value: f64) {
    let value = match value {
        value if value == f64::INFINITY => "+Inf".to_string(),
        value if value == f64::NEG_INFINITY => "-Inf".to_string(),
        value => value.to_string(),
    };
    family(text, name, "gauge", help, &format!("{PREFIX}{name} {value}\n"));
}

/// A measure's name as the format allows it.
pub fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// The value of a label as it stands between quotes.
pub fn label(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_labels_and_numbers_are_as_the_format_has_them() {
        let mut text = String::new();
        gauge(&mut text, &plain("train/loss"), "The loss.", f64::INFINITY);
        gauge(&mut text, "x", "X.", f64::NAN);
        let expected = "# HELP kindling_train_loss The loss.\n# TYPE kindling_train_loss gauge\nkindling_train_loss +Inf\n\
                        # HELP kindling_x X.\n# TYPE kindling_x gauge\nkindling_x NaN\n";
        assert_eq!(text, expected);
        assert_eq!(label("a\"b\\c\n"), "a\\\"b\\\\c\\n");
    }
}
