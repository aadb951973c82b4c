//! How a model's makers have it sampled: its `generation_config.json`, with what transformers (5.x) takes for the settings
//! that are left out there.

use serde_json::{Map, Value};

use super::SamplingConfig;
use super::foreign_settings::foreign_settings;
use crate::text::is_blank;
use crate::told::{Told, told};

/// Keys that set how a token is drawn, and what transformers takes where a file draws tokens and leaves them out.
const DRAWING: [(&str, Option<f64>); 4] =
    [("temperature", Some(1.0)), ("top_k", Some(50.0)), ("top_p", Some(1.0)), ("min_p", None)];
/// The other keys that are known here.
const OTHERS: [&str; 5] =
    ["repetition_penalty", "frequency_penalty", "presence_penalty", "logit_bias", "max_new_tokens"];

/// Keys that act elsewhere, change no answer, or act beside `num_beams` alone.
const SILENT: [&str; 11] = [
    "do_sample",
    "eos_token_id",
    "bos_token_id",
    "pad_token_id",
    "decoder_start_token_id",
    "output_scores",
    "output_logits",
    "num_beam_groups",
    "length_penalty",
    "early_stopping",
    "diversity_penalty",
];
/// Keys for which 1 is off; for all others 0 is.
const OFF_AT_ONE: [&str; 5] =
    ["num_beams", "num_return_sequences", "typical_p", "encoder_repetition_penalty", "guidance_scale"];
/// What files of earlier versions of transformers hold where nobody set it.
const OLD_MAX_LENGTH: u64 = 20;

/// Settings with those of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct OfModel {
    /// How the next token is chosen.
    pub config: SamplingConfig,
    /// What of it comes from the model, as `temperature 0.6`.
    pub used: Vec<String>,
    /// What of the model's settings does not act, a sentence each.
    pub warnings: Vec<Told>,
}

impl SamplingConfig {
    /// These settings with those of a model's `generation_config.json` wherever nobody `said` a key. `do_sample` false is
    /// temperature 0; a file that sets how tokens are drawn stands for itself, without `do_sample` too, so that the
    /// defaults here do not mix with it.
    pub fn of_model(&self, generation: &Map<String, Value>, said: impl Fn(&str) -> bool) -> OfModel {
        let own = |key: &str| generation.get(key).filter(|value| !value.is_null());
        let do_sample = own("do_sample").and_then(Value::as_bool);
        let greedy = do_sample == Some(false);
        let draws = !greedy && (do_sample.is_some() || DRAWING.iter().any(|(key, _)| own(key).is_some()));
        let (mut config, mut warnings) = (self.clone(), Vec::new());
        let keys = DRAWING.into_iter().chain(OTHERS.map(|key| (key, None)));
        for (key, default) in keys.filter(|(key, _)| !said(key)) {
            let value = match own(key) {
                _ if greedy && key == "temperature" => Some(0.0.into()),
                Some(value) => Some(value.clone()),
                None => default.filter(|_| draws).map(Value::from),
            };
            let Some(value) = value else { continue };
            match config.with(key, &value).and_then(SamplingConfig::sound) {
                Ok(with) => config = with,
                Err(why) => warnings.push(told!(
                    "generation.unsound",
                    "generation_config.json: {key}: {why}; it is left aside",
                    key,
                    why
                )),
            }
        }
        if greedy && !said("temperature") {
            let idle = DRAWING.iter().map(|(key, _)| *key).filter(|key| said(key));
            warnings.extend(idle.map(|key| {
                told!(
                    "generation.greedy",
                    "{key} does nothing: generation_config.json has do_sample false, which is temperature 0; set \
                     temperature, too",
                    key
                )
            }));
        }
        warnings.extend(not_built(generation));
        let used = changed(self, &config);
        OfModel { config, used, warnings }
    }

    /// The settings of a request that names some of them, under those of a model.
    ///
    /// # Errors
    /// A value of another type.
    pub fn of_request(generation: &Map<String, Value>, asked: &Map<String, Value>) -> Result<Self, Told> {
        let own = Self::default().of_model(generation, |key| asked.contains_key(key)).config;
        let mut all = fields(&own);
        all.extend(asked.clone());
        serde_json::from_value(Value::Object(all)).map_err(|error| {
            told!("sampling.unread", "the settings of the answer cannot be read: {error}", error)
        })
    }

    /// Itself, or the one thing that the last change of one setting made unsound.
    fn sound(self) -> Result<Self, Told> {
        match self.problems(str::to_string).into_iter().next() {
            None => Ok(self),
            Some(problem) => Err(problem),
        }
    }
}

fn fields(config: &SamplingConfig) -> Map<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// The settings that differ, by name and new value.
fn changed(before: &SamplingConfig, now: &SamplingConfig) -> Vec<String> {
    let before = fields(before);
    let differs = |(key, value): &(String, Value)| before.get(key) != Some(value);
    fields(now).into_iter().filter(differs).map(|(key, value)| format!("{key} {value}")).collect()
}

