//! A message with other words in its place, and what two renderings have in common.

use serde_json::{Value, json};

use crate::error::Result;
use crate::text::{Message, TOOL_CALLS, function_of_mut};

/// Renders messages as text; `true` ends with the generation prompt.
pub(super) type Render<'a> = &'a dyn Fn(&[Message], bool) -> Result<String>;

/// Keys of a message that name the speaker; the others are what it says.
pub(super) const NOT_SAID: [&str; 1] = ["name"];

/// Two answers that begin and end with different characters, so that a change is seen exactly where it is.
pub(super) const PROBES: [&str; 2] = ["one", "two"];

/// The message with its content, its other texts and the tools that it calls replaced.
pub(super) fn replaced(message: &Message, probe: &str) -> Message {
    let mut replaced = Message { content: probe.to_string(), ..message.clone() };
    for (key, value) in replaced.extra.iter_mut() {
        match value {
            Value::String(text) if !NOT_SAID.contains(&key.as_str()) => *text = probe.to_string(),
            Value::Array(calls) if key == TOOL_CALLS => {
                calls.iter_mut().for_each(|call| other_call(call, probe))
            }
            _ => {}
        }
    }
    replaced
}

/// Calls another tool with other arguments; what else a template may check of a call, such as its id, stays.
fn other_call(call: &mut Value, probe: &str) {
    let Value::Object(call) = function_of_mut(call) else { return };
    if let Some(Value::String(name)) = call.get_mut("name") {
        *name = probe.to_string();
    }
    match call.get_mut("arguments") {
        Some(Value::String(text)) => *text = format!("{{\"{probe}\": \"{probe}\"}}"),
        Some(arguments @ Value::Object(_)) => *arguments = json!({probe: probe}),
        _ => {}
    }
}

/// The message with nothing but another content.
pub(super) fn bare(message: &Message, probe: &str) -> Message {
    let mut bare = Message { content: probe.to_string(), ..message.clone() };
    bare.extra.retain(|key, _| NOT_SAID.contains(&key.as_str()));
    bare
}

/// A message with marks around its text. The space around that stays outside, where templates trim it.
pub(super) fn marked(message: &Message, begin: char, end: char) -> Message {
    if message.is_assistant() {
        return message.clone();
    }
    let text = &message.content;
    let words = text.trim();
    let (before, behind) = text.split_at(text.len() - text.trim_start().len());
    let behind = &behind[words.len()..];
    Message { content: format!("{before}{begin}{words}{end}{behind}"), ..message.clone() }
}

/// Bytes two texts have in common at the start, whole characters only.
pub(super) fn common_prefix(left: &str, right: &str) -> usize {
    let equal = left.bytes().zip(right.bytes()).take_while(|(a, b)| a == b).count();
    left.floor_char_boundary(equal)
}

/// Bytes two texts have in common at the end, whole characters only.
pub(super) fn common_suffix(left: &str, right: &str) -> usize {
    let equal = left.bytes().rev().zip(right.bytes().rev()).take_while(|(a, b)| a == b).count();
    left.len() - left.ceil_char_boundary(left.len() - equal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_replaced_in_both_its_forms() {
        for arguments in [json!({"a": 1}), json!("{\"a\": 1}")] {
            let mut message = Message::new("assistant", "");
            let bare = json!({"name": "f", "arguments": arguments});
            message
                .extra
                .insert(TOOL_CALLS.into(), json!([bare, {"id": "x", "type": "function", "function": bare}]));
            let calls = replaced(&message, "one").extra[TOOL_CALLS].clone();
            let call = &calls[1]["function"];
            assert_eq!((&calls[0], &calls[1]["id"], &call["name"]), (call, &json!("x"), &json!("one")));
            let arguments = call["arguments"].as_str().map_or(call["arguments"].to_string(), str::to_string);
            assert!(arguments == r#"{"one":"one"}"# || arguments == r#"{"one": "one"}"#, "{arguments}");
        }
    }

    #[test]
    fn common_ends_are_whole_characters() {
        // U+4F60 and U+4F61 share two of their three bytes, U+00E9 and U+0169 the last one.
        assert_eq!(common_prefix("a你", "a佡"), 1);
        assert_eq!(common_suffix("éa", "ũa"), 1);
        assert_eq!(common_prefix("ab", "ab"), 2);
        assert_eq!(common_suffix("", "ab"), 0);
    }
}
