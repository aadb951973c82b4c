//! What a conversation holds and the chat template does not print, found after rendering: it is counted and named, and
//! an answer that nothing is left of is refused.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::compare::{Render, said};
use super::landmarks::Landmarks;
use crate::error::{Error, Result};
use crate::text::Message;

/// A conversation that is odd but usable, as shows where it is rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RenderWarning {
    /// The descriptions of the tools are not printed.
    ToolsLeftOut,
    /// A call of a tool is not printed.
    ToolCallLeftOut,
    /// The reasoning of a message is not printed.
    ReasoningLeftOut,
    /// The text of a message is not printed, or in part only, or changed.
    TextLeftOut,
    /// A message's own text holds a special token.
    SpecialTokenInText,
}

impl fmt::Display for RenderWarning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::ToolsLeftOut => "the chat template prints no descriptions of tools",
            Self::ToolCallLeftOut => "the chat template leaves out the call of a tool",
            Self::ReasoningLeftOut => "the chat template leaves out the reasoning of a message",
            Self::TextLeftOut => "the chat template leaves out or changes a part of a message's text",
            Self::SpecialTokenInText => "a message's own text holds a special token, which is read as one",
        })
    }
}

/// Where a message keeps the calls of tools, and its reasoning.
const CALLS: [&str; 2] = ["tool_calls", "function_call"];
const REASONING: [&str; 3] = ["reasoning_content", "reasoning", "thinking"];

/// Texts that are looked for in all of a rendering because they do not follow the one before.
const OUT_OF_ORDER: usize = 100;

/// What the messages hold and `whole`, which is `messages` rendered, does not.
///
/// # Errors
/// A message that would train an empty answer, though it holds something.
pub(super) fn of_messages(render: Render, messages: &[Message], whole: &str) -> Result<Vec<RenderWarning>> {
    let extras = Extras::of(render, messages, whole);
    let mut warnings: Vec<RenderWarning> = extras.left_out.iter().copied().collect();
    if !texts_stand_in(whole, messages) {
        warnings.push(RenderWarning::TextLeftOut);
    }
    if warnings.is_empty() {
        return Ok(warnings);
    }
    let landmarks = Landmarks::find(render, messages, whole);
    for (index, message) in messages.iter().enumerate() {
        let text = message.content.trim();
        let printed = if text.is_empty() { !extras.unprinted.contains(&index) } else { whole.contains(text) };
        if printed || !message.is_assistant() || message.weight == 0.0 {
            continue;
        }
        let said = match landmarks.as_ref().and_then(|landmarks| landmarks.room(index)) {
            Some(room) => Some(room.said.clone()),
            None => said(render, messages, index, whole).ok().flatten(),
        };
        if said.is_some_and(|said| whole[said].trim().is_empty()) {
            return Err(emptied(index, text.is_empty()));
        }
    }
    Ok(warnings)
}

fn emptied(index: usize, blank: bool) -> Error {
    let what = if blank { "calls of tools or reasoning" } else { "a text" };
    Error::Template(format!(
        "message {} holds {what} of which the chat template prints nothing, and an empty answer would be trained; use \
         a template that prints it (--chat-template FILE), give the message \"weight\": 0, or leave the row out",
        index + 1
    ))
}

/// Whether all texts of the messages stand in a rendering, spaces and line breaks aside.
fn texts_stand_in(whole: &str, messages: &[Message]) -> bool {
    let (mut at, mut out_of_order) = (0, 0);
    let mut squeezed = None;
    messages.iter().map(|message| message.content.trim()).all(|text| {
        if let Some(found) = whole[at..].find(text) {
            at += found + text.len();
            return true;
        }
        out_of_order += 1;
        out_of_order > OUT_OF_ORDER
            || whole.contains(text)
            || squeezed.get_or_insert_with(|| squeeze(whole)).contains(&squeeze(text))
    })
}

fn squeeze(text: &str) -> String {
    text.chars().filter(|character| !character.is_whitespace()).collect()
}

/// What a template does not print of what messages hold beside their texts.
#[derive(Default)]
struct Extras {
    /// Of which kind.
    left_out: BTreeSet<RenderWarning>,
    /// The messages of which it prints none.
    unprinted: BTreeSet<usize>,
}

impl Extras {
    /// Renders the messages once more, with a word of its own in place of each.
    fn of(render: Render, messages: &[Message], whole: &str) -> Self {
        let unused = (0..).map(|i| format!("probe{i}n")).find(|word| !whole.contains(word.as_str()));
        let mut probes = Probes { word: unused.unwrap_or_default(), places: Vec::new() };
        let mut probed = messages.to_vec();
        probed.iter_mut().enumerate().for_each(|(index, message)| probes.put_into(index, message));
        match probes.places.is_empty() {
            true => Self::default(),
            // A template that refuses the words reads what they replace.
            false => render(&probed, false).map(|text| probes.missing(&text)).unwrap_or_default(),
        }
    }
}

/// Words in place of what messages hold beside their texts.
struct Probes {
    /// How each begins; its number follows.
    word: String,
    /// The message of each, and what it is put in place of.
    places: Vec<(usize, RenderWarning)>,
}

impl Probes {
    fn put_into(&mut self, index: usize, message: &mut Message) {
        for key in CALLS {
            match message.extra.get_mut(key) {
                Some(Value::Array(calls)) => calls.iter_mut().for_each(|call| self.rename(index, call)),
                Some(call) => self.rename(index, call),
                None => {}
            }
        }
        for key in REASONING {
            if let Some(value) = message.extra.get_mut(key)
                && value.as_str().is_some_and(|text| !text.trim().is_empty())
            {
                *value = self.next(index, RenderWarning::ReasoningLeftOut);
            }
        }
    }