/// What names the settings that would change an answer in transformers and are not built here.
fn not_built(generation: &Map<String, Value>) -> Option<Told> {
    let acts = |key: &str, value: &Value| match value {
        Value::Null => false,
        Value::Bool(on) => *on,
        Value::Number(number) => {
            let off = if OFF_AT_ONE.contains(&key) { 1.0 } else { 0.0 };
            number.as_f64() != Some(off) && !(key == "max_length" && number.as_u64() == Some(OLD_MAX_LENGTH))
        }
        Value::String(text) => !is_blank(text),
        Value::Array(items) => !items.is_empty(),
        Value::Object(items) => !items.is_empty(),
    };
    let named = foreign_settings().filter(|key| !SILENT.contains(key));
    let named: Vec<&str> =
        named.filter(|key| generation.get(*key).is_some_and(|value| acts(key, value))).collect();
    let keys = named.join(", ");
    match named.len() {
        0 => None,
        1 => Some(told!(
            "generation.not_built",
            "generation_config.json sets {keys}, which is not built here; it does not act",
            keys
        )),
        _ => Some(told!(
            "generation.not_built",
            "generation_config.json sets {keys}, which are not built here; they do not act",
            keys
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(generation: Value, said: &[&str]) -> OfModel {
        SamplingConfig::default().of_model(generation.as_object().unwrap(), |key| said.contains(&key))
    }

    #[test]
    fn a_model_without_settings_changes_nothing() {
        let tokens = json!({"bos_token_id": 1, "eos_token_id": [2, 3], "transformers_version": "5.24.0"});
        let dumped = json!({
            "num_beams": 1, "length_penalty": 1.0, "no_repeat_ngram_size": 0, "typical_p": 1.0, "max_length": 20,
            "suppress_tokens": null, "bad_words_ids": [], "early_stopping": false, "temperature": null,
        });
        for generation in [json!({}), tokens, dumped] {
            let nothing =
                OfModel { config: SamplingConfig::default(), used: Vec::new(), warnings: Vec::new() };
            assert_eq!(of(generation.clone(), &[]), nothing, "{generation}");
        }
    }

    #[test]
    fn what_is_said_counts_before_the_model_and_the_model_before_the_defaults() {
        let generation = json!({
            "do_sample": true, "temperature": 0.6, "top_k": 20, "repetition_penalty": 1.1, "max_new_tokens": 2048,
        });
        let found = of(generation, &["top_k"]);
        let expected = SamplingConfig {
            temperature: 0.6,
            // Left out there, which is 1 in transformers.
            top_p: 1.0,
            repetition_penalty: 1.1,
            max_new_tokens: 2048,
            ..SamplingConfig::default()
        };
        assert_eq!(found.config, expected);
        assert_eq!(
            found.used,
            ["temperature 0.6", "top_p 1.0", "repetition_penalty 1.1", "max_new_tokens 2048"]
        );
        assert!(found.warnings.is_empty(), "{:?}", found.warnings);
        // A limit alone says nothing of how tokens are drawn.
        let limit = of(json!({"max_new_tokens": 9}), &[]).config;
        assert_eq!(limit, SamplingConfig { max_new_tokens: 9, ..SamplingConfig::default() });
        let without = of(json!({"top_k": 3}), &[]).config;
        assert_eq!((without.temperature, without.top_k, without.top_p), (1.0, 3, 1.0));
    }

    #[test]
    fn do_sample_false_is_greedy_until_a_temperature_is_said() {
        let generation = json!({"do_sample": false, "temperature": 0.6, "top_p": 0.9});
        let found = of(generation.clone(), &[]);
        assert!(found.config.is_greedy() && found.warnings.is_empty(), "{found:?}");
        let narrowed = of(generation.clone(), &["top_p"]);
        assert!(narrowed.warnings[0].starts_with("top_p does nothing"), "{narrowed:?}");
        let said = SamplingConfig { temperature: 0.3, ..SamplingConfig::default() };
        let found = said.of_model(generation.as_object().unwrap(), |key| key == "temperature");
        assert_eq!((found.config.temperature, found.config.top_p), (0.3, 0.9));
    }

    #[test]
    fn what_is_not_built_or_does_not_hold_is_named_once() {
        let found = of(
            json!({"num_beams": 4, "length_penalty": 0.8, "suppress_tokens": [1, 2], "no_repeat_ngram_size": 1}),
            &[],
        );
        assert_eq!(found.warnings.len(), 1, "{found:?}");
        assert!(
            ["num_beams", "suppress_tokens", "no_repeat_ngram_size"]
                .iter()
                .all(|key| found.warnings[0].contains(key)),
            "{found:?}"
        );
        let found = of(json!({"temperature": -1, "top_k": "many", "top_p": 0.5}), &[]);
        assert_eq!((found.config.temperature, found.config.top_k, found.config.top_p), (0.85, 50, 0.5));
        assert!(found.warnings[0].contains("temperature is -1"), "{found:?}");
        assert!(
            found.warnings[1].contains("top_k: expected a whole number from 0 on, found \"many\""),
            "{found:?}"
        );
    }

    #[test]
    fn a_request_counts_before_the_model() {
        let generation = json!({"do_sample": false, "max_new_tokens": 7});
        let asked = json!({"temperature": 0.5, "stop": ["x"]});
        let found =
            SamplingConfig::of_request(generation.as_object().unwrap(), asked.as_object().unwrap()).unwrap();
        let expected = SamplingConfig {
            temperature: 0.5,
            max_new_tokens: 7,
            stop: vec!["x".into()],
            ..SamplingConfig::default()
        };
        assert_eq!(found, expected);
        let wrong = json!({"top_k": "many"});
        assert!(SamplingConfig::of_request(&Map::new(), wrong.as_object().unwrap()).is_err());
    }
}
