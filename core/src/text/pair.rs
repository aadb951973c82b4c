//! Rows of one question and its answer, as the turns that they mean.

use serde_json::Value;

use super::conversation::{Message, REASONING_KEYS};
use super::fields::{Fields, Notes};
use super::json::{is_blank, kind};
use super::message::parse_messages;
use super::warning::RowWarning;
use crate::told::{Told, told};

/// What may stand beside a question and belongs to it: Alpaca's `input`, Dolly's and SQuAD's `context`; `输入` in
/// Chinese.
const BESIDE: [&str; 3] = ["input", "context", "输入"];

/// The question that may be a list of messages, as TRL has it; its answer is one then, too.
const PROMPT: &str = "prompt";

/// The messages of a row with one question and answer, after the turns of its `history`.
///
/// # Errors
/// What stands there instead of a text or a list of messages.
pub(super) fn pair(
    fields: &mut Fields,
    question: &'static str,
    answer: &'static str,
) -> Result<Vec<Message>, Told> {
    let mut messages = asking(fields, question)?;
    match messages_under(fields, question, answer)? {
        Some(mut completion) => messages.append(&mut completion),
        None => {
            let mut said = Message::new("assistant", fields.text(answer)?);
            add_reasoning(&mut said, fields);
            messages.push(said);
        }
    }
    Ok(messages)
}

/// Puts the reasoning that stands beside a question and its answer to the answer.
fn add_reasoning(answer: &mut Message, fields: &mut Fields) {
    for key in REASONING_KEYS {
        if let Some(Value::String(text)) =
            fields.peek(key).filter(|value| !value.as_str().is_none_or(is_blank))
        {
            fields.value(key);
            answer.extra.insert(key.to_string(), text.as_str().into());
        }
    }
}

/// The turns of such a row up to its question.
///
/// # Errors
/// What stands there instead of a text or a list of messages.
pub(super) fn asking(fields: &mut Fields, question: &'static str) -> Result<Vec<Message>, Told> {
    let mut messages = history(fields)?;
    match messages_under(fields, question, question)? {
        Some(mut prompt) => {
            leave_untrained(&mut prompt, &mut fields.notes);
            messages.append(&mut prompt);
        }
        None => messages.push(Message::new("user", &asked(fields, question)?)),
    }
    Ok(messages)
}

fn history(fields: &mut Fields) -> Result<Vec<Message>, Told> {
    let mut messages = Vec::new();
    for (index, turn) in fields.list("history")?.iter().enumerate() {
        match turn.as_array().map(Vec::as_slice) {
            Some([Value::String(question), Value::String(answer)]) => {
                messages.extend([Message::new("user", question), Message::new("assistant", answer)]);
            }
            _ => {
                return Err(told!(
                    "row.history",
                    "history item {number} must be a pair of strings",
                    number = index + 1
                ));
            }
        }
    }
    Ok(messages)
}

/// The list of messages under `key`, if that is what stands there and the row is a prompt with its completion.
fn messages_under(
    fields: &mut Fields,
    question: &str,
    key: &'static str,
) -> Result<Option<Vec<Message>>, Told> {
    match fields.value(key) {
        Some(Value::Array(list)) if question == PROMPT => parse_messages(list, &mut fields.notes)
            .map(Some)
            .map_err(|why| told!("at", "{name}: {why}", name = key, why)),
        _ => Ok(None),
    }
}

/// Of a prompt and its completion only the completion is trained.
pub(super) fn leave_untrained(prompt: &mut [Message], notes: &mut Notes) {
    for message in prompt.iter_mut().filter(|message| message.is_assistant()) {
        // A weight of 1 may be one that nobody gave.
        if ![0.0, 1.0].contains(&message.weight) {
            notes.warn(RowWarning::WeightWithoutEffect);
        }
        message.weight = 0.0;
    }
}

/// The question with what stands beside it.
fn asked(fields: &mut Fields, question: &'static str) -> Result<String, Told> {
    let mut asked = fields.text(question)?.to_string();
    for key in BESIDE {
        let more = texts(fields, key)?;
        if !is_blank(&more) {
            asked = format!("{asked}\n{more}");
        }
    }
    Ok(asked)
}

