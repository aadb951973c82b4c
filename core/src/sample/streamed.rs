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

    /// What was held back; nothing once a stop string came.
    pub(super) fn finish(&mut self) -> String {
        if self.stopped {
            return String::new();
        }
        let rest = self.decoder.as_mut().map(StreamDecoder::finish).unwrap_or_default();
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
