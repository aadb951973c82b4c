//! What makes a model a masked predictor (LLaDA: Nie et al., 2025, <https://arxiv.org/abs/2502.09992>): hidden tokens stand
//! as one mask token, and all of them are predicted at once.

use serde_json::{Map, Value, json};

use super::keys::{Keys, SAVED, unsupported};
use crate::error::{Error, Result};
use crate::told::{Told, told};

/// What the keys of a `config.json` say of it.
pub(super) const KEYS: [&str; 5] =
    ["objective", "mask_token_id", "attention", "block_length", "shift_logits"];
/// The value of `objective`.
const OBJECTIVE: &str = "masked-diffusion";
/// The value of `attention` where every position sees every position.
const BIDIRECTIONAL: &str = "bidirectional";

/// How a masked predictor reads and what its logits stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffusionConfig {
    /// The token that stands for a hidden one.
    pub mask_token_id: u32,
    /// Tokens of a block, counted from the beginning of a text: positions see their own block and all before it (Arriola
    /// et al., 2025, <https://arxiv.org/abs/2503.09573>). `None` where every position sees every position.
    pub block_length: Option<usize>,
    /// Whether the logits of a position predict the token behind it, as those of the causal model did that it began as;
    /// else they predict the position's own.
    pub shift_logits: bool,
}

/// What of the rest of a model's shape it must agree with.
pub(super) struct Surroundings {
    pub(super) vocab_size: usize,
    /// Positions that the model has.
    pub(super) context: usize,
    /// Keys that a layer with a sliding window sees, where there is one.
    pub(super) window: Option<usize>,
    /// The other tokens that stand for no text, by their keys in `config.json`.
    pub(super) tokens: Vec<(&'static str, u32)>,
}

impl DiffusionConfig {
    /// Reads it from a `config.json`. Without `attention` every position sees every position.
    ///
    /// # Errors
    /// An objective or attention that is not known, a missing mask token, a block without length, a length without blocks, a
    /// causal mask, nothing said of what logits stand for.
    pub(super) fn read(keys: Keys) -> Result<Self> {
        if keys.text("objective")?.is_none() {
            return unsupported("objective", &"none".into(), OBJECTIVE);
        }
        match keys.value("shift_logits") {
            Some(_) => Self::read_kind(keys),
            None => Err(no_shift()),
        }
    }

    /// The same of a file whose family has this objective alone, and whose logits predict their own tokens; but where the
    /// file says blocks, which the family lacks, it has to say of the logits, too.
    ///
    /// # Errors
    /// As [`Self::read`], a missing objective aside.
    pub(super) fn read_kind(keys: Keys) -> Result<Self> {
        if let Some(objective) = keys.text("objective")?.filter(|objective| *objective != OBJECTIVE) {
            return unsupported("objective", &objective.into(), OBJECTIVE);
        }
        if keys.flag("is_causal")? == Some(true) {
            return unsupported(
                "is_causal",
                &true.into(),
                "false; a masked predictor looks at later tokens, too",
            );
        }
        let mask = keys.size("mask_token_id")?;
        let block_length = match keys.text("attention")?.unwrap_or(BIDIRECTIONAL) {
            BIDIRECTIONAL => match keys.value("block_length") {
                None => None,
                Some(length) => {
                    return unsupported(
                        "block_length",
                        length,
                        "null beside attention 'bidirectional', or attention 'block'",
                    );
                }
            },
            "block" => Some(keys.size("block_length")?),
            other => return unsupported("attention", &other.into(), "bidirectional or block"),
        };
        let mask_token_id = u32::try_from(mask).map_err(|_| {
            Error::Model(told!(
                "model.mask_id",
                "config.json: mask_token_id is {mask}; {saved}",
                mask,
                saved = SAVED
            ))
        })?;
        match (keys.flag("shift_logits")?, block_length) {
            (None, Some(_)) => Err(no_shift()),
            (shift, _) => Ok(Self { mask_token_id, block_length, shift_logits: shift.unwrap_or(false) }),
        }
    }

    /// The keys of `config.json`.
    pub(super) fn write(&self) -> Map<String, Value> {
        let keys = json!({
            "objective": OBJECTIVE,
            "is_causal": false,
            "mask_token_id": self.mask_token_id,
            "attention": if self.block_length.is_some() { "block" } else { BIDIRECTIONAL },
            "block_length": self.block_length,
            "shift_logits": self.shift_logits,
        });
        if let Value::Object(keys) = keys { keys } else { Map::new() }
    }

    /// What does not hold beside the rest of the model's shape.
    pub(super) fn problems(&self, model: &Surroundings) -> Vec<Told> {
        let mut problems = Vec::new();
        if let Some(window) = model.window {
            problems.push(told!(
                "config.masked_window",
                "sliding_window is {window}, and a masked predictor has no window: positions see all that its attention shows \
                 them; take sliding_window and layer_types out",
                window
            ));
        }
        if self.mask_token_id as usize >= model.vocab_size {
            problems.push(told!(
                "config.mask_id",
                "mask_token_id is {mask}, outside the vocabulary of {vocab_size} ids",
                mask = self.mask_token_id,
                vocab_size = model.vocab_size
            ));
        }
        problems.extend(self.mask_problem(&model.tokens));
        problems.extend(self.block_problem(model.context));
        problems
    }

