//! Requests to `/v1/completions` (<https://platform.openai.com/docs/api-reference/completions/create>): a text goes on.

use serde_json::{Value, json};

use super::ApiError;
use super::chat::take_stream;
use super::choice::{Choice, Reading};
use super::completion_answer::CompletionShape;
use super::fields::Fields;
use super::reply::{AnsweredPrompt, Reply, Shape};
use super::served::{Adapters, Head, Served, Work};
use super::settings::Settings;
use crate::sample::{BatchRequest, check_ids};
use crate::tokenizer::Tokenizer;

/// Most tokens that are told in the place of each.
const MOST_TOP: i64 = 20;
/// Most answers to one prompt, as OpenAI has it; a server may give fewer.
const MOST_ANSWERS: i64 = 128;
/// New tokens where a request does not say how many, as OpenAI has it.
const USUAL_TOKENS: usize = 16;

/// A text as a request has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// Words.
    Text(String),
    /// Token ids, which are taken as they are.
    Ids(Vec<u32>),
}

impl Prompt {
    /// Takes a text, a list of texts, a list of ids, or a list of such lists.
    pub(super) fn take(fields: &mut Fields, key: &str) -> Result<Vec<Self>, ApiError> {
        let path = fields.path(key);
        let value = fields.take(key).ok_or_else(|| ApiError::missing(&path))?;
        Self::of_value(&path, value)
    }

    /// The same of a field's value; errors name it by its path.
    pub(super) fn of_value(path: &str, value: Value) -> Result<Vec<Self>, ApiError> {
        let wrong = |found: &Value| {
            ApiError::wrong_type(path, "a string, an array of strings, or arrays of token ids", found)
        };
        let id =
            |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| wrong(value));
        let prompt = |value: &Value| match value {
            Value::String(text) => Ok(Self::Text(text.clone())),
            Value::Array(ids) => ids.iter().map(id).collect::<Result<_, _>>().map(Self::Ids),
            other => Err(wrong(other)),
        };
        match value {
            Value::Array(list) if list.is_empty() => {
                Err(ApiError::invalid(path, format!("Invalid '{path}': it is empty.")))
            }
            Value::Array(list) if list[0].is_number() => prompt(&Value::Array(list)).map(|ids| vec![ids]),
            Value::Array(list) => list.iter().map(prompt).collect(),
            one => prompt(&one).map(|one| vec![one]),
        }
    }

    /// Its ids: a text begins as documents do, ids are checked.
    pub(super) fn ids(&self, tokenizer: &Tokenizer) -> Result<Vec<u32>, ApiError> {
        match self {
            Self::Text(text) => Ok(tokenizer.encode_document(text)?),
            Self::Ids(ids) => {
                check_ids(ids, tokenizer.vocab_size())?;
                Ok(ids.clone())
            }
        }
    }

    fn text(&self, tokenizer: &Tokenizer) -> Result<String, ApiError> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::Ids(ids) => Ok(tokenizer.decode(ids, false)?),
        }
    }
}

/// A request for texts that go on.
#[derive(Clone, Debug, PartialEq)]
pub struct CompletionRequest {
    /// The model that shall write.
    pub model: String,
    /// Which adapters act.
    pub adapters: Adapters,
    /// What to continue.
    pub prompts: Vec<Prompt>,
    /// How tokens are chosen.
    pub settings: Settings,
    /// How many continuations of each prompt.
    pub n: usize,
    /// How many of the likeliest tokens are told for each, where likelihoods are asked for.
    pub logprobs: Option<usize>,
    /// Whether the prompt stands before its continuation, with its likelihoods where they are asked for.
    pub echo: bool,
    /// Whether the answer comes in parts.
    pub stream: bool,
    /// Whether the last part tells the usage.
    pub include_usage: bool,
}

