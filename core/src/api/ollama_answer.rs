//! Ollama's answers to `/api/chat` and `/api/generate`: each line of a stream, or the whole as one
//! (<https://docs.ollama.com/api>).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::choice::{Change, Delta, Ending, Gathered};
use super::served::Head;
use super::timestamp::rfc3339;

/// A line of an answer to `/api/chat` or `/api/generate`, or all of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OllamaAnswer {
    /// The name of the model.
    pub model: String,
    /// When it was asked for.
    pub created_at: String,
    /// What the assistant says, of a chat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<OllamaMessage>,
    /// The text, of `/api/generate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
    /// The thoughts, of `/api/generate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking: Option<String>,
    /// Whether this is the end.
    pub done: bool,
    /// What it took, at the end.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub end: Option<OllamaEnd>,
}

/// What the assistant says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OllamaMessage {
    /// `assistant`.
    pub role: String,
    /// The text, or more of it.
    pub content: String,
    /// The thoughts, or more of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking: Option<String>,
    /// Calls; each comes whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<Value>>,
}

/// What an answer took; durations in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OllamaEnd {
    /// `stop`, `length`, or where nothing was asked for but the model `load`, or `unload` where that goes.
    pub done_reason: String,
    /// All that follows together.
    pub total_duration: u64,
    /// Loading the model.
    pub load_duration: u64,
    /// Tokens of the prompt.
    pub prompt_eval_count: usize,
    /// Reading the prompt.
    pub prompt_eval_duration: u64,
    /// New tokens.
    pub eval_count: usize,
    /// Writing them.
    pub eval_duration: u64,
}

impl OllamaEnd {
    fn new(head: &Head, reason: &str, prompt: usize, ending: Option<Ending>) -> Self {
        let nanoseconds = |seconds: f64| (seconds.max(0.0) * 1e9) as u64;
        let time = |tokens: usize, rate: Option<f64>| {
            nanoseconds(rate.filter(|rate| *rate > 0.0).map_or(0.0, |rate| tokens as f64 / rate))
        };
        let tokens = ending.map_or(0, |ending| ending.tokens);
        let load_duration = nanoseconds(head.load_seconds);
        let prompt_eval_duration = time(prompt, ending.and_then(|ending| ending.prefill_rate));
        let eval_duration = time(tokens, ending.and_then(|ending| ending.decode_rate));
        Self {
            done_reason: reason.to_string(),
            total_duration: load_duration + prompt_eval_duration + eval_duration,
            load_duration,
            prompt_eval_count: prompt,
            prompt_eval_duration,
            eval_count: tokens,
            eval_duration,
        }
    }
}

/// How Ollama's answers are told.
#[derive(Clone, Copy, Debug)]
pub(super) struct OllamaShape {
    /// Whether it is a chat; else it is `/api/generate`.
    pub chat: bool,
    /// Whether the model goes behind it.
    pub unload: bool,
}

/// A call that comes in parts, until it is whole.
pub(super) type BegunCall = Option<(String, String)>;

impl OllamaShape {
    /// What an event adds; nothing where it is a part of a call, which `begun` keeps.
    pub(super) fn part(
        self,
        head: &Head,
        prompt: usize,
        begun: &mut BegunCall,
        added: Delta,
    ) -> Option<OllamaAnswer> {
        let mut line = Gathered::default();
        match added.change {
            Some(Change::Call { name, .. }) => *begun = Some((name, String::new())),
            Some(Change::Arguments { text, .. }) => {
                if let Some((_, arguments)) = begun {
                    arguments.push_str(&text);
                }
            }
            Some(Change::CallEnd) => line.calls.extend(begun.take()),
            change => line.add(Delta { change, ..Delta::default() }),
        }
        line.ending = added.ending;
        (line != Gathered::default()).then(|| self.line(head, prompt, line))
    }

    /// A whole answer.
    pub(super) fn whole(self, head: &Head, prompt: usize, answer: Gathered) -> OllamaAnswer {
        self.line(head, prompt, answer)
    }

    /// The answer to a request for nothing but the model.
    pub(super) fn loaded(self, head: &Head) -> OllamaAnswer {
        let reason = if self.unload { "unload" } else { "load" };
        let end = Some(OllamaEnd::new(head, reason, 0, None));
        OllamaAnswer { done: true, end, ..self.line(head, 0, Gathered::default()) }
    }

    fn line(self, head: &Head, prompt: usize, mut line: Gathered) -> OllamaAnswer {
        let mut tool_calls = Vec::new();
        for (name, arguments) in line.calls {
            match serde_json::from_str::<Map<String, Value>>(&arguments) {
                Ok(arguments) => {
                    tool_calls.push(json!({"function": {"name": name, "arguments": arguments}}));
                }
                // Ollama's clients read arguments as an object, which these are not: the call stays text.
                Err(_) => {
                    line.said.push_str(&format!("{{\"name\": {}, \"arguments\": {arguments}}}", json!(name)))
                }
            }
        }
        let thinking = Some(line.thought).filter(|thought| !thought.is_empty());
        let end = line.ending.map(|ending| {
            // A call ends an answer as any word does.
            let reason = if ending.reason == "length" { "length" } else { "stop" };
            OllamaEnd::new(head, reason, prompt, Some(ending))
        });
        let mut answer = OllamaAnswer {
            model: head.model.clone(),
            created_at: rfc3339(head.created),
            message: None,
            response: None,
            thinking: None,
            done: end.is_some(),
            end,
        };
        if self.chat {
            let tool_calls = Some(tool_calls).filter(|calls| !calls.is_empty());
            let role = "assistant".to_string();
            answer.message = Some(OllamaMessage { role, content: line.said, thinking, tool_calls });
        } else {
            (answer.response, answer.thinking) = (Some(line.said), thinking);
        }
        answer
    }
}
