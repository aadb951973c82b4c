//! A text with holes: what a masked predictor is to fill in, as the tokens around the holes and masks within.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::hole_text::{HOLE, between_holes};
use crate::error::{Error, Result};
use crate::model::DiffusionConfig;
use crate::tokenizer::{StreamDecoder, Tokenizer};
use crate::told::told;

/// Tokens of a hole where nobody says how many.
pub const HOLE_TOKENS: usize = 8;

/// No model of this program has a longer context: what is asked for shall not take all memory.
const MOST_TOKENS: usize = 1 << 20;

/// A text's ids, with masks in its holes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canvas {
    /// All ids, the beginning-of-sequence token included where the tokenizer puts one.
    pub ids: Vec<u32>,
    /// The places of the masks, from the first hole to the last; empty for a text without holes.
    pub holes: Vec<Range<usize>>,
    mask_id: Option<u32>,
}

/// What became of a text with holes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filled {
    /// All of it, without special tokens.
    pub text: String,
    /// What stands in each hole.
    pub holes: Vec<String>,
}

/// The ids of a text whose holes are `hole_tokens` masks each. What stands between holes has the tokens that it has in a
/// text without them, as far as they do not depend on what will stand there. A mask token that is written in the text is
/// a hole of its own. Where the model predicts a token from what stands before it, a hole that begins the text has the token
/// before it that begins texts, or else the one that ends them.
///
/// # Errors
/// Holes without a token, or with more than any model holds; a text that the tokenizer refuses.
pub fn canvas_of(
    text: &str,
    tokenizer: &Tokenizer,
    model: &DiffusionConfig,
    hole_tokens: usize,
) -> Result<Canvas> {
    let mask_id = model.mask_token_id;
    if hole_tokens == 0 {
        return Err(Error::Config(vec![told!(
            "holes.tokens",
            "--hole-tokens is 0, but a hole holds at least 1 token"
        )]));
    }
    let said = between_holes(text);
    let last = said.len() - 1;
    let mut canvas = Canvas::of_ids(&[], Some(mask_id));
    for (number, text) in said.iter().enumerate() {
        let text = if number < last { before_hole(text, tokenizer)? } else { text.as_str() };
        let ids = match number {
            0 => tokenizer.encode_document(text)?,
            _ => tokenizer.encode_continuing(text)?,
        };
        canvas.push(&ids);
        if number < last {
            if canvas.ids.is_empty() && model.shift_logits {
                canvas.ids.extend(tokenizer.bos().or(tokenizer.eos()).filter(|id| tokenizer.is_special(*id)));
            }
            let begin = canvas.ids.len();
            if begin.saturating_add(hole_tokens) > MOST_TOKENS {
                return Err(Error::Data(told!(
                    "holes.long",
                    "holes of {hole_tokens} tokens each make a text of more than {most}, which no model holds; give fewer with \
                     --hole-tokens",
                    hole_tokens,
                    most = MOST_TOKENS
                )));
            }
            canvas.ids.resize(begin + hole_tokens, mask_id);
            canvas.holes.push(begin..begin + hole_tokens);
        }
    }
    Ok(canvas)
}

/// A text without holes as it is read: without the backslashes before its underscores.
pub fn unescaped(text: &str) -> String {
    between_holes(text).join(HOLE)
}

/// A text before a hole, without a space at its end that the first token behind it would bring: nearly every tokenizer has
/// words with the space before them, and a space alone before a word is what no model has seen.
fn before_hole<'a>(text: &'a str, tokenizer: &Tokenizer) -> Result<&'a str> {
    let Some(without) = text.strip_suffix(' ') else { return Ok(text) };
    let (_, offsets) = tokenizer.encode_with_offsets(&format!("{text}a"))?;
    let joined = offsets.iter().any(|&(start, end)| start < text.len() && text.len() < end);
    Ok(if joined { without } else { text })
}

impl Canvas {
    /// Ids as they are, in which every mask token is a hole of its own; a model without one has no holes.
    pub fn of_ids(ids: &[u32], mask_id: Option<u32>) -> Self {
        let mut canvas = Self { ids: Vec::new(), holes: Vec::new(), mask_id };
        canvas.push(ids);
        canvas
    }

    /// Adds ids of the text.
    fn push(&mut self, ids: &[u32]) {
        let begin = self.ids.len();
        let masks = ids.iter().enumerate().filter(|(_, id)| Some(**id) == self.mask_id);
        self.holes.extend(masks.map(|(place, _)| begin + place..begin + place + 1));
        self.ids.extend(ids);
    }

