//! One row of a data file: whatever shape its JSON has, it is a document or a conversation.
//!
//! The shapes: `text`; `conversations` or `messages` (also ShareGPT's `from`/`value`, and a bare list of messages);
//! pairs such as `instruction`, `input`, `output` or `prompt`, `completion`, with an optional `history`. Every
//! conversation may have `system` and `tools` beside it.

use serde_json::{Map, Value};

use super::conversation::{Conversation, Message};
use super::json::{keys, kind, parse_json};
use super::message::parse_messages;
use super::shape::Shape;
use super::warning::{RowWarning, is_blank, warnings};

/// What one row of a data file means.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// A text to continue.
    Document(String),
    /// Messages to answer.
    Conversation(Conversation),
}

/// A row, and what is odd about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The row.
    pub row: Row,
    /// Oddities that leave it usable, each kind at most once.
    pub warnings: Vec<RowWarning>,
}

/// Reads one row.
///
/// # Errors
/// Why the row cannot be used, naming the keys found; a row whose roles are out of order is such a row.
pub fn parse_row(json: &Value) -> Result<Parsed, String> {
    match json {
        Value::Object(fields) => parse_object(fields).map(Parsed::new),
        Value::Array(list) => {
            conversation(parse_messages(list)?, &Map::new()).map(Row::Conversation).map(Parsed::new)
        }
        other => Err(format!("expected an object or a list of messages, found {}", kind(other))),
    }
}

impl Parsed {
    /// A row with its warnings.
    pub fn new(row: Row) -> Self {
        let warnings = warnings(&row);
        Self { row, warnings }
    }
}

impl Row {
    /// All texts of the row that a reader sees: the document, or each message's reasoning and content.
    pub fn texts(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Self::Document(text) => Box::new(std::iter::once(text.as_str())),
            Self::Conversation(conversation) => {
                Box::new(conversation.messages.iter().flat_map(Message::texts))
            }
        }
    }

    /// The length of all texts in characters.
    pub fn chars(&self) -> usize {
        self.texts().map(|text| text.chars().count()).sum()
    }

    /// The length of all texts in UTF-8 bytes.
    pub fn bytes(&self) -> u64 {
        self.texts().map(|text| text.len() as u64).sum()
    }
}

fn parse_object(fields: &Map<String, Value>) -> Result<Row, String> {
    let has = |key: &str| fields.get(key).is_some_and(|value| !value.is_null());
    let messages = match Shape::find(has, || keys(fields))? {
        Shape::Text => return Ok(Row::Document(string(fields, "text")?.to_string())),
        Shape::Messages(key) => list(fields, key).and_then(|list| parse_messages(&list))?,
        Shape::Pair { question, answer } => pair(fields, question, answer)?,
    };
    conversation(messages, fields).map(Row::Conversation)
}

/// The messages of a row with one question and answer, after the turns of its `history`.
fn pair(fields: &Map<String, Value>, question: &str, answer: &str) -> Result<Vec<Message>, String> {
    let mut messages = Vec::new();
    for (index, turn) in list(fields, "history")?.iter().enumerate() {
        match turn.as_array().map(Vec::as_slice) {
            Some([Value::String(question), Value::String(answer)]) => {
                messages.extend([Message::new("user", question), Message::new("assistant", answer)]);
            }
            _ => return Err(format!("history item {} must be a pair of strings", index + 1)),
        }
    }
    let mut asked = string(fields, question)?.to_string();
    if question == "instruction" {
        let input = optional_string(fields, "input")?;
        if !is_blank(input) {
            asked = format!("{asked}\n{input}");
        }
    }
    messages.extend([Message::new("user", &asked), Message::new("assistant", string(fields, answer)?)]);
    Ok(messages)
}

/// A conversation of these messages with the `system` and `tools` that stand beside them.
fn conversation(mut messages: Vec<Message>, fields: &Map<String, Value>) -> Result<Conversation, String> {
    let system = optional_string(fields, "system")?;
    let has_system = messages.first().is_some_and(|message| message.role == "system");
    if !is_blank(system) && !has_system {
        messages.insert(0, Message::new("system", system));
    }
    // MiniMind keeps the tools, as JSON text, on the system message.
    let of_message = match messages.first_mut() {
        Some(first) if first.role == "system" => first.extra.remove("tools"),
        _ => None,
    };
    let tools = match read_tools(fields.get("tools"))? {
        Some(tools) => Some(tools),
        None => read_tools(of_message.as_ref())?,
    };
    let conversation = Conversation { messages, tools };
    conversation.check_roles()?;
    Ok(conversation)
}

fn read_tools(value: Option<&Value>) -> Result<Option<Value>, String> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if is_blank(text) => Ok(None),
        Some(Value::String(text)) => {
            let tools = parse_json(text).map_err(|why| format!("tools: {why}"))?;
            match tools {
                Value::String(_) => Err("tools must be a list, found a string".to_string()),
                tools => read_tools(Some(&tools)),
            }
        }
        Some(Value::Array(list)) if list.is_empty() => Ok(None),
        Some(tools @ Value::Array(_)) => Ok(Some(tools.clone())),
        Some(other) => Err(format!("tools must be a list, found {}", kind(other))),
    }
}

/// A list, which a CSV cell holds as JSON text; absent or empty gives no items.
fn list(fields: &Map<String, Value>, key: &str) -> Result<Vec<Value>, String> {
    let value = match fields.get(key) {
        Some(Value::String(text)) if is_blank(text) => Value::Null,
        Some(Value::String(text)) => parse_json(text).map_err(|why| format!("{key}: {why}"))?,
        Some(value) => value.clone(),
        None => Value::Null,
    };
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(list) => Ok(list),
        other => Err(format!("{key} must be a list, found {}", kind(&other))),
    }
}

