//! What a generation gives, piece by piece and in the end.

use serde::{Deserialize, Serialize};

/// What the listener to the streamed text wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// End here; what there is so far is returned.
    Stop,
}

/// What one token brought.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// The text that became final; empty while a character or a possible stop string is incomplete.
    pub text: &'a str,
    /// The token and the logits that the model gave for its place; `None` for text that was held back to the end, and for that of a
    /// masked predictor, which makes several tokens final at once.
    pub token: Option<(u32, &'a [f32])>,
    /// The end-of-sequence token, which has no text, and those logits; told by a batcher alone.
    pub end: Option<(u32, &'a [f32])>,
}

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FinishReason {
    /// The model's end-of-sequence token, a stop string, a constraint that is complete, or the listener.
    Stop,
    /// `max_new_tokens` are made, or the context is full.
    Length,
}

/// A finished generation; its JSON form is that of `generate --json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// The ids that were continued.
    pub prompt_tokens: Vec<u32>,
    /// The new ids, without the end-of-sequence token; those of a stop string are among them.
    pub tokens: Vec<u32>,
    /// The new text, without stop string, special tokens, and the bytes of a character that a limit cut.
    pub text: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// The end-of-sequence token that was drawn, where one was; no part of the JSON form.
    #[serde(skip)]
    pub end_token: Option<u32>,
    /// Prompt ids fed per second; those that were reused do not count. None where every step reads the prompt again.
    pub prefill_tokens_per_second: Option<f64>,
    /// New ids fed per second, sampling included; none where a single token came out. Of a masked predictor the new ids
    /// that came out, per second of all its steps.
    pub decode_tokens_per_second: Option<f64>,
}

/// Tokens a second, where there are any.
pub(super) fn rate(tokens: usize, seconds: f64) -> Option<f64> {
    (tokens > 0 && seconds > 0.0).then(|| tokens as f64 / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_form_has_the_documented_keys_in_order() {
        let generation = Generation {
            prompt_tokens: vec![1, 2],
            tokens: vec![3],
            text: "d".to_string(),
            finish_reason: FinishReason::Length,
            end_token: Some(9),
            prefill_tokens_per_second: Some(2.5),
            decode_tokens_per_second: None,
        };
        let expected = concat!(
            r#"{"prompt_tokens":[1,2],"tokens":[3],"text":"d","finish_reason":"length","#,
            r#""prefill_tokens_per_second":2.5,"decode_tokens_per_second":null}"#
        );
        assert_eq!(serde_json::to_string(&generation).unwrap(), expected);
    }
}