    /// The text of a canvas that was filled, `ids` being all of it, and what stands in its holes. What stands in a hole
    /// behind an end token is left out, and so are masks that are still there.
    ///
    /// # Errors
    /// Ids that the tokenizer cannot decode.
    pub fn filled(&self, ids: &[u32], tokenizer: &Tokenizer, end_ids: &[u32]) -> Result<Filled> {
        let mut decoder = StreamDecoder::new(tokenizer, true);
        let mut filled = Filled { text: String::new(), holes: vec![String::new(); self.holes.len()] };
        let (mut hole, mut ended, mut last) = (0, false, None);
        for (place, &id) in ids.iter().enumerate() {
            while self.holes.get(hole).is_some_and(|range| range.end <= place) {
                (hole, ended) = (hole + 1, false);
            }
            let inside = self.holes.get(hole).is_some_and(|range| range.contains(&place)).then_some(hole);
            ended |= inside.is_some() && end_ids.contains(&id);
            if inside.is_some() && ended || Some(id) == self.mask_id {
                continue;
            }
            if inside != last && last.is_some() {
                // A character that the hole leaves incomplete is its own.
                filled.push(last, &decoder.finish());
            }
            last = inside;
            filled.push(inside, &decoder.push(id)?);
        }
        filled.push(last, &decoder.finish());
        Ok(filled)
    }
}

