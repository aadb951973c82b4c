//! The messages of a conversation as OpenAI's and Ollama's clients send them.

use serde_json::{Map, Value, json};

use super::ApiError;
use super::fields::Fields;
use crate::text::{Message, REASONING_KEYS, TOOL_CALLS};

/// The types of content parts that hold text.
const TEXT_PARTS: [&str; 3] = ["text", "input_text", "output_text"];

/// Reads OpenAI's `messages`: roles system, developer, user, assistant and tool; contents that are texts or parts of text.
///
/// # Errors
/// The first message that cannot be read, by its path.
pub(super) fn openai_messages(fields: &mut Fields) -> Result<Vec<Message>, ApiError> {
    read_all(fields, |mut message, path| {
        let role = known_role(&mut message)?;
        let content = content_of(&mut message)?;
        let mut read = Message::new(role, content.as_deref().unwrap_or_default());
        let calls = calls_of(&mut message, true)?;
        if content.is_none() && calls.is_none() {
            return Err(ApiError::missing(&format!("{path}.content")));
        }
        keep(&mut read, TOOL_CALLS, calls);
        keep(&mut read, REASONING_KEYS[0], reasoning_of(&mut message)?);
        for key in ["name", "tool_call_id"] {
            keep(&mut read, key, message.text(key)?.map(Value::String));
        }
        if role == "tool" && !read.extra.contains_key("tool_call_id") {
            return Err(ApiError::missing(&format!("{path}.tool_call_id")));
        }
        // What an answer holds that a client sends back as it came.
        for key in ["refusal", "audio", "function_call", "annotations"] {
            message.neutral(key, &[json!(""), json!([])], "leave it out, or say it in content")?;
        }
        message.finish().map(|()| read)
    })
}

/// Reads Ollama's `messages`: contents are texts, arguments of calls are objects, thoughts stand under `thinking`.
///
/// # Errors
/// The first message that cannot be read, by its path.
pub(super) fn ollama_messages(fields: &mut Fields) -> Result<Vec<Message>, ApiError> {
    read_all(fields, |mut message, _| {
        let role = known_role(&mut message)?;
        let mut read = Message::new(role, &message.text("content")?.unwrap_or_default());
        keep(&mut read, TOOL_CALLS, calls_of(&mut message, false)?);
        keep(
            &mut read,
            REASONING_KEYS[0],
            message.text("thinking")?.filter(|text| !text.is_empty()).map(Value::String),
        );
        let name = message.text("tool_name")?.or(message.text("name")?);
        keep(&mut read, "name", name.map(Value::String));
        keep(&mut read, "tool_call_id", message.text("tool_call_id")?.map(Value::String));
        message.neutral("images", &[json!([])], "the models here read text alone")?;
        message.finish().map(|()| read)
    })
}

fn read_all(
    fields: &mut Fields,
    read: impl Fn(Fields, &str) -> Result<Message, ApiError>,
) -> Result<Vec<Message>, ApiError> {
    let path = fields.path("messages");
    let list = fields.list("messages")?.ok_or_else(|| ApiError::missing(&path))?;
    let numbered = list.into_iter().enumerate();
    numbered
        .map(|(i, message)| {
            let path = format!("{path}[{i}]");
            read(Fields::of_value(&path, message)?, &path)
        })
        .collect()
}

fn known_role(message: &mut Fields) -> Result<&'static str, ApiError> {
    let role = message.required_text("role")?;
    match role.as_str() {
        // OpenAI's newer models call it so.
        "system" | "developer" => Ok("system"),
        "user" => Ok("user"),
        "assistant" => Ok("assistant"),
        "tool" => Ok("tool"),
        other => {
            let path = message.path("role");
            let known = "'system', 'developer', 'user', 'assistant' and 'tool'";
            Err(ApiError::invalid(
                &path,
                format!("Invalid '{path}': it is '{other}'; supported are {known}."),
            ))
        }
    }
}

/// A content that is a text, parts of text, or nothing.
fn content_of(message: &mut Fields) -> Result<Option<String>, ApiError> {
    let path = message.path("content");
    let parts = match message.take("content") {
        None => return Ok(None),
        Some(Value::String(text)) => return Ok(Some(text)),
        Some(Value::Array(parts)) => parts,
        Some(other) => return Err(ApiError::wrong_type(&path, "a string or an array of parts", &other)),
    };
    let mut content = String::new();
    for (i, part) in parts.into_iter().enumerate() {
        let mut part = Fields::of_value(&format!("{path}[{i}]"), part)?;
        let kind = part.required_text("type")?;
        if !TEXT_PARTS.contains(&kind.as_str()) {
            let why = format!("a part of type '{kind}' cannot be read, as the models here read text alone");
            return Err(ApiError::unsupported(&part.path("type"), &why));
        }
        content.push_str(&part.required_text("text")?);
        // Which part of the prompt a provider shall cache, and where an answer's words came from.
        part.ignore(&["cache_control", "annotations"]);
        part.finish()?;
    }
    Ok(Some(content))
}

/// The thoughts of an earlier answer, under any of the names that clients know.
fn reasoning_of(message: &mut Fields) -> Result<Option<Value>, ApiError> {
    let mut found = None;
    for key in REASONING_KEYS {
        let text = message.text(key)?.filter(|text| !text.is_empty());
        found = found.or(text);
    }
    Ok(found.map(Value::String))
}

