//! How a row of prompts wants its own answer sampled.

use serde_json::{Map, Value};

use super::SamplingConfig;
use super::foreign_settings::{foreign_settings, remedy};
use crate::text::{is_blank, parse_json, short};
use crate::told::{Told, told};

/// The keys of a row that set how its answer is sampled.
const OWN: [&str; 9] = [
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "seed",
    "max_new_tokens",
    STOP,
    "ignore_eos",
];

/// The one of them that is a text, which may be a line's end.
const STOP: &str = "stop";

/// All keys of a row that concern its sampling, those that are refused included.
pub fn row_settings() -> Vec<&'static str> {
    OWN.into_iter().chain(foreign_settings()).collect()
}

impl SamplingConfig {
    /// These settings with those that a row brings, out of [`row_settings`]. A cell of a table may hold a number as text,
    /// and a blank one sets nothing.
    ///
    /// # Errors
    /// The setting that cannot be honoured, and why.
    pub fn of_row(&self, settings: &Map<String, Value>) -> Result<Self, Told> {
        let sets = |(key, value): &(&String, &Value)| *key == STOP || !value.as_str().is_some_and(is_blank);
        let mut own = self.clone();
        for (key, value) in settings.iter().filter(sets) {
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
        let wrong = || {
            let (expected, found) = (expected(key), short(&value.to_string()));
            told!("sampling.kind", "expected {expected}, found {found}", expected, found)
        };
        let mut all = match serde_json::to_value(self)? {
            Value::Object(all) => all,
            _ => Map::new(),
        };
        let value = match (key, value) {
            ("stop", Value::String(_)) => Value::Array(vec![value.clone()]),
            (_, Value::String(text)) => parse_json(text).map_err(|_| wrong())?,
            _ => value.clone(),
        };
        // Tables keep whole numbers beside missing ones as 256.0.
        let whole = value.as_f64().filter(|x| x.fract() == 0.0 && (0.0..1e15).contains(x));
        let value = match whole {
            Some(whole) if all.get(key).is_some_and(Value::is_u64) && value.is_f64() => (whole as u64).into(),
            _ => value,
        };
        all.insert(key.to_string(), value);
        serde_json::from_value(Value::Object(all)).map_err(|_| wrong())
    }
}

/// What a setting's value must be.
fn expected(key: &str) -> &'static str {
    match key {
        STOP => "a text or a list of texts",
        "ignore_eos" => "true or false",
        "top_k" | "seed" | "max_new_tokens" => "a whole number from 0 on",
        _ => "a number",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
            "max_new_tokens": 3, "stop": ["a", "b"], "ignore_eos": true,
        });
        let expected = SamplingConfig {
            temperature: 0.0,
            top_k: 7,
            top_p: 0.5,
            min_p: 0.25,
            repetition_penalty: 1.5,
            seed: 9,
            max_new_tokens: 3,
            stop: vec!["a".into(), "b".into()],
            ignore_eos: true,
        };
        assert_eq!(of_row(own), Ok(expected));
        assert_eq!(of_row(json!({})), Ok(SamplingConfig::default()));
    }

    #[test]
    fn cells_of_tables_hold_numbers_as_text_and_whole_ones_as_fractions() {
        let base = SamplingConfig::default();
        let expected =
            SamplingConfig { temperature: 0.5, max_new_tokens: 20, stop: vec!["7".into()], top_k: 3, ..base };
        let row = json!({"temperature": "0.5", "max_new_tokens": "20", "stop": "7", "top_k": 3.0});
        assert_eq!(of_row(row), Ok(expected));
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