fn string<'a>(fields: &'a Map<String, Value>, key: &str) -> Result<&'a str, String> {
    match fields.get(key) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(format!("{key} must be a string, found {}", kind(other))),
        None => Err(format!("{key} is missing; found {}", keys(fields))),
    }
}

fn optional_string<'a>(fields: &'a Map<String, Value>, key: &str) -> Result<&'a str, String> {
    match fields.get(key) {
        None | Some(Value::Null) => Ok(""),
        Some(_) => string(fields, key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn turns(json: Value) -> Vec<(String, String)> {
        match parse_row(&json).unwrap().row {
            Row::Conversation(conversation) => {
                conversation.messages.into_iter().map(|message| (message.role, message.content)).collect()
            }
            Row::Document(text) => panic!("a document: {text}"),
        }
    }

    fn expect(json: Value, turns_expected: &[(&str, &str)]) {
        let expected: Vec<_> = turns_expected.iter().map(|(r, c)| (r.to_string(), c.to_string())).collect();
        assert_eq!(turns(json.clone()), expected, "{json}");
    }

    #[test]
    fn every_shape_gives_the_same_conversation() {
        let same = [("user", "q"), ("assistant", "a")];
        let messages = json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]);
        for row in [
            json!({"conversations": messages}),
            json!({"messages": messages}),
            json!({"messages": messages.to_string()}),
            messages,
            json!({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}),
            json!({"user": "q", "assistant": "a"}),
            json!({"instruction": "q", "input": "", "output": "a"}),
            json!({"prompt": "q", "completion": "a"}),
            json!({"prompt": "q", "response": "a"}),
            json!({"question": "q", "answer": "a"}),
            json!({"q": "q", "a": "a", "history": "[]"}),
        ] {
            expect(row, &same);
        }
    }

    #[test]
    fn text_is_a_document() {
        let parsed = parse_row(&json!({"text": "once", "id": 4})).unwrap();
        assert_eq!(parsed, Parsed { row: Row::Document("once".to_string()), warnings: vec![] });
    }

    #[test]
    fn input_history_and_system_have_their_places() {
        expect(
            json!({"instruction": "i", "input": "x", "output": "a", "system": "s", "history": [["q1", "a1"]]}),
            &[("system", "s"), ("user", "q1"), ("assistant", "a1"), ("user", "i\nx"), ("assistant", "a")],
        );
        // A system message that is already there stays alone.
        expect(
            json!({"messages": [{"role": "system", "content": "m"}, {"role": "user", "content": "q"}], "system": "s"}),
            &[("system", "m"), ("user", "q")],
        );
    }

    #[test]
    fn tools_are_found_on_the_row_and_on_the_system_message() {
        let tools = json!([{"type": "function", "function": {"name": "f"}}]);
        let user = json!({"role": "user", "content": "q"});
        for row in [
            json!({"messages": [user], "tools": tools}),
            json!({"messages": [user], "tools": tools.to_string()}),
            json!({"messages": [{"role": "system", "content": "s", "tools": tools.to_string()}, user], "tools": ""}),
        ] {
            let Row::Conversation(conversation) = parse_row(&row).unwrap().row else { panic!("a document") };
            assert_eq!(conversation.tools, Some(tools.clone()), "{row}");
            assert!(conversation.messages.iter().all(|message| message.extra.is_empty()));
        }
        let row = parse_row(&json!({"messages": [user], "tools": "[]"})).unwrap().row;
        assert!(matches!(row, Row::Conversation(Conversation { tools: None, .. })));
    }

    #[test]
    fn a_bad_row_says_what_was_found() {
        for (row, reason) in [
            (
                json!({"instruction": "q", "output": null}),
                "instruction needs output or response beside it; found keys instruction, output (null)",
            ),
            (json!({"text": 5}), "text must be a string, found a number"),
            (json!("hello"), "expected an object or a list of messages, found a string"),
            (json!([]), "the list of messages is empty"),
            (json!({"messages": {}}), "messages must be a list, found an object"),
            (json!({"user": "q", "assistant": ["a"]}), "assistant must be a string, found a list"),
            (json!({"q": "q", "a": "a", "history": [["q1"]]}), "history item 1 must be a pair of strings"),
            (json!({"q": "q", "a": "a", "tools": "{}"}), "tools must be a list, found an object"),
            (
                json!({"conversations": [{"role": "user", "content": "q"}, {"role": "assistant"}]}),
                "message 2: content is missing; found keys role",
            ),
            (
                json!([{"role": "user", "content": "q"}, {"role": "user", "content": "q"}]),
                "message 2 has role 'user' after 'user'",
            ),
        ] {
            assert_eq!(parse_row(&row).map(|p| p.row), Err(reason.to_string()), "{row}");
        }
        let reason = parse_row(&json!({"a": 1, "b": 2})).unwrap_err();
        assert!(reason.starts_with("expected one of text, conversations, messages, "), "{reason}");
        assert!(reason.ends_with("; found keys a, b"), "{reason}");
    }

    #[test]
    fn lengths_count_every_text() {
        let row = json!([
            {"role": "user", "content": "你好"},
            {"role": "assistant", "content": "hi", "reasoning_content": "é"},
        ]);
        let row = parse_row(&row).unwrap().row;
        assert_eq!(row.texts().collect::<Vec<_>>(), ["你好", "é", "hi"]);
        assert_eq!((row.chars(), row.bytes()), (5, 10));
    }
}
