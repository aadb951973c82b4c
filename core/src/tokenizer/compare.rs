//! What a message says, seen by rendering the conversation with other words in its place.

use std::ops::Range;

use serde_json::{Value, json};

use super::landmarks::holds_another;
use crate::error::{Error, Result};
use crate::text::Message;

/// Renders messages as text; `true` ends with the generation prompt.
pub(super) type Render<'a> = &'a dyn Fn(&[Message], bool) -> Result<String>;

/// The key of a message's calls of tools.
const CALLS: &str = "tool_calls";

/// Keys of a message that name the speaker; the others are what it says.
const NOT_SAID: [&str; 1] = ["name"];

/// Two answers that begin and end with different characters, so that a change is seen exactly where it is.
pub(super) const PROBES: [&str; 2] = ["one", "two"];

const REMEDY: &str = "write {% generation %} before and {% endgeneration %} behind the assistant's words and their \
                      end token in the template";

/// The range of `whole` that changes with what message `index` says; `None` where the template does not print
/// it.
pub(super) fn said(
    render: Render,
    messages: &[Message],
    index: usize,
    whole: &str,
) -> Result<Option<Range<usize>>> {
    let (mut before, mut behind) = (whole.len(), whole.len());
    let (mut compared, mut failure) = (false, None);
    let mut probed = Vec::new();
    let mut changed = messages.to_vec();
    for (variant, probe) in variants(&messages[index]) {
        changed[index] = variant;
        match render(&changed, false) {
            Ok(other) => {
                compared = true;
                before = before.min(common_prefix(whole, &other));
                behind = behind.min(common_suffix(whole, &other));
                probed.extend(probe.map(|probe| (probe, other)));
            }
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        Some(error) if !compared => return Err(undecided(&error.to_string())),
        _ if before == whole.len() => return Ok(None),
        _ => {}
    }
    for (_, text) in &mut probed {
        *text = changed_part(text, (before, behind)).to_string();
    }
    if printed_twice(&probed) {
        return Err(undecided(&format!("it prints the words of message {} more than once", index + 1)));
    }
    // Only other words than the message's own can stand around something.
    let is_plain = messages[index].extra.keys().all(|key| NOT_SAID.contains(&key.as_str()));
    if is_plain && changes_more(&probed) && holds_another(render, messages, index, whole) {
        return Err(undecided(&format!(
            "what it prints of message {} stands before and behind another message",
            index + 1
        )));
    }
    Ok(Some(before..before.max(whole.len() - behind)))
}

/// The part of a rendering that it does not share: so many bytes before it and behind it are common to all.
pub(super) fn changed_part(text: &str, (before, behind): (usize, usize)) -> &str {
    text.len().checked_sub(behind).and_then(|end| text.get(before..end)).unwrap_or_default()
}

/// Whether each probe stands more than once in what changes with it.
pub(super) fn printed_twice(probed: &[(&str, String)]) -> bool {
    probed.len() == PROBES.len() && probed.iter().all(|(probe, part)| part.matches(probe).count() > 1)
}

/// Whether anything but a probe changes.
fn changes_more(probed: &[(&str, String)]) -> bool {
    probed.iter().any(|(probe, part)| !part.replacen(probe, "", 1).trim().is_empty())
}

/// The message with other words: nothing but another content, with the probe in it, and where that differs once more
/// with its other texts replaced.
fn variants(message: &Message) -> Vec<(Message, Option<&'static str>)> {
    let mut variants = Vec::new();
    for probe in PROBES {
        let (replaced, bare) = (replaced(message, probe), bare(message, probe));
        let differ = bare != replaced;
        variants.push((bare, Some(probe)));
        if differ {
            variants.push((replaced, None));
        }
    }
    variants
}

/// The message with its content, its other texts and the tools that it calls replaced.
pub(super) fn replaced(message: &Message, probe: &str) -> Message {
    let mut replaced = Message { content: probe.to_string(), ..message.clone() };
    for (key, value) in replaced.extra.iter_mut() {
        match value {
            Value::String(text) if !NOT_SAID.contains(&key.as_str()) => *text = probe.to_string(),
            Value::Array(calls) if key == CALLS => calls.iter_mut().for_each(|call| other_call(call, probe)),
            _ => {}
        }
    }
    replaced
}

/// Calls another tool with other arguments; what else a template may check of a call, such as its id, stays.
fn other_call(call: &mut Value, probe: &str) {
    // OpenAI's form holds the call in `function`.
    let call = match call.get("function").is_some_and(Value::is_object) {
        true => &mut call["function"],
        false => call,
    };
    let Value::Object(call) = call else { return };
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

pub(super) fn undecided(why: &str) -> Error {
    Error::Template(format!(
        "the chat template does not show where the assistant's words begin and end ({why}); {REMEDY}"
    ))
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
                .insert(CALLS.into(), json!([bare, {"id": "x", "type": "function", "function": bare}]));
            let calls = replaced(&message, "one").extra[CALLS].clone();
            let call = &calls[1]["function"];
            assert_eq!((&calls[0], &calls[1]["id"], &call["name"]), (call, &json!("x"), &json!("one")));
            let arguments = call["arguments"].as_str().map_or(call["arguments"].to_string(), str::to_string);
            assert!(arguments == r#"{"one":"one"}"# || arguments == r#"{"one": "one"}"#, "{arguments}");
        }
    }

    /// What message 2 says under a template given as a function, or why that is not known.
    fn said_of_second(style: &dyn Fn(&[Message]) -> String, words: &str) -> String {
        let turns = [("user", "q"), ("assistant", words), ("user", "r"), ("assistant", "b")];
        let messages = turns.map(|(role, content)| Message::new(role, content));
        let render = |messages: &[Message], _: bool| Ok(style(messages));
        let whole = style(&messages);
        match said(&render, &messages, 1, &whole) {
            Ok(found) => found.map_or("nothing".to_string(), |bytes| whole[bytes].to_string()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn words_that_are_printed_twice_are_no_single_place() {
        let each =
            |messages: &[Message]| messages.iter().map(|m| format!("<{}>", m.content)).collect::<String>();
        let answers = |messages: &[Message]| {
            messages
                .iter()
                .filter(|m| m.is_assistant())
                .map(|m| m.content.as_str())
                .collect::<Vec<_>>()
                .join(",")
        };
        for words in ["a", "one", "two one", ""] {
            assert_eq!(said_of_second(&each, words), words);
            let first = said_of_second(&|m: &[Message]| answers(m) + &each(m), words);
            let last = said_of_second(&|m: &[Message]| each(m) + &answers(m), words);
            for refused in [first, last] {
                assert!(refused.contains("the words of message 2 more than once"), "{words}: {refused}");
                assert!(refused.contains("{% generation %}"), "{refused}");
            }
        }
        let length = |messages: &[Message]| format!("{}{}", messages[1].content.len(), each(messages));
        assert!(said_of_second(&length, "a long answer").contains("before and behind another message"));
        // A word that only answers of some kinds bring stands beside them.
        let thinking = |messages: &[Message]| each(messages).replace("<a>", "<thought a>");
        assert_eq!(said_of_second(&thinking, "a"), "thought a");
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
