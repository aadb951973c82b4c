//! Conversations: messages with roles, and the tools that the assistant may call; and two that differ in their answer.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::told::{Told, told};

/// How the reasoning of a message is called, as it is kept and in others' data.
pub const REASONING_KEYS: [&str; 3] = ["reasoning_content", "reasoning", "thinking"];
/// The key of a message's calls of tools.
pub const TOOL_CALLS: &str = "tool_calls";

/// A list of messages, as chat templates take it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Conversation {
    /// The messages, oldest first.
    pub messages: Vec<Message>,
    /// The descriptions of the tools that the assistant may call: a list, as chat templates expect it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Value>,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// What is said; empty where the message only calls tools.
    pub content: String,
    /// How much its tokens count as targets, if it is the assistant's: 1 where the data say nothing, 0 for a turn that
    /// is read and not trained.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: f32,
    /// Every other key, such as `reasoning_content`, `tool_calls` or `name`.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn one() -> f32 {
    1.0
}

fn is_one(weight: &f32) -> bool {
    *weight == one()
}

impl Message {
    /// A message with a role and a content, nothing else.
    pub fn new(role: &str, content: &str) -> Self {
        Self { role: role.to_string(), content: content.to_string(), weight: one(), extra: Map::new() }
    }

    /// Whether the assistant says it.
    pub fn is_assistant(&self) -> bool {
        self.role == "assistant"
    }

    /// What a reader sees of the message: its reasoning, each text of it once, whatever its key, and its content.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let mut reasoning: Vec<&str> = Vec::new();
        for text in REASONING_KEYS.iter().filter_map(|key| self.extra.get(*key)?.as_str()) {
            if !reasoning.contains(&text) {
                reasoning.push(text);
            }
        }
        reasoning.into_iter().chain([self.content.as_str()])
    }

    /// Whether it holds reasoning under another key than `reasoning_content`.
    pub fn reasons_under_other_keys(&self) -> bool {
        REASONING_KEYS[1..].iter().any(|key| self.extra.get(*key).is_some_and(Value::is_string))
    }

    /// Whether the message calls tools.
    pub fn calls_tools(&self) -> bool {
        self.extra.contains_key(TOOL_CALLS)
    }
}

impl Conversation {
    /// A conversation without tools.
    pub fn new(messages: Vec<Message>) -> Self {
        Self { messages, tools: None }
    }

    /// Whether the roles follow each other as chat templates expect: an optional system message, then user and
    /// assistant in turns; tool messages answer an assistant and lead back to one.
    ///
    /// # Errors
    /// The first message that breaks this, by number and role.
    pub fn check_roles(&self) -> Result<(), Told> {
        let mut before = "";
        for (index, message) in self.messages.iter().enumerate() {
            let role = message.role.as_str();
            let fits = match role {
                "system" => index == 0,
                "user" => matches!(before, "" | "system" | "assistant"),
                "assistant" => matches!(before, "user" | "tool"),
                "tool" => matches!(before, "assistant" | "tool"),
                _ => false,
            };
            if !fits {
                return Err(told!(
                    "row.role",
                    "message {number} has role '{role}' {misfit}",
                    number = index + 1,
                    role,
                    misfit = misfit(role, before)
                ));
            }
            before = role;
        }
        match before {
            "" => Err(told!("row.no_messages", "the list of messages is empty")),
            "system" => Err(told!("row.no_user", "no message has role 'user'")),
            _ => Ok(()),
        }
    }
}

/// Two answers to one prompt, the first of which is better.
#[derive(Clone, Debug, PartialEq)]
pub struct Preference {
    /// What both answer; none of it is trained.
    pub prompt: Vec<Message>,
    /// The better answer, with what else is said up to its end.
    pub chosen: Vec<Message>,
    /// The worse one.
    pub rejected: Vec<Message>,
    /// The tools that the assistant may call.
    pub tools: Option<Value>,
}

impl Preference {
    /// Whether both answers are the same, so that there is nothing to prefer.
    pub fn is_equal(&self) -> bool {
        self.chosen == self.rejected
    }

    /// The prompt with the chosen answer, and with the rejected one.
    pub fn conversations(&self) -> [Conversation; 2] {
        [&self.chosen, &self.rejected].map(|answer| Conversation {
            messages: [&self.prompt[..], &answer[..]].concat(),
            tools: self.tools.clone(),
        })
    }

    /// All messages: the prompt's once.
    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.prompt.iter().chain(&self.chosen).chain(&self.rejected)
    }
}