impl CompletionRequest {
    /// Reads a request's body.
    ///
    /// # Errors
    /// The first field that is missing, wrong, unknown or cannot be honoured, by its path.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let model = fields.required_text("model")?;
        let prompts = Prompt::take(&mut fields, "prompt")?;
        let echo = fields.flag("echo")?.unwrap_or(false);
        let n = fields.whole("n", 1..=MOST_ANSWERS)?.unwrap_or(1);
        fields.neutral("best_of", &[json!(1), json!(n)], "ask for n texts, and choose")?;
        fields.neutral("suffix", &[json!("")], "the models here write from left to right")?;
        let (stream, include_usage) = take_stream(&mut fields)?;
        // Without a new token there is something to answer only where the prompt is repeated.
        let mut settings = Settings::of_openai(&mut fields, &["max_tokens"], i64::from(!echo))?;
        settings.max_tokens.get_or_insert(USUAL_TOKENS);
        let request = Self {
            model,
            adapters: Adapters::take(&mut fields)?,
            prompts,
            settings,
            n: n as usize,
            logprobs: fields.whole("logprobs", 0..=MOST_TOP)?.map(|top| top as usize),
            echo,
            stream,
            include_usage,
        };
        fields.finish().map(|()| request)
    }

    /// What the engine shall do, and what makes the answer of it: `n` works for each prompt, one prompt after the other.
    ///
    /// # Errors
    /// What this model cannot do, and a prompt beyond its context.
    pub fn prepare(&self, served: &Served, head: Head) -> Result<(Vec<Work>, Reply), ApiError> {
        served.check_choices(self.n.saturating_mul(self.prompts.len()), "n")?;
        served.check_masked(self.logprobs.is_some(), "logprobs")?;
        served.check_masked(!self.settings.logit_bias.is_empty(), "logit_bias")?;
        let scored = self.echo && self.logprobs.is_some();
        let reading = Reading { top: self.logprobs, tell_end: scored, ..Reading::default() };
        let (mut works, mut prompts, mut choices) = (Vec::new(), Vec::new(), Vec::new());
        for (place, prompt) in self.prompts.iter().enumerate() {
            let ids = prompt.ids(served.tokenizer)?;
            let room = served.room(&ids, "prompt")?;
            for answer in 0..self.n {
                let config = self.settings.over(served.sampling, room, head.seed, answer)?;
                let unmask = self.settings.filling.of(served)?;
                let request = (self.settings.max_tokens != Some(0)).then(|| BatchRequest {
                    prompt: ids.clone(),
                    end_ids: served.end_ids.to_vec(),
                    tokenizer: Some(served.tokenizer.clone()),
                    config,
                    constraint: None,
                    unmask,
                });
                works.push(Work { request, scored: scored.then(|| ids.clone()) });
                choices.push((place, Choice::new(served.tokenizer, reading)));
            }
            let echo = self.echo.then(|| prompt.text(served.tokenizer)).transpose()?;
            let tokens = ids.len();
            prompts.push(AnsweredPrompt { ids: if scored { ids } else { Vec::new() }, tokens, echo });
        }
        let shape = CompletionShape { logprobs: self.logprobs.is_some(), usage: self.include_usage };
        Ok((works, Reply::new(Shape::Completion(shape), head, self.stream, prompts, choices)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_requests_of_clients_are_read() {
        let say = br#"{"model": "m", "prompt": "Say this is a test", "max_tokens": 7, "temperature": 0}"#;
        let request = CompletionRequest::parse(say).unwrap();
        assert_eq!(request.prompts, [Prompt::Text("Say this is a test".into())]);
        assert_eq!((request.settings.max_tokens, request.echo, request.logprobs), (Some(7), false, None));
        // What lm_eval 0.4.13 sends for log-likelihoods.
        let harness = br#"{"model": "m", "prompt": [[1, 2, 3], [4, 5]], "temperature": 0, "max_tokens": 1, "logprobs": 1,
            "seed": 1234, "echo": true}"#;
        let request = CompletionRequest::parse(harness).unwrap();
        assert_eq!(request.prompts, [Prompt::Ids(vec![1, 2, 3]), Prompt::Ids(vec![4, 5])]);
        assert_eq!((request.echo, request.logprobs, request.settings.seed), (true, Some(1), Some(1234)));
        let ids = CompletionRequest::parse(br#"{"model": "m", "prompt": [1, 2]}"#).unwrap();
        assert_eq!((&ids.prompts[..], ids.settings.max_tokens), (&[Prompt::Ids(vec![1, 2])][..], Some(16)));
        let texts =
            CompletionRequest::parse(br#"{"model": "m", "prompt": ["a", "b"], "best_of": 2, "n": 2}"#)
                .unwrap();
        assert_eq!((texts.prompts.len(), texts.n), (2, 2));
        let echoed =
            CompletionRequest::parse(br#"{"model": "m", "prompt": "a", "echo": true, "max_tokens": 0}"#)
                .unwrap();
        assert_eq!(echoed.settings.max_tokens, Some(0));
    }

    #[test]
    fn what_is_wrong_is_refused_by_its_path() {
        for (rest, param) in [
            ("", "prompt"),
            (r#", "prompt": []"#, "prompt"),
            (r#", "prompt": [1, "a"]"#, "prompt"),
            (r#", "prompt": [[-1]]"#, "prompt"),
            (r#", "prompt": {"a": 1}"#, "prompt"),
            (r#", "prompt": "a", "max_tokens": 0"#, "max_tokens"),
            (r#", "prompt": "a", "best_of": 3"#, "best_of"),
            (r#", "prompt": "a", "suffix": "b""#, "suffix"),
            (r#", "prompt": "a", "logprobs": true"#, "logprobs"),
            (r#", "prompt": "a", "messages": []"#, "messages"),
        ] {
            let body = format!(r#"{{"model": "m"{rest}}}"#);
            assert_eq!(
                CompletionRequest::parse(body.as_bytes()).unwrap_err().param.as_deref(),
                Some(param),
                "{rest}"
            );
        }
    }
}