    /// The mask stands where the model has yet to write: no other token may be read for it.
    fn mask_problem(&self, tokens: &[(&'static str, u32)]) -> Option<Told> {
        let (key, _) = tokens.iter().find(|(_, id)| *id == self.mask_token_id)?;
        Some(told!(
            "config.mask_taken",
            "mask_token_id is {mask}, and so is {key}; a mask must be a token of its own: take the config.json that was saved \
             with the weights",
            mask = self.mask_token_id,
            key
        ))
    }

    fn block_problem(&self, context: usize) -> Option<Told> {
        match self.block_length? {
            0 => Some(told!("config.block_length", "block_length is 0; a block holds at least one token")),
            length if length > context => Some(told!(
                "config.block_long",
                "block_length is {length}, and the model has {context} positions; a block holds at most as many, and with \
                 attention 'bidirectional' and without block_length every position sees every position",
                length,
                context
            )),
            _ => None,
        }
    }
}

fn no_shift() -> Error {
    Error::Model(told!(
        "model.no_shift",
        "config.json has no shift_logits, which says whether a position's logits predict the token behind it (true) or its own \
         (false); {saved}",
        saved = SAVED
    ))
}

#[cfg(test)]
mod tests {
    use super::super::{Balance, Experts, ModelConfig, SlidingWindow, preset};
    use super::*;

    fn config(block_length: Option<usize>) -> ModelConfig {
        let diffusion =
            DiffusionConfig { mask_token_id: 6399, block_length, shift_logits: block_length.is_some() };
        ModelConfig { diffusion: Some(diffusion), ..preset("minimind2").unwrap().config(None) }
    }

    #[test]
    fn what_is_written_reads_back_equal() {
        for block_length in [None, Some(8)] {
            let config = config(block_length);
            let text = config.to_hugging_face();
            assert!(
                text.contains(r#""model_type": "kindling_diffusion""#),
                "no other program takes it for a Llama"
            );
            assert_eq!(ModelConfig::from_hugging_face(text.as_bytes()).unwrap(), config);
        }
    }

    #[test]
    fn one_expert_a_token_weighs_what_it_did_in_the_family_that_it_came_from() {
        for normalize in [true, false] {
            let experts = Experts {
                count: 4,
                per_token: 1,
                shared: 0,
                intermediate_size: 8,
                normalize,
                layers: vec![true; 8],
                balance: Balance::default(),
            };
            let config = ModelConfig { num_hidden_layers: 8, experts: Some(experts), ..config(None) };
            assert_eq!(ModelConfig::from_hugging_face(config.to_hugging_face().as_bytes()).unwrap(), config);
        }
    }

    #[test]
    fn what_does_not_hold_is_refused_by_name() {
        let text = config(Some(8)).to_hugging_face();
        for (from, to, told) in [
            ("\"mask_token_id\": 6399", "\"mask_token_id\": 6400", "mask_token_id is 6400"),
            ("\"block_length\": 8", "\"block_length\": 0", "block_length is 0"),
            ("\"block_length\": 8,", "", "block_length"),
            ("\"attention\": \"block\"", "\"attention\": \"window\"", "attention 'window'"),
            (OBJECTIVE, "score-entropy", "objective 'score-entropy'"),
            ("\"objective\": \"masked-diffusion\",", "", "objective 'none'"),
            ("\"shift_logits\": true", "\"shift_logits\": null", "config.json has no shift_logits"),
            ("\"mask_token_id\": 6399,", "", "mask_token_id"),
            (
                "\"attention\": \"block\"",
                "\"attention\": \"bidirectional\"",
                "block_length '8' is not supported",
            ),
            ("\"attention\": \"block\",", "", "block_length '8' is not supported"),
            ("\"is_causal\": false", "\"is_causal\": true", "is_causal 'true' is not supported"),
            ("\"block_length\": 8", "\"block_length\": 8193", "block_length is 8193"),
            ("\"eos_token_id\": null", "\"eos_token_id\": [2, 6399]", "and so is eos_token_id"),
            ("\"bos_token_id\": null", "\"bos_token_id\": 6399", "and so is bos_token_id"),
            ("\"pad_token_id\": null", "\"pad_token_id\": 6399", "and so is pad_token_id"),
        ] {
            assert!(text.contains(from), "{from}");
            let message =
                ModelConfig::from_hugging_face(text.replace(from, to).as_bytes()).unwrap_err().to_string();
            assert!(message.contains(told), "{message}");
        }
        let longest = text.replace("\"block_length\": 8", "\"block_length\": 8192");
        assert!(ModelConfig::from_hugging_face(longest.as_bytes()).is_ok(), "as long as the context");
        let plain = config(None);
        let sliding = SlidingWindow { window: 16, layers: vec![true; plain.num_hidden_layers] };
        let message =
            ModelConfig { sliding_window: Some(sliding), ..plain }.validate().unwrap_err().to_string();
        assert!(message.contains("a masked predictor has no window"), "{message}");
    }
}
