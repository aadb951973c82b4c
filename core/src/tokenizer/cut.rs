//! Where long texts and words are cut, so that an endless line costs no endless memory or time.

/// The longest piece of a text. Tokenizing takes more than a hundred bytes of memory a byte.
const PIECE_BYTES: usize = 64 << 10;
/// How far back from its end a piece looks for a space.
const NEAR_BYTES: usize = 1 << 10;
/// The longest word that is trained on. The library takes time in the square of a word's length, and a token
/// as long as this is of no use.
const WORD_BYTES: usize = 1 << 10;

/// Cuts a long text before a space or line end where there is one nearby, else between characters.
pub fn cut_text(text: &str) -> impl Iterator<Item = &str> {
    parts(text, |rest| {
        let end = rest.floor_char_boundary(PIECE_BYTES);
        if end == rest.len() {
            return end;
        }
        let from = end - NEAR_BYTES;
        let space = rest.as_bytes()[from..end].iter().rposition(u8::is_ascii_whitespace);
        space.map_or(end, |at| from + at)
    })
}

/// Cuts a long word between characters.
pub(super) fn cut_word(word: &str) -> impl Iterator<Item = &str> {
    parts(word, |rest| rest.floor_char_boundary(WORD_BYTES))
}

/// The parts of a text; `end` says where the first part of what is left ends.
fn parts(text: &str, end: impl Fn(&str) -> usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (part, after) = rest.split_at(end(rest));
        rest = after;
        (!part.is_empty()).then_some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_lose_nothing_and_end_at_spaces() {
        let words = "word ".repeat(40_000);
        assert_eq!(cut_text(&words).collect::<String>(), words);
        assert!(cut_text(&words).skip(1).all(|piece| piece.starts_with(' ')));
        for endless in ["字".repeat(60_000), " ".repeat(3 * PIECE_BYTES)] {
            assert_eq!(cut_text(&endless).collect::<String>(), endless);
            assert!(cut_text(&endless).all(|piece| piece.len() <= PIECE_BYTES));
            assert!(cut_text(&endless).count() <= 4);
        }
        assert_eq!(cut_text("short\n").collect::<Vec<_>>(), ["short\n"]);
        assert_eq!(cut_text("").count(), 0);
    }

    #[test]
    fn words_are_cut_at_the_limit_and_between_characters() {
        let lengths = |word: &str| {
            assert_eq!(cut_word(word).collect::<String>(), word);
            cut_word(word).map(str::len).collect::<Vec<_>>()
        };
        assert_eq!(lengths(&"x".repeat(WORD_BYTES)), [WORD_BYTES]);
        assert_eq!(lengths(&"x".repeat(WORD_BYTES + 1)), [WORD_BYTES, 1]);
        assert_eq!(lengths(&"x".repeat(2 * WORD_BYTES)), [WORD_BYTES; 2]);
        // 1024 is one more than a multiple of 3; the limit falls inside a character.
        assert_eq!(lengths(&"字".repeat(400)), [1023, 177]);
        assert_eq!(lengths(&format!("a{}", "😀".repeat(300))), [1021, 180]);
        assert!(lengths("").is_empty());
    }
}
