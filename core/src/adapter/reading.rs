//! How the base of an adapter reads: what the same weights may do in two ways, so that a fingerprint does not tell them
//! apart.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::{DiffusionConfig, ModelConfig};
use crate::told::{Listed, Told, told};

/// What a model predicts, and what it sees: the objective of its `config.json`, and the keys that belong to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "objective", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Reading {
    /// The next token, of what stands before it.
    NextToken {},
    /// Masked tokens.
    MaskedDiffusion {
        /// The token that stands for a hidden one.
        mask_token_id: u32,
        /// Tokens of a block; `None` where every position sees every position.
        block_length: Option<usize>,
        /// Whether a position's logits predict the token behind it.
        shift_logits: bool,
    },
}

impl Reading {
    /// Of this model.
    pub fn of(config: &ModelConfig) -> Self {
        match config.diffusion {
            None => Self::NextToken {},
            Some(DiffusionConfig { mask_token_id, block_length, shift_logits }) => {
                Self::MaskedDiffusion { mask_token_id, block_length, shift_logits }
            }
        }
    }

    /// As [`Self::to_json`] wrote it.
    ///
    /// # Errors
    /// A text that says no reading.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|e| {
            Error::Checkpoint(told!(
                "adapter.reading",
                "the adapter says that its base reads as {text}, which is not known here ({e}); take the adapter from where it \
                 was trained again, or a newer version of Kindling",
                text,
                e
            ))
        })
    }

    /// The text that an adapter's file keeps.
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// Refuses a base that reads otherwise than the one an adapter was trained on.
    ///
    /// # Errors
    /// Every key that differs, with both values.
    pub fn check(&self, base: &Self) -> Result<()> {
        let (trained_on, given) = (self.keys(), base.keys());
        let key = |((key, trained_on), (_, given)): (&(&'static str, String), &(&'static str, String))| {
            (trained_on != given).then(|| {
                told!("adapter.read_as", "{key} was {trained_on} and is {given}", key, trained_on, given)
            })
        };
        let differs: Vec<Told> = trained_on.iter().zip(&given).filter_map(key).collect();
        match differs.is_empty() {
            true => Ok(()),
            false => Err(Error::Checkpoint(told!(
                "adapter.other_reading",
                "the adapter was trained on the same weights in a model that reads otherwise; give it the model that it was \
                 trained on, or train one for this model{differs}",
                differs = Listed(differs)
            ))),
        }
    }

    /// Its keys in `config.json` with their values; what a causal model lacks is none.
    fn keys(&self) -> [(&'static str, String); 4] {
        let none = || "none".to_string();
        let [objective, mask, block, shift] = match self {
            Self::NextToken {} => ["next-token".to_string(), none(), none(), none()],
            Self::MaskedDiffusion { mask_token_id, block_length, shift_logits } => [
                "masked-diffusion".to_string(),
                mask_token_id.to_string(),
                block_length.map_or_else(none, |length| length.to_string()),
                shift_logits.to_string(),
            ],
        };
        [("objective", objective), ("mask_token_id", mask), ("block_length", block), ("shift_logits", shift)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(mask_token_id: u32, block_length: Option<usize>, shift_logits: bool) -> Reading {
        Reading::MaskedDiffusion { mask_token_id, block_length, shift_logits }
    }

    #[test]
    fn what_is_written_reads_back_equal() {
        for reading in [Reading::NextToken {}, masked(7, None, true), masked(7, Some(8), false)] {
            assert_eq!(Reading::from_json(&reading.to_json()).unwrap(), reading);
        }
        let written: serde_json::Value = serde_json::from_str(&masked(7, Some(8), false).to_json()).unwrap();
        let expected = serde_json::json!({
            "objective": "masked-diffusion", "mask_token_id": 7, "block_length": 8, "shift_logits": false,
        });
        assert_eq!(written, expected);
        for damaged in ["{", "{}", r#"{"objective":"score-entropy"}"#, r#"{"objective":"next-token","x":1}"#]
        {
            let message = Reading::from_json(damaged).unwrap_err().to_string();
            assert!(message.contains("not known here"), "{message}");
        }
    }

    #[test]
    fn every_key_that_differs_is_named_and_no_other() {
        let base = masked(7, Some(8), true);
        base.check(&base.clone()).unwrap();
        for (other, named, silent) in [
            (masked(7, Some(8), false), "shift_logits was true and is false", "mask_token_id"),
            (masked(7, Some(4), true), "block_length was 8 and is 4", "objective"),
            (masked(7, None, true), "block_length was 8 and is none", "shift_logits"),
            (masked(6, Some(8), true), "mask_token_id was 7 and is 6", "block_length"),
        ] {
            let message = base.check(&other).unwrap_err().to_string();
            assert!(message.contains(named) && !message.contains(silent), "{message}");
            assert!(message.contains("give it the model that it was trained on"), "{message}");
        }
        let message = Reading::NextToken {}.check(&base).unwrap_err().to_string();
        for part in ["objective was next-token and is masked-diffusion", "block_length was none and is 8"] {
            assert!(message.contains(part), "{message}");
        }
    }
}
