//! A row to go on from: a text, or a conversation that waits for an answer.

use serde_json::{Map, Value};

use super::conversation::Message;
use super::fields::Fields;
use super::json::{is_blank, kind, parse_json};
use super::message::parse_messages;
use super::pair::asking;
use super::parse::conversation;
use super::row::Row;
use super::shape::{QUESTIONS, RowShape};
use crate::told::Told;

/// What a model is to go on from.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// A text to complete, or messages to answer.
    pub row: Row,
    /// What the row sets for the chat template, under `chat_template_kwargs`.
    pub variables: Map<String, Value>,
    /// Those of the settings that were asked about which the row has; an empty text sets nothing.
    pub settings: Map<String, Value>,
    /// Keys that hold something which nothing uses, each once.
    pub unused: Vec<String>,
}

/// The keys of a text or of messages to go on from.
const KEYS: [&str; 4] = ["prompt", "messages", "conversations", "text"];

/// The key of what a row sets for the chat template.
const VARIABLES: &str = "chat_template_kwargs";

/// Keys that belong to messages: beside a text they would stand nowhere, for a text goes through no template.
const OF_MESSAGES: [&str; 4] = ["system", "tools", "history", VARIABLES];

/// Reads a row of prompts: `{"prompt": …}` with a text or a list of messages, `{"text": …}`, `{"messages": […]}`,
/// `{"conversations": […]}`, a question as rows to train on have it (`question`, `instruction` with `input`, …), whose
/// answer nobody reads, a bare text or a bare list of messages; `column` is the key of each row's text where it has a
/// name of its own. `settings` are keys that the caller reads.
///
/// # Errors
/// Why the row cannot be used, naming the keys found.
pub fn parse_prompt(row: &Value, column: Option<&str>, settings: &[&'static str]) -> Result<Prompt, Told> {
    let none = Map::new();
    let mut fields = Fields::new(row.as_object().unwrap_or(&none));
    let row = match (row, column) {
        (Value::Object(_), None) => keyed(&mut fields)?,
        (Value::Object(_), Some(column)) => {
            let text = fields.text(column)?;
            document(text, &fields)?
        }
        (other, Some(column)) => {
            return Err(format!("expected an object with {column}, found {}", kind(other)).into());
        }
        (Value::String(text), None) => Row::Document(text.clone()),
        (Value::Array(list), None) => {
            let messages = parse_messages(list, &mut fields.notes)?;
            unanswered(messages, &mut fields)?
        }
        (other, None) => return Err(neither(other)),
    };
    let variables = variables(&mut fields)?;
    let is_set = |value: &&Value| value.as_str() != Some("");
    let setting = |&key: &&'static str| Some((key.to_string(), fields.value(key).filter(is_set)?.clone()));
    let settings = settings.iter().filter_map(setting).collect();
    Ok(Prompt { row, variables, settings, unused: fields.finish().unused })
}

/// The key of what a row goes on from, out of those for which `has` is true; `found` lists them for the message.
///
/// # Errors
/// None of them, or two.
pub fn prompt_key(has: impl Fn(&str) -> bool, found: impl FnOnce() -> Told) -> Result<&'static str, Told> {
    let mut given = KEYS.into_iter().filter(|key| has(key));
    match (given.next(), given.next()) {
        (Some(first), Some(second)) => {
            Err(format!("{first} and {second} stand in one row; leave one of them out").into())
        }
        // Alpaca's own file repeats the question and its answer in `text`.
        (Some("text"), None) => Ok(match RowShape::find(&has, Told::default) {
            Ok(RowShape::Pair { question, .. }) => question,
            _ => "text",
        }),
        (Some(key), None) => Ok(key),
        (None, _) => QUESTIONS.into_iter().find(|key| has(key)).ok_or_else(|| {
            format!("expected one of {}, {}; found {}", KEYS.join(", "), QUESTIONS.join(", "), found()).into()
        }),
    }
}

fn keyed(fields: &mut Fields) -> Result<Row, Told> {
    let key = prompt_key(|key| fields.has(key), || fields.found())?;
    let messages = match (key, fields.peek(key)) {
        ("prompt", Some(Value::String(_))) | ("text", _) => {
            let text = fields.text(key)?;
            return document(text, fields);
        }
        ("prompt", Some(other)) if !other.is_array() => return Err(neither(other)),
        ("messages" | "conversations", _) => parse_messages(&fields.list(key)?, &mut fields.notes)?,
        (question, _) => asking(fields, question)?,
    };
    unanswered(messages, fields)
}

fn neither(other: &Value) -> Told {
    format!("expected a text or a list of messages, found {}", kind(other)).into()
}

fn document(text: &str, fields: &Fields) -> Result<Row, Told> {
    let says = |key: &&str| match fields.peek(key) {
        None => false,
        Some(Value::String(text)) => !is_blank(text),
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Object(map)) => !map.is_empty(),
        Some(_) => true,
    };
    match OF_MESSAGES.into_iter().find(says) {
        None => Ok(Row::Document(text.to_string())),
        Some(key) => {
            Err(format!("{key} belongs to messages, and the prompt is a text; give it as messages").into())
        }
    }
}

