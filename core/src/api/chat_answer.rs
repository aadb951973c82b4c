//! OpenAI's answers to `/v1/chat/completions`: a whole one, and the parts of one
//! (<https://platform.openai.com/docs/api-reference/chat>).

use serde::{Deserialize, Serialize};

use super::choice::{Change, Delta, Gathered, ToldToken};
use super::served::Head;
use super::token_logprob::TokenLogprob;

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatCompletion {
    /// Its id.
    pub id: String,
    /// `chat.completion`.
    pub object: String,
    /// When it was asked for, in seconds since 1970.
    pub created: u64,
    /// The name of the model.
    pub model: String,
    /// The answers, as many as `n`.
    pub choices: Vec<ChatChoice>,
    /// What they took.
    pub usage: Usage,
}

/// One of the answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatChoice {
    /// Its place.
    pub index: usize,
    /// What was said, thought and called.
    pub message: ChatMessage,
    /// Its tokens, where they were asked for.
    pub logprobs: Option<ChatLogprobs>,
    /// `stop`, `length` or `tool_calls`.
    pub finish_reason: String,
}

/// What the assistant says. `content` is always there, null where it only calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// `assistant`.
    pub role: String,
    /// The text.
    pub content: Option<String>,
    /// Always null: nothing here refuses.
    pub refusal: Option<String>,
    /// The thoughts before it, where there are some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// The calls, where there are some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<ToolCall>>,
}

/// A call of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Its id, which the tool's message repeats.
    pub id: String,
    /// `function`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Which one, and with what.
    pub function: FunctionCall,
}

/// A function and its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionCall {
    /// Its name.
    pub name: String,
    /// A JSON text, as the model wrote it.
    pub arguments: String,
}

/// The tokens of an answer or of a part of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatLogprobs {
    /// One after the other: those of thoughts and calls, too.
    pub content: Vec<TokenLogprob>,
    /// Always null.
    pub refusal: Option<Vec<TokenLogprob>>,
}

/// What answers took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompts; a prompt with several answers counts once.
    pub prompt_tokens: usize,
    /// Tokens of the answers.
    pub completion_tokens: usize,
    /// Both.
    pub total_tokens: usize,
}

impl Usage {
    /// The usage of so many tokens.
    pub fn new(prompt_tokens: usize, completion_tokens: usize) -> Self {
        Self { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
    }
}

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatChunk {
    /// The answer's id; all of its parts have it.
    pub id: String,
    /// `chat.completion.chunk`.
    pub object: String,
    /// When it was asked for, in seconds since 1970.
    pub created: u64,
    /// The name of the model.
    pub model: String,
    /// The one answer that goes on; none on the chunk with the usage.
    pub choices: Vec<ChunkChoice>,
    /// Where usage was asked for: null but on the last chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Option<Usage>>,
}

/// A part of one of the answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChunkChoice {
    /// The answer's place.
    pub index: usize,
    /// What is added to it.
    pub delta: ChatDelta,
    /// The tokens since the last part, where they were asked for.
    pub logprobs: Option<ChatLogprobs>,
    /// On the last part of the answer: `stop`, `length` or `tool_calls`.
    pub finish_reason: Option<String>,
}

/// What is added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatDelta {
    /// `assistant`, on the first part and nowhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// More of the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// More of the thoughts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// A call that begins, or more of its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<ToolCallDelta>>,
}

/// A part of a call: the first one has the id, the type and the name, all have the index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCallDelta {
    /// The call's place, from 0.
    pub index: usize,
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `function`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What is added.
    pub function: FunctionDelta,
}

/// A part of a function's call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionDelta {
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// More of the arguments.
    pub arguments: String,
}

/// The id of a call.
fn call_id(head: &Head, choice: usize, index: usize) -> String {
    format!("call_{}_{choice}_{index}", head.id)
}

fn logprobs(tokens: Vec<ToldToken>, asked: bool) -> Option<ChatLogprobs> {
    let content = tokens.into_iter().filter_map(|token| token.likely).collect();
    asked.then_some(ChatLogprobs { content, refusal: None })
}

