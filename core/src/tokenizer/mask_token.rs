//! The token that stands for a hidden one, added to a vocabulary that has none for it.

use serde_json::{Value, json};
use tokenizers::AddedToken;

use super::added::{ADDED_TOKENS_DECODER, written};
use super::{Tokenizer, foreign};
use crate::error::{Error, Result};
use crate::told::told;

/// The role of the token in `tokenizer_config.json`.
const ROLE: &str = "mask_token";

impl Tokenizer {
    /// The token that stands for a hidden one, where the tokenizer names one.
    pub fn mask(&self) -> Option<u32> {
        self.role(ROLE)
    }

    /// Whether the id is a token that was added beside the vocabulary: it is read whole or not at all.
    pub fn is_added(&self, id: u32) -> bool {
        self.inner.id_to_token(id).is_some_and(|text| self.added_texts.contains(&text))
    }

    /// Whether a token has this id.
    pub fn has_id(&self, id: u32) -> bool {
        self.inner.id_to_token(id).is_some()
    }

    /// The same tokenizer with one special token more, and that token's id. It gets the first id behind all others and a
    /// name that no token has, also where the vocabulary knows a mask token: that one may stand in texts. The templates stay.
    ///
    /// # Errors
    /// A vocabulary whose ids have a gap where the token would stand on another's place.
    pub fn with_mask_token(&self) -> Result<(Self, u32)> {
        let names = std::iter::once("<|mask|>".to_string()).chain((1..).map(|i| format!("<|mask_{i}|>")));
        let free = |name: &String| self.token_id(name).is_none() && !self.added_texts.contains(name);
        let Some(name) = names.into_iter().find(free) else {
            return Err(Error::tokenizer_failed("no name is left for a mask token"));
        };
        let mut inner = foreign::read(&self.json)?;
        inner.add_tokens([AddedToken::from(name.as_str(), true)]).map_err(Error::tokenizer_failed)?;
        let id = inner.token_to_id(&name).filter(|id| self.inner.id_to_token(*id).is_none());
        let id = id.filter(|id| *id as usize >= self.vocab_size).ok_or_else(|| {
            Error::Tokenizer(told!(
                "tokenizer.mask_place",
                "the ids of this vocabulary have gaps, and a new token would stand within them; save the tokenizer without \
                 gaps, with transformers, and take that"
            ))
        })?;
        let json = written(&self.json, &inner)?;
        let mut config = self.config.clone();
        config.insert(ROLE, name.as_str().into());
        if let Some(Value::Object(listed)) = config.get(ADDED_TOKENS_DECODER) {
            let mut listed = listed.clone();
            let flags = json!({
                "content": name, "lstrip": false, "normalized": false, "rstrip": false, "single_word": false,
                "special": true,
            });
            listed.insert(id.to_string(), flags);
            config.insert(ADDED_TOKENS_DECODER, Value::Object(listed));
        }
        let mut tokenizer = Self::assemble(inner, json.into(), config)?;
        tokenizer.variables.clone_from(&self.variables);
        Ok((tokenizer, id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::{TokenizerFiles, TokenizerTraining, train};

    fn reopened(tokenizer: &Tokenizer) -> Tokenizer {
        let files: std::collections::BTreeMap<_, _> = tokenizer.to_files().unwrap().into_iter().collect();
        let files = TokenizerFiles::gather(|name| Ok(files.get(name).cloned())).unwrap().unwrap();
        Tokenizer::from_files(&files).unwrap()
    }

    fn trained() -> Tokenizer {
        let settings = TokenizerTraining { vocab_size: 280, ..TokenizerTraining::default() };
        train(["the cat sat on the mat".repeat(3)].into_iter(), &settings).unwrap()
    }

    #[test]
    fn it_stands_behind_all_others_and_every_other_id_stays() {
        let tokenizer = trained();
        let (masked, id) = tokenizer.with_mask_token().unwrap();
        assert_eq!(id as usize, tokenizer.vocab_size());
        assert_eq!(masked.vocab_size(), tokenizer.vocab_size() + 1);
        for masked in [&masked, &reopened(&masked)] {
            assert_eq!((masked.token_text(id).as_str(), masked.is_special(id)), ("<|mask|>", true));
            let text = "the cat sat<|im_end|> on <|mask|>";
            let ids = masked.encode(text).unwrap();
            assert_eq!(ids.last(), Some(&id));
            let before = tokenizer.encode("the cat sat<|im_end|> on ").unwrap();
            assert_eq!(ids[..ids.len() - 1], before, "nothing else is read in another way");
            assert_eq!(masked.chat_template(), tokenizer.chat_template());
            assert_eq!(
                (masked.eos(), masked.pad(), masked.bos()),
                (tokenizer.eos(), tokenizer.pad(), tokenizer.bos())
            );
            assert_eq!(masked.config.token(ROLE), Some("<|mask|>"));
        }
    }

    #[test]
    fn a_token_that_is_there_is_never_taken() {
        let (first, id) = trained().with_mask_token().unwrap();
        let (second, next) = first.with_mask_token().unwrap();
        assert_eq!(next, id + 1);
        assert_eq!(second.token_text(id), "<|mask|>");
        assert_eq!(second.token_text(next), "<|mask_1|>");
        assert_eq!(second.config.token(ROLE), Some("<|mask_1|>"));
    }

    /// A vocabulary of letters with these ids.
    fn letters(ids: Value, config: Value) -> Tokenizer {
        let bytes =
            json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
        let tokenizer = json!({
            "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
            "pre_tokenizer": bytes, "decoder": bytes, "added_tokens": [],
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": ids, "merges": [],
            },
        });
        Tokenizer::from_files(&TokenizerFiles {
            tokenizer_json: tokenizer.to_string().into_bytes(),
            tokenizer_config_json: Some(config.to_string().into_bytes()),
        })
        .unwrap()
    }

    #[test]
    fn ids_with_gaps_are_refused_and_lists_of_added_tokens_are_kept_whole() {
        let message = letters(json!({"a": 0, "b": 2, "c": 5}), json!({})).with_mask_token().unwrap_err();
        assert!(message.to_string().contains("have gaps"), "{message}");
        let entry = json!({"content": "<e>", "special": true, "normalized": false, "lstrip": false, "rstrip": false,
            "single_word": false});
        let listed = letters(
            json!({"a": 0, "b": 1}),
            json!({"eos_token": "<e>", "added_tokens_decoder": {"2": entry}}),
        );
        let (masked, id) = listed.with_mask_token().unwrap();
        assert_eq!((id, masked.eos()), (3, Some(2)));
        let again = reopened(&masked);
        assert_eq!(again.encode("a<e><|mask|>").unwrap(), [0, 2, 3]);
        let list = again.config.get(ADDED_TOKENS_DECODER).unwrap();
        assert_eq!((&list["2"]["content"], &list["3"]["content"]), (&"<e>".into(), &"<|mask|>".into()));
    }
}
