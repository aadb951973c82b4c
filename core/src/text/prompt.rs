//! A row to go on from: a text, or a conversation that waits for an answer.

use serde_json::{Map, Value};

use super::conversation::{Conversation, Message};
use super::fields::Fields;
use super::json::{keys, kind, parse_json};
use super::message::parse_messages;
use super::parse::conversation;

/// What a model is to go on from.
#[derive(Clone, Debug, PartialEq)]
pub enum Prompt {
    /// A text to complete.
    Text(String),
    /// Messages to answer.
    Conversation(Conversation),
}

/// Reads a row of prompts: `{"prompt": …}` with a text or a list of messages, `{"text": …}`, `{"messages": […]}`,
/// `{"conversations": […]}`, a bare text or a bare list of messages.
///
/// # Errors
/// Why the row cannot be used, naming the keys found.
pub fn parse_prompt(row: &Value) -> Result<Prompt, String> {
    let Value::Object(fields) = row else { return value(row, &Map::new()) };
    let given = ["prompt", "messages", "conversations", "text"].map(|key| (key, fields.get(key)));
    let mut given = given.into_iter().filter_map(|(key, value)| Some((key, value.filter(|v| !v.is_null())?)));
    match (given.next(), given.next()) {
        // A CSV cell or a database holds messages as JSON text.
        (Some(("messages" | "conversations", Value::String(text))), None) => {
            value(&parse_json(text)?, fields)
        }
        (None, _) => {
            Err(format!("expected one of prompt, messages, conversations, text; found {}", keys(fields)))
        }
        (Some((first, _)), Some((second, _))) => {
            Err(format!("{first} and {second} stand in one row; leave one of them out"))
        }
        (Some((_, prompt)), None) => value(prompt, fields),
    }
}

fn value(prompt: &Value, fields: &Map<String, Value>) -> Result<Prompt, String> {
    match prompt {
        Value::String(text) => {
            // They would stand nowhere: a text goes through no template.
            match ["system", "tools"].into_iter().find(|key| fields.get(*key).is_some_and(|v| !v.is_null())) {
                None => Ok(Prompt::Text(text.clone())),
                Some(key) => {
                    Err(format!("{key} belongs to messages, and the prompt is a text; give it as messages"))
                }
            }
        }
        Value::Array(list) => {
            let mut fields = Fields::new(fields);
            let messages = parse_messages(list, &mut fields.notes)?;
            let conversation = conversation(messages, &mut fields)?;
            match conversation.messages.last() {
                Some(Message { role, .. }) if role == "assistant" => {
                    Err("the conversation ends on the assistant, where nothing is left to answer".into())
                }
                _ => Ok(Prompt::Conversation(conversation)),
            }
        }
        other => Err(format!("expected a text or a list of messages, found {}", kind(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_and_conversations_are_told_apart() {
        let user = json!([{"role": "user", "content": "q"}]);
        let asked = Prompt::Conversation(Conversation::new(vec![Message::new("user", "q")]));
        for row in [
            json!({"prompt": user}),
            json!({"messages": user}),
            json!({"conversations": user, "id": 1}),
            user,
        ] {
            assert_eq!(parse_prompt(&row), Ok(asked.clone()), "{row}");
        }
        for row in [json!({"prompt": "once"}), json!({"text": "once"}), json!("once")] {
            assert_eq!(parse_prompt(&row), Ok(Prompt::Text("once".into())), "{row}");
        }
    }

    #[test]
    fn what_cannot_be_gone_on_from_is_named() {
        for (row, reason) in [
            (json!({"q": 1}), "expected one of prompt, messages, conversations, text; found keys q"),
            (json!({"prompt": "a", "text": "b"}), "prompt and text stand in one row; leave one of them out"),
            (
                json!({"prompt": "a", "system": "b"}),
                "system belongs to messages, and the prompt is a text; give it as messages",
            ),
            (json!({"prompt": 5}), "expected a text or a list of messages, found a number"),
            (
                json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]),
                "the conversation ends on the assistant, where nothing is left to answer",
            ),
        ] {
            assert_eq!(parse_prompt(&row), Err(reason.to_string()), "{row}");
        }
    }
}
