//! One message of a conversation as data files spell it: `role`/`content`, ShareGPT's `from`/`value`, or a content in
//! parts.

use serde_json::{Map, Value};

use super::conversation::{Message, REASONING_KEYS};
use super::fields::{Notes, tells};
use super::json::{is_blank, keys, kind, parse_json, short};
use super::tools::{add_tool_call, read_tool_calls};
use super::warning::RowWarning;
use super::weight::take_weight;
use crate::told::{Told, told};

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

/// The key under which templates look for reasoning.
const REASONING: &str = REASONING_KEYS[0];

/// Reads a list of messages.
///
/// # Errors
/// The first message that cannot be read, by its number (from 1), and why.
pub(super) fn parse_messages(list: &[Value], notes: &mut Notes) -> Result<Vec<Message>, Told> {
    let numbered = list.iter().enumerate();
    numbered
        .map(|(i, value)| {
            parse_message(value, notes)
                .map_err(|why| told!("row.message", "message {number}: {why}", number = i + 1, why))
        })
        .collect()
}

fn parse_message(value: &Value, notes: &mut Notes) -> Result<Message, Told> {
    let Value::Object(fields) = value else {
        return Err(told!(
            "message.not_object",
            "expected an object with role and content, found {found}",
            found = kind(value)
        ));
    };
    let sharegpt = fields.contains_key("from") && !fields.contains_key("role");
    let (role_key, content_key) = if sharegpt { ("from", "value") } else { ("role", "content") };
    let name = role_name(fields, role_key)?;
    let mut message = Message::new(known_role(name)?, "");
    let extra = fields.iter().filter(|(key, value)| {
        *key != role_key && *key != content_key && !value.is_null() && !is_no_reasoning(key, value)
    });
    message.extra = extra.map(|(key, value)| (key.clone(), value.clone())).collect();
    read_weight(&mut message, notes)?;
    read_tool_calls(&mut message)?;
    match fields.get(content_key) {
        Some(Value::String(text)) if name == FUNCTION_CALL => add_tool_call(&mut message, parse_json(text)?)?,
        Some(Value::String(text)) => message.content.clone_from(text),
        Some(Value::Array(parts)) => read_parts(&mut message, parts, notes)?,
        None | Some(Value::Null) if message.calls_tools() => {}
        None => {
            return Err(told!(
                "message.no_content",
                "{content_key} is missing; found {found}",
                content_key,
                found = keys(fields)
            ));
        }
        Some(Value::Null) => {
            return Err(told!(
                "message.null",
                "{content_key} is null, and there are no tool_calls",
                content_key
            ));
        }
        Some(other) => {
            return Err(told!(
                "message.content",
                "{content_key} must be a string, found {found}",
                content_key,
                found = kind(other)
            ));
        }
    }
    Ok(message)
}

/// Whether this is a key of reasoning that holds none.
fn is_no_reasoning(key: &str, value: &Value) -> bool {
    REASONING_KEYS.contains(&key) && value.as_str().is_some_and(is_blank)
}

/// The weight of a message; one that is never trained needs none.
fn read_weight(message: &mut Message, notes: &mut Notes) -> Result<(), Told> {
    let Some(weight) = take_weight(&mut message.extra)? else {
        return Ok(());
    };
    message.weight = weight;
    if weight > 0.0 && !message.is_assistant() {
        notes.warn(RowWarning::WeightWithoutEffect);
    }
    Ok(())
}

fn role_name<'a>(fields: &'a Map<String, Value>, key: &str) -> Result<&'a str, Told> {
    match fields.get(key) {
        Some(Value::String(name)) => Ok(name),
        Some(other) => {
            Err(told!("row.not_string", "{key} must be a string, found {found}", key, found = kind(other)))
        }
        None => Err(told!("row.key_missing", "{key} is missing; found {found}", key, found = keys(fields))),
    }
}

fn known_role(name: &str) -> Result<&'static str, Told> {
    let known = ROLE_NAMES.iter().find(|(_, names)| names.contains(&name));
    known.map(|(role, _)| *role).ok_or_else(|| {
        told!(
            "message.role",
            "unknown role '{name}' (known roles: system, user, assistant, tool)",
            name = short(name)
        )
    })
}

/// A content in parts: texts are joined, reasoning and tool calls go to the keys that templates read.
fn read_parts(message: &mut Message, parts: &[Value], notes: &mut Notes) -> Result<(), Told> {
    let mut reasoning = String::new();
    for (index, part) in parts.iter().enumerate() {
        let number = index + 1;
        name_unused(part, notes);
        let (part_kind, value) = part_value(part)
            .map_err(|why| told!("message.part", "content part {number}: {why}", number, why))?;
        match (part_kind, value) {
            ("text", Value::String(text)) => message.content.push_str(text),
            ("reasoning" | "thinking", Value::String(text)) => reasoning.push_str(text),
            ("tool_call", Value::String(text)) => {
                let call = parse_json(text)
                    .map_err(|why| told!("message.part", "content part {number}: {why}", number, why))?;
                add_tool_call(message, call)?;
            }
            ("tool_call", call) => add_tool_call(message, call.clone())?,
            (_, other) => {
                return Err(told!(
                    "message.part_string",
                    "content part {number}: {part_kind} must be a string, found {found}",
                    number,
                    part_kind,
                    found = kind(other)
                ));
            }
        }
    }
    if is_blank(&reasoning) {
        return Ok(());
    }
    match message.extra.get(REASONING) {
        Some(other) if *other != reasoning.as_str() => Err(told!(
            "message.reasoning",
            "{reasoning} and the reasoning in the content's parts differ; keep one of them",
            reasoning = REASONING
        )),
        _ => {
            message.extra.insert(REASONING.to_string(), Value::String(reasoning));
            Ok(())
        }
    }
}