fn unanswered(messages: Vec<Message>, fields: &mut Fields) -> Result<Row, Told> {
    let conversation = conversation(messages, fields)?;
    match conversation.messages.last() {
        Some(last) if last.is_assistant() => Err(
            "the conversation ends on the assistant, where nothing is left to answer; leave that turn out"
                .into(),
        ),
        _ => Ok(Row::Conversation(conversation)),
    }
}

fn variables(fields: &mut Fields) -> Result<Map<String, Value>, Told> {
    let value = match fields.value(VARIABLES) {
        None => return Ok(Map::new()),
        Some(Value::String(text)) if is_blank(text) => return Ok(Map::new()),
        Some(Value::String(text)) => {
            parse_json(text).map_err(|why| Told::from(format!("{VARIABLES}: {why}")))?
        }
        Some(value) => value.clone(),
    };
    match value {
        Value::Object(variables) => Ok(variables),
        other => Err(format!("{VARIABLES} must be an object, found {}", kind(&other)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Conversation;
    use serde_json::json;

    fn read(row: &Value) -> Result<Prompt, Told> {
        parse_prompt(row, None, &["temperature", "stop"])
    }

    /// A conversation of these turns.
    fn turns(turns: &[(&str, &str)]) -> Row {
        let message = |(role, content): &(&str, &str)| Message::new(role, content);
        Row::Conversation(Conversation::new(turns.iter().map(message).collect()))
    }

    #[test]
    fn texts_and_conversations_are_told_apart() {
        let user = json!([{"role": "user", "content": "q"}]);
        for row in [
            json!({"prompt": user}),
            json!({"messages": user}),
            json!({"messages": user.to_string()}),
            json!({"conversations": user, "id": 1}),
            user,
        ] {
            assert_eq!(read(&row).unwrap().row, turns(&[("user", "q")]), "{row}");
        }
        for row in [
            json!({"prompt": "once"}),
            json!({"text": "once"}),
            json!({"text": "once", "q": "x"}),
            json!("once"),
            json!({"prompt": "once", "system": "", "tools": []}),
        ] {
            assert_eq!(read(&row).unwrap().row, Row::Document("once".into()), "{row}");
        }
        let column = parse_prompt(&json!({"body": "once", "text": "t"}), Some("body"), &[]).unwrap();
        assert_eq!((column.row, column.unused), (Row::Document("once".into()), vec!["text".to_string()]));
    }

    #[test]
    fn questions_are_read_as_those_to_train_on_and_answers_are_named() {
        for (row, expected, unused) in [
            (json!({"question": "q", "answer": "a"}), turns(&[("user", "q")]), &["answer"][..]),
            (json!({"instruction": "i", "input": "x"}), turns(&[("user", "i\nx")]), &[]),
            (
                json!({"instruction": "i", "output": "o", "text": "i o", "system": "s", "history": [["a", "b"]]}),
                turns(&[("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "i")]),
                &["output", "text"],
            ),
            (json!({"user": "q"}), turns(&[("user", "q")]), &[]),
            (json!({"prompt": "p", "completion": "c"}), Row::Document("p".into()), &["completion"]),
        ] {
            let prompt = read(&row).unwrap();
            assert_eq!(prompt.row, expected, "{row}");
            assert_eq!(prompt.unused, unused, "{row}");
        }
    }

    #[test]
    fn settings_and_template_variables_of_a_row_are_handed_on() {
        let row = json!({
            "q": "q", "temperature": 0.5, "stop": "\n", "seed": 3, "chat_template_kwargs": {"enable_thinking": false},
        });
        let prompt = read(&row).unwrap();
        assert_eq!(Value::Object(prompt.settings), json!({"temperature": 0.5, "stop": "\n"}));
        assert_eq!(Value::Object(prompt.variables), json!({"enable_thinking": false}));
        assert_eq!(prompt.unused, ["seed"], "nobody asked about it");
        let empty = read(&json!({"q": "q", "temperature": "", "stop": ""})).unwrap();
        assert!(empty.settings.is_empty(), "an empty cell sets nothing");
    }

    #[test]
    fn what_cannot_be_gone_on_from_is_named() {
        for (row, reason) in [
            (
                json!({"a": 1}),
                "expected one of prompt, messages, conversations, text, user, instruction, question, q, 用户, 指令, 问题, 提问; found keys a",
            ),
            (json!({"q": 1}), "q must be a string, found a number"),
            (json!({"prompt": "a", "text": "b"}), "prompt and text stand in one row; leave one of them out"),
            (
                json!({"prompt": "a", "system": "b"}),
                "system belongs to messages, and the prompt is a text; give it as messages",
            ),
            (
                json!({"prompt": "a", "chat_template_kwargs": {"x": 1}}),
                "chat_template_kwargs belongs to messages, and the prompt is a text; give it as messages",
            ),
            (
                json!({"q": "a", "chat_template_kwargs": "[1]"}),
                "chat_template_kwargs must be an object, found a list",
            ),
            (json!({"prompt": 5}), "expected a text or a list of messages, found a number"),
            (json!({"messages": {}}), "messages must be a list, found an object"),
            (json!(7), "expected a text or a list of messages, found a number"),
            (
                json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]),
                "the conversation ends on the assistant, where nothing is left to answer; leave that turn out",
            ),
        ] {
            assert_eq!(read(&row), Err(reason.into()), "{row}");
        }
    }
}
