//! How an answer is to be sampled, as OpenAI's and Ollama's requests say it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::ApiError;
use super::fields::Fields;
use super::filling::Filling;
use super::keep_alive::KeepAlive;
use crate::sample::SamplingConfig;

/// Most stop texts of a request.
const MOST_STOPS: usize = 64;

/// What a penalty of repetition may be, which divides or multiplies logits.
const PENALTIES: std::ops::RangeInclusive<f64> = 0.01..=100.0;

/// Fields that clients send and that change nothing of an answer.
const WITHOUT_EFFECT: [&str; 9] = [
    // Whom the request is for, and how the provider keeps and counts it.
    "user",
    "safety_identifier",
    "store",
    "metadata",
    // Where and how fast the provider computes it, and what it caches.
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "cache_prompt",
    "prediction",
];

/// What a request says of how tokens are chosen; what it leaves open is the server's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// See [`SamplingConfig::temperature`].
    pub temperature: Option<f64>,
    /// See [`SamplingConfig::top_p`].
    pub top_p: Option<f64>,
    /// See [`SamplingConfig::top_k`].
    pub top_k: Option<usize>,
    /// See [`SamplingConfig::min_p`].
    pub min_p: Option<f64>,
    /// See [`SamplingConfig::repetition_penalty`].
    pub repetition_penalty: Option<f64>,
    /// See [`SamplingConfig::frequency_penalty`].
    pub frequency_penalty: Option<f64>,
    /// See [`SamplingConfig::presence_penalty`].
    pub presence_penalty: Option<f64>,
    /// See [`SamplingConfig::logit_bias`].
    pub logit_bias: BTreeMap<u32, f64>,
    /// See [`SamplingConfig::seed`].
    pub seed: Option<u64>,
    /// Most new tokens; as many as the context holds where the request leaves it open.
    pub max_tokens: Option<usize>,
    /// See [`SamplingConfig::stop`].
    pub stop: Vec<String>,
    /// See [`SamplingConfig::ignore_eos`].
    pub ignore_eos: bool,
    /// How masks are filled, by a model that does.
    pub filling: Filling,
    /// How long the model stays behind the answer; as the server has it where the request does not say.
    pub keep_alive: Option<KeepAlive>,
}

impl Settings {
    /// Takes the fields of OpenAI's requests, and those that llama-server and vLLM add to them. `most` names the fields
    /// that bound the answer.
    pub(super) fn of_openai(fields: &mut Fields, most: &[&str], least: i64) -> Result<Self, ApiError> {
        fields.ignore(&WITHOUT_EFFECT);
        let top_k = fields.whole("top_k", -1..=i64::from(u32::MAX))?;
        Ok(Self {
            temperature: fields.number("temperature", 0.0..=2.0)?,
            top_p: fields.number("top_p", 0.0..=1.0)?,
            // vLLM writes -1 for all tokens, llama-server 0.
            top_k: top_k.map(|k| k.max(0) as usize),
            min_p: fields.number("min_p", 0.0..=1.0)?,
            repetition_penalty: one_of(fields, ["repetition_penalty", "repeat_penalty"])?,
            frequency_penalty: fields.number("frequency_penalty", -2.0..=2.0)?,
            presence_penalty: fields.number("presence_penalty", -2.0..=2.0)?,
            logit_bias: logit_bias(fields)?,
            seed: fields.whole("seed", i64::MIN..=i64::MAX)?.map(|seed| seed as u64),
            max_tokens: max_tokens(fields, most, least)?,
            stop: stop(fields)?,
            ignore_eos: fields.flag("ignore_eos")?.unwrap_or(false),
            filling: Filling::take(fields)?,
            keep_alive: KeepAlive::of(fields)?,
        })
    }

    /// Takes Ollama's `options` (<https://docs.ollama.com/modelfile#parameter>).
    pub(super) fn of_ollama(mut options: Fields) -> Result<Self, ApiError> {
        // What the machine does, not what the answer is; the context is that of the model.
        options.ignore(&[
            "num_ctx",
            "num_batch",
            "num_gpu",
            "main_gpu",
            "num_thread",
            "num_keep",
            "use_mmap",
            "use_mlock",
            "numa",
            "low_vram",
            "f16_kv",
            "vocab_only",
            "logits_all",
        ]);
        for (key, neutral) in [
            ("mirostat", json!(0)),
            ("tfs_z", json!(1)),
            ("typical_p", json!(1)),
            ("repeat_last_n", json!(-1)),
            ("penalize_newline", json!(true)),
        ] {
            let value = neutral.as_i64().map(|whole| json!(whole as f64));
            let values: Vec<Value> = [neutral].into_iter().chain(value).collect();
            options.neutral(
                key,
                &values,
                "leave it out: temperature, top_k, top_p and min_p choose tokens",
            )?;
        }
        options.ignore(&["mirostat_eta", "mirostat_tau"]);
        let most = options.whole("num_predict", -2..=i64::from(u32::MAX))?;
        let settings = Self {
            temperature: options.number("temperature", 0.0..=f64::MAX)?,
            top_p: options.number("top_p", 0.0..=1.0)?,
            top_k: options.whole("top_k", -1..=i64::from(u32::MAX))?.map(|k| k.max(0) as usize),
            min_p: options.number("min_p", 0.0..=1.0)?,
            repetition_penalty: options.number("repeat_penalty", PENALTIES)?,
            frequency_penalty: options.number("frequency_penalty", -2.0..=2.0)?,
            presence_penalty: options.number("presence_penalty", -2.0..=2.0)?,
            seed: options.whole("seed", i64::MIN..=i64::MAX)?.map(|seed| seed as u64),
            // -1 and -2: as many as the context holds.
            max_tokens: most.and_then(|most| usize::try_from(most).ok()),
            stop: stop(&mut options)?,
            filling: Filling::take(&mut options)?,
            ..Self::default()
        };
        options.finish()?;
        Ok(settings)
    }

