//! One message of a conversation as data files spell it: `role`/`content`, ShareGPT's `from`/`value`, or a content in
//! parts.

use serde_json::{Map, Value};

use super::conversation::Message;
use super::json::{keys, kind, parse_json, short};

/// The names that data sets give to the four roles.
const ROLE_NAMES: [(&str, &[&str]); 4] = [
    ("system", &["system", "developer"]),
    ("user", &["user", "human"]),
    ("assistant", &["assistant", "gpt", "chatgpt", "bot", "model", FUNCTION_CALL]),
    ("tool", &["tool", "function", "observation", "function_response"]),
];

/// ShareGPT's role for an assistant's turn whose value is the call of a tool.
const FUNCTION_CALL: &str = "function_call";

/// The types of content parts that are read; `thinking` is another name for reasoning.
const PART_TYPES: [&str; 4] = ["text", "reasoning", "thinking", "tool_call"];

/// Reads a list of messages.
///
/// # Errors
/// The first message that cannot be read, by its number (from 1), and why.
pub fn parse_messages(list: &[Value]) -> Result<Vec<Message>, String> {
    let numbered = list.iter().enumerate();
    numbered
        .map(|(i, value)| parse_message(value).map_err(|why| format!("message {}: {why}", i + 1)))
        .collect()
}

fn parse_message(value: &Value) -> Result<Message, String> {
    let Value::Object(fields) = value else {
        return Err(format!("expected an object with role and content, found {}", kind(value)));
    };
    let sharegpt = fields.contains_key("from") && !fields.contains_key("role");
    let (role_key, content_key) = if sharegpt { ("from", "value") } else { ("role", "content") };
    let name = role_name(fields, role_key)?;
    let mut message = Message::new(known_role(name)?, "");
    let is_extra = |key: &String, value: &Value| key != role_key && key != content_key && !value.is_null();
    let extra = fields.iter().filter(|(key, value)| is_extra(key, value));
    message.extra = extra.map(|(key, value)| (key.clone(), value.clone())).collect();
    read_tool_calls(&mut message)?;
    match fields.get(content_key) {
        Some(Value::String(text)) if name == FUNCTION_CALL => add_tool_call(&mut message, parse_json(text)?)?,
        Some(Value::String(text)) => message.content.clone_from(text),
        Some(Value::Array(parts)) => read_parts(&mut message, parts)?,
        None | Some(Value::Null) if message.calls_tools() => {}
        None => return Err(format!("{content_key} is missing; found {}", keys(fields))),
        Some(Value::Null) => return Err(format!("{content_key} is null, and there are no tool_calls")),
        Some(other) => return Err(format!("{content_key} must be a string, found {}", kind(other))),
    }
    Ok(message)
}

fn role_name<'a>(fields: &'a Map<String, Value>, key: &str) -> Result<&'a str, String> {
    match fields.get(key) {
        Some(Value::String(name)) => Ok(name),
        Some(other) => Err(format!("{key} must be a string, found {}", kind(other))),
        None => Err(format!("{key} is missing; found {}", keys(fields))),
    }
}

fn known_role(name: &str) -> Result<&'static str, String> {
    let known = ROLE_NAMES.iter().find(|(_, names)| names.contains(&name));
    known
        .map(|(role, _)| *role)
        .ok_or_else(|| format!("unknown role '{}' (known roles: system, user, assistant, tool)", short(name)))
}

/// `tool_calls` given as JSON text (MiniMind's form) becomes a list; an empty one is left out.
fn read_tool_calls(message: &mut Message) -> Result<(), String> {
    let calls = match message.extra.remove("tool_calls") {
        None => return Ok(()),
        Some(Value::String(text)) if text.trim().is_empty() => return Ok(()),
        Some(Value::String(text)) => parse_json(&text).map_err(|why| format!("tool_calls: {why}"))?,
        Some(value) => value,
    };
    add_tool_call(message, calls)
}

/// Adds one call, or each one of a list.
fn add_tool_call(message: &mut Message, call: Value) -> Result<(), String> {
    let mut calls = match call {
        Value::Array(list) => list,
        Value::Object(_) => vec![call],
        other => return Err(format!("a tool call must be an object, found {}", kind(&other))),
    };
    if let Some(wrong) = calls.iter().find(|call| !call.is_object()) {
        return Err(format!("a tool call must be an object, found {}", kind(wrong)));
    }
    if calls.is_empty() {
        return Ok(());
    }
    match message.extra.get_mut("tool_calls") {
        Some(Value::Array(list)) => list.append(&mut calls),
        _ => drop(message.extra.insert("tool_calls".to_string(), Value::Array(calls))),
    }
    Ok(())
}

