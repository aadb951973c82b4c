//! How a row of prompts wants its own answer sampled.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::foreign_settings::{foreign_settings, remedy};
use super::{SamplingConfig, UnmaskConfig};
use crate::text::{is_blank, parse_json, short};
use crate::told::{Told, told};

/// The keys of a row that set how its answer is sampled.
const OWN: [&str; 12] = [
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "frequency_penalty",
    "presence_penalty",
    BIAS,
    "seed",
    "max_new_tokens",
    STOP,
    "ignore_eos",
];

/// The keys of a row that set how a masked predictor fills its masks.
const OF_MASKS: [&str; 6] = ["steps", "block_length", "remasking", "cfg_scale", "threshold", "prefix_cache"];

/// The key of a row that sets the tokens of each hole in its prompt.
pub const ROW_HOLE_TOKENS: &str = "hole_tokens";

/// The one of them that holds a number for each of several tokens.
const BIAS: &str = "logit_bias";

/// The one of them that is a text, which may be a line's end.
const STOP: &str = "stop";

/// All keys of a row that concern its sampling, those that are refused included.
pub fn row_settings() -> Vec<&'static str> {
    OWN.into_iter().chain(foreign_settings()).collect()
}

/// The keys of a row that concern how a masked predictor fills its masks; rows for other models may hold them as data.
pub fn row_unmask_settings() -> &'static [&'static str] {
    &OF_MASKS
}

/// The tokens of each hole, where a row says them under [`ROW_HOLE_TOKENS`]; `fills` says whether the model fills holes.
///
/// # Errors
/// What is no number of tokens from 1 on; any where holes are not filled.
pub fn row_hole_tokens(settings: &Map<String, Value>, fills: bool) -> Result<Option<usize>, Told> {
    #[derive(Default, Serialize, Deserialize)]
    struct Holes {
        hole_tokens: Option<usize>,
    }
    let Some((key, value)) = settings.get_key_value(ROW_HOLE_TOKENS).filter(sets) else { return Ok(None) };
    if !fills {
        return Err(format!(
            "{key} says how many tokens fill a hole, and this model writes from left to right: leave it out, or take a model \
             that `kindling convert --to diffusion` made"
        )
        .into());
    }
    let Holes { hole_tokens } =
        with(&Holes::default(), key, value).map_err(|why| Told::from(format!("{key}: {why}")))?;
    match hole_tokens {
        Some(0) => Err("hole_tokens is 0, but a hole holds at least 1 token".into()),
        hole_tokens => Ok(hole_tokens),
    }
}

/// Whether a key is about masks, and not about how tokens are chosen.
fn is_of_masks(key: &str) -> bool {
    key == ROW_HOLE_TOKENS || OF_MASKS.contains(&key)
}

/// Whether a cell sets something: a blank one does not, but where a text may be blank.
fn sets((key, value): &(&String, &Value)) -> bool {
    *key == STOP || !value.as_str().is_some_and(is_blank)
}

impl UnmaskConfig {
    /// These settings with those that a row brings, out of [`row_unmask_settings`].
    ///
    /// # Errors
    /// The setting that cannot be honoured, and why.
    pub fn of_row(&self, settings: &Map<String, Value>) -> Result<Self, Told> {
        let mut own = *self;
        for (key, value) in settings.iter().filter(sets).filter(|(key, _)| OF_MASKS.contains(&key.as_str())) {
            own = with(&own, key, value).map_err(|why| Told::from(format!("{key}: {why}")))?;
        }
        match own.validate() {
            problems if problems.is_empty() => Ok(own),
            problems => Err(problems.iter().map(in_keys).collect::<Vec<_>>().join("; ").into()),
        }
    }
}

/// A sentence on masks in the words of a row, which has keys where the command line has flags.
fn in_keys(problem: &Told) -> String {
    let flag = |key: &str| format!("--{}", key.replace('_', "-"));
    OF_MASKS.iter().fold(problem.to_string(), |text, key| text.replace(&flag(key), key))
}

impl SamplingConfig {
    /// These settings with those that a row brings, out of [`row_settings`]. A cell of a table may hold a number as text,
    /// and a blank one sets nothing.
    ///
    /// # Errors
    /// The setting that cannot be honoured, and why.
    pub fn of_row(&self, settings: &Map<String, Value>) -> Result<Self, Told> {
        let mut own = self.clone();
        for (key, value) in settings.iter().filter(sets).filter(|(key, _)| !is_of_masks(key)) {
            if let Some(remedy) = remedy(key) {
                return Err(format!("{key} is not read here; {remedy}").into());
            }
            own = own.with(key, value).map_err(|why| Told::from(format!("{key}: {why}")))?;
        }
        match own.problems(str::to_string) {
            problems if problems.is_empty() => Ok(own),
            problems => Err(problems.join("; ").into()),
        }
    }

