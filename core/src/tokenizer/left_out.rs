//! What a conversation holds and the chat template does not print, found after rendering: it is counted and named, and
//! an answer of which nothing is left, or a part is printed twice, is refused.

use serde_json::Value;

use super::landmarks::Rendering;
use super::probes::{Missing, Probes, without_required};
use super::render_warning::RenderWarning;
use crate::error::{Error, Result};
use crate::text::Message;
use crate::told::{Told, told};

/// Texts that are looked for in all of a rendering because they do not follow the one before.
const OUT_OF_ORDER: usize = 100;

/// What the messages of a rendering hold and it does not show; `blocks` say what is trained where the template has some.
///
/// # Errors
/// A message that would train an empty answer or none, though it holds something, or, where no blocks decide, a call of a
/// tool twice.
pub(super) fn of_messages(rendering: &Rendering, blocks: bool) -> Result<Vec<RenderWarning>> {
    let (messages, whole) = (rendering.messages, rendering.whole);
    let missing = beside_texts(rendering, blocks)?;
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
        match rendering.said(index) {
            Ok(None) => return Err(nothing_printed(index, message)),
            Ok(Some(said)) if whole[said.clone()].trim().is_empty() => {
                return Err(nothing_printed(index, message));
            }
            _ => {}
        }
    }
    Ok(warnings)
}

/// That a message to be trained is not printed.
pub(super) fn nothing_printed(index: usize, message: &Message) -> Error {
    let what = match message.content.trim().is_empty() {
        false => "a text",
        true if message.extra.is_empty() => "an empty answer",
        true => "calls of tools or reasoning",
    };
    Error::Template(told!(
        "template.nothing_printed",
        "message {number} holds {what} of which the chat template prints nothing, so that an empty answer or none would be \
         trained; {remedy}",
        number = index + 1,
        what,
        remedy = remedy()
    ))
}

