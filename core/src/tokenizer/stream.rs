//! Text from ids as they come, in whole characters.

use super::Tokenizer;
use super::pieces::Pieces;
use crate::error::Result;

/// Decodes one id at a time. The pieces joined are `decode` of all the ids (where SentencePiece bytes are not
/// valid UTF-8, `decode` may print more replacement characters).
#[derive(Clone, Debug)]
pub struct StreamDecoder {
    tokenizer: Tokenizer,
    skip_special: bool,
    /// Spaces at the start of the text that are still to be dropped.
    strip: usize,
    /// Bytes of a character that is not complete.
    pending: Vec<u8>,
    /// For decoders that need the whole text: the ids so far and how much of their text went out.
    ids: Vec<u32>,
    sent: usize,
}

impl StreamDecoder {
    /// A decoder for a text of its own: a space that SentencePiece puts before the first word is dropped.
    pub fn new(tokenizer: &Tokenizer, skip_special: bool) -> Self {
        let strip = match tokenizer.pieces {
            Pieces::Sentence { strip } => strip,
            _ => 0,
        };
        Self { strip, ..Self::continuing(tokenizer, skip_special) }
    }

    /// A decoder for ids that go on after a prompt: a space before the first word is kept.
    pub fn continuing(tokenizer: &Tokenizer, skip_special: bool) -> Self {
        Self {
            tokenizer: tokenizer.clone(),
            skip_special,
            strip: 0,
            pending: Vec::new(),
            ids: Vec::new(),
            sent: 0,
        }
    }

    /// The text that `id` completes; empty while a character is incomplete.
    pub fn push(&mut self, id: u32) -> Result<String> {
        if self.skip_special && self.tokenizer.is_special(id) {
            return Ok(String::new());
        }
        if self.tokenizer.pieces == Pieces::Other {
            return self.push_whole(id);
        }
        let mut bytes = self.tokenizer.token_bytes(id);
        if self.strip > 0 && !bytes.is_empty() {
            let spaces = bytes.iter().take(self.strip).take_while(|&&byte| byte == b' ').count();
            bytes.drain(..spaces);
            // Only spaces at the very start count, but several tokens may bring them.
            self.strip = if bytes.is_empty() { self.strip - spaces } else { 0 };
        }
        self.pending.extend(bytes);
        Ok(take_complete(&mut self.pending))
    }

    /// What is left at the end of a text or of a part of it: an incomplete character becomes U+FFFD.
    pub fn finish(&mut self) -> String {
        let rest = String::from_utf8_lossy(&self.pending).into_owned();
        if self.tokenizer.pieces == Pieces::Other {
            // It stands in the text that is decoded again.
            self.sent += self.pending.len();
        }
        self.pending.clear();
        rest
    }

    /// Decodes everything again and gives what is new.
    fn push_whole(&mut self, id: u32) -> Result<String> {
        self.ids.push(id);
        let text = self.tokenizer.decode(&self.ids, self.skip_special)?;
        let new = text.get(self.sent..).unwrap_or_default();
        if new.ends_with('\u{FFFD}') {
            self.pending = new.as_bytes().to_vec();
            return Ok(String::new());
        }
        self.pending.clear();
        self.sent = self.sent.max(text.len());
        Ok(new.to_string())
    }
}

/// Takes the complete characters out of `pending`; bytes that can never become one are U+FFFD, as in
/// [`String::from_utf8_lossy`].
fn take_complete(pending: &mut Vec<u8>) -> String {
    let mut text = String::new();
    loop {
        let (valid, broken) = match std::str::from_utf8(pending) {
            Ok(_) => (pending.len(), None),
            Err(error) => (error.valid_up_to(), error.error_len()),
        };
        text.push_str(&String::from_utf8_lossy(&pending[..valid]));
        pending.drain(..valid + broken.unwrap_or(0));
        match broken {
            Some(_) => text.push('\u{FFFD}'),
            None => return text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds bytes one by one; the pieces and what is left.
    fn feed(bytes: &[u8]) -> (Vec<String>, Vec<u8>) {
        let mut pending = Vec::new();
        let mut pieces = Vec::new();
        for &byte in bytes {
            pending.push(byte);
            pieces.push(take_complete(&mut pending));
        }
        (pieces, pending)
    }

    #[test]
    fn characters_come_whole() {
        assert_eq!(feed("a你b".as_bytes()).0, ["a", "", "", "你", "b"]);
        assert_eq!(feed("😀".as_bytes()).0, ["", "", "", "😀"]);
        assert_eq!(feed(&[0xE4, 0xBD]), (vec![String::new(); 2], vec![0xE4, 0xBD]));
    }

    #[test]
    fn broken_bytes_become_replacements_at_once() {
        assert_eq!(feed(&[0x80, b'a']).0, ["\u{FFFD}", "a"]);
        assert_eq!(feed(&[0xE4, b'a']).0, ["", "\u{FFFD}a"]);
        let bytes = [0xE4, 0xBD, 0xE4, 0xBD, 0xA0, 0xFF, 0xF0, 0x9F, b'z', 0xC2];
        let (pieces, pending) = feed(&bytes);
        let joined = pieces.concat() + &String::from_utf8_lossy(&pending);
        assert_eq!(joined, String::from_utf8_lossy(&bytes));
    }
}
