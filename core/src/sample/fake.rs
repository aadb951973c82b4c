//! What tests use in place of a trained model and its tokenizer.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::Autoregressive;
use crate::error::Result;
use crate::tokenizer::{Tokenizer, TokenizerFiles};

/// A model that counts: after id `n` it is almost sure of `n + 1`, and after the last id of 0.
pub struct Counting {
    pub vocab: usize,
    pub context: usize,
    /// The ids in the cache.
    pub fed: Vec<u32>,
    /// The ids of every call.
    pub calls: Vec<Vec<u32>>,
}

impl Counting {
    pub fn new(context: usize) -> Self {
        Self { vocab: LETTERS.len(), context, fed: Vec::new(), calls: Vec::new() }
    }
}

impl Autoregressive for Counting {
    async fn feed(&mut self, ids: &[u32]) -> Result<Vec<f32>> {
        self.fed.extend(ids);
        self.calls.push(ids.to_vec());
        assert!(self.fed.len() <= self.context, "fed beyond the context");
        let mut logits = vec![0.0; self.vocab];
        logits[(self.fed[self.fed.len() - 1] as usize + 1) % self.vocab] = 9.0;
        Ok(logits)
    }

    fn context(&self) -> usize {
        self.context
    }

    fn position(&self) -> usize {
        self.fed.len()
    }

    fn rewind(&mut self, position: usize) -> Result<()> {
        self.fed.truncate(position);
        Ok(())
    }
}

/// Runs a future that never waits.
pub fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the fake model never waits"),
    }
}

/// The letters of the test tokenizer; a letter's id is its place.
pub const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz;:";

/// A byte-level tokenizer with one token a letter, and a chat template if one is given.
pub fn letters(template: Option<&str>) -> Tokenizer {
    let vocab: serde_json::Map<String, serde_json::Value> =
        LETTERS.chars().enumerate().map(|(id, letter)| (letter.to_string(), id.into())).collect();
    let byte_level = serde_json::json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true
    });
    let tokenizer = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": byte_level, "post_processor": null, "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": []
        }
    });
    let config = |template| serde_json::json!({ "chat_template": template }).to_string().into_bytes();
    let files = TokenizerFiles {
        tokenizer_json: tokenizer.to_string().into_bytes(),
        tokenizer_config_json: template.map(config),
    };
    Tokenizer::from_files(&files).unwrap()
}