/// A string, or a list of them one a line; empty where there is none.
fn texts(fields: &mut Fields, key: &'static str) -> Result<String, Told> {
    let wrong = |value: &Value| {
        told!(
            "row.not_strings",
            "{key} must be a string or a list of strings, found {found}",
            key,
            found = kind(value)
        )
    };
    match fields.value(key) {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Array(list)) => {
            let texts = list.iter().map(|item| item.as_str().ok_or_else(|| wrong(item)));
            Ok(texts.collect::<Result<Vec<&str>, Told>>()?.join("\n"))
        }
        Some(other) => Err(wrong(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Each message as its role, its content and its weight.
    fn read(row: Value, question: &'static str, answer: &'static str) -> Result<Vec<String>, Told> {
        let mut fields = Fields::new(row.as_object().unwrap());
        let messages = pair(&mut fields, question, answer)?;
        let unused = fields.finish().unused;
        assert!(unused.is_empty(), "{unused:?} of {row}");
        Ok(messages.iter().map(|m| format!("{} {:?} {}", m.role, m.content, m.weight)).collect())
    }

    #[test]
    fn what_stands_beside_a_question_belongs_to_it() {
        let long =
            json!({"q": "q", "a": "a", "input": "i", "context": ["c1", "c2"], "history": [["x", "y"]]});
        for (row, question, answer, expected) in [
            (
                json!({"指令": "q", "输入": "c", "输出": "a"}),
                "指令",
                "输出",
                &["user \"q\\nc\" 1", "assistant \"a\" 1"][..],
            ),
            (
                json!({"instruction": "q", "context": "c", "response": "a"}),
                "instruction",
                "response",
                &["user \"q\\nc\" 1", "assistant \"a\" 1"],
            ),
            (
                json!({"question": "q", "context": " ", "input": null, "answer": "a"}),
                "question",
                "answer",
                &["user \"q\" 1", "assistant \"a\" 1"],
            ),
            (
                long,
                "q",
                "a",
                &["user \"x\" 1", "assistant \"y\" 1", "user \"q\\ni\\nc1\\nc2\" 1", "assistant \"a\" 1"],
            ),
        ] {
            assert_eq!(read(row.clone(), question, answer).unwrap(), expected, "{row}");
        }
    }

    #[test]
    fn a_prompt_may_be_messages_of_which_none_is_trained() {
        let user = json!({"role": "user", "content": "q"});
        let shot = json!([user, {"role": "assistant", "content": "s"}, user]);
        let completion = json!([{"role": "assistant", "content": "a"}]);
        for answer in [completion, json!("a")] {
            let row = json!({"prompt": shot, "completion": answer});
            let expected = ["user \"q\" 1", "assistant \"s\" 0", "user \"q\" 1", "assistant \"a\" 1"];
            assert_eq!(read(row, "prompt", "completion").unwrap(), expected);
        }
        let row = json!({"prompt": "q", "response": [{"role": "assistant", "content": "a", "weight": 2}]});
        assert_eq!(read(row, "prompt", "response").unwrap(), ["user \"q\" 1", "assistant \"a\" 2"]);
    }

    #[test]
    fn what_is_no_pair_is_named() {
        for (row, question, answer, reason) in [
            (
                json!({"prompt": [{"role": "user"}], "completion": []}),
                "prompt",
                "completion",
                "prompt: message 1: content is missing; found keys role",
            ),
            (
                json!({"question": [], "answer": "a"}),
                "question",
                "answer",
                "question must be a string, found a list",
            ),
            (
                json!({"question": "q", "context": {"title": "t"}, "answer": "a"}),
                "question",
                "answer",
                "context must be a string or a list of strings, found an object",
            ),
            (
                json!({"q": "q", "input": ["x", 1], "a": "a"}),
                "q",
                "a",
                "input must be a string or a list of strings, found a number",
            ),
        ] {
            assert_eq!(read(row.clone(), question, answer), Err(reason.into()), "{row}");
        }
    }
}
