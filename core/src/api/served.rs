//! What an endpoint must know of the model that answers, and what it makes of a request.

use std::sync::Arc;

use serde_json::Value;

use super::ApiError;
use super::fields::Fields;
use super::tools::Tool;
use crate::sample::{BatchRequest, Constraint, SamplingConfig};
use crate::tokenizer::Tokenizer;

/// The model that answers a request, and how the server has it answer.
#[derive(Clone, Copy)]
pub struct Served<'a> {
    /// Reads and writes its ids.
    pub tokenizer: &'a Arc<Tokenizer>,
    /// Its end-of-sequence ids.
    pub end_ids: &'a [u32],
    /// Most positions, prompt and answer together.
    pub context: usize,
    /// Whether it predicts masked tokens, in any order.
    pub masked: bool,
    /// How tokens are chosen where a request does not say it. Its seed and its bound of new tokens are not used.
    pub sampling: &'a SamplingConfig,
    /// Most new tokens of an answer, where the server bounds it.
    pub most_tokens: Option<usize>,
    /// Most answers to one request: its `n`, times its prompts.
    pub most_choices: usize,
    /// Makes constraints; none in a build without them.
    pub constrainer: Option<&'a dyn Constrainer>,
}

/// Makes constraints of a tokenizer's tokens.
pub trait Constrainer: Send + Sync {
    /// A constraint that lets through what is wanted and nothing else.
    ///
    /// # Errors
    /// A schema with parts that cannot be held to, by the maker's message; `param` names where it stood.
    fn constraint(&self, wanted: &Wanted<'_>, param: &str) -> Result<Box<dyn Constraint>, ApiError>;
}

/// What an answer is held to.
#[derive(Clone, Debug)]
pub enum Wanted<'a> {
    /// A JSON object.
    Json,
    /// JSON that follows a schema.
    Schema(&'a Value),
    /// A call of one of these functions, or several calls of them.
    Calls {
        /// The functions.
        tools: Vec<&'a Tool>,
        /// Whether several calls may follow each other.
        several: bool,
    },
    /// Any text, and calls of these functions where the model chooses to call.
    LaterCalls {
        /// The functions.
        tools: Vec<&'a Tool>,
    },
}

/// What the transport gives an answer: what is made of a clock and of chance.
#[derive(Clone, Debug)]
pub struct Head {
    /// Letters and digits that no other answer has; the ids of the answer and its calls are made of it.
    pub id: String,
    /// When the request came, in seconds since 1970.
    pub created: u64,
    /// The name of the model, as the answer tells it.
    pub model: String,
    /// The seed of a request that has none.
    pub seed: u64,
    /// How long the model took to load for this request, in seconds.
    pub load_seconds: f64,
}

/// One of the adapters that answer a request.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterUse {
    /// Its name.
    pub name: String,
    /// How much of it acts; 1 as it was trained.
    pub strength: f64,
}

/// Which adapters answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Adapters {
    /// Those that the model's name or the server says.
    #[default]
    Active,
    /// None.
    Base,
    /// These.
    Only(Vec<AdapterUse>),
}

impl Adapters {
    /// Takes `adapters`, a field of our own: `"active"`, `"base"`, or a list of names or `{name, strength}`.
    pub(super) fn take(fields: &mut Fields) -> Result<Self, ApiError> {
        let path = fields.path("adapters");
        let list = match fields.take("adapters") {
            None => return Ok(Self::Active),
            Some(Value::String(word)) if word == "active" => return Ok(Self::Active),
            Some(Value::String(word)) if word == "base" => return Ok(Self::Base),
            Some(Value::Array(list)) => list,
            Some(other) => {
                return Err(ApiError::wrong_type(
                    &path,
                    "\"active\", \"base\" or a list of {name, strength}",
                    &other,
                ));
            }
        };
        let read = |(i, adapter): (usize, Value)| match adapter {
            Value::String(name) => Ok(AdapterUse { name, strength: 1.0 }),
            adapter => {
                let mut adapter = Fields::of_value(&format!("{path}[{i}]"), adapter)?;
                let name = adapter.required_text("name")?;
                let strength = adapter.number("strength", -100.0..=100.0)?.unwrap_or(1.0);
                adapter.finish().map(|()| AdapterUse { name, strength })
            }
        };
        list.into_iter().enumerate().map(read).collect::<Result<_, _>>().map(Self::Only)
    }
}

/// What one answer needs of the engine.
pub struct Work {
    /// What the batcher continues; none where nothing new is asked for, which [`super::Reply::skip`] then ends.
    pub request: Option<BatchRequest>,
    /// A prompt whose own tokens are to be told by their likelihood, before anything else: the logits of each position go
    /// to [`super::Reply::prompt_logits`].
    pub scored: Option<Vec<u32>>,
}

impl Served<'_> {
    /// How many new tokens there is room for behind a prompt.
    ///
    /// # Errors
    /// A prompt that is longer than the context; `param` names it.
    pub(super) fn room(&self, prompt: &[u32], param: &str) -> Result<usize, ApiError> {
        if prompt.is_empty() {
            let message = format!("Invalid '{param}': it holds no tokens.");
            return Err(ApiError::invalid(param, message));
        }
        // The last token of a causal model needs no position of its own.
        let room = (self.context + usize::from(!self.masked)).saturating_sub(prompt.len());
        if room == 0 {
            return Err(ApiError::context(param, prompt.len(), self.context));
        }
        Ok(self.most_tokens.map_or(room, |most| room.min(most)))
    }

    /// Refuses more answers than the server gives at once.
    pub(super) fn check_choices(&self, choices: usize, param: &str) -> Result<(), ApiError> {
        if choices <= self.most_choices {
            return Ok(());
        }
        let most = self.most_choices;
        let message = format!("Invalid '{param}': {choices} answers are asked for, and the most are {most}.");
        Err(ApiError::invalid(param, message))
    }

    /// Refuses what a model that predicts masked tokens cannot do.
    pub(super) fn check_masked(&self, asked: bool, param: &str) -> Result<(), ApiError> {
        if !(self.masked && asked) {
            return Ok(());
        }
        let why = "this model fills masked tokens in any order; leave it out, or take a model that writes from left to right";
        Err(ApiError::unsupported(param, why))
    }

    /// The constraint that holds an answer to what is wanted.
    pub(super) fn constraint(&self, wanted: &Wanted, param: &str) -> Result<Box<dyn Constraint>, ApiError> {
        self.check_masked(true, param)?;
        let none = || ApiError::unsupported(param, "this build cannot hold answers to a form");
        self.constrainer.ok_or_else(none)?.constraint(wanted, param)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn adapters_are_named_alone_or_with_their_strength() {
        let take = |value: Value| {
            let body = json!({"adapters": value}).to_string();
            Adapters::take(&mut Fields::of_body(body.as_bytes()).unwrap())
        };
        assert_eq!((take(json!(null)), take(json!("base"))), (Ok(Adapters::Active), Ok(Adapters::Base)));
        let two = Adapters::Only(vec![
            AdapterUse { name: "a".into(), strength: 1.0 },
            AdapterUse { name: "b".into(), strength: 0.5 },
        ]);
        assert_eq!(take(json!(["a", {"name": "b", "strength": 0.5}])), Ok(two));
        assert_eq!(take(json!("all")).unwrap_err().param.as_deref(), Some("adapters"));
        assert_eq!(take(json!([{"strength": 1}])).unwrap_err().param.as_deref(), Some("adapters[0].name"));
    }
}