/// What can be done about an answer that is not printed as it is.
fn remedy() -> Told {
    told!(
        "template.print_once",
        "use a template that prints it once (--chat-template FILE), give the message \"weight\": 0, or leave the row out"
    )
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
fn beside_texts(rendering: &Rendering, blocks: bool) -> Result<Missing> {
    let mut probes = Probes::unused_in(rendering.whole);
    let mut probed = rendering.messages.to_vec();
    probed.iter_mut().enumerate().for_each(|(index, message)| probes.put_into(index, message));
    if probes.is_empty() {
        return Ok(Missing::default());
    }
    // A template that refuses the words reads what they replace.
    let Ok(text) = (rendering.render)(&probed, false) else { return Ok(Missing::default()) };
    for index in probes.printed_twice(&text) {
        let message = &probed[index];
        // Another message may bring a part of it once more: a tool's answer may name the call.
        let alone = || (rendering.render)(&probed[..=index], false);
        if !blocks
            && message.is_assistant()
            && message.weight != 0.0
            && alone().is_ok_and(|alone| probes.printed_twice(&alone).contains(&index))
        {
            return Err(Error::Template(told!(
                "template.printed_twice",
                "the chat template prints a tool call or the reasoning of message {number} more than once, and it would \
                 be trained so; {remedy}",
                number = index + 1,
                remedy = remedy()
            )));
        }
    }
    Ok(probes.missing(&text))
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
    let found = render(Some(&probed)).map(|text| probes.missing(&text).kinds).unwrap_or_default();
    let mut warnings: Vec<RenderWarning> = found.into_iter().collect();
    let names_no_parameters = warnings
        .iter()
        .any(|warning| matches!(warning, RenderWarning::ToolLeftOut | RenderWarning::ToolParametersLeftOut));
    // Which must be given is no word of its own: they are rendered once more without it.
    if !names_no_parameters
        && let Some(fewer) = without_required(tools)
        && render(Some(&fewer)).is_ok_and(|without| without == whole)
    {
        warnings.push(RenderWarning::RequiredParametersLeftOut);
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::turns::{EndTokens, assistant_turns};
    use serde_json::json;

    /// The warnings for a template that prints of each message what `print` gives, or why it is refused.
    fn warnings(messages: &[Message], print: impl Fn(&Message) -> String) -> Result<Vec<RenderWarning>> {
        let render = |messages: &[Message], _: bool| -> Result<String> {
            Ok(messages.iter().map(|m| format!("<{}>{}</s>", m.role, print(m))).collect())
        };
        of_messages(&Rendering::new(&render, messages, &render(messages, false)?), false)
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

    /// What the assistant says under a template given as a function.
    fn spoken(
        render: impl Fn(&[Message], bool) -> Result<String>,
        messages: &[Message],
    ) -> Result<Vec<String>> {
        let added = ["<eot>".to_string()];
        let whole = render(messages, false)?;
        let ends = EndTokens { eos: None, added: &added };
        let turns = assistant_turns(&Rendering::new(&render, messages, &whole), &ends)?;
        Ok(turns.into_iter().map(|turn| whole[turn.bytes].to_string()).collect())
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
            CallArgumentsLeftOut, CallNameLeftOut, RequiredParametersLeftOut, ToolDescriptionLeftOut,
            ToolLeftOut, ToolNameLeftOut, ToolParametersLeftOut, ToolsLeftOut,
        };
        let call = json!({"tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]});
        let names = |m: &Message| {
            let calls = m.extra.get("tool_calls").map(|calls| calls[0]["function"]["name"].to_string());
            format!("{}{}", m.content, calls.unwrap_or_default())
        };
        assert_eq!(warnings(&talk("a", call.clone()), names).unwrap(), [CallArgumentsLeftOut]);
        assert!(warnings(&talk("a", call), all).unwrap().is_empty());
        let two = json!({"tool_calls": [{"function": {"name": "f", "arguments": {"a": 1, "b": 2}}}]});
        let first = |m: &Message| {
            let value =
                m.extra.get("tool_calls").map(|calls| calls[0]["function"]["arguments"]["a"].to_string());
            format!("{}{}", m.content, value.unwrap_or_default())
        };
        assert_eq!(warnings(&talk("a", two), first).unwrap(), [CallNameLeftOut, CallArgumentsLeftOut]);
        let of = |print: &dyn Fn(&Value) -> String| {
            let parameters = json!({"type": "object", "properties": {"a": {}}, "required": ["a"]});
            let function = json!({"name": "f", "description": "d", "parameters": parameters});
            let tools = json!([{"function": function}, {"function": {"name": "g"}}]);
            let render = |tools: Option<&Value>| -> Result<String> { Ok(tools.map_or("none".into(), print)) };
            of_tools(&render, &tools, &print(&tools))
        };
        let part = |key: &'static str| {
            move |tools: &Value| format!("{} {}", tools[0]["function"][key], tools[1]["function"]["name"])
        };
        assert_eq!(of(&Value::to_string), []);
        assert_eq!(of(&part("name")), [ToolDescriptionLeftOut, ToolParametersLeftOut]);
        assert_eq!(of(&part("description")), [ToolNameLeftOut, ToolParametersLeftOut]);
        assert_eq!(of(&part("parameters")), [ToolNameLeftOut, ToolDescriptionLeftOut]);
        assert_eq!(of(&|tools: &Value| tools[0].to_string()), [ToolLeftOut], "the second of two");
        let optional = |tools: &Value| tools.to_string().replace("\"required\"", "").replace("[\"a\"]", "");
        assert_eq!(of(&|tools: &Value| optional(tools).replace("[]", "")), [RequiredParametersLeftOut]);
        assert_eq!(of(&|_: &Value| "none".to_string()), [ToolsLeftOut]);
    }

    #[test]
    fn calls_and_reasoning_that_are_printed_twice_are_refused_where_they_are_trained() {
        let twice = |m: &Message| all(m) + &all(m).replace(&m.content, "");
        let call = json!({"tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]});
        for extra in [call.clone(), calls(), json!({"reasoning_content": "w"})] {
            let mut messages = talk("answer", extra);
            let error = warnings(&messages, twice).unwrap_err().to_string();
            assert!(error.contains("reasoning of message 2 more than once"), "{error}");
            messages[1].weight = 0.0;
            assert!(warnings(&messages, twice).unwrap().is_empty());
        }
        // A tool's answer that brings the call once more is another message.
        let render = |messages: &[Message], _: bool| -> Result<String> {
            let known = messages.get(1).map(all).unwrap_or_default();
            let print =
                |m: &Message| if m.role == "tool" { format!("{known}: {}", m.content) } else { all(m) };
            Ok(messages.iter().map(print).collect())
        };
        let mut messages = talk("answer", call);
        messages[2].role = "tool".to_string();
        let whole = render(&messages, false).unwrap();
        assert_eq!(of_messages(&Rendering::new(&render, &messages, &whole), false).unwrap(), []);
        // Blocks say which of two is trained.
        let double =
            |messages: &[Message], _: bool| -> Result<String> { Ok(messages.iter().map(twice).collect()) };
        let whole = double(&messages, false).unwrap();
        let doubled = Rendering::new(&double, &messages, &whole);
        assert!(of_messages(&doubled, true).unwrap().is_empty() && of_messages(&doubled, false).is_err());
    }

    #[test]
    fn an_answer_that_is_dropped_is_refused_wherever_it_stands() {
        // The template leaves out message `drop`, or the last one where it is the assistant's.
        let style = |drop: Option<usize>| {
            move |messages: &[Message], _: bool| -> Result<String> {
                let last = messages.len() - 1;
                let turn = |(at, m): (usize, &Message)| match at == drop.unwrap_or(last) && m.is_assistant() {
                    true => "<eot>".to_string(),
                    false => format!("{}<eot>", m.content),
                };
                Ok(messages.iter().enumerate().map(turn).collect())
            }
        };
        let turns = [("user", "q"), ("assistant", "a"), ("user", "r"), ("assistant", "b")];
        for (drop, words) in [(Some(1), "a"), (Some(1), ""), (Some(3), "b")] {
            let mut messages = turns.map(|(role, content)| Message::new(role, content));
            messages[drop.unwrap()].content = words.to_string();
            let error = spoken(style(drop), &messages).unwrap_err().to_string();
            let told = format!("message {} holds", drop.unwrap() + 1);
            assert!(error.contains(&told) && error.contains("--chat-template FILE"), "{error}");
            messages[drop.unwrap()].weight = 0.0;
            assert_eq!(spoken(style(drop), &messages).unwrap().len(), 1, "nothing of it is to be trained");
        }
        // How the turn before ends does not show where the last one is dropped.
        let mut messages = turns.map(|(role, content)| Message::new(role, content));
        messages[3].weight = 0.0;
        let error = spoken(style(None), &messages).unwrap_err().to_string();
        assert!(error.contains("nothing of message 2 where that is the last one"), "{error}");
        assert!(spoken(style(None), &turns.map(|(role, content)| Message::new(role, content))).is_err());
        messages[1].weight = 0.0;
        assert_eq!(spoken(style(None), &messages).unwrap(), ["a"]);
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
