//! Preference pairs: two answers to one prompt, of which one is better, in the shapes of TRL, LLaMA-Factory and MiniMind.
//!
//! `chosen` and `rejected` are two whole conversations that begin alike, or two answers beside their prompt: texts,
//! messages or lists of them. The prompt is `prompt` (a text or messages), `conversations` or `messages`, or a question
//! as other rows have it (`instruction` with `input`, `question`, …), with an optional `history`, `system` and `tools`.
//! Tables may call the two answers `better` and `worse`, or `更好` and `更差`.

use serde_json::Value;

use super::conversation::{Conversation, Message, Preference};
use super::fields::{Fields, Notes};
use super::json::kind;
use super::message::parse_messages;
use super::pair::{asking, leave_untrained};
use super::parse::conversation;
use super::row::{Parsed, Row};
use super::shape::{MESSAGE_KEYS, PREFERENCE, QUESTIONS, preference_keys};
use super::unread::name_unread;
use crate::told::{Told, told};

/// The prompt that may be a text or a list of messages.
const PROMPT: &str = "prompt";

/// Reads one row.
///
/// # Errors
/// Why the row is no pair of answers to one prompt.
pub fn parse_preference(json: &Value) -> Result<Parsed, Told> {
    let Value::Object(all) = json else {
        return Err(told!(
            "row.no_pair_object",
            "expected an object with {chosen} and {rejected}, found {found}",
            chosen = PREFERENCE[0],
            rejected = PREFERENCE[1],
            found = kind(json)
        ));
    };
    let mut fields = Fields::new(all);
    let preference = read(&mut fields)?;
    Ok(Parsed::with(Row::Preference(preference), fields.finish()))
}

fn read(fields: &mut Fields) -> Result<Preference, Told> {
    let Some([chosen, rejected]) = preference_keys(|key| fields.has(key)) else {
        return Err(told!(
            "row.no_pair",
            "expected {chosen} and {rejected}, two answers to one prompt; found {found}",
            chosen = PREFERENCE[0],
            rejected = PREFERENCE[1],
            found = fields.found()
        ));
    };
    let [better, worse] = [answer(fields, chosen)?, answer(fields, rejected)?];
    let is_answer = |messages: &[Message]| messages.first().is_some_and(Message::is_assistant);
    let (mut prompt, better, worse) = match (is_answer(&better), is_answer(&worse)) {
        (true, true) => (prompt(fields)?, better, worse),
        (false, false) => {
            let parts = parted(better, worse)?;
            mark_repeated(fields, &parts);
            parts
        }
        _ => {
            return Err(told!(
                "row.pair_forms",
                "one of {chosen} and {rejected} is a whole conversation and the other an answer; give both alike",
                chosen,
                rejected
            ));
        }
    };
    leave_untrained(&mut prompt, &mut fields.notes);
    whole(prompt, better, worse, fields)
}

/// What stands under one of the two keys: a text is the assistant's.
fn answer(fields: &mut Fields, key: &'static str) -> Result<Vec<Message>, Told> {
    let at = |why: Told| told!("at", "{name}: {why}", name = key, why);
    match fields.value(key) {
        Some(Value::String(text)) => Ok(vec![Message::new("assistant", text)]),
        Some(Value::Array(list)) if !list.is_empty() => parse_messages(list, &mut fields.notes).map_err(at),
        Some(message @ Value::Object(_)) => {
            parse_messages(std::slice::from_ref(message), &mut fields.notes).map_err(at)
        }
        other => Err(told!(
            "row.pair_answer",
            "{key} must be a text, a message or a list of messages, found {found}",
            key,
            found = other.map_or(kind(&Value::Null), kind)
        )),
    }
}

/// The prompt beside two answers.
fn prompt(fields: &mut Fields) -> Result<Vec<Message>, Told> {
    let listed = MESSAGE_KEYS.into_iter().find(|key| fields.has(key));
    if let Some(key) = listed {
        let at = |why: Told| told!("at", "{name}: {why}", name = key, why);
        let list = fields.list(key)?;
        return parse_messages(&list, &mut fields.notes).map_err(at);
    }
    let asked = [PROMPT].into_iter().chain(QUESTIONS).find(|key| fields.has(key));
    match asked {
        Some(key) => asking(fields, key),
        None => Err(told!(
            "row.no_prompt",
            "{chosen} and {rejected} are answers, and what they answer is missing; give it as {prompt} or {messages}; \
             found {found}",
            chosen = PREFERENCE[0],
            rejected = PREFERENCE[1],
            prompt = PROMPT,
            messages = MESSAGE_KEYS[1],
            found = fields.found()
        )),
    }
}

type Parts = (Vec<Message>, Vec<Message>, Vec<Message>);