impl Filled {
    fn push(&mut self, hole: Option<usize>, text: &str) {
        self.text.push_str(text);
        if let Some(hole) = hole {
            self.holes[hole].push_str(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::letters;
    use super::super::has_holes;
    use super::*;
    use crate::tokenizer::{TokenizerTraining, train};

    /// Outside of what the tests' texts hold.
    const MASK: u32 = 9999;

    /// A tokenizer with the words of these texts.
    fn words() -> Tokenizer {
        let text = "Once upon a time there was a fox. ".repeat(9);
        train(std::iter::once(text), &TokenizerTraining::default()).unwrap()
    }

    fn model(mask_token_id: u32) -> DiffusionConfig {
        DiffusionConfig { mask_token_id, block_length: None, shift_logits: true }
    }

    fn canvas(text: &str, tokens: usize) -> Canvas {
        canvas_of(text, &words(), &model(MASK), tokens).unwrap()
    }

    #[test]
    fn three_underscores_are_a_hole_and_fewer_or_escaped_ones_are_text() {
        let parts = |text: &str| between_holes(text).join("|");
        for (text, expected) in [
            ("a ___ b", "a | b"),
            ("a_b __ c", "a_b __ c"),
            ("_____", "|"),
            ("______ ___x", "| |x"),
            ("a \\___ b", "a ___ b"),
            ("a \\____ b ___", "a ____ b |"),
            ("___ \\___", "| ___"),
            ("", ""),
        ] {
            assert_eq!(parts(text), expected, "{text:?}");
            assert_eq!(has_holes(text), expected.contains('|'), "{text:?}");
            assert_eq!(unescaped(text), expected.replace('|', HOLE), "{text:?}");
        }
    }

    #[test]
    fn the_tokens_around_a_hole_are_those_of_the_text_without_it() {
        let tokenizer = words();
        let whole = tokenizer.encode_document("Once upon a time there was a fox.").unwrap();
        let at = tokenizer.encode_document("Once").unwrap().len();
        let behind = tokenizer.encode(" there was a fox.").unwrap();
        let made = canvas("Once ___ there was a fox.", 3);
        assert_eq!(made.ids, [&whole[..at], &[MASK; 3], &behind[..]].concat());
        assert!(whole.ends_with(&behind), "words bring their space");
        assert_eq!((made.holes.len(), &made.holes[0]), (1, &(at..at + 3)));
        // Without a space there is none, and a line's end stays.
        assert_eq!(canvas("Once___", 1).ids, canvas("Once ___", 1).ids);
        let line = canvas("Once\n___", 1);
        assert_eq!(line.ids[..line.ids.len() - 1], tokenizer.encode_document("Once\n").unwrap());
        // A text without holes is as it is.
        let plain = canvas("Once \\___ upon", 3);
        assert_eq!((plain.ids, plain.holes), (tokenizer.encode_document("Once ___ upon").unwrap(), vec![]));
    }

    #[test]
    fn a_hole_may_begin_a_text() {
        let tokenizer = words();
        let begin = tokenizer.bos().or(tokenizer.eos()).unwrap();
        let behind = tokenizer.encode(" upon a time").unwrap();
        for text in ["___ upon a time", " ___ upon a time"] {
            let made = canvas(text, 2);
            assert_eq!((&made.ids[..3], &made.ids[3..]), (&[begin, MASK, MASK][..], &behind[..]), "{text:?}");
            assert_eq!((made.holes.len(), &made.holes[0]), (1, &(1..3)));
            let word = tokenizer.encode("Once").unwrap()[0];
            let ids = [&[begin, word, MASK][..], &behind[..]].concat();
            let filled = made.filled(&ids, &tokenizer, &[]).unwrap();
            assert_eq!(filled.text, filled.holes[0].clone() + " upon a time");
        }
        // A model that predicts each token in its own place needs nothing before it.
        let own = DiffusionConfig { shift_logits: false, ..model(MASK) };
        assert_eq!(canvas_of("___ upon", &tokenizer, &own, 2).unwrap().holes[0], 0..2);
    }

    #[test]
    fn a_space_that_is_a_token_of_its_own_stays() {
        let chars = TokenizerTraining { vocab_size: 259, ..TokenizerTraining::default() };
        let tokenizer = train(std::iter::once("ab ab".to_string()), &chars).unwrap();
        let made = canvas_of("ab ___", &tokenizer, &model(MASK), 1).unwrap();
        assert_eq!(made.ids, [&tokenizer.encode("ab ").unwrap()[..], &[MASK]].concat());
    }

    #[test]
    fn holes_are_counted_apart_and_a_written_mask_is_one() {
        let tokenizer = letters(None);
        let made = canvas_of("a___b______c", &tokenizer, &model(MASK), 2).unwrap();
        assert_eq!(made.ids, [0, MASK, MASK, 1, MASK, MASK, 2]);
        assert_eq!(made.holes, [1..3, 4..6]);
        // `c` stands for the mask here.
        let written = canvas_of("acb___", &tokenizer, &model(2), 1).unwrap();
        assert_eq!((written.ids, written.holes), (vec![0, 2, 1, 2], vec![1..2, 3..4]));
        assert!(Canvas::of_ids(&[0, 1], None).holes.is_empty());
        let none = canvas_of("a___", &tokenizer, &model(MASK), 0).unwrap_err().to_string();
        assert!(none.contains("--hole-tokens is 0"), "{none}");
        let long = canvas_of("a___", &tokenizer, &model(MASK), u32::MAX as usize).unwrap_err().to_string();
        assert!(long.contains("holes of 4294967295 tokens"), "{long}");
    }

    #[test]
    fn what_fills_a_hole_ends_at_an_end_token_and_the_text_goes_on() {
        let tokenizer = letters(None);
        let made = canvas_of("a___b___", &tokenizer, &model(MASK), 3).unwrap();
        // z ends.
        let filled = made.filled(&[0, 3, 25, 4, 1, 5, 6, MASK], &tokenizer, &[25]).unwrap();
        let holes = ["d", "fg"].map(String::from).to_vec();
        assert_eq!(filled, Filled { text: "adbfg".into(), holes });
        // Outside of a hole an end token is a part of the text.
        let outside = canvas_of("z___", &tokenizer, &model(MASK), 1).unwrap();
        assert_eq!(outside.filled(&[25, 1], &tokenizer, &[25]).unwrap().text, "zb");
    }

    #[test]
    fn a_character_of_several_tokens_stands_where_it_is_complete() {
        let chars = TokenizerTraining { vocab_size: 259, ..TokenizerTraining::default() };
        let tokenizer = train(std::iter::once("a".to_string()), &chars).unwrap();
        let bytes = tokenizer.encode("你").unwrap();
        assert_eq!(bytes.len(), 3);
        let made = canvas_of("a___b", &tokenizer, &model(MASK), 4).unwrap();
        let ids = [&made.ids[..1], &bytes, &bytes[..1], &made.ids[5..]].concat();
        let filled = made.filled(&ids, &tokenizer, &[]).unwrap();
        // The second character, which the hole leaves broken, is the hole's.
        assert_eq!((filled.text.as_str(), filled.holes[0].as_str()), ("a你\u{FFFD}b", "你\u{FFFD}"));
    }
}
