//! Cells of a spreadsheet that a person pastes into a field for one of them. The field holds them as a text until the
//! engine has told what they are.

/// Whether a pasted text may be cells: they have tabs between them, and a line of a program begins with one.
pub fn may_be(pasted: &str) -> bool {
    pasted.contains('\t') && !pasted.starts_with('\t')
}

/// A field without what was pasted into it; `before` is what it held then, and `now` what it holds. What was typed since
/// stays; where nothing was, what the paste took the place of is there again. None where the pasted text is gone.
pub fn without(pasted: &str, before: &str, now: &str) -> Option<String> {
    if now == before {
        return Some(before.to_string());
    }
    // As a field ends its lines.
    let pasted = pasted.replace("\r\n", "\n").replace('\r', "\n");
    let around = |at: usize| (&now[..at], &now[at + pasted.len()..]);
    let was_so = |(head, tail): (&str, &str)| {
        head.len() + tail.len() <= before.len() && before.starts_with(head) && before.ends_with(tail)
    };
    if now.match_indices(&pasted).any(|(at, _)| was_so(around(at))) {
        return Some(before.to_string());
    }
    let (head, tail) = around(now.find(&pasted)?);
    Some([head, tail].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_have_tabs_between_them() {
        assert!(may_be("a\tb") && may_be("a\t\r\n\tb"));
        for text in ["", "a, b", "\tif x:\n\t\ty"] {
            assert!(!may_be(text), "{text}");
        }
    }

    #[test]
    fn what_was_pasted_is_taken_out_and_nothing_else() {
        let cells = "a\tb\r\nc\td\r\n";
        let rest = |before: &str, now: &str| without(cells, before, now);
        assert_eq!(rest("", "a\tb\nc\td\n").as_deref(), Some(""));
        assert_eq!(rest("你好", "你a\tb\nc\td\n好").as_deref(), Some("你好"));
        // The paste took the place of “old”.
        assert_eq!(rest("an old one", "an a\tb\nc\td\n one").as_deref(), Some("an old one"));
        // Typed since, before it and behind it.
        assert_eq!(rest("x", "1xa\tb\nc\td\n2").as_deref(), Some("1x2"));
        // The same was there already.
        assert_eq!(rest("a\tb\nc\td\n-", "a\tb\nc\td\n-a\tb\nc\td\n").as_deref(), Some("a\tb\nc\td\n-"));
        // The browser put nothing in.
        assert_eq!(rest("x", "x").as_deref(), Some("x"));
        assert_eq!(rest("x", "a\tb, edited"), None);
    }
}