/// Names the keys of a part that are not read.
fn name_unused(part: &Value, notes: &mut Notes) {
    let Value::Object(fields) = part else { return };
    let part_kind = part_kind(fields);
    let read = value_keys(part_kind).into_iter().find(|key| fields.contains_key(*key));
    for (key, value) in fields {
        if key != "type" && Some(key.as_str()) != read && tells(key, value) {
            notes.unused(&format!("{key} of a content part"));
        }
    }
}

/// The type of a part and what it holds: under `text`, `value` or the type's own name.
fn part_value(part: &Value) -> Result<(&str, &Value), Told> {
    let fields = match part {
        Value::String(_) => return Ok(("text", part)),
        Value::Object(fields) => fields,
        other => {
            return Err(told!(
                "part.not_object",
                "expected an object with type and text, found {found}",
                found = kind(other)
            ));
        }
    };
    let part_kind = part_kind(fields);
    if !PART_TYPES.contains(&part_kind) {
        return Err(told!(
            "part.type",
            "unknown type '{name}' (known types: text, reasoning, tool_call)",
            name = short(part_kind)
        ));
    }
    let value = value_keys(part_kind).into_iter().find_map(|key| fields.get(key));
    value
        .map(|value| (part_kind, value))
        .ok_or_else(|| told!("part.no_text", "text is missing; found {found}", found = keys(fields)))
}

/// The keys under which a part may hold what it says.
fn value_keys(part_kind: &str) -> [&str; 3] {
    ["text", "value", part_kind]
}

fn part_kind(fields: &Map<String, Value>) -> &str {
    fields.get("type").and_then(Value::as_str).unwrap_or("text")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<Message, Told> {
        parse_messages(&[value], &mut Notes::default()).map(|mut messages| messages.remove(0))
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
        let call = json!({"name": "add", "arguments": "{\"a\": 1}"});
        let message = read(json!({"role": "assistant", "content": null, "function_call": call})).unwrap();
        assert_eq!(message.extra["tool_calls"], json!([{"type": "function", "function": calls[0]}]));
        assert_eq!(read(json!({"role": "function", "name": "f", "content": "3"})).unwrap().role, "tool");
    }

    #[test]
    fn absent_reasoning_is_absent_however_it_is_spelled() {
        for value in [json!(null), json!(""), json!("\n\n"), json!("  ")] {
            for key in REASONING_KEYS {
                let message = json!({"role": "assistant", "content": "x", key: value});
                assert_eq!(read(message), Ok(Message::new("assistant", "x")), "{key} {value}");
            }
            let parts = json!([{"type": "reasoning", "text": value}, {"type": "text", "text": "x"}]);
            if value.is_string() {
                let message = json!({"role": "assistant", "content": parts});
                assert_eq!(read(message), Ok(Message::new("assistant", "x")), "{value}");
            }
        }
        let parts = json!([{"type": "reasoning", "text": "a"}, "x"]);
        let both =
            |beside: &str| read(json!({"role": "assistant", "content": parts, "reasoning_content": beside}));
        assert_eq!(both("a").unwrap().extra["reasoning_content"], "a");
        assert!(both("b").unwrap_err().contains("differ; keep one of them"));
    }

    #[test]
    fn weights_leave_the_keys_and_are_told_where_they_have_no_effect() {
        let mut notes = Notes::default();
        let list = json!([
            {"role": "user", "content": "q", "loss": false},
            {"role": "assistant", "content": "a", "weight": 0, "name": "x"},
            {"from": "gpt", "value": "b", "train": null},
        ]);
        let messages = parse_messages(list.as_array().unwrap(), &mut notes).unwrap();
        assert_eq!(messages.iter().map(|message| message.weight).collect::<Vec<_>>(), [0.0, 0.0, 1.0]);
        assert_eq!(messages.iter().map(|message| message.extra.len()).sum::<usize>(), 1);
        assert!(notes.warnings.is_empty());
        let list = [json!({"role": "user", "content": "q", "weight": 1})];
        parse_messages(&list, &mut notes).unwrap();
        assert_eq!(notes.warnings, [RowWarning::WeightWithoutEffect]);
        let wrong = read(json!({"role": "assistant", "content": "a", "weight": "high"})).unwrap_err();
        assert_eq!(wrong, "message 1: weight must be a number or a truth value, found a string");
    }

    #[test]
    fn other_texts_of_a_part_are_named() {
        let mut notes = Notes::default();
        let part = json!({"type": "text", "text": "a", "value": "b", "annotations": [{"url": "u"}], "size": 3, "weight": 0});
        let list = [json!({"role": "user", "content": [part]})];
        assert_eq!(parse_messages(&list, &mut notes).unwrap()[0].content, "a");
        let named = ["value", "annotations", "weight"].map(|key| format!("{key} of a content part"));
        assert_eq!(notes.unused, named);
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
                "message 1: a tool call must be an object, found a number; write it as \
                 {\"name\": …, \"arguments\": {…}}",
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
            assert_eq!(read(value.clone()), Err(reason.into()), "{value}");
        }
    }
}
