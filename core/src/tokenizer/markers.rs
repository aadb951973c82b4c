//! Special tokens that a message's own text holds: they are read as such, and may end a turn where a text only tells
//! of them.

use std::collections::BTreeSet;

use tokenizers::AddedToken;

/// The texts of the special tokens, to be found quickly: some vocabularies have thousands.
pub(super) struct Markers {
    texts: BTreeSet<String>,
    /// How long they are, in bytes.
    lengths: BTreeSet<usize>,
    /// Whether any begins with a byte.
    first: [bool; 256],
}

impl Markers {
    pub(super) fn new<'a>(special: impl Iterator<Item = &'a AddedToken>) -> Self {
        let texts: BTreeSet<String> =
            special.map(|token| token.content.clone()).filter(|text| !text.trim().is_empty()).collect();
        let lengths = texts.iter().map(String::len).collect();
        let mut first = [false; 256];
        texts.iter().filter_map(|text| text.bytes().next()).for_each(|byte| first[usize::from(byte)] = true);
        Self { texts, lengths, first }
    }

    /// Whether a text holds one of them.
    pub(super) fn stand_in(&self, text: &str) -> bool {
        let begins = |at: usize| {
            let here =
                |length: usize| text.get(at..at + length).is_some_and(|part| self.texts.contains(part));
            self.lengths.iter().any(|&length| here(length))
        };
        text.bytes().enumerate().any(|(at, byte)| self.first[usize::from(byte)] && begins(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_tokens_are_found_whole_and_anywhere() {
        let tokens = ["<|im_end|>", "<s>", "你"].map(|text| AddedToken::from(text, true));
        let markers = Markers::new(tokens.iter());
        for text in ["a<|im_end|>", "<s>", "<<s>", "好你"] {
            assert!(markers.stand_in(text), "{text}");
        }
        for text in ["", "<|im_end|", "< s>", "im_end", "好", "<"] {
            assert!(!markers.stand_in(text), "{text}");
        }
        assert!(!Markers::new([].iter()).stand_in("<s>"));
    }
}