/// Why `role` does not fit after the role `before` (empty at the start).
fn misfit(role: &str, before: &str) -> Told {
    match (role, before) {
        ("system", _) => told!("role.system", "and does not come first"),
        ("assistant", "" | "system") => {
            told!("role.assistant_first", "before any 'user'; begin with what it answers")
        }
        ("tool", "" | "system") => {
            told!("role.tool_first", "before any 'assistant'; begin with what was asked, and the call")
        }
        ("user", "user") => {
            told!(
                "role.two_users",
                "after '{before}'; join the two into one message, or put the answer between them",
                before
            )
        }
        ("assistant", "assistant") => {
            told!(
                "role.two_answers",
                "after '{before}'; join the two into one message, or put what was asked between them",
                before
            )
        }
        ("user", "tool") => {
            told!("role.user_after_tool", "after '{before}'; the assistant speaks between them", before)
        }
        ("user" | "assistant" | "tool", _) => told!("role.after", "after '{before}'", before),
        _ => told!("role.unknown", "(known roles: system, user, assistant, tool)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(roles: &[&str]) -> Result<(), Told> {
        Conversation::new(roles.iter().map(|role| Message::new(role, "x")).collect()).check_roles()
    }

    #[test]
    fn roles_in_turns_are_accepted() {
        for roles in [
            &["user"][..],
            &["user", "assistant"],
            &["system", "user", "assistant", "user"],
            &["user", "assistant", "tool", "tool", "assistant", "user", "assistant"],
        ] {
            assert_eq!(check(roles), Ok(()), "{roles:?}");
        }
    }

    #[test]
    fn a_wrong_order_names_the_message_and_the_role() {
        for (roles, reason) in [
            (
                &["user", "assistant", "assistant"][..],
                "message 3 has role 'assistant' after 'assistant'; join the two into one message, or put what was \
                 asked between them",
            ),
            (
                &["user", "user"],
                "message 2 has role 'user' after 'user'; join the two into one message, or put the answer between them",
            ),
            (&["user", "system"], "message 2 has role 'system' and does not come first"),
            (&["assistant"], "message 1 has role 'assistant' before any 'user'; begin with what it answers"),
            (
                &["system", "assistant"],
                "message 2 has role 'assistant' before any 'user'; begin with what it answers",
            ),
            (
                &["system", "tool"],
                "message 2 has role 'tool' before any 'assistant'; begin with what was asked, and the call",
            ),
            (
                &["user", "assistant", "tool", "user"],
                "message 4 has role 'user' after 'tool'; the assistant speaks between them",
            ),
            (&["user", "tool"], "message 2 has role 'tool' after 'user'"),
            (&["robot"], "message 1 has role 'robot' (known roles: system, user, assistant, tool)"),
            (&["system"], "no message has role 'user'"),
            (&[], "the list of messages is empty"),
        ] {
            assert_eq!(check(roles), Err(reason.into()), "{roles:?}");
        }
    }

    #[test]
    fn every_text_of_reasoning_is_read_once() {
        let message = |keys: Value| {
            let mut message = Message::new("assistant", "c");
            message.extra = keys.as_object().unwrap().clone();
            message
        };
        for (keys, texts, under_others) in [
            (json!({}), &["c"][..], false),
            (json!({"reasoning_content": "a", "name": "n"}), &["a", "c"], false),
            (json!({"thinking": "b", "reasoning_content": "a"}), &["a", "b", "c"], true),
            (json!({"reasoning": "a", "reasoning_content": "a"}), &["a", "c"], true),
            (json!({"thinking": ["b"]}), &["c"], false),
        ] {
            let message = message(keys.clone());
            assert_eq!(message.texts().collect::<Vec<_>>(), texts, "{keys}");
            assert_eq!(message.reasons_under_other_keys(), under_others, "{keys}");
        }
    }

    #[test]
    fn a_message_keeps_its_other_keys_through_json() {
        let text = r#"{"role":"assistant","content":"4","reasoning_content":"2+2","name":"m"}"#;
        let message: Message = serde_json::from_str(text).unwrap();
        assert_eq!(message.texts().collect::<Vec<_>>(), ["2+2", "4"]);
        assert_eq!((&message.extra["name"], message.weight), (&"m".into(), 1.0));
        assert_eq!(serde_json::to_string(&message).unwrap(), text);
        let text = r#"{"role":"assistant","content":"5","weight":0.5,"name":"m"}"#;
        let message: Message = serde_json::from_str(text).unwrap();
        assert_eq!((message.weight, message.extra.len()), (0.5, 1));
        assert_eq!(serde_json::to_string(&message).unwrap(), text);
    }
}
