//! One row of a data file: whatever shape its JSON has, it is a document or a conversation (`preference.rs` reads pairs).
//!
//! The shapes: `text`; `conversations` or `messages` (also ShareGPT's `from`/`value`, and a bare list of messages);
//! pairs such as `instruction`, `input`, `output` or `prompt`, `completion`, with an optional `history`. Every
//! conversation may have `system` and `tools` beside it.

use serde_json::{Map, Value};

use super::conversation::{Conversation, Message};
use super::fields::{Fields, Notes};
use super::json::{is_blank, kind};
use super::message::parse_messages;
use super::pair::pair;
use super::row::{Parsed, Row};
use super::shape::{MESSAGE_KEYS, PREFERENCE, RowShape};
use super::tools::{read_tools, tools_of_functions};
use super::unread::name_unread;
use crate::told::{Told, told};

/// Reads one row.
///
/// # Errors
/// Why the row cannot be used, naming the keys found; a row whose roles are out of order is such a row.
pub fn parse_row(json: &Value) -> Result<Parsed, Told> {
    match json {
        Value::Object(all) => {
            let mut fields = Fields::new(all);
            let row = parse_object(&mut fields)?;
            Ok(Parsed::with(row, fields.finish()))
        }
        Value::Array(list) => {
            let none = Map::new();
            let mut fields = Fields::new(&none);
            let messages = parse_messages(list, &mut fields.notes)?;
            let row = conversation(messages, &mut fields)?;
            Ok(Parsed::with(Row::Conversation(row), fields.finish()))
        }
        other => Err(told!(
            "row.kind",
            "expected an object or a list of messages, found {found}",
            found = kind(other)
        )),
    }
}

/// Reads one row as the document under this key, whatever else it holds.
///
/// # Errors
/// Why there is no text under it.
pub fn parse_text_column(json: &Value, key: &str) -> Result<Parsed, Told> {
    let Value::Object(all) = json else {
        return Err(told!(
            "row.no_object",
            "expected an object with {key}, found {found}",
            key,
            found = kind(json)
        ));
    };
    let mut fields = Fields::new(all);
    let row = Row::Document(fields.text(key)?.to_string());
    Ok(Parsed::with(row, fields.finish()))
}

fn parse_object(fields: &mut Fields) -> Result<Row, Told> {
    let messages = match RowShape::find(|key| fields.has(key), || fields.found())? {
        RowShape::Text => return Ok(Row::Document(fields.text("text")?.to_string())),
        RowShape::Messages(_) => messages(fields)?,
        RowShape::Pair { question, answer } => pair(fields, question, answer)?,
        RowShape::Preference => {
            return Err(told!(
                "row.preference",
                "a preference pair ({chosen}, {rejected}) is not read here; train on it with `dpo`, or give messages, or \
                 prompt + completion",
                chosen = PREFERENCE[0],
                rejected = PREFERENCE[1]
            ));
        }
    };
    conversation(messages, fields).map(Row::Conversation)
}

/// The messages of a row: under one of their keys, or the same under both.
fn messages(fields: &mut Fields) -> Result<Vec<Message>, Told> {
    let [first, second] = MESSAGE_KEYS;
    let lists = [fields.list(first)?, fields.list(second)?];
    let [one, two] = match lists.each_ref().map(Vec::is_empty) {
        [false, false] => lists,
        [true, _] => return parse_messages(&lists[1], &mut fields.notes),
        [_, true] => return parse_messages(&lists[0], &mut fields.notes),
    };
    let messages = parse_messages(&one, &mut fields.notes)?;
    match parse_messages(&two, &mut Notes::default()) {
        Ok(same) if same == messages => Ok(messages),
        _ => Err(told!(
            "row.two_lists",
            "{first} and {second} are both there and differ; keep one of them",
            first,
            second
        )),
    }
}

/// A conversation of these messages with the `system` and `tools` that stand beside them.
pub(super) fn conversation(mut messages: Vec<Message>, fields: &mut Fields) -> Result<Conversation, Told> {
    add_system(&mut messages, fields)?;
    // MiniMind keeps the tools, as JSON text, on the system message.
    let of_message = match messages.first_mut() {
        Some(first) if first.role == "system" => first.extra.shift_remove("tools"),
        _ => None,
    };
    let tools = match (read_tools(fields.value("tools"))?, read_tools(of_message.as_ref())?) {
        (Some(one), Some(two)) if one != two => {
            return Err(told!(
                "row.two_tools",
                "the row and its system message have different tools; keep one of them"
            ));
        }
        (None, None) => functions(fields),
        (one, two) => one.or(two),
    };
    name_unread(&messages, &mut fields.notes);
    let conversation = Conversation { messages, tools };
    conversation.check_roles()?;
    Ok(conversation)
}

/// OpenAI's `functions`, which came before `tools`.
fn functions(fields: &mut Fields) -> Option<Value> {
    const KEY: &str = "functions";
    let list = fields.peek(KEY)?.as_array().filter(|list| list.iter().all(Value::is_object))?;
    fields.value(KEY);
    tools_of_functions(list)
}