    /// The settings of one of the answers, over those of the server: `room` is what the context holds behind the prompt,
    /// `seed` that of the first answer where the request has none.
    pub(super) fn over(
        &self,
        base: &SamplingConfig,
        room: usize,
        seed: u64,
        answer: usize,
    ) -> Result<SamplingConfig, ApiError> {
        let config = SamplingConfig {
            temperature: self.temperature.unwrap_or(base.temperature),
            top_p: self.top_p.unwrap_or(base.top_p),
            top_k: self.top_k.unwrap_or(base.top_k),
            min_p: self.min_p.unwrap_or(base.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(base.repetition_penalty),
            frequency_penalty: self.frequency_penalty.unwrap_or(base.frequency_penalty),
            presence_penalty: self.presence_penalty.unwrap_or(base.presence_penalty),
            logit_bias: self.logit_bias.clone(),
            seed: self.seed.unwrap_or(seed).wrapping_add(answer as u64),
            max_new_tokens: self.max_tokens.unwrap_or(room).min(room).max(1),
            stop: if self.stop.is_empty() { base.stop.clone() } else { self.stop.clone() },
            ignore_eos: self.ignore_eos || base.ignore_eos,
        };
        match config.validate() {
            problems if problems.is_empty() => Ok(config),
            problems => Err(crate::error::Error::Config(problems).into()),
        }
    }
}

/// A penalty under either of two names.
fn one_of(fields: &mut Fields, names: [&str; 2]) -> Result<Option<f64>, ApiError> {
    let [first, second] = [fields.number(names[0], PENALTIES)?, fields.number(names[1], PENALTIES)?];
    match (first, second) {
        (Some(a), Some(b)) if a != b => Err(ApiError::invalid(
            &fields.path(names[1]),
            format!("'{}' is {a} and '{}' is {b}; give one of them.", names[0], names[1]),
        )),
        (first, second) => Ok(first.or(second)),
    }
}

/// The bound of an answer, which has an old and a new name.
fn max_tokens(fields: &mut Fields, names: &[&str], least: i64) -> Result<Option<usize>, ApiError> {
    let mut found: Option<(&str, i64)> = None;
    for name in names {
        let Some(most) = fields.whole(name, least..=i64::from(u32::MAX))? else { continue };
        match found {
            Some((other, bound)) if bound != most => {
                let message = format!("'{other}' is {bound} and '{name}' is {most}; give one of them.");
                return Err(ApiError::invalid(&fields.path(name), message));
            }
            _ => found = Some((name, most)),
        }
    }
    Ok(found.map(|(_, most)| most as usize))
}

/// One stop text or a list of them.
fn stop(fields: &mut Fields) -> Result<Vec<String>, ApiError> {
    let path = fields.path("stop");
    let list = match fields.take("stop") {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(one) => vec![one],
    };
    if list.len() > MOST_STOPS {
        let message =
            format!("Invalid '{path}': it has {} texts, and the most are {MOST_STOPS}.", list.len());
        return Err(ApiError::invalid(&path, message));
    }
    let text = |value: Value| match value {
        Value::String(text) if text.is_empty() => {
            Err(ApiError::invalid(&path, format!("Invalid '{path}': a stop text must not be empty.")))
        }
        Value::String(text) => Ok(text),
        other => Err(ApiError::wrong_type(&path, "a string or an array of strings", &other)),
    };
    list.into_iter().map(text).collect()
}

/// Biases by the id of their token.
fn logit_bias(fields: &mut Fields) -> Result<BTreeMap<u32, f64>, ApiError> {
    let Some(biases) = fields.object("logit_bias")? else { return Ok(BTreeMap::new()) };
    let path = fields.path("logit_bias");
    let bias = |(id, bias): (String, Value)| {
        let token = id.parse::<u32>().map_err(|_| {
            ApiError::invalid(&path, format!("Invalid '{path}': '{id}' is not the id of a token."))
        })?;
        let number = bias.as_f64().filter(|bias| (-100.0..=100.0).contains(bias));
        let number = number.ok_or_else(|| {
            let message =
                format!("Invalid '{path}.{id}': it is {bias}, but must be a number between -100 and 100.");
            ApiError::invalid(&path, message)
        })?;
        Ok((token, number))
    };
    biases.rest().into_iter().map(bias).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: [&str; 2] = ["max_completion_tokens", "max_tokens"];

    fn read(body: &str) -> Result<Settings, ApiError> {
        let mut fields = Fields::of_body(body.as_bytes()).unwrap();
        let settings = Settings::of_openai(&mut fields, &MOST, 1)?;
        fields.finish().map(|()| settings)
    }

    #[test]
    fn every_setting_of_openai_is_read() {
        let settings = read(
            r#"{"temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.1, "repetition_penalty": 1.1,
                "frequency_penalty": -0.5, "presence_penalty": 1, "logit_bias": {"50": -100, "7": 2.5}, "seed": -1,
                "max_completion_tokens": 12, "stop": ["\n", "END"], "ignore_eos": true, "user": "u", "store": false,
                "metadata": {"a": "b"}, "service_tier": "auto"}"#,
        )
        .unwrap();
        let base = SamplingConfig::default();
        let config = settings.over(&base, 100, 9, 2).unwrap();
        let expected = SamplingConfig {
            temperature: 0.5,
            top_p: 0.9,
            top_k: 40,
            min_p: 0.1,
            repetition_penalty: 1.1,
            frequency_penalty: -0.5,
            presence_penalty: 1.0,
            logit_bias: BTreeMap::from([(7, 2.5), (50, -100.0)]),
            // -1 as bits, and two further.
            seed: 1,
            max_new_tokens: 12,
            stop: vec!["\n".into(), "END".into()],
            ignore_eos: true,
        };
        assert_eq!(config, expected);
        assert_eq!(read(r#"{"keep_alive": -1}"#).unwrap().keep_alive, Some(KeepAlive::Always));
        let open = read("{}").unwrap().over(&base, 100, 9, 2).unwrap();
        assert_eq!(open, SamplingConfig { seed: 11, max_new_tokens: 100, ..base.clone() });
        let bounded = read(r#"{"max_tokens": 500, "stop": "x", "top_k": -1}"#).unwrap();
        let bounded = bounded.over(&base, 100, 9, 0).unwrap();
        assert_eq!((bounded.max_new_tokens, bounded.top_k, bounded.stop), (100, 0, vec!["x".to_string()]));
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        for (body, param) in [
            (r#"{"temperature": 2.5}"#, "temperature"),
            (r#"{"temperature": "hot"}"#, "temperature"),
            (r#"{"top_p": -0.1}"#, "top_p"),
            (r#"{"presence_penalty": 3}"#, "presence_penalty"),
            (r#"{"logit_bias": {"the": 1}}"#, "logit_bias"),
            (r#"{"logit_bias": {"5": 101}}"#, "logit_bias"),
            (r#"{"max_tokens": 0}"#, "max_tokens"),
            (r#"{"max_tokens": 5, "max_completion_tokens": 6}"#, "max_tokens"),
            (r#"{"stop": [""]}"#, "stop"),
            (r#"{"stop": [1]}"#, "stop"),
            (r#"{"repetition_penalty": 1.1, "repeat_penalty": 1.2}"#, "repeat_penalty"),
            (r#"{"typical_p": 0.5}"#, "typical_p"),
            (r#"{"keep_alive": "soon"}"#, "keep_alive"),
            (r#"{"steps": 0}"#, "steps"),
        ] {
            assert_eq!(read(body).unwrap_err().param.as_deref(), Some(param), "{body}");
        }
    }

    #[test]
    fn ollamas_options_are_read() {
        let read = |body: &str| {
            Settings::of_ollama(Fields::of_value("options", serde_json::from_str(body).unwrap()).unwrap())
        };
        let settings = read(
            r#"{"num_keep": 5, "seed": 42, "num_predict": 100, "top_k": 20, "top_p": 0.9, "min_p": 0.0, "temperature": 3,
                "repeat_penalty": 1.2, "presence_penalty": 1.5, "frequency_penalty": 1.0, "stop": ["\n", "user:"],
                "num_ctx": 1024, "num_thread": 8, "typical_p": 1.0, "penalize_newline": true}"#,
        )
        .unwrap();
        let expected = Settings {
            temperature: Some(3.0),
            top_p: Some(0.9),
            top_k: Some(20),
            min_p: Some(0.0),
            repetition_penalty: Some(1.2),
            frequency_penalty: Some(1.0),
            presence_penalty: Some(1.5),
            seed: Some(42),
            max_tokens: Some(100),
            stop: vec!["\n".into(), "user:".into()],
            ..Settings::default()
        };
        assert_eq!(settings, expected);
        assert_eq!(read(r#"{"num_predict": -1}"#).unwrap().max_tokens, None);
        assert_eq!(read(r#"{"mirostat": 1}"#).unwrap_err().param.as_deref(), Some("options.mirostat"));
        assert_eq!(read(r#"{"top_q": 1}"#).unwrap_err().param.as_deref(), Some("options.top_q"));
    }
}