    /// With one setting under its name.
    ///
    /// # Errors
    /// What is expected there, and what was found.
    pub(super) fn with(&self, key: &str, value: &Value) -> Result<Self, Told> {
        with(self, key, value)
    }
}

/// Settings with one of them under its name.
fn with<T: Serialize + DeserializeOwned>(settings: &T, key: &str, value: &Value) -> Result<T, Told> {
    let wrong = || {
        let (expected, found) = (expected(key), short(&value.to_string()));
        told!("sampling.kind", "expected {expected}, found {found}", expected, found)
    };
    let mut all = match serde_json::to_value(settings)? {
        Value::Object(all) => all,
        _ => Map::new(),
    };
    let value = match (key, value) {
        ("stop", Value::String(_)) => Value::Array(vec![value.clone()]),
        ("remasking", Value::String(_)) => value.clone(),
        (_, Value::String(text)) => parse_json(text).map_err(|_| wrong())?,
        _ => value.clone(),
    };
    // Tables keep whole numbers beside missing ones as 256.0.
    let whole = value.as_f64().filter(|x| x.fract() == 0.0 && (0.0..1e15).contains(x));
    let takes_whole = all.get(key).is_some_and(|own| own.is_u64() || own.is_null());
    let value = match whole {
        Some(whole) if takes_whole && value.is_f64() => (whole as u64).into(),
        _ => value,
    };
    all.insert(key.to_string(), value);
    serde_json::from_value(Value::Object(all)).map_err(|_| wrong())
}

