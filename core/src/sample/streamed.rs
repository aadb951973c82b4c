//! The text of an answer as its tokens come, without its stop strings.

use super::StopMatcher;
use crate::error::Result;
use crate::tokenizer::StreamDecoder;

/// Text that grows by tokens.
pub(super) struct StreamedText {
    /// None where there is no tokenizer; then the text stays empty.
    decoder: Option<StreamDecoder>,
    stop: StopMatcher,
    stopped: bool,
    text: String,
}

impl StreamedText {
    pub(super) fn new(decoder: Option<StreamDecoder>, stops: &[String]) -> Self {
        Self { decoder, stop: StopMatcher::new(stops), stopped: false, text: String::new() }
    }

    /// The text that a token makes final; empty while a character or a possible stop string is incomplete.
    pub(super) fn push(&mut self, id: u32) -> Result<String> {
        let text = match &mut self.decoder {
            Some(decoder) => decoder.push(id)?,
            None => String::new(),
        };
        let piece = self.stop.push(&text);
        self.stopped = piece.stopped;
        self.text.push_str(&piece.text);
        Ok(piece.text)
    }

    /// What was held back; nothing once a stop string came. Of a character that is not complete U+FFFD stands where the
    /// model `ended` there, and nothing where a limit or the listener cut it: the rest of it was never asked for.
    pub(super) fn finish(&mut self, ended: bool) -> String {
        if self.stopped {
            return String::new();
        }
        let decoder = self.decoder.as_mut().filter(|_| ended);
        let rest = decoder.map(StreamDecoder::finish).unwrap_or_default();
        let piece = self.stop.push(&rest);
        let held = if piece.stopped { String::new() } else { self.stop.finish() };
        let rest = piece.text + &held;
        self.text.push_str(&rest);
        rest
    }

    /// Whether a stop string is complete.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::{TokenizerTraining, train};

    #[test]
    fn a_character_that_is_cut_is_no_text_and_one_that_the_model_leaves_is_broken() {
        // 300 ids are too few for rare characters, so that these are spelled by bytes.
        let settings = TokenizerTraining { vocab_size: 300, ..TokenizerTraining::default() };
        let tokenizer = train(std::iter::once("plain words".to_string()), &settings).unwrap();
        let ids = tokenizer.encode("a\u{a66e}").unwrap();
        assert_eq!(ids.len(), 4, "a letter and three bytes");
        let written = |ids: &[u32], stops: &[&str], ended| {
            let stops: Vec<String> = stops.iter().map(ToString::to_string).collect();
            let mut text = StreamedText::new(Some(StreamDecoder::continuing(&tokenizer, true)), &stops);
            let mut shown: String = ids.iter().map(|&id| text.push(id).unwrap()).collect();
            shown += &text.finish(ended);
            assert_eq!(shown, text.into_text(), "what is shown is what is kept");
            shown
        };
        assert_eq!(written(&ids, &[], false), "a\u{a66e}");
        for cut in 2..4 {
            assert_eq!(written(&ids[..cut], &[], false), "a", "{cut} ids");
            assert_eq!(written(&ids[..cut], &[], true), "a\u{fffd}", "{cut} ids");
        }
        // What is held back for a stop string comes in any case, and a stop string takes off what follows it.
        assert_eq!(written(&ids[..3], &["ab"], false), "a");
        assert_eq!(written(&ids[..3], &["a"], false), "");
        // Bytes that can become no character are broken wherever they stand.
        assert_eq!(written(&[ids[2], ids[0]], &[], false), "\u{fffd}a");
    }
}
