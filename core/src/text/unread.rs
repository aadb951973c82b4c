//! The keys of messages and of their calls that nothing reads, named.

use serde_json::Value;

use super::conversation::{Message, REASONING_KEYS, TOOL_CALLS};
use super::fields::{Notes, counts, tells};

/// Keys of a message that stand for what it is or calls, and those of reasoning; what templates print of these shows
/// where they are rendered.
const LABELS: [&str; 3] = ["name", "tool_call_id", "tool_calls"];

/// Names the keys of messages that only a template which looks for them reads.
pub(super) fn name_unread(messages: &[Message], notes: &mut Notes) {
    for (key, value) in messages.iter().flat_map(|message| &message.extra) {
        let known = LABELS.contains(&key.as_str()) || REASONING_KEYS.contains(&key.as_str());
        if !known && tells(key, value) {
            notes.unused_of_message(key);
        }
    }
    name_unread_of_calls(messages, notes);
}

/// Names what stands beside the name and the arguments of a call and reads as if it acted.
fn name_unread_of_calls(messages: &[Message], notes: &mut Notes) {
    let calls = messages.iter().filter_map(|message| message.extra.get(TOOL_CALLS)?.as_array()).flatten();
    for call in calls {
        let function = call.get("function").filter(|function| function.is_object());
        for (key, value) in
            [Some(call), function].into_iter().flatten().filter_map(Value::as_object).flatten()
        {
            let is_read = ["function", "arguments", "parameters"].contains(&key.as_str());
            if !is_read && counts(key, value) {
                notes.unused(&format!("{key} of a tool call"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::message::parse_messages;
    use serde_json::json;

    #[test]
    fn keys_that_nothing_reads_are_named() {
        let list = json!([
            {"role": "user", "content": "q", "note": "n", "id": 7, "lang": " "},
            {"role": "assistant", "content": "a", "mask": 0, "name": "x", "reasoning": "r", "seen": true},
            {"from": "gpt", "value": "b", "masked": false, "loss": 0, "thought": {"text": "t"}, "note": "m"},
        ]);
        let mut notes = Notes::default();
        let messages = parse_messages(list.as_array().unwrap(), &mut notes).unwrap();
        name_unread(&messages, &mut notes);
        let named = ["note", "mask", "seen", "masked", "thought"].map(|key| format!("{key} of a message"));
        assert_eq!(notes.unused, named);
    }

    #[test]
    fn what_stands_beside_a_call_is_named() {
        let mut notes = Notes::default();
        let function = json!({"name": "f", "arguments": {"weight": 3}, "loss": false});
        let calls = json!([{"id": "x", "index": 0, "type": "function", "function": function, "weight": 0}]);
        let list = [json!({"role": "assistant", "content": "a", "tool_calls": calls})];
        let messages = parse_messages(&list, &mut notes).unwrap();
        name_unread(&messages, &mut notes);
        assert_eq!(notes.unused, ["weight of a tool call", "loss of a tool call"]);
    }
}
