//! The vocabulary in a GGUF file's metadata: tokens, their types, and the roles of some.

use std::collections::HashSet;

use serde_json::{Map, Value as Json, json};

use super::Metadata;
use crate::error::{Error, Result};
use crate::told::{Told, told};

/// Before the names of the tokenizer's metadata.
pub(super) const TOKENIZER: &str = "tokenizer.ggml.";

/// `tokenizer.ggml.token_type`, as SentencePiece numbers it.
pub(super) mod kind {
    /// A piece of text.
    pub const NORMAL: i32 = 1;
    /// What stands for text that the vocabulary cannot spell.
    pub const UNKNOWN: i32 = 2;
    /// A special token.
    pub const CONTROL: i32 = 3;
    /// A token that is never split, but is text.
    pub const USER_DEFINED: i32 = 4;
    /// A place without a token.
    pub const UNUSED: i32 = 5;
    /// One byte.
    pub const BYTE: i32 = 6;
}

/// The text that converters give an id without a token.
pub(super) fn placeholder(id: usize) -> String {
    format!("[PAD{id}]")
}

/// Tokens in the order of their ids.
pub(super) struct Vocabulary<'a> {
    metadata: &'a Metadata,
    tokens: &'a [String],
    kinds: Option<&'a [i32]>,
}

/// A token with its id.
pub(super) struct Token<'a> {
    /// The id.
    pub id: usize,
    /// The spelling.
    pub text: &'a str,
    /// One of [`kind`].
    pub kind: i32,
}

impl<'a> Vocabulary<'a> {
    /// Reads tokens and types.
    ///
    /// # Errors
    /// No tokens, fewer types than tokens, or a token that has two ids.
    pub(super) fn new(metadata: &'a Metadata) -> Result<Self> {
        let refused = |fact: Told| {
            Error::Checkpoint(told!("gguf.vocabulary", "the GGUF file's tokenizer {fact}", fact))
        };
        let tokens = metadata.texts(&format!("{TOKENIZER}tokens"))?;
        let tokens = tokens
            .ok_or_else(|| refused(told!("gguf.no_tokens", "has no tokens (tokenizer.ggml.tokens)")))?;
        let kinds = metadata.integers(&format!("{TOKENIZER}token_type"))?;
        if let Some(kinds) = kinds.filter(|kinds| kinds.len() < tokens.len()) {
            return Err(refused(told!(
                "gguf.types",
                "has {types} types for {tokens} tokens",
                types = kinds.len(),
                tokens = tokens.len()
            )));
        }
        let vocabulary = Self { metadata, tokens, kinds };
        let mut seen = HashSet::new();
        if let Some(twice) = vocabulary.tokens().find(|token| !seen.insert(token.text)) {
            return Err(refused(told!(
                "gguf.token_twice",
                "has the token '{token}' twice",
                token = twice.text
            )));
        }
        Ok(vocabulary)
    }

    /// All tokens; places without one are left out.
    pub(super) fn tokens(&self) -> impl Iterator<Item = Token<'a>> {
        let (tokens, kinds) = (self.tokens, self.kinds);
        let kind_of = move |id: usize| kinds.and_then(|kinds| kinds.get(id)).copied().unwrap_or(kind::NORMAL);
        let all = tokens.iter().enumerate().map(move |(id, text)| Token { id, text, kind: kind_of(id) });
        all.filter(|token| token.kind != kind::UNUSED || token.text != placeholder(token.id))
    }

    /// How many ids there are.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The token of a role such as `bos`; an id without a token is no role, as in llama.cpp.
    pub(super) fn role(&self, role: &str, default: Option<usize>) -> Result<Option<(usize, &'a str)>> {
        let id = self.metadata.integer(&format!("{TOKENIZER}{role}_token_id"))?;
        let id = id.and_then(|id| usize::try_from(id).ok()).or(default);
        Ok(id.and_then(|id| Some((id, self.tokens.get(id)?.as_str()))))
    }

    /// A yes or no such as `add_bos_token`.
    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool> {
        Ok(self.metadata.flag(&format!("{TOKENIZER}{name}"))?.unwrap_or(default))
    }

    /// `vocab` in `tokenizer.json`. Special tokens stand in it too: their ids then hold, wherever they are.
    pub(super) fn vocab(&self) -> Json {
        self.tokens().map(|token| (token.text.to_string(), json!(token.id))).collect::<Map<_, _>>().into()
    }

    /// `added_tokens` in `tokenizer.json`: what is found in a text before it is cut into words.
    pub(super) fn added_tokens(&self) -> Json {
        let added = self.tokens().filter_map(|token| {
            let special = match token.kind {
                kind::CONTROL | kind::UNKNOWN => true,
                kind::USER_DEFINED => false,
                _ => return None,
            };
            Some(json!({
                "id": token.id, "content": token.text, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": special,
            }))
        });
        added.collect()
    }
}

/// The special ids that a model's configuration names.
pub(super) struct Ids {
    /// Begins a text.
    pub bos: Option<u64>,
    /// What ends a text, a turn or a message.
    ends: Vec<u64>,
    /// Fills rows up.
    pub pad: Option<u64>,
}

impl Ids {
    /// Reads them.
    ///
    /// # Errors
    /// Ids of a wrong type.
    pub(super) fn of(metadata: &Metadata) -> Result<Self> {
        let id = |role: &str| metadata.integer(&format!("{TOKENIZER}{role}_token_id"));
        // A turn and a message may end with tokens of their own.
        let mut ends: Vec<u64> = Vec::new();
        for id in [id("eos")?, id("eot")?, id("eom")?].into_iter().flatten() {
            if !ends.contains(&id) {
                ends.push(id);
            }
        }
        Ok(Self { bos: id("bos")?, ends, pad: id("padding")? })
    }

    /// `eos_token_id`: an id, a list, or null.
    pub(super) fn eos(&self) -> Json {
        match self.ends.as_slice() {
            [] => Json::Null,
            [one] => json!(one),
            many => json!(many),
        }
    }
}