/// What two conversations share at their beginning, and what each goes on with: the assistant's at least.
fn parted(mut chosen: Vec<Message>, mut rejected: Vec<Message>) -> Result<Parts, Told> {
    let alike = chosen.iter().zip(&rejected).take_while(|(one, other)| one == other).count();
    // Of two that are equal, or of which one goes on, each keeps its last message.
    let shared = alike.min(chosen.len() - 1).min(rejected.len() - 1);
    let (chosen_rest, rejected_rest) = (chosen.split_off(shared), rejected.split_off(shared));
    let is_answer = |messages: &[Message]| messages.first().is_some_and(Message::is_assistant);
    match is_answer(&chosen_rest) && is_answer(&rejected_rest) {
        true => Ok((chosen, chosen_rest, rejected_rest)),
        false => Err(told!(
            "row.pair_parts",
            "{chosen} and {rejected} part at message {number}, which is not the assistant's: a pair is two answers to one \
             prompt",
            chosen = PREFERENCE[0],
            rejected = PREFERENCE[1],
            number = shared + 1
        )),
    }
}

/// What only repeats the prompt or the chosen conversation is read.
fn mark_repeated(fields: &mut Fields, (prompt, chosen, _): &Parts) {
    let is_prompt = |text: &str| prompt.iter().any(|message| message.content == text);
    for key in [PROMPT].into_iter().chain(QUESTIONS).chain(MESSAGE_KEYS) {
        let repeats = match fields.peek(key) {
            Some(Value::String(text)) => is_prompt(text),
            Some(Value::Array(list)) => parse_messages(list, &mut Notes::default())
                .is_ok_and(|messages| messages == *prompt || messages == [&prompt[..], &chosen[..]].concat()),
            _ => false,
        };
        if repeats {
            fields.value(key);
        }
    }
}