/// The calls of an earlier answer, as templates take them: arguments are objects, which they print as JSON.
fn calls_of(message: &mut Fields, with_ids: bool) -> Result<Option<Value>, ApiError> {
    let path = message.path(TOOL_CALLS);
    let calls = message.list(TOOL_CALLS)?.unwrap_or_default();
    let mut read = Vec::new();
    for (i, call) in calls.into_iter().enumerate() {
        let mut call = Fields::of_value(&format!("{path}[{i}]"), call)?;
        let id = if with_ids { Some(call.required_text("id")?) } else { call.text("id")? };
        call.neutral("type", &[json!("function")], "only functions are called here")?;
        call.ignore(&["index"]);
        let mut function =
            call.object("function")?.ok_or_else(|| ApiError::missing(&call.path("function")))?;
        function.ignore(&["index"]);
        let name = function.required_text("name")?;
        let arguments = arguments_of(&mut function)?;
        function.finish()?;
        call.finish()?;
        let mut kept = json!({"type": "function", "function": {"name": name, "arguments": arguments}});
        if let Some(id) = id {
            kept["id"] = id.into();
        }
        read.push(kept);
    }
    Ok((!read.is_empty()).then_some(Value::Array(read)))
}

/// Arguments as an object, or as the JSON text of one; an answer that was cut may have left another text.
fn arguments_of(function: &mut Fields) -> Result<Value, ApiError> {
    let path = function.path("arguments");
    match function.take("arguments") {
        None => Ok(Value::Object(Map::new())),
        Some(object @ Value::Object(_)) => Ok(object),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(Value::Object(Map::new())),
        Some(Value::String(text)) => {
            let object = serde_json::from_str::<Map<String, Value>>(&text);
            Ok(object.map_or(Value::String(text), Value::Object))
        }
        Some(other) => Err(ApiError::wrong_type(&path, "the JSON text of an object", &other)),
    }
}

fn keep(message: &mut Message, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        message.extra.insert(key.to_string(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Vec<Message>, ApiError> {
        openai_messages(&mut Fields::of_body(body.as_bytes()).unwrap())
    }

    #[test]
    fn roles_parts_and_calls_are_read() {
        let messages = read(
            r#"{"messages": [
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "How warm is "}, {"type": "text", "text": "Oma?"}]},
                {"role": "assistant", "content": null, "refusal": null, "reasoning_content": "I ask.", "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "warmth", "arguments": "{\"place\": \"Oma\"}"}}]},
                {"role": "tool", "tool_call_id": "call_1", "content": "19"}
            ]}"#,
        )
        .unwrap();
        let plain: Vec<_> = messages.iter().map(|m| (m.role.as_str(), m.content.as_str())).collect();
        assert_eq!(
            plain,
            [("system", "Be brief."), ("user", "How warm is Oma?"), ("assistant", ""), ("tool", "19")]
        );
        let call = json!({
            "type": "function", "function": {"name": "warmth", "arguments": {"place": "Oma"}}, "id": "call_1"
        });
        assert_eq!(messages[2].extra["tool_calls"], json!([call]));
        assert_eq!(messages[2].extra["reasoning_content"], "I ask.");
        assert_eq!(messages[3].extra["tool_call_id"], "call_1");
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_path() {
        for (body, param) in [
            (r#"{}"#, "messages"),
            (r#"{"messages": "hi"}"#, "messages"),
            (r#"{"messages": ["hi"]}"#, "messages[0]"),
            (r#"{"messages": [{"content": "hi"}]}"#, "messages[0].role"),
            (r#"{"messages": [{"role": "", "content": "hi"}]}"#, "messages[0].role"),
            (r#"{"messages": [{"role": "user"}]}"#, "messages[0].content"),
            (r#"{"messages": [{"role": "user", "content": 5}]}"#, "messages[0].content"),
            (r#"{"messages": [{"role": "user", "content": "a", "mood": 1}]}"#, "messages[0].mood"),
            (r#"{"messages": [{"role": "tool", "content": "a"}]}"#, "messages[0].tool_call_id"),
            (
                r#"{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}"#,
                "messages[0].content[0].type",
            ),
            (
                r#"{"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "type": "function"}]}]}"#,
                "messages[0].tool_calls[0].function",
            ),
        ] {
            assert_eq!(read(body).unwrap_err().param.as_deref(), Some(param), "{body}");
        }
    }

    #[test]
    fn ollamas_messages_are_read() {
        let body = r#"{"messages": [
            {"role": "user", "content": "How warm is Oma?"},
            {"role": "assistant", "content": "", "thinking": "I ask.", "tool_calls": [
                {"function": {"name": "warmth", "arguments": {"place": "Oma"}}}]},
            {"role": "tool", "tool_name": "warmth", "content": "19"}]}"#;
        let messages = ollama_messages(&mut Fields::of_body(body.as_bytes()).unwrap()).unwrap();
        assert_eq!(messages[1].extra["tool_calls"][0]["function"]["arguments"], json!({"place": "Oma"}));
        assert_eq!(
            (&messages[1].extra["reasoning_content"], &messages[2].extra["name"]),
            (&json!("I ask."), &json!("warmth"))
        );
        let body = br#"{"messages": [{"role": "user", "content": "a", "images": ["aGk="]}]}"#;
        let error = ollama_messages(&mut Fields::of_body(body).unwrap()).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("messages[0].images"));
    }
}
