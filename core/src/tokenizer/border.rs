//! Tokens of a text that is read up to a border and said from there on: at inference the prompt is tokenised alone.
//!
//! Where one token holds the end of the prompt and the beginning of the answer, or where the prompt's last tokens
//! depend on what follows, the tokens around the border are replaced by those of the prompt alone and of the answer
//! going on. Everywhere else the tokens are those of the whole text.

use super::{Offsets, Tokenizer};
use crate::error::{Error, Result};
use crate::told::told;

/// Bytes that are read at first for each token that is wanted; most texts have 3 to 5.
const BYTES_A_TOKEN: usize = 16;
/// So far behind its last kept token a text is read: what stands further away changes no token.
const BEHIND: usize = 4 << 10;
/// Bytes behind a border where two ways to tokenise a text are expected to meet, and as many equal tokens show it.
const MEETING: usize = 512;
const SAME: usize = 16;
/// Bytes that are read at most for each token that is wanted, and for few tokens: reading takes a hundred times the
/// memory.
const MOST_BYTES: [usize; 2] = [1 << 10, 4 << 20];

impl Tokenizer {
    /// The ids of a text that goes on in the middle of another: without a space before its first word, and without BOS.
    ///
    /// # Errors
    /// A text or parts that the tokenizers crate does not take.
    pub fn encode_continuing(&self, text: &str) -> Result<Vec<u32>> {
        let encoder = self.borders.continuing(&self.inner)?;
        let encoding = encoder.encode_fast(text, false).map_err(Error::tokenizer_failed)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The ids of a text and the bytes they stand for, each border being one between two tokens. `borders` are in
    /// order. Of a long text only a beginning is read: it holds as many `tokens` at least, and they are those of the
    /// whole text.
    pub(super) fn encode_beginning(
        &self,
        text: &str,
        borders: &[usize],
        tokens: usize,
    ) -> Result<(Vec<u32>, Offsets)> {
        let mut wanted = tokens.saturating_mul(BYTES_A_TOKEN);
        loop {
            let part = &text[..text.floor_char_boundary(wanted.saturating_add(BEHIND))];
            let (mut ids, mut offsets) = self.encode_apart(part, borders)?;
            if part.len() == text.len() {
                return Ok((ids, offsets));
            }
            let kept = offsets.partition_point(|&(_, end)| end <= wanted);
            if kept >= tokens {
                ids.truncate(kept);
                offsets.truncate(kept);
                return Ok((ids, offsets));
            }
            if wanted >= tokens.saturating_mul(MOST_BYTES[0]).max(MOST_BYTES[1]) {
                return Err(Error::Tokenizer(told!(
                    "tokenizer.border",
                    "the first {mebibytes} MiB of the text are {kept} tokens only and do not fill a row, which no text of \
                     words does; shorten it",
                    mebibytes = part.len() >> 20,
                    kept
                )));
            }
            wanted = wanted.saturating_mul(2);
        }
    }

    /// All of a text's ids and their bytes, likewise.
    fn encode_apart(&self, text: &str, borders: &[usize]) -> Result<(Vec<u32>, Offsets)> {
        let (ids, offsets) = self.encode_with_offsets(text)?;
        let mut tokens = Tokens { tokenizer: self, text, ids, offsets, apart: 0, done: 0 };
        for &border in borders.iter().filter(|&&border| 0 < border && border < text.len()) {
            tokens.set_apart(border)?;
        }
        Ok((tokens.ids, tokens.offsets))
    }
}

/// The tokens of a text, to be parted at borders from the first to the last.
struct Tokens<'a> {
    tokenizer: &'a Tokenizer,
    text: &'a str,
    ids: Vec<u32>,
    offsets: Offsets,
    /// The last border at which tokens were replaced, and the last one of all.
    apart: usize,
    done: usize,
}

/// Where tokens before a border begin that do not depend on what stands before them.
#[derive(PartialEq, Eq)]
struct Before {
    first: usize,
    begin: usize,
    continues: bool,
}