/// Puts the `system` beside the messages before them, unless a system message is there already.
fn add_system(messages: &mut Vec<Message>, fields: &mut Fields) -> Result<(), Told> {
    const KEY: &str = "system";
    match messages.first().filter(|message| message.role == "system") {
        // A text that differs stays unread, and is named.
        Some(same) if fields.peek(KEY).and_then(Value::as_str) == Some(same.content.as_str()) => {
            fields.value(KEY);
        }
        Some(_) => {}
        None => {
            let system = fields.optional_text(KEY)?;
            if !is_blank(system) {
                messages.insert(0, Message::new("system", system));
            }
        }
    }
    Ok(())
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
            other => panic!("no conversation: {other:?}"),
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
            json!({"问题": "q", "答案": "a"}),
            json!({"提问": "q", "回答": "a"}),
            json!({"指令": "q", "输入": "", "输出": "a"}),
            json!({"用户": "q", "助手": "a"}),
        ] {
            expect(row, &same);
        }
    }

    #[test]
    fn text_is_a_document() {
        let parsed = parse_row(&json!({"text": "once", "id": 4})).unwrap();
        let row = Row::Document("once".to_string());
        assert_eq!(parsed, Parsed::new(row.clone()));
        let other = parse_text_column(&json!({"body": "once", "text": "upon", "id": "x"}), "body").unwrap();
        assert_eq!(other, Parsed { unused: vec!["text".into(), "id".into()], ..Parsed::new(row) });
        for (json, reason) in [
            (json!({"text": "x"}), "body is missing; found keys text"),
            (json!({"body": 1}), "body must be a string, found a number"),
            (json!(["x"]), "expected an object with body, found a list"),
        ] {
            assert_eq!(parse_text_column(&json, "body"), Err(reason.into()));
        }
    }

    #[test]
    fn what_nothing_uses_is_named() {
        let messages = json!([{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]);
        for (row, unused) in [
            (json!({"text": "t", "source": "web", "score": 3, "id": 3}), &["source", "score"][..]),
            (json!({"instruction": "q", "context": "c", "response": "a", "category": "qa"}), &["category"]),
            (json!({"prompt": "q", "completion": "a", "response": "b"}), &["response"]),
            (
                json!({"messages": messages, "prompt": "p", "chosen": [{"content": "c"}]}),
                &["prompt", "chosen"],
            ),
            (json!({"messages": messages, "system": "s", "tools": []}), &[]),
            (json!({"messages": messages, "system": "other"}), &["system"]),
            (
                json!({"messages": [{"role": "user", "content": "q", "mask": 0}], "note": "n"}),
                &["mask of a message", "note"],
            ),
            (
                json!({"messages": messages, "tools": [{"a": "b"}], "functions": [{"name": "f"}]}),
                &["functions"],
            ),
        ] {
            assert_eq!(parse_row(&row).unwrap().unused, unused, "{row}");
        }
    }

    #[test]
    fn two_lists_of_messages_must_be_the_same() {
        let messages = json!([{"role": "user", "content": "q"}]);
        let shared = json!([{"from": "human", "value": "q"}]);
        for (one, two) in [(&messages, &shared), (&json!([]), &messages), (&shared, &json!(null))] {
            expect(json!({"messages": one, "conversations": two}), &[("user", "q")]);
        }
        let other = json!([{"role": "user", "content": "p"}]);
        assert_eq!(
            parse_row(&json!({"messages": messages, "conversations": other})).map(|p| p.row),
            Err("conversations and messages are both there and differ; keep one of them".into())
        );
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
        let row = json!({"messages": [user], "functions": [{"name": "f"}]});
        let Row::Conversation(conversation) = parse_row(&row).unwrap().row else { panic!("a document") };
        assert_eq!(conversation.tools, Some(tools.clone()));
        let system = json!({"role": "system", "content": "s", "tools": "[{\"name\": \"g\"}]"});
        let differ = parse_row(&json!({"messages": [system, user], "tools": tools})).unwrap_err();
        assert!(differ.ends_with("different tools; keep one of them"), "{differ}");
    }

    #[test]
    fn a_bad_row_says_what_was_found() {
        for (row, reason) in [
            (
                json!({"instruction": "q", "output": null}),
                "instruction needs output or response beside it; found keys instruction, output (null)",
            ),
            (
                json!({"prompt": "q", "chosen": "a", "rejected": "b"}),
                "a preference pair (chosen, rejected) is not read here; train on it with `dpo`, or give messages, or prompt \
                 + completion",
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
                "message 2 has role 'user' after 'user'; join the two into one message, or put the answer between them",
            ),
        ] {
            assert_eq!(parse_row(&row).map(|p| p.row), Err(reason.into()), "{row}");
        }
        let reason = parse_row(&json!({"a": 1, "b": 2})).unwrap_err();
        assert!(reason.starts_with("expected one of text, conversations, messages, "), "{reason}");
        assert!(reason.contains("; found keys a, b; "), "{reason}");
        assert!(reason.ends_with("with --text-column"), "{reason}");
    }
}
