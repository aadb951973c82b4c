//! Python's words for text, where the harness uses them and Rust's differ.

/// `str.isspace` of one character: with the four separators that Unicode calls controls.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1C}'..='\u{1F}').contains(&c)
}

/// `str.strip()`.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `str.rstrip()`.
pub(super) fn strip_end(text: &str) -> &str {
    text.trim_end_matches(is_space)
}

/// `str.capitalize()`: the first character large, all others small.
pub(super) fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| match c.to_uppercase().count() {
        1 => c.to_uppercase().collect::<String>(),
        // In a title the letters of one character are one large and others small: `ß` is `Ss`.
        _ => {
            let mut large = c.to_uppercase();
            large.next().into_iter().chain(large.flat_map(char::to_lowercase)).collect()
        }
    });
    first.map_or(String::new(), |first| first + &chars.as_str().to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_and_capitals_are_pythons() {
        assert_eq!(strip(" \u{1F}\u{3000}a b\u{85}\n"), "a b");
        assert_eq!(strip_end("a \u{1C}"), "a");
        let words = ["the Lamp GLOWS", "ärger", "ßt", "他", ""].map(capitalized);
        assert_eq!(words, ["The lamp glows", "Ärger", "Sst", "他", ""]);
    }
}