/// What a setting's value must be.
fn expected(key: &str) -> &'static str {
    match key {
        STOP => "a text or a list of texts",
        BIAS => "tokens and what is added to their logits, as {\"17\": -100}",
        "top_k" | "seed" | "max_new_tokens" | "steps" | "block_length" | ROW_HOLE_TOKENS => {
            "a whole number from 0 on"
        }
        "remasking" => "low-confidence or random",
        "ignore_eos" | "prefix_cache" => "true or false",
        _ => "a number",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Remasking;
    use serde_json::json;

    fn of_row(settings: Value) -> Result<SamplingConfig, Told> {
        SamplingConfig::default().of_row(settings.as_object().unwrap())
    }

    #[test]
    fn every_setting_can_stand_in_a_row() {
        let Value::Object(all) = serde_json::to_value(SamplingConfig::default()).unwrap() else { panic!() };
        assert_eq!(all.keys().collect::<Vec<_>>(), OWN);
        let own = json!({
            "temperature": 0, "top_k": 7, "top_p": 0.5, "min_p": 0.25, "repetition_penalty": 1.5, "seed": 9,
            "max_new_tokens": 3, "stop": ["a", "b"], "ignore_eos": true, "frequency_penalty": 0.5,
            "presence_penalty": -1, "logit_bias": {"17": -100, "3": 1.5},
        });
        let expected = SamplingConfig {
            temperature: 0.0,
            top_k: 7,
            top_p: 0.5,
            min_p: 0.25,
            repetition_penalty: 1.5,
            frequency_penalty: 0.5,
            presence_penalty: -1.0,
            logit_bias: [(3, 1.5), (17, -100.0)].into(),
            seed: 9,
            max_new_tokens: 3,
            stop: vec!["a".into(), "b".into()],
            ignore_eos: true,
        };
        assert_eq!(of_row(own), Ok(expected));
        assert_eq!(of_row(json!({})), Ok(SamplingConfig::default()));
    }

    #[test]
    fn a_row_sets_how_its_masks_are_filled() {
        let of_row = |settings: Value| {
            UnmaskConfig { steps: Some(9), ..UnmaskConfig::default() }.of_row(settings.as_object().unwrap())
        };
        let Value::Object(all) = serde_json::to_value(UnmaskConfig::default()).unwrap() else { panic!() };
        assert_eq!(all.keys().collect::<Vec<_>>(), row_unmask_settings());
        let expected = UnmaskConfig {
            steps: Some(16),
            block_length: Some(8),
            remasking: Remasking::Random,
            cfg_scale: 1.5,
            threshold: None,
            prefix_cache: true,
        };
        let own = json!({
            "steps": 16.0, "block_length": "8", "remasking": "random", "cfg_scale": 1.5, "prefix_cache": true,
            "temperature": "not of masks", "threshold": " ",
        });
        assert_eq!(of_row(own), Ok(expected));
        let sure = of_row(json!({"threshold": 1.0})).unwrap();
        assert_eq!((sure.steps, sure.threshold), (Some(9), Some(1.0)));
        for (settings, told) in [
            (json!({"steps": 0}), "steps is 0"),
            (json!({"steps": ["peel", "boil"]}), "steps: expected a whole number from 0 on, found [\"peel\""),
            (json!({"remasking": "best"}), "remasking: expected low-confidence or random, found \"best\""),
            (json!({"threshold": 2, "cfg_scale": -1}), "cfg_scale is -1"),
        ] {
            let why = of_row(settings.clone()).unwrap_err();
            assert!(why.contains(told) && !why.contains("--"), "{settings}: {why}");
        }
        // The settings of tokens pass over them.
        let tokens = SamplingConfig::default().of_row(json!({"steps": 0}).as_object().unwrap());
        assert_eq!(tokens, Ok(SamplingConfig::default()));
    }

    #[test]
    fn a_row_sets_the_tokens_of_its_holes() {
        let of_row = |settings: Value| row_hole_tokens(settings.as_object().unwrap(), true);
        for (settings, expected) in [
            (json!({"hole_tokens": 3}), Some(3)),
            (json!({"hole_tokens": "4", "steps": 2}), Some(4)),
            (json!({"hole_tokens": 5.0}), Some(5)),
            (json!({"hole_tokens": " "}), None),
            (json!({"steps": 2}), None),
        ] {
            assert_eq!(of_row(settings.clone()), Ok(expected), "{settings}");
        }
        for (settings, told) in [
            (json!({"hole_tokens": 0}), "hole_tokens is 0"),
            (
                json!({"hole_tokens": "some"}),
                "hole_tokens: expected a whole number from 0 on, found \"some\"",
            ),
        ] {
            assert!(of_row(settings.clone()).unwrap_err().contains(told), "{settings}");
        }
        let causal = |settings: Value| row_hole_tokens(settings.as_object().unwrap(), false);
        for settings in [json!({"hole_tokens": 3}), json!({"hole_tokens": "3"})] {
            let told = causal(settings).unwrap_err();
            assert!(told.starts_with("hole_tokens") && told.contains("writes from left to right"), "{told}");
        }
        assert_eq!(causal(json!({"hole_tokens": "", "steps": 2})), Ok(None));
        let tokens = SamplingConfig::default().of_row(json!({"hole_tokens": 3}).as_object().unwrap());
        assert_eq!(tokens, Ok(SamplingConfig::default()), "the settings of tokens pass over it");
    }

    #[test]
    fn cells_of_tables_hold_numbers_as_text_and_whole_ones_as_fractions() {
        let base = SamplingConfig::default();
        let expected =
            SamplingConfig { temperature: 0.5, max_new_tokens: 20, stop: vec!["7".into()], top_k: 3, ..base };
        let row = json!({"temperature": "0.5", "max_new_tokens": "20", "stop": "7", "top_k": 3.0});
        assert_eq!(of_row(row), Ok(expected));
        assert_eq!(of_row(json!({"logit_bias": "{\"5\": 2}"})).unwrap().logit_bias, [(5, 2.0)].into());
        let blank = json!({"temperature": " ", "seed": "", "num_beams": " "});
        assert_eq!(of_row(blank), Ok(SamplingConfig::default()));
    }

    #[test]
    fn an_answer_may_stop_at_a_blank() {
        for (stop, expected) in [(json!("\n"), &["\n"][..]), (json!(["\n\n", " "]), &["\n\n", " "])] {
            assert_eq!(of_row(json!({"stop": stop})).unwrap().stop, expected);
        }
    }

    #[test]
    fn what_cannot_be_honoured_is_named() {
        for (settings, parts) in [
            (json!({"max_tokens": 5}), &["max_tokens is not read here", "write max_new_tokens"][..]),
            (json!({"num_beams": 4}), &["num_beams", "leave it out"]),
            (json!({"temperature": "hot"}), &["temperature: expected a number, found \"hot\""]),
            (
                json!({"max_new_tokens": 2.5}),
                &["max_new_tokens: expected a whole number from 0 on, found 2.5"],
            ),
            (json!({"seed": -1}), &["seed: expected a whole number from 0 on, found -1"]),
            (json!({"ignore_eos": "yes"}), &["ignore_eos: expected true or false, found \"yes\""]),
            (json!({"logit_bias": [5]}), &["logit_bias: expected tokens and what is added", "found [5]"]),
            (json!({"logit_bias": {"of": 1}}), &["logit_bias: expected tokens and what"]),
            (json!({"logit_bias": {"5": 101}}), &["logit_bias is 101 for token 5"]),
            (json!({"presence_penalty": 3}), &["presence_penalty is 3"]),
            (json!({"stop": 7}), &["stop: expected a text or a list of texts, found 7"]),
            (json!({"top_p": 2, "temperature": -1}), &["temperature is -1", "; top_p is 2"]),
            (json!({"stop": ["a", ""]}), &["stop is empty"]),
            (json!({"n": 2, "seed": 1}), &["n is not read here", "a row has one answer"]),
        ] {
            let why = of_row(settings.clone()).unwrap_err();
            assert!(parts.iter().all(|part| why.contains(part)), "{settings}: {why}");
            assert!(!why.contains("--"), "a row has keys, not flags: {why}");
        }
    }
}
