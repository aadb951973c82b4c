//! Tokens of a text that is read up to a border and said from there on: at inference the prompt is tokenised alone.
//!
//! Where one token holds the end of the prompt and the beginning of the answer, or where the prompt's last tokens
//! depend on what follows, the tokens around the border are replaced by those of the prompt alone and of the answer
//! going on. Everywhere else the tokens are those of the whole text.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Offsets, Tokenizer, refused};
use crate::error::{Error, Result};

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

/// What a tokenizer's parts say about borders.
pub(super) struct Borders {
    /// The added tokens that part a text: what follows one is tokenised as if nothing stood before it.
    separators: BTreeSet<u32>,
    /// The tokenizer without a first space, made where it is first needed; `None` where it would be the same.
    continuing: OnceLock<Result<Option<tokenizers::Tokenizer>, String>>,
}

impl Borders {
    pub(super) fn of(inner: &tokenizers::Tokenizer) -> Self {
        // A normalizer may put something before a text, and a normalised token is found behind that.
        let normalizes = inner.get_normalizer().is_some();
        let added = inner.get_added_tokens_decoder();
        let separates =
            |token: &tokenizers::AddedToken| !(token.single_word || token.normalized && normalizes);
        let separators = added.iter().filter(|(_, token)| separates(token)).map(|(&id, _)| id).collect();
        Self { separators, continuing: OnceLock::new() }
    }
}

impl Tokenizer {
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
                return Err(Error::Tokenizer(format!(
                    "the first {} MiB of the text are {kept} tokens only and do not fill a row, which no text of \
                     words does; shorten it",
                    part.len() >> 20
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

    /// The tokenizer that goes on in the middle of a text.
    fn continuing(&self) -> Result<&tokenizers::Tokenizer> {
        let make = || without_first_space(&self.inner).map_err(|error| error.to_string());
        match self.borders.continuing.get_or_init(make) {
            Ok(Some(own)) => Ok(own),
            Ok(None) => Ok(&self.inner),
            Err(why) => Err(refused(why)),
        }
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
        self.tokenizer.borders.separators.contains(&self.ids[i])
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
        let part = self.text.get(begin..end).ok_or_else(|| refused("its offsets are not the text's"))?;
        let encoder = if continues { self.tokenizer.continuing()? } else { self.tokenizer.inner.as_ref() };
        let encoding = encoder.encode(part, false).map_err(refused)?;
        let places = encoding.get_offsets().iter().map(|&(from, to)| (begin + from, begin + to)).collect();
        Ok((encoding.get_ids().to_vec(), places))
    }

    fn cannot_part(&self, token: usize) -> Error {
        let (start, end) = self.offsets[token];
        let text = self.text.get(start..end).unwrap_or_default();
        Error::Tokenizer(format!(
            "one token, {text:?}, holds the end of the prompt and the beginning of the answer, and this tokenizer \
             spells its parts only together; let the chat template end its generation prompt before that token"
        ))
    }
}

/// The tokenizer without what puts a space before a text or takes it away there; `None` where nothing does.
fn without_first_space(inner: &tokenizers::Tokenizer) -> Result<Option<tokenizers::Tokenizer>> {
    let mut normalizer = serde_json::to_value(inner.get_normalizer()).map_err(refused)?;
    let mut pre_tokenizer = serde_json::to_value(inner.get_pre_tokenizer()).map_err(refused)?;
    if [goes_on(&mut normalizer), goes_on(&mut pre_tokenizer)] == [false; 2] {
        return Ok(None);
    }
    let mut own = inner.clone();
    own.with_normalizer(read::<tokenizers::NormalizerWrapper>(normalizer)?).map_err(refused)?;
    own.with_pre_tokenizer(read::<tokenizers::PreTokenizerWrapper>(pre_tokenizer)?);
    Ok(Some(own))
}

fn read<T: DeserializeOwned>(part: Value) -> Result<Option<T>> {
    serde_json::from_value(part).map_err(refused)
}

/// Makes a part of a tokenizer treat a text as the continuation of another; whether that changed it.
fn goes_on(part: &mut Value) -> bool {
    let mut changed = false;
    if is_prepend(part) {
        *part = Value::Null;
        return true;
    }
    for key in ["normalizers", "pretokenizers"] {
        if let Some(Value::Array(steps)) = part.get_mut(key) {
            let before = steps.len();
            steps.retain(|step| !is_prepend(step));
            changed |= steps.len() < before;
            for step in steps {
                changed |= goes_on(step);
            }
        }
    }
    for (key, plain) in [
        ("prepend_scheme", Value::from("never")),
        ("add_prefix_space", false.into()),
        ("strip_left", false.into()),
    ] {
        if let Some(value) = part.get_mut(key).filter(|value| **value != plain) {
            *value = plain;
            changed = true;
        }
    }
    changed
}

fn is_prepend(step: &Value) -> bool {
    step["type"] == "Prepend"
}