/// The pair with the `system` and `tools` that stand beside it, the roles of both conversations in order.
fn whole(
    prompt: Vec<Message>,
    chosen: Vec<Message>,
    rejected: Vec<Message>,
    fields: &mut Fields,
) -> Result<Preference, Told> {
    let answer = chosen.len();
    let Conversation { messages: mut prompt, tools } = conversation([prompt, chosen].concat(), fields)?;
    let chosen = prompt.split_off(prompt.len() - answer);
    let pair = Preference { prompt, chosen, rejected, tools };
    let [_, other] = pair.conversations();
    name_unread(&other.messages, &mut fields.notes);
    other.check_roles().map_err(|why| told!("at", "{name}: {why}", name = PREFERENCE[1], why))?;
    Ok(pair)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::RowWarning;
    use serde_json::json;

    fn user(content: &str) -> Value {
        json!({"role": "user", "content": content})
    }

    fn assistant(content: &str) -> Value {
        json!({"role": "assistant", "content": content})
    }

    /// Each part's messages as `role content weight`.
    fn shown(row: &Value) -> [String; 3] {
        let Row::Preference(pair) = parse_preference(row).unwrap().row else { panic!("{row}") };
        [pair.prompt, pair.chosen, pair.rejected].map(|messages| {
            let show = |m: &Message| format!("{} {} {}", m.role, m.content, m.weight);
            messages.iter().map(show).collect::<Vec<_>>().join("|")
        })
    }

    #[test]
    fn every_shape_gives_the_same_pair() {
        let (q, a, b) = (user("q"), assistant("a"), assistant("b"));
        let same = ["user q 1", "assistant a 1", "assistant b 1"];
        for row in [
            json!({"chosen": [q, a], "rejected": [q, b]}),
            json!({"prompt": "q", "chosen": "a", "rejected": "b"}),
            json!({"prompt": [q], "chosen": [a], "rejected": [b]}),
            json!({"prompt": "q", "chosen": [a], "rejected": b}),
            json!({"conversations": [{"from": "human", "value": "q"}],
                "chosen": {"from": "gpt", "value": "a"}, "rejected": {"from": "gpt", "value": "b"}}),
            json!({"messages": [q], "chosen": "a", "rejected": "b"}),
            json!({"instruction": "q", "input": "", "chosen": "a", "rejected": "b"}),
            json!({"question": "q", "chosen": "a", "rejected": "b"}),
            json!({"问题": "q", "chosen": "a", "rejected": "b"}),
            json!({"问题": "q", "更好的回答": "a", "更差的回答": "b"}),
            json!({"question": "q", "better answer": "a", "worse answer": "b"}),
            json!({"prompt": "q", "better": "a", "worse": "b"}),
            json!({"提问": "q", "更好": "a", "更差": "b"}),
            // Both repeat what stands in the conversations, as in UltraFeedback.
            json!({"prompt": "q", "messages": [q, a], "chosen": [q, a], "rejected": [q, b]}),
        ] {
            assert_eq!(shown(&row), same, "{row}");
            assert_eq!(parse_preference(&row).unwrap().unused, Vec::<String>::new(), "{row}");
        }
    }

    #[test]
    fn what_is_shared_is_the_prompt_and_is_not_trained() {
        let (q, a, b) = (user("q"), assistant("a"), assistant("b"));
        let turns = [user("p"), assistant("o"), q.clone()];
        let with = |answer: &Value| [&turns[..], std::slice::from_ref(answer)].concat();
        let row = json!({"chosen": with(&a), "rejected": with(&b), "system": "s"});
        assert_eq!(shown(&row)[0], "system s 1|user p 1|assistant o 0|user q 1");
        let history = json!({"instruction": "q", "history": [["p", "o"]], "chosen": "a", "rejected": "b"});
        assert_eq!(shown(&history)[0], "user p 1|assistant o 0|user q 1");
        let weighed = json!({"role": "assistant", "content": "o", "weight": 0.5});
        let row = json!({"prompt": [user("p"), weighed, q], "chosen": "a", "rejected": "b"});
        assert_eq!(parse_preference(&row).unwrap().warnings, [RowWarning::WeightWithoutEffect]);
        let tools = json!([{"type": "function", "function": {"name": "f"}}]);
        let row = json!({"prompt": "q", "chosen": "a", "rejected": "b", "tools": tools, "score": 2});
        let parsed = parse_preference(&row).unwrap();
        let Row::Preference(pair) = parsed.row else { panic!("{row}") };
        assert_eq!((pair.tools.clone(), parsed.unused), (Some(tools.clone()), vec!["score".to_string()]));
        let [chosen, rejected] = pair.conversations();
        assert_eq!((chosen.tools, rejected.tools), (Some(tools.clone()), Some(tools)));
        assert_eq!((chosen.messages.len(), rejected.messages[1].content.as_str()), (2, "b"));
    }

    #[test]
    fn answers_may_be_equal_or_go_on_and_an_empty_one_is_odd() {
        let (q, a) = (user("q"), assistant("a"));
        let equal = |row: &Value| match parse_preference(row).unwrap().row {
            Row::Preference(pair) => pair.is_equal(),
            _ => false,
        };
        assert!(equal(&json!({"chosen": [q, a], "rejected": [q, a]})));
        assert!(equal(&json!({"prompt": "q", "chosen": "a", "rejected": [a]})));
        assert!(!equal(&json!({"prompt": "q", "chosen": "a", "rejected": "a "})));
        let longer = json!({"chosen": [q, a, user("r"), assistant("c")], "rejected": [q, a]});
        assert_eq!(shown(&longer)[1..], ["assistant a 1|user r 1|assistant c 1", "assistant a 1"]);
        let row = json!({"prompt": "q", "chosen": "a", "rejected": " "});
        assert_eq!(parse_preference(&row).unwrap().warnings, [RowWarning::EmptyTurn]);
    }

    #[test]
    fn what_is_no_pair_is_named() {
        let (q, a, b) = (user("q"), assistant("a"), assistant("b"));
        for (row, reason) in [
            (json!([q, a]), "expected an object with chosen and rejected, found a list"),
            (
                json!({"prompt": "q", "chosen": "a"}),
                "expected chosen and rejected, two answers to one prompt; found keys prompt, chosen",
            ),
            (
                json!({"chosen": "a", "rejected": "b"}),
                "chosen and rejected are answers, and what they answer is missing; give it as prompt or messages; found \
                 keys chosen, rejected",
            ),
            (
                json!({"prompt": "q", "chosen": [q, a], "rejected": "b"}),
                "one of chosen and rejected is a whole conversation and the other an answer; give both alike",
            ),
            (
                json!({"chosen": [q, a], "rejected": [user("p"), b]}),
                "chosen and rejected part at message 1, which is not the assistant's: a pair is two answers to one prompt",
            ),
            (
                json!({"prompt": "q", "chosen": 3, "rejected": "b"}),
                "chosen must be a text, a message or a list of messages, found a number",
            ),
            (
                json!({"prompt": "q", "chosen": "a", "rejected": []}),
                "rejected must be a text, a message or a list of messages, found a list",
            ),
            (
                json!({"prompt": "q", "chosen": "a", "rejected": [b, b]}),
                "rejected: message 3 has role 'assistant' after 'assistant'; join the two into one message, or put what was \
                 asked between them",
            ),
            (
                json!({"prompt": "q", "chosen": [{"role": "assistant"}], "rejected": "b"}),
                "chosen: message 1: content is missing; found keys role",
            ),
        ] {
            assert_eq!(parse_preference(&row).map(|parsed| parsed.row), Err(reason.into()), "{row}");
        }
    }
}