/// A content in parts: texts are joined, reasoning and tool calls go to the keys that templates read.
fn read_parts(message: &mut Message, parts: &[Value]) -> Result<(), String> {
    let mut reasoning = String::new();
    for (index, part) in parts.iter().enumerate() {
        let number = index + 1;
        let (part_kind, value) = part_value(part).map_err(|why| format!("content part {number}: {why}"))?;
        match (part_kind, value) {
            ("text", Value::String(text)) => message.content.push_str(text),
            ("reasoning" | "thinking", Value::String(text)) => reasoning.push_str(text),
            ("tool_call", Value::String(text)) => {
                let call = parse_json(text).map_err(|why| format!("content part {number}: {why}"))?;
                add_tool_call(message, call)?;
            }
            ("tool_call", call) => add_tool_call(message, call.clone())?,
            (_, other) => {
                return Err(format!(
                    "content part {number}: {part_kind} must be a string, found {}",
                    kind(other)
                ));
            }
        }
    }
    if !reasoning.is_empty() {
        message.extra.insert("reasoning_content".to_string(), Value::String(reasoning));
    }
    Ok(())
}

/// The type of a part and what it holds: under `text`, `value` or the type's own name.
fn part_value(part: &Value) -> Result<(&str, &Value), String> {
    let fields = match part {
        Value::String(_) => return Ok(("text", part)),
        Value::Object(fields) => fields,
        other => {
            return Err(format!("expected an object with type and text, found {}", kind(other)));
        }
    };
    let part_kind = fields.get("type").and_then(Value::as_str).unwrap_or("text");
    if !PART_TYPES.contains(&part_kind) {
        return Err(format!("unknown type '{}' (known types: text, reasoning, tool_call)", short(part_kind)));
    }
    let value = ["text", "value", part_kind].iter().find_map(|key| fields.get(*key));
    value.map(|value| (part_kind, value)).ok_or_else(|| format!("text is missing; found {}", keys(fields)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<Message, String> {
        parse_messages(&[value]).map(|mut messages| messages.remove(0))
    }

    #[test]
    fn both_spellings_give_the_same_message() {
        for (name, role) in
            [("human", "user"), ("gpt", "assistant"), ("system", "system"), ("observation", "tool")]
        {
            assert_eq!(read(json!({"from": name, "value": "x"})), Ok(Message::new(role, "x")));
            assert_eq!(read(json!({"role": role, "content": "x"})), Ok(Message::new(role, "x")));
        }
    }

    #[test]
    fn tool_calls_given_as_text_are_parsed_and_excuse_a_missing_content() {
        let calls = json!([{"name": "add", "arguments": {"a": 1}}]);
        for content in [json!(null), json!("")] {
            let message =
                read(json!({"role": "assistant", "content": content, "tool_calls": calls.to_string()}))
                    .unwrap();
            assert_eq!(message.content, "");
            assert_eq!(message.extra["tool_calls"], calls);
        }
        let message = read(json!({"from": "function_call", "value": calls[0].to_string()})).unwrap();
        assert_eq!((message.role.as_str(), &message.extra["tool_calls"]), ("assistant", &calls));
        let message =
            read(json!({"role": "assistant", "content": "x", "tool_calls": "", "reasoning_content": null}))
                .unwrap();
        assert_eq!(message, Message::new("assistant", "x"));
    }

    #[test]
    fn parts_are_joined_and_sorted_by_their_type() {
        let message = read(json!({"role": "assistant", "content": [
            {"type": "reasoning", "value": "hm"},
            {"type": "text", "text": "a"},
            "b",
            {"type": "text", "value": "c"},
            {"type": "tool_call", "value": "{\"name\": \"f\", \"arguments\": {}}"},
            {"type": "tool_call", "value": {"name": "g"}},
        ]}))
        .unwrap();
        assert_eq!(message.content, "abc");
        assert_eq!(message.extra["reasoning_content"], "hm");
        assert_eq!(message.extra["tool_calls"], json!([{"name": "f", "arguments": {}}, {"name": "g"}]));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let unknown = "message 1: unknown role 'narrator' (known roles: system, user, assistant, tool)";
        for (value, reason) in [
            (json!("hi"), "message 1: expected an object with role and content, found a string"),
            (json!({"content": "x"}), "message 1: role is missing; found keys content"),
            (json!({"role": 3, "content": "x"}), "message 1: role must be a string, found a number"),
            (json!({"role": "narrator", "content": "x"}), unknown),
            (json!({"role": "user", "text": "x"}), "message 1: content is missing; found keys role, text"),
            (
                json!({"role": "user", "content": null}),
                "message 1: content is null, and there are no tool_calls",
            ),
            (json!({"role": "user", "content": 7}), "message 1: content must be a string, found a number"),
            (json!({"from": "human"}), "message 1: value is missing; found keys from"),
            (
                json!({"role": "assistant", "content": "", "tool_calls": "[{"}),
                "message 1: tool_calls: broken JSON: the row ends inside an object (column 2)",
            ),
            (
                json!({"role": "assistant", "content": "", "tool_calls": [1]}),
                "message 1: a tool call must be an object, found a number",
            ),
            (
                json!({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "url": "u"}]}),
                "message 1: content part 2: unknown type 'image_url' (known types: text, reasoning, tool_call)",
            ),
            (
                json!({"role": "user", "content": [{"type": "text"}]}),
                "message 1: content part 1: text is missing; found keys type",
            ),
            (
                json!({"role": "user", "content": [{"type": "text", "text": 5}]}),
                "message 1: content part 1: text must be a string, found a number",
            ),
        ] {
            assert_eq!(read(value.clone()), Err(reason.to_string()), "{value}");
        }
    }
}