    /// Gives the call of a tool another name, whether it holds its function or is one.
    fn rename(&mut self, index: usize, call: &mut Value) {
        let function = match call.get("function").is_some_and(Value::is_object) {
            true => &mut call["function"],
            false => call,
        };
        if let Value::Object(function) = function {
            function.insert("name".to_string(), self.next(index, RenderWarning::ToolCallLeftOut));
        }
    }

    fn next(&mut self, index: usize, kind: RenderWarning) -> Value {
        self.places.push((index, kind));
        format!("{}{}e", self.word, self.places.len() - 1).into()
    }

    /// What those were put in place of that do not stand in a text.
    fn missing(&self, text: &str) -> Extras {
        let behind = text.split(self.word.as_str()).skip(1);
        let numbers = behind.filter_map(|behind| behind.split_once('e')?.0.parse::<usize>().ok());
        let seen: BTreeSet<usize> = numbers.collect();
        let mut extras = Extras::default();
        for (number, &(_, kind)) in self.places.iter().enumerate() {
            if !seen.contains(&number) {
                extras.left_out.insert(kind);
            }
        }
        let printed: BTreeSet<usize> =
            seen.iter().filter_map(|&number| self.places.get(number)).map(|&(index, _)| index).collect();
        let holders = self.places.iter().map(|&(index, _)| index);
        extras.unprinted = holders.filter(|index| !printed.contains(index)).collect();
        extras
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The warnings for a template that prints of each message what `print` gives, or why it is refused.
    fn warnings(messages: &[Message], print: impl Fn(&Message) -> String) -> Result<Vec<RenderWarning>> {
        let render = |messages: &[Message], _: bool| -> Result<String> {
            Ok(messages.iter().map(|m| format!("<{}>{}</s>", m.role, print(m))).collect())
        };
        of_messages(&render, messages, &render(messages, false)?)
    }

    fn text(message: &Message) -> String {
        message.content.clone()
    }

    fn all(message: &Message) -> String {
        let reasoning = message.extra.get("reasoning_content").and_then(Value::as_str).unwrap_or_default();
        let calls = message.extra.get("tool_calls").map(Value::to_string).unwrap_or_default();
        format!("{reasoning}|{}|{calls}", message.content)
    }

    fn talk(answer: &str, extra: Value) -> Vec<Message> {
        let mut message = Message::new("assistant", answer);
        message.extra = extra.as_object().cloned().unwrap_or_default();
        vec![Message::new("user", "q"), message, Message::new("user", "so"), Message::new("assistant", "b")]
    }

    fn calls() -> Value {
        json!({"tool_calls": [{"function": {"name": "f", "arguments": {}}}, {"name": "g"}]})
    }

    #[test]
    fn what_is_printed_gives_no_warning() {
        let both = json!({"reasoning_content": "why", "tool_calls": [{"name": "f"}], "name": "Bo"});
        for extra in [json!({}), calls(), both, json!({"reasoning_content": " "})] {
            assert!(warnings(&talk("a", extra), all).unwrap().is_empty());
        }
        let spaced = |m: &Message| m.content.replace(", ", ",\n\n");
        assert!(warnings(&talk("a, b, c", json!({})), spaced).unwrap().is_empty(), "only spaces differ");
        let blank = talk("a", json!({"reasoning_content": "\n"}));
        assert!(warnings(&blank, text).unwrap().is_empty(), "blanks are none");
    }

    #[test]
    fn what_is_left_out_beside_an_answer_is_named() {
        use RenderWarning::{ReasoningLeftOut, TextLeftOut, ToolCallLeftOut};
        assert_eq!(warnings(&talk("a", calls()), text).unwrap(), [ToolCallLeftOut]);
        let old = json!({"function_call": {"name": "f", "arguments": "{}"}});
        assert_eq!(warnings(&talk("a", old), text).unwrap(), [ToolCallLeftOut]);
        assert_eq!(
            warnings(&talk("a", json!({"reasoning_content": "w"})), text).unwrap(),
            [ReasoningLeftOut]
        );
        let first_call = |m: &Message| {
            let call = m.extra.get("tool_calls").map(|calls| calls[0].to_string());
            format!("{}{}", m.content, call.unwrap_or_default())
        };
        assert_eq!(warnings(&talk("a", calls()), first_call).unwrap(), [ToolCallLeftOut], "one of two");
        let answer_only = |m: &Message| m.content.rsplit("</think>").next().unwrap_or_default().to_string();
        assert_eq!(warnings(&talk("<think>w</think>a", json!({})), answer_only).unwrap(), [TextLeftOut]);
    }

    #[test]
    fn an_answer_that_nothing_is_left_of_is_refused() {
        let refused = |messages: &[Message], print: fn(&Message) -> String| {
            warnings(messages, print).map_or_else(|error| error.to_string(), |found| format!("{found:?}"))
        };
        let answer_only: fn(&Message) -> String =
            |m| m.content.rsplit("</think>").next().unwrap_or_default().to_string();
        for error in [
            refused(&talk("", calls()), text),
            refused(&talk(" ", json!({"reasoning_content": "w"})), text),
            refused(&talk("<think>w</think>", json!({})), answer_only),
        ] {
            assert!(error.contains("message 2 holds") && error.contains("--chat-template"), "{error}");
        }
        let mut untrained = talk("", calls());
        untrained[1].weight = 0.0;
        assert_eq!(refused(&untrained, text), "[ToolCallLeftOut]", "nothing is trained of it");
        assert_eq!(refused(&talk("", json!({})), text), "[]", "an answer that is empty in the row");
        let mut long = talk("", calls());
        (0..9).for_each(|_| long.extend(talk("a", json!({}))));
        assert!(refused(&long, text).contains("message 2 holds"), "found among many turns");
    }
}
