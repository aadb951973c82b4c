//! Names as they are typed, in commands that a person may copy.

use std::path::Path;

/// A name as one word of a shell: in quotes where it holds what a shell would read as something else.
pub fn word(name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:@=+,%".contains(c);
    match !name.is_empty() && name.chars().all(is_plain) {
        true => name.to_string(),
        false => format!("'{}'", name.replace('\'', r"'\''")),
    }
}

/// The same of a path; one that begins with a hyphen is no flag.
pub fn path_word(path: &Path) -> String {
    let name = path.display().to_string();
    word(&if name.starts_with('-') { format!("./{name}") } else { name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_word_each() {
        for (name, typed) in [
            ("runs/sft-001", "runs/sft-001"),
            ("模型/一", "模型/一"),
            ("my model", "'my model'"),
            ("it's", r"'it'\''s'"),
            ("$HOME & (1)", "'$HOME & (1)'"),
            ("books/*.txt", "'books/*.txt'"),
            ("", "''"),
        ] {
            assert_eq!(word(name), typed);
        }
        assert_eq!(path_word(Path::new("-x y")), "'./-x y'");
        assert_eq!(path_word(Path::new("runs/-x")), "runs/-x");
    }
}
