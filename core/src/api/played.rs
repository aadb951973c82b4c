//! What tests use in place of an engine: a tokenizer, a model that is served, and answers written token by token.

use std::sync::Arc;

use serde_json::Value;

use super::{Head, Reply, Served};
use crate::sample::{FinishReason, Generation, Piece, SamplingConfig};
use crate::tokenizer::{StreamDecoder, Tokenizer, TokenizerTraining, train};

/// A tokenizer of bytes and few words, so that Chinese characters are cut over tokens; its template is ChatML.
pub fn tokenizer() -> Arc<Tokenizer> {
    let settings = TokenizerTraining { vocab_size: 300, ..TokenizerTraining::default() };
    Arc::new(train(std::iter::once("the place is warm the place".to_string()), &settings).unwrap())
}

pub fn head() -> Head {
    Head { id: "7f".into(), created: 951_782_400, model: "fable".into(), seed: 3, load_seconds: 0.5 }
}

/// The logits of a step: `id` is likely.
pub fn logits(tokenizer: &Tokenizer, id: u32) -> Vec<f32> {
    let mut logits = vec![0.0; tokenizer.vocab_size()];
    logits[id as usize] = 4.0;
    logits
}

pub fn with_served<T>(tokenizer: &Arc<Tokenizer>, context: usize, work: impl FnOnce(&Served) -> T) -> T {
    let sampling = SamplingConfig::default();
    let end_ids: Vec<u32> = tokenizer.eos().into_iter().collect();
    work(&Served {
        tokenizer,
        end_ids: &end_ids,
        context,
        masked: false,
        sampling: &sampling,
        most_tokens: None,
        most_choices: 8,
        constrainer: None,
    })
}

/// Plays an engine that writes these texts, token by token in turns, and returns the parts as JSON, and the whole answer
/// where the reply is one.
pub fn play(
    tokenizer: &Tokenizer,
    mut reply: Reply,
    texts: &[(&str, FinishReason)],
) -> (Vec<Value>, Option<Value>) {
    let mut chunks = reply.begin();
    let ids: Vec<Vec<u32>> = texts.iter().map(|(text, _)| tokenizer.encode(text).unwrap()).collect();
    let mut decoders: Vec<_> = texts.iter().map(|_| StreamDecoder::continuing(tokenizer, true)).collect();
    for step in 0..ids.iter().map(Vec::len).max().unwrap_or(0) {
        for (index, ids) in ids.iter().enumerate().filter(|(_, ids)| step < ids.len()) {
            let text = decoders[index].push(ids[step]).unwrap();
            let logits = logits(tokenizer, ids[step]);
            chunks.extend(
                reply.piece(index, &Piece { text: &text, token: Some((ids[step], &logits)), end: None }),
            );
        }
    }
    for (index, (text, finish_reason)) in texts.iter().enumerate() {
        assert!(!reply.is_done());
        let generation = Generation {
            prompt_tokens: Vec::new(),
            tokens: ids[index].clone(),
            text: text.to_string(),
            finish_reason: *finish_reason,
            end_token: None,
            prefill_tokens_per_second: Some(100.0),
            decode_tokens_per_second: Some(10.0),
        };
        chunks.extend(reply.done(index, &generation));
    }
    assert!(reply.is_done());
    chunks.extend(reply.finish());
    let whole = (!reply.is_stream()).then(|| serde_json::to_value(reply.whole()).unwrap());
    (chunks.iter().map(|chunk| serde_json::to_value(chunk).unwrap()).collect(), whole)
}