impl Tokens<'_> {
    /// Makes `border` one between two tokens, those before it being what they are where the text ends there.
    fn set_apart(&mut self, border: usize) -> Result<()> {
        let at = self.offsets.partition_point(|&(start, _)| start < border);
        let straddles = at > 0 && self.offsets[at - 1].1 > border;
        let done = std::mem::replace(&mut self.done, border);
        let (near, far) = (self.before(at, border, done), self.before(at, border, self.apart));
        // As nearly always; else all that is before tells whether it is the border before that makes the difference.
        if !straddles && near != far && self.encode(&near, border)?.0 == self.ids[near.first..at] {
            return Ok(());
        }
        let (mut ids, mut places) = self.encode(&far, border)?;
        if !straddles && ids == self.ids[far.first..at] {
            return Ok(());
        }
        let (last, rest, rest_places) = self.behind(at, border)?;
        ids.extend(rest);
        places.extend(rest_places);
        // A special token may swallow the blanks beside it (`rstrip`); of a prompt that ends with it, it swallows the
        // prompt's alone.
        let swallows = straddles && self.separates(at - 1);
        let decode = |ids: &[u32]| -> Result<String> {
            let text = self.tokenizer.decode(ids, false)?;
            Ok(if swallows { text.split_whitespace().collect() } else { text })
        };
        if decode(&self.ids[far.first..last])? != decode(&ids)? {
            return if straddles { Err(self.cannot_part(at - 1)) } else { Ok(()) };
        }
        self.ids.splice(far.first..last, ids);
        self.offsets.splice(far.first..last, places);
        self.apart = border;
        Ok(())
    }

    fn separates(&self, i: usize) -> bool {
        self.tokenizer.borders.separates(self.ids[i])
    }

    /// The last separator before a border, or an earlier border that is nearer.
    fn before(&self, at: usize, border: usize, earlier: usize) -> Before {
        let separator = (0..at).rev().find(|&i| self.separates(i) && self.offsets[i].1 <= border);
        match separator.map(|first| (first, self.offsets[first].0)) {
            Some((first, begin)) if begin >= earlier => Before { first, begin, continues: false },
            _ => {
                let first = self.offsets.partition_point(|&(start, _)| start < earlier);
                Before { first, begin: earlier, continues: earlier > 0 }
            }
        }
    }

    /// The tokens that go on from a border, up to where those of the whole text do not depend on it: a separator, or
    /// a place so far behind that both are the same.
    fn behind(&self, at: usize, border: usize) -> Result<(usize, Vec<u32>, Offsets)> {
        let last = (at..self.ids.len()).find(|&i| self.separates(i)).unwrap_or(self.ids.len());
        let end = self.offsets.get(last).map_or(self.text.len(), |&(start, _)| start);
        let meeting = self.offsets.partition_point(|&(start, _)| start < border + MEETING);
        if meeting < last {
            let start = self.offsets[meeting].0;
            let stop = self.text.floor_char_boundary(start + MEETING).min(end);
            let (mut ids, mut places) = self.encode_part(border, stop, true)?;
            let own = places.partition_point(|&(from, _)| from < start);
            let same = |ids: &[u32]| ids.iter().copied().take(SAME).collect::<Vec<u32>>();
            if places.get(own).is_some_and(|&(from, _)| from == start)
                && same(&ids[own..]) == same(&self.ids[meeting..])
            {
                ids.truncate(own);
                places.truncate(own);
                return Ok((meeting, ids, places));
            }
        }
        let (ids, places) = self.encode_part(border, end, true)?;
        Ok((last, ids, places))
    }

    fn encode(&self, before: &Before, border: usize) -> Result<(Vec<u32>, Offsets)> {
        self.encode_part(before.begin, border, before.continues)
    }

    /// The ids of a part of the text, and their bytes in the whole.
    fn encode_part(&self, begin: usize, end: usize, continues: bool) -> Result<(Vec<u32>, Offsets)> {
        let part = self
            .text
            .get(begin..end)
            .ok_or_else(|| Error::tokenizer_failed("its offsets are not the text's"))?;
        let inner: &tokenizers::Tokenizer = &self.tokenizer.inner;
        let encoder = if continues { self.tokenizer.borders.continuing(inner)? } else { inner };
        let encoding = encoder.encode(part, false).map_err(Error::tokenizer_failed)?;
        let places = encoding.get_offsets().iter().map(|&(from, to)| (begin + from, begin + to)).collect();
        Ok((encoding.get_ids().to_vec(), places))
    }

    fn cannot_part(&self, token: usize) -> Error {
        let (start, end) = self.offsets[token];
        let text = self.text.get(start..end).unwrap_or_default();
        Error::Tokenizer(told!(
            "tokenizer.cannot_part",
            "one token, {text}, holds the end of the prompt and the beginning of the answer, and this tokenizer \
             spells its parts only together; let the chat template end its generation prompt before that token",
            text = format!("{text:?}")
        ))
    }
}
