//! The answer of a masked predictor: what is final from the left, as far as no mask stands before it.

use crate::error::Result;
use crate::sample::streamed::StreamedText;

/// What is final of a canvas.
pub(super) struct MaskedAnswer<'a> {
    mask: u32,
    ends: &'a [u32],
    text: StreamedText,
    tokens: Vec<u32>,
    /// The next place to look at.
    next: usize,
    /// The token that ended it.
    end: Option<u32>,
}

/// What came of it.
pub(super) struct Finished {
    pub(super) tokens: Vec<u32>,
    pub(super) text: String,
    pub(super) end: Option<u32>,
}

impl<'a> MaskedAnswer<'a> {
    /// An answer from the place `origin` on that any of `ends` ends.
    pub(super) fn new(mask: u32, ends: &'a [u32], origin: usize, text: StreamedText) -> Self {
        Self { mask, ends, text, tokens: Vec::new(), next: origin, end: None }
    }

    /// Takes what became final, and returns its text.
    pub(super) fn advance(&mut self, canvas: &[u32]) -> Result<String> {
        let mut text = String::new();
        while let Some(&id) = canvas.get(self.next)
            && id != self.mask
            && !self.is_over()
        {
            text += &self.take(id)?;
        }
        Ok(text)
    }

    /// Takes all that is there, masks left out, and returns its text with what was held back.
    pub(super) fn finish(&mut self, canvas: &[u32]) -> Result<String> {
        let mut text = self.advance(canvas)?;
        while self.next < canvas.len() && !self.is_over() {
            self.next += 1;
            text += &self.advance(canvas)?;
        }
        Ok(text + &self.text.finish(self.end.is_some()))
    }

    /// Whether nothing behind what was taken belongs to it.
    pub(super) fn is_over(&self) -> bool {
        self.end.is_some() || self.text.is_stopped()
    }

    pub(super) fn into_finished(self) -> Finished {
        Finished { tokens: self.tokens, text: self.text.into_text(), end: self.end }
    }

    fn take(&mut self, id: u32) -> Result<String> {
        self.next += 1;
        if self.ends.contains(&id) {
            self.end = Some(id);
            return Ok(String::new());
        }
        self.tokens.push(id);
        self.text.push(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::fake::letters;
    use crate::tokenizer::StreamDecoder;

    const MASK: u32 = 99;

    fn answer(stops: &[&str]) -> MaskedAnswer<'static> {
        let stops: Vec<String> = stops.iter().map(|stop| stop.to_string()).collect();
        let text = StreamedText::new(Some(StreamDecoder::continuing(&letters(None), true)), &stops);
        MaskedAnswer::new(MASK, &[25], 1, text)
    }

    #[test]
    fn text_is_final_up_to_the_first_mask() {
        let mut answer = answer(&[]);
        let texts = [[7, MASK, 2, MASK], [7, 1, 2, MASK], [7, 1, 2, 3]]
            .map(|canvas| answer.advance(&canvas).unwrap());
        assert_eq!(texts, ["", "bc", "d"]);
        let finished = answer.into_finished();
        assert_eq!((finished.tokens, finished.text, finished.end), (vec![1, 2, 3], "bcd".into(), None));
    }

    #[test]
    fn nothing_behind_the_first_end_belongs_to_it() {
        let mut answer = answer(&[]);
        assert_eq!(answer.advance(&[7, 1, 25, 2, 25, MASK]).unwrap(), "b");
        assert!(answer.is_over());
        assert_eq!(answer.finish(&[7, 1, 25, 2, 25, 3]).unwrap(), "");
        let finished = answer.into_finished();
        assert_eq!((finished.tokens, finished.end), (vec![1], Some(25)));
    }

    #[test]
    fn a_stop_string_ends_it_and_what_is_held_back_for_one_comes_at_the_end() {
        let mut stopped = answer(&["cd"]);
        assert_eq!(stopped.advance(&[7, 1, 2, 3, 4]).unwrap(), "b");
        assert!(stopped.is_over());
        assert_eq!(stopped.finish(&[7, 1, 2, 3, 4]).unwrap(), "");
        assert_eq!(stopped.into_finished().tokens, [1, 2, 3]);
        let mut held = answer(&["cx"]);
        assert_eq!(held.advance(&[7, 1, 2]).unwrap(), "b");
        assert_eq!(held.finish(&[7, 1, 2]).unwrap(), "c");
    }

    #[test]
    fn what_is_there_when_it_is_stopped_has_no_masks() {
        let mut answer = answer(&[]);
        assert_eq!(answer.finish(&[7, 1, MASK, MASK, 3, MASK, 25, 4]).unwrap(), "bd");
        let finished = answer.into_finished();
        assert_eq!((finished.tokens, finished.text, finished.end), (vec![1, 3], "bd".into(), Some(25)));
    }
}