/// How answers to a chat are told.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChatShape {
    /// Whether tokens are told.
    pub logprobs: bool,
    /// Whether the usage is told, in parts of an answer.
    pub usage: bool,
}

impl ChatShape {
    /// The first part of an answer.
    pub(super) fn first(self, head: &Head, index: usize) -> ChatChunk {
        let delta = ChatDelta {
            role: Some("assistant".to_string()),
            content: Some(String::new()),
            ..ChatDelta::default()
        };
        self.chunk(head, vec![ChunkChoice { index, delta, logprobs: None, finish_reason: None }], None)
    }

    /// What an event adds to an answer; nothing where it only ends a call.
    pub(super) fn part(self, head: &Head, index: usize, added: Delta) -> Option<ChatChunk> {
        if added.change == Some(Change::CallEnd) && added.tokens.is_empty() && added.ending.is_none() {
            return None;
        }
        let mut delta = ChatDelta::default();
        match added.change {
            Some(Change::Said(text)) => delta.content = Some(text),
            Some(Change::Thought(text)) => delta.reasoning_content = Some(text),
            Some(Change::Call { index: call, name }) => {
                delta.tool_calls = Some(vec![ToolCallDelta {
                    index: call,
                    id: Some(call_id(head, index, call)),
                    kind: Some("function".to_string()),
                    function: FunctionDelta { name: Some(name), arguments: String::new() },
                }]);
            }
            Some(Change::Arguments { index: call, text }) => {
                let function = FunctionDelta { name: None, arguments: text };
                delta.tool_calls =
                    Some(vec![ToolCallDelta { index: call, function, ..ToolCallDelta::default() }]);
            }
            Some(Change::CallEnd) | None => {}
        }
        let told = self.logprobs && !added.tokens.is_empty();
        let logprobs = logprobs(added.tokens, told);
        let finish_reason = added.ending.map(|ending| ending.reason.to_string());
        Some(self.chunk(head, vec![ChunkChoice { index, delta, logprobs, finish_reason }], None))
    }

    /// The chunk behind the answers, where usage was asked for.
    pub(super) fn last(self, head: &Head, usage: Usage) -> Option<ChatChunk> {
        self.usage.then(|| self.chunk(head, Vec::new(), Some(usage)))
    }

    fn chunk(self, head: &Head, choices: Vec<ChunkChoice>, usage: Option<Usage>) -> ChatChunk {
        ChatChunk {
            id: format!("chatcmpl-{}", head.id),
            object: "chat.completion.chunk".to_string(),
            created: head.created,
            model: head.model.clone(),
            choices,
            usage: self.usage.then_some(usage),
        }
    }

    /// Whole answers.
    pub(super) fn whole(self, head: &Head, answers: Vec<Gathered>, usage: Usage) -> ChatCompletion {
        let choices = answers.into_iter().enumerate().map(|(index, answer)| self.choice(head, index, answer));
        ChatCompletion {
            id: format!("chatcmpl-{}", head.id),
            object: "chat.completion".to_string(),
            created: head.created,
            model: head.model.clone(),
            choices: choices.collect(),
            usage,
        }
    }

    fn choice(self, head: &Head, index: usize, answer: Gathered) -> ChatChoice {
        let numbered = answer.calls.into_iter().enumerate();
        let calls = numbered.map(|(call, (name, arguments))| ToolCall {
            id: call_id(head, index, call),
            kind: "function".to_string(),
            function: FunctionCall { name, arguments },
        });
        let tool_calls: Vec<ToolCall> = calls.collect();
        let only_calls = answer.said.is_empty() && !tool_calls.is_empty();
        let message = ChatMessage {
            role: "assistant".to_string(),
            content: (!only_calls).then_some(answer.said),
            refusal: None,
            reasoning_content: Some(answer.thought).filter(|thought| !thought.is_empty()),
            tool_calls: Some(tool_calls).filter(|calls| !calls.is_empty()),
        };
        let finish_reason = answer.ending.map_or("stop", |ending| ending.reason).to_string();
        ChatChoice { index, message, logprobs: logprobs(answer.tokens, self.logprobs), finish_reason }
    }
}
