//! What a conversation holds and the chat template does not print, found after rendering: it is counted and named, and
//! an answer that nothing is left of is refused.

use serde_json::Value;

use super::landmarks::Rendering;
use super::probes::{Missing, Probes};
use super::render_warning::RenderWarning;
use crate::error::{Error, Result};
use crate::text::Message;

/// Texts that are looked for in all of a rendering because they do not follow the one before.
const OUT_OF_ORDER: usize = 100;

/// What the messages of a rendering hold and it does not show.
///
/// # Errors
/// A message that would train an empty answer, though it holds something.
pub(super) fn of_messages(rendering: &Rendering) -> Result<Vec<RenderWarning>> {
    let (messages, whole) = (rendering.messages, rendering.whole);
    let missing = beside_texts(rendering);
    let mut warnings: Vec<RenderWarning> = missing.kinds.iter().copied().collect();
    if !texts_stand_in(whole, messages) {
        warnings.push(RenderWarning::TextLeftOut);
    }
    if warnings.is_empty() {
        return Ok(warnings);
    }
    for (index, message) in messages.iter().enumerate() {
        let text = message.content.trim();
        let printed = if text.is_empty() { !missing.messages.contains(&index) } else { whole.contains(text) };
        if printed || !message.is_assistant() || message.weight == 0.0 {
            continue;
        }
        let said = rendering.said(index).ok().flatten();
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

/// What a template does not print of what messages hold beside their texts: they are rendered once more, with a word of
/// its own in place of each.
fn beside_texts(rendering: &Rendering) -> Missing {
    let mut probes = Probes::unused_in(rendering.whole);
    let mut probed = rendering.messages.to_vec();
    probed.iter_mut().enumerate().for_each(|(index, message)| probes.put_into(index, message));
    match probes.is_empty() {
        true => Missing::default(),
        // A template that refuses the words reads what they replace.
        false => (rendering.render)(&probed, false).map(|text| probes.missing(&text)).unwrap_or_default(),
    }
}

/// What a template does not print of the tools that a conversation may call; `render` renders its messages with other
/// tools, and `whole` is the rendering with these.
pub(super) fn of_tools(
    render: &dyn Fn(Option<&Value>) -> Result<String>,
    tools: &Value,
    whole: &str,
) -> Vec<RenderWarning> {
    if render(None).is_ok_and(|without| without == whole) {
        return vec![RenderWarning::ToolsLeftOut];
    }
    let mut probes = Probes::unused_in(whole);
    let mut probed = tools.clone();
    let list = probed.as_array_mut().into_iter().flatten();
    list.for_each(|tool| probes.put_into_tool(tool));
    if probes.is_empty() {
        return Vec::new();
    }
    render(Some(&probed)).map(|text| probes.missing(&text).kinds.into_iter().collect()).unwrap_or_default()
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
        of_messages(&Rendering::new(&render, messages, &render(messages, false)?))
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
    fn parts_that_are_left_out_are_named() {
        use RenderWarning::{
            CallArgumentsLeftOut, ToolDescriptionLeftOut, ToolParametersLeftOut, ToolsLeftOut,
        };
        let call = json!({"tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]});
        let names = |m: &Message| {
            let calls = m.extra.get("tool_calls").map(|calls| calls[0]["function"]["name"].to_string());
            format!("{}{}", m.content, calls.unwrap_or_default())
        };
        assert_eq!(warnings(&talk("a", call.clone()), names).unwrap(), [CallArgumentsLeftOut]);
        assert!(warnings(&talk("a", call), all).unwrap().is_empty());
        let of = |print: &dyn Fn(&Value) -> String| {
            let tools = json!([{"function": {
                "name": "f", "description": "d", "parameters": {"type": "object", "properties": {"a": {}}},
            }}]);
            let render = |tools: Option<&Value>| -> Result<String> { Ok(tools.map_or("none".into(), print)) };
            of_tools(&render, &tools, &print(&tools))
        };
        let part = |key: &'static str| move |tools: &Value| tools[0]["function"][key].to_string();
        assert_eq!(of(&Value::to_string), []);
        assert_eq!(of(&part("name")), [ToolDescriptionLeftOut, ToolParametersLeftOut]);
        assert_eq!(of(&part("description")), [ToolParametersLeftOut]);
        assert_eq!(of(&part("parameters")), [ToolDescriptionLeftOut]);
        assert_eq!(of(&|_: &Value| "none".to_string()), [ToolsLeftOut]);
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
