//! The text of ids that are a part of others, for display.

use super::Tokenizer;

impl Tokenizer {
    /// The text of a run of ids that others stand beside, special tokens included: a character that one of its borders cuts
    /// is shown by those of its bytes that are here, as [`Tokenizer::token_text`] shows them (`<E4><BD>`).
    pub fn part_text(&self, ids: &[u32]) -> String {
        match self.decode(ids, false) {
            Ok(text) if !text.contains(char::REPLACEMENT_CHARACTER) => text,
            _ => spelled(&ids.iter().flat_map(|&id| self.token_bytes(id)).collect::<Vec<u8>>()),
        }
    }
}

/// Bytes as text, each that is of no whole character as `<E4>`.
fn spelled(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text += chunk.valid();
        text.extend(chunk.invalid().iter().map(|byte| format!("<{byte:02X}>")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::{TokenizerTraining, train};

    #[test]
    fn bytes_of_no_whole_character_are_spelled() {
        assert_eq!(spelled("a你b".as_bytes()), "a你b");
        assert_eq!(spelled(&[b'a', 0xE4, 0xBD]), "a<E4><BD>");
        assert_eq!(spelled(&[0xA0, b'b', 0xFF, b'c']), "<A0>b<FF>c");
        assert_eq!(spelled("\u{fffd}".as_bytes()), "\u{fffd}", "one that stands in the text itself");
    }

    #[test]
    fn parts_show_every_byte_once() {
        let settings = TokenizerTraining { vocab_size: 300, ..TokenizerTraining::default() };
        let tokenizer = train(std::iter::once("plain words".to_string()), &settings).unwrap();
        let ids = tokenizer.encode("a\u{a66e}<|im_end|>").unwrap();
        assert_eq!(ids.len(), 5);
        assert_eq!(tokenizer.part_text(&ids), "a\u{a66e}<|im_end|>");
        for (cut, parts) in [
            (1, ["a", "\u{a66e}<|im_end|>"]),
            (2, ["a<EA>", "<99><AE><|im_end|>"]),
            (3, ["a<EA><99>", "<AE><|im_end|>"]),
        ] {
            let (before, behind) = ids.split_at(cut);
            assert_eq!([before, behind].map(|part| tokenizer.part_text(part)), parts);
        }
    }
}
