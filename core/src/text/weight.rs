//! How much a turn is trained: the keys with which data sets mark the turns that are to be learned.

use serde_json::{Map, Number, Value};

use super::json::kind;
use crate::told::{Told, told};

/// Keys of a message that say whether, or how much, it is trained.
const KEYS: [&str; 7] = ["weight", "loss", "loss_weight", "train", "trainable", "training", "train_on_turn"];

/// Words of other keys that read as if they said so.
const WORDS: [&str; 15] = [
    "weight",
    "weights",
    "loss",
    "train",
    "trained",
    "trainable",
    "training",
    "mask",
    "masked",
    "masking",
    "ignore",
    "ignored",
    "learn",
    "learned",
    "supervised",
];

/// Whether a key reads as if it said how much something is trained, such as `weight`, `loss_mask` or `trainOnTurn`.
pub(super) fn reads_as_weight(key: &str) -> bool {
    let says = |text: &str| text.split(|c: char| !c.is_alphanumeric()).any(|word| WORDS.contains(&word));
    says(&words(key)) || says(&key.to_lowercase())
}

/// A key in lower case with its words apart: `trainOnTurn` is `train_on_turn`. Capitals in a row are one word.
pub(super) fn words(key: &str) -> String {
    let mut parted = String::new();
    let mut small = false;
    for letter in key.chars() {
        if letter.is_uppercase() && small {
            parted.push('_');
        }
        small = !letter.is_uppercase();
        parted.extend(letter.to_lowercase());
    }
    parted
}

/// Keys that mark parts of a message, which are not read.
const KEYS_OF_PARTS: [&str; 2] = ["train_detail", "training_detail"];

/// Weights are shares of one another; far from 1, their sums and the gradients would leave the range of f32.
const LEAST: f64 = 1e-6;
/// See [`LEAST`].
const MOST: f64 = 1e6;

/// What one key says.
#[derive(Clone, Copy)]
enum Said {
    Whether(bool),
    HowMuch(f32),
}

impl Said {
    fn weight(self) -> f32 {
        match self {
            Self::Whether(trained) => f32::from(u8::from(trained)),
            Self::HowMuch(weight) => weight,
        }
    }

    /// What two keys say together; `None` if they contradict each other.
    fn and(self, other: Self) -> Option<Self> {
        let agree = match (self, other) {
            (Self::HowMuch(one), Self::HowMuch(two)) => one == two,
            _ => (self.weight() > 0.0) == (other.weight() > 0.0),
        };
        let number = if matches!(self, Self::HowMuch(_)) { self } else { other };
        agree.then_some(number)
    }
}

/// Takes the weight of a message out of its keys; `None` where none says anything.
///
/// # Errors
/// A value that is no weight, two that contradict each other, marks on parts of the message.
pub(super) fn take_weight(fields: &mut Map<String, Value>) -> Result<Option<f32>, Told> {
    if let Some(key) = KEYS_OF_PARTS.into_iter().find(|key| fields.contains_key(*key)) {
        return Err(told!(
            "weight.parts",
            "{key} marks parts of a turn, which are not read; give the whole turn a weight",
            key
        ));
    }
    let mut found: Option<(&str, Said)> = None;
    for key in KEYS {
        let Some(value) = fields.shift_remove(key) else { continue };
        let said = said(key, &value)?;
        found = match found {
            None => Some((key, said)),
            Some((first, before)) => {
                let both = before.and(said).ok_or_else(|| {
                    told!("weight.contradict", "{first} and {key} contradict each other", first, key)
                })?;
                Some((first, both))
            }
        };
    }
    Ok(found.map(|(_, said)| said.weight()))
}

fn said(key: &str, value: &Value) -> Result<Said, Told> {
    match value {
        Value::Bool(trained) => Ok(Said::Whether(*trained)),
        Value::Number(number) => how_much(key, number),
        other => Err(told!(
            "weight.kind",
            "{key} must be a number or a truth value, found {found}",
            key,
            found = kind(other)
        )),
    }
}

fn how_much(key: &str, number: &Number) -> Result<Said, Told> {
    match number.as_f64() {
        Some(weight) if weight == 0.0 || (LEAST..=MOST).contains(&weight) => Ok(Said::HowMuch(weight as f32)),
        _ => Err(told!(
            "weight.range",
            "{key} is {number}; a weight must be 0, or between 0.000001 and 1000000",
            key,
            number
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn take(json: Value) -> Result<Option<f32>, Told> {
        let Value::Object(mut fields) = json else { panic!("no object") };
        let weight = take_weight(&mut fields)?;
        assert_eq!(fields.keys().collect::<Vec<_>>(), ["name", "id"]);
        Ok(weight)
    }

    #[test]
    fn every_spelling_is_a_number() {
        for (json, weight) in [
            (json!({"name": "x", "id": 1}), None),
            (json!({"name": "x", "weight": 0, "id": 1}), Some(0.0)),
            (json!({"weight": 0.25, "name": "x", "id": 1}), Some(0.25)),
            (json!({"name": "x", "id": 1, "weight": 3}), Some(3.0)),
            (json!({"name": "x", "id": 1, "weight": 1e6}), Some(1e6)),
            (json!({"name": "x", "id": 1, "weight": -0.0}), Some(0.0)),
            (json!({"name": "x", "id": 1, "loss": false}), Some(0.0)),
            (json!({"name": "x", "id": 1, "loss": 1}), Some(1.0)),
            (json!({"name": "x", "id": 1, "train": true}), Some(1.0)),
            (json!({"name": "x", "id": 1, "trainable": false}), Some(0.0)),
            (json!({"name": "x", "id": 1, "train": true, "weight": 0.5}), Some(0.5)),
            (json!({"name": "x", "id": 1, "train": false, "weight": 0.0, "loss": 0}), Some(0.0)),
        ] {
            assert_eq!(take(json.clone()), Ok(weight), "{json}");
        }
    }

    #[test]
    fn keys_that_read_as_weights_are_known_by_their_words() {
        for key in KEYS.iter().chain(&["mask", "masked", "LOSS", "loss_mask", "trainOnTurn", "ignore-loss"]) {
            assert!(reads_as_weight(key), "{key}");
        }
        for key in ["score", "constraint", "id", "glossary", "", "损失"] {
            assert!(!reads_as_weight(key), "{key}");
        }
    }

    #[test]
    fn what_is_no_weight_is_refused() {
        for (json, reason) in [
            (json!({"weight": "0"}), "weight must be a number or a truth value, found a string"),
            (json!({"loss": []}), "loss must be a number or a truth value, found a list"),
            (json!({"weight": -0.5}), "weight is -0.5; a weight must be 0, or between 0.000001 and 1000000"),
            (
                json!({"loss": 1_000_001}),
                "loss is 1000001; a weight must be 0, or between 0.000001 and 1000000",
            ),
            (json!({"weight": 0, "train": true}), "weight and train contradict each other"),
            (json!({"weight": 1, "loss": 2}), "weight and loss contradict each other"),
            (
                json!({"train_detail": [{"begin_offset": 0, "train": false}]}),
                "train_detail marks parts of a turn, which are not read; give the whole turn a weight",
            ),
        ] {
            assert_eq!(take(json.clone()), Err(reason.into()), "{json}");
        }
        for json in [json!({"weight": 1e300}), json!({"loss": 1e38}), json!({"weight": 1e-38})] {
            assert!(take(json.clone()).unwrap_err().ends_with("between 0.000001 and 1000000"), "{json}");
        }
    }
}
