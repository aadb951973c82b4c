//! How likely tokens were, as OpenAI's answers tell it.

use serde::{Deserialize, Serialize};

use crate::tokenizer::Tokenizer;

/// What OpenAI writes for what is impossible: JSON has no infinity.
const IMPOSSIBLE: f64 = -9999.0;

/// A token and how likely it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LikelyToken {
    /// Its text; `bytes:\xe4\xbd` where it is a part of a character.
    pub token: String,
    /// The natural logarithm of its probability; -9999 for what is impossible.
    pub logprob: f64,
    /// Its UTF-8 bytes, which joined are the answer's where tokens are parts of characters.
    pub bytes: Vec<u8>,
}

/// A token of an answer, with those that might have come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    /// The token that came.
    #[serde(flatten)]
    pub token: LikelyToken,
    /// The likeliest tokens, in order; as many as were asked for.
    pub top_logprobs: Vec<LikelyToken>,
}

impl TokenLogprob {
    /// A token under the logits that it was drawn from, `[vocab]`, with so many of the likeliest ones.
    pub fn new(tokenizer: &Tokenizer, id: u32, logits: &[f32], top: usize) -> Self {
        let normalizer = normalizer(logits);
        let likely = |id: u32| {
            let logit = logits.get(id as usize).copied().unwrap_or(f32::NEG_INFINITY);
            let logprob = f64::from(logit) - normalizer;
            let logprob = if logprob.is_finite() { logprob.max(IMPOSSIBLE) } else { IMPOSSIBLE };
            LikelyToken { token: shown(tokenizer, id), logprob, bytes: tokenizer.token_bytes(id) }
        };
        Self { token: likely(id), top_logprobs: likeliest(logits, top).into_iter().map(likely).collect() }
    }
}

/// What is taken off a logit to make it a log-probability: log Σ exp, in double precision.
fn normalizer(logits: &[f32]) -> f64 {
    let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - max).exp()).sum();
    max + sum.ln()
}

/// The ids of the `top` largest logits, largest first, the lower id of two that are equal.
fn likeliest(logits: &[f32], top: usize) -> Vec<u32> {
    let top = top.min(logits.len());
    if top == 0 {
        return Vec::new();
    }
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    let by_size = |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
    if top < order.len() {
        order.select_nth_unstable_by(top - 1, by_size);
        order.truncate(top);
    }
    order.sort_unstable_by(by_size);
    order
}

/// A token's text, or its bytes where it is a part of a character.
pub(super) fn shown(tokenizer: &Tokenizer, id: u32) -> String {
    match String::from_utf8(tokenizer.token_bytes(id)) {
        Ok(text) => text,
        Err(error) => {
            let bytes = error.as_bytes().iter().map(|byte| format!("\\x{byte:02x}"));
            format!("bytes:{}", bytes.collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::fake::letters;
    use crate::sample::log_probability;
    use crate::tokenizer::{TokenizerTraining, train};

    #[test]
    fn log_probabilities_are_those_of_scores() {
        let tokenizer = letters(None);
        // Probabilities 1/2, 1/4, 1/4 and 0.
        let logits = [2f32.ln() + 3.0, 3.0, 3.0, f32::NEG_INFINITY];
        let told = TokenLogprob::new(&tokenizer, 2, &logits, 2);
        assert_eq!(told.token.token, "c");
        assert!((told.token.logprob - 0.25f64.ln()).abs() < 1e-6);
        assert!((told.token.logprob - log_probability(&logits, 2)).abs() < 1e-12);
        let top: Vec<_> = told.top_logprobs.iter().map(|token| token.token.as_str()).collect();
        assert_eq!(top, ["a", "b"], "the lower id of two that are equal");
        assert_eq!(
            told.top_logprobs[1].logprob, told.token.logprob,
            "equal logits are equally likely to the bit"
        );
        assert_eq!(TokenLogprob::new(&tokenizer, 3, &logits, 0).token.logprob, IMPOSSIBLE);
    }

    #[test]
    fn a_part_of_a_character_is_told_by_its_bytes() {
        let settings = TokenizerTraining { vocab_size: 300, ..TokenizerTraining::default() };
        let tokenizer = train(std::iter::once("plain words".to_string()), &settings).unwrap();
        let ids = tokenizer.encode("\u{a66e}").unwrap();
        let told = TokenLogprob::new(&tokenizer, ids[0], &vec![0.0; tokenizer.vocab_size()], 0);
        assert_eq!((told.token.token.as_str(), &told.token.bytes[..]), ("bytes:\\xea", &[0xea][..]));
        let json = serde_json::to_value(&told).unwrap();
        assert_eq!(json["bytes"], serde_json::json!([0xea]));
        assert_eq!(json["top_logprobs"], serde_json::json!([]));
    }
}
