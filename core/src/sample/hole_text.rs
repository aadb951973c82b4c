//! Where a text has holes: three underscores or more are one; behind a backslash they are text. The page reads this very
//! file.

/// The shortest hole.
pub const HOLE: &str = "___";

/// Whether a text has a hole.
pub fn has_holes(text: &str) -> bool {
    between_holes(text).len() > 1
}

/// The texts before, between and behind the holes, with the underscores that are none.
pub fn between_holes(text: &str) -> Vec<String> {
    let (mut all, mut said, mut rest) = (Vec::new(), String::new(), text);
    while let Some(at) = rest.find(HOLE) {
        let behind = rest[at..].trim_start_matches('_');
        let run = &rest[at..rest.len() - behind.len()];
        match rest[..at].strip_suffix('\\') {
            Some(before) => said = said + before + run,
            None => all.push(std::mem::take(&mut said) + &rest[..at]),
        }
        rest = behind;
    }
    all.push(said + rest);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_three_underscores_or_more() {
        assert!(has_holes("The ___ shines") && has_holes("______"));
        assert!(!has_holes("snake_case__name") && !has_holes(""));
        assert!(!has_holes(r"a line \___") && has_holes(r"a line \___ and a hole ___"));
        assert_eq!(between_holes(r"a ___ b \____ c_____"), ["a ", " b ____ c", ""]);
    }
}
