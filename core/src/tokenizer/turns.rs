//! Where the assistant speaks in a rendered conversation, for any template, found by comparing renderings.
//!
//! Nothing here knows a template's markers. What a turn says begins and ends where the rendering changes when
//! the turn's words are replaced by others. What stands between the generation prompt and those words the
//! model must write itself, so it counts as said. The turn ends where the rendering of the conversation up to
//! it ends, and of that tail only the token that ends the answer counts, not the line break many templates
//! put behind it.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::text::Message;

/// Renders messages as text; `true` ends with the generation prompt.
pub(super) type Render<'a> = &'a dyn Fn(&[Message], bool) -> Result<String>;

/// The tokens that can end a turn.
pub(super) struct EndTokens<'a> {
    /// The token that ends an answer.
    pub(super) eos: Option<&'a str>,
    /// All tokens that are never split.
    pub(super) added: &'a [String],
}

const ASSISTANT: &str = "assistant";

/// Keys of a message that name the speaker; the others are what it says.
const NOT_SAID: [&str; 1] = ["name"];

/// Two answers that begin and end with different characters, so that a change is seen exactly where it is.
const PROBES: [&str; 2] = ["one", "two"];

const REMEDY: &str = "write {% generation %} before and {% endgeneration %} behind the assistant's words and their \
                      end token in the template";

/// The byte ranges of `whole`, which is `messages` rendered, that the assistant says: its words and the token
/// that ends them, one range for each of its messages that the template prints.
pub(super) fn assistant_spans(
    render: Render,
    messages: &[Message],
    whole: &str,
    ends: &EndTokens,
) -> Result<Vec<Range<usize>>> {
    let mut spans: Vec<Range<usize>> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        if message.role != ASSISTANT {
            continue;
        }
        let Some(said) = said(render, messages, index, whole)? else {
            continue;
        };
        let (opening, prompt) = turn_opening(render, &messages[..index], whole);
        let said_before = spans.last().map_or(0, |span| span.end);
        let opening = opening.max(said_before).min(said.start);
        let start = match whole[opening..said.start].rfind(&prompt) {
            Some(at) if !prompt.is_empty() => opening + at + prompt.len(),
            _ => said.start,
        };
        let turn_end = turn_end(render, messages, index, whole, said.end)?;
        let end = said.end + end_of_answer(&whole[said.end..turn_end], ends);
        spans.push(start..end);
    }
    if spans.is_empty() && messages.iter().any(|message| message.role == ASSISTANT) {
        return Err(undecided("it prints none of the assistant's messages"));
    }
    Ok(spans)
}

/// The range of `whole` that changes with what message `index` says; `None` where the template does not print
/// it.
fn said(render: Render, messages: &[Message], index: usize, whole: &str) -> Result<Option<Range<usize>>> {
    let mut before = whole.len();
    let mut behind = whole.len();
    let mut failure = None;
    let mut compared = false;
    let mut changed = messages.to_vec();
    for variant in variants(&messages[index]) {
        changed[index] = variant;
        match render(&changed, false) {
            Ok(other) => {
                compared = true;
                before = before.min(common_prefix(whole, &other));
                behind = behind.min(common_suffix(whole, &other));
            }
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        Some(error) if !compared => Err(undecided(&error.to_string())),
        _ if before == whole.len() => Ok(None),
        _ => Ok(Some(before..before.max(whole.len() - behind))),
    }
}

/// The message with other words: its content and its other texts replaced, and once more with nothing but
/// content.
fn variants(message: &Message) -> Vec<Message> {
    let mut variants = Vec::new();
    for probe in PROBES {
        let mut replaced = message.clone();
        replaced.content = probe.to_string();
        let mut bare = replaced.clone();
        for (key, value) in replaced.extra.iter_mut() {
            if value.is_string() && !NOT_SAID.contains(&key.as_str()) {
                *value = probe.into();
            }
        }
        bare.extra.retain(|key, _| NOT_SAID.contains(&key.as_str()));
        if bare != replaced {
            variants.push(bare);
        }
        variants.push(replaced);
    }
    variants
}

/// Where in `whole` the turn after `messages` opens, and what the template appends to ask for an answer
/// there; that text is empty where the template has none.
fn turn_opening(render: Render, messages: &[Message], whole: &str) -> (usize, String) {
    // A template may refuse some beginnings of a conversation; then the words alone tell where the turn
    // begins.
    match (render(messages, true), render(messages, false)) {
        (Ok(with), Ok(without)) if !messages.is_empty() => {
            let prompt = with[common_prefix(&with, &without)..].to_string();
            (common_prefix(whole, &without), prompt)
        }
        _ => (0, String::new()),
    }
}

/// Where in `whole` the turn of message `index` ends, whose words end at `said_end`.
fn turn_end(
    render: Render,
    messages: &[Message],
    index: usize,
    whole: &str,
    said_end: usize,
) -> Result<usize> {
    if index + 1 == messages.len() {
        return Ok(whole.len());
    }
    let up_to = &messages[..=index];
    let alone = render(up_to, false).map_err(|error| undecided(&error.to_string()))?;
    if whole.starts_with(&alone) {
        return Ok(alone.len().max(said_end));
    }
    // Later messages changed the beginning (a template may drop earlier thinking): compare the tails.
    Ok(match said(render, up_to, index, &alone)? {
        Some(said) => said_end + common_prefix(&whole[said_end..], &alone[said.end..]),
        None => said_end,
    })
}

/// How much of a turn's tail belongs to the answer: up to EOS, else up to the last token that is never split,
/// else the text without the space behind it, else (a template that ends turns with a line break alone)
/// everything.
fn end_of_answer(tail: &str, ends: &EndTokens) -> usize {
    if let Some(eos) = ends.eos
        && let Some(at) = tail.find(eos)
    {
        return at + eos.len();
    }
    let last = ends.added.iter().filter_map(|token| tail.rfind(token).map(|at| at + token.len())).max();
    match (last, tail.trim_end().len()) {
        (Some(end), _) => end,
        (None, 0) => tail.len(),
        (None, end) => end,
    }
}

/// Bytes two texts have in common at the start, whole characters only.
fn common_prefix(left: &str, right: &str) -> usize {
    let equal = left.bytes().zip(right.bytes()).take_while(|(a, b)| a == b).count();
    left.floor_char_boundary(equal)
}

/// Bytes two texts have in common at the end, whole characters only.
fn common_suffix(left: &str, right: &str) -> usize {
    let equal = left.bytes().rev().zip(right.bytes().rev()).take_while(|(a, b)| a == b).count();
    left.len() - left.ceil_char_boundary(left.len() - equal)
}

fn undecided(why: &str) -> Error {
    Error::Template(format!(
        "the chat template does not show where the assistant's words begin and end ({why}); {REMEDY}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDS: [&str; 3] = ["<s>", "</s>", "<eot>"];

    /// The texts the assistant says under a template given as a function.
    fn spoken(
        template: impl Fn(&[Message], bool) -> Result<String>,
        messages: &[Message],
    ) -> Result<Vec<String>> {
        let added: Vec<String> = ENDS.map(str::to_string).into();
        let ends = EndTokens { eos: Some("</s>"), added: &added };
        let whole = template(messages, false)?;
        let spans = assistant_spans(&template, messages, &whole, &ends)?;
        Ok(spans.into_iter().map(|span| whole[span].to_string()).collect())
    }

    fn talk(turns: &[(&str, &str)]) -> Vec<Message> {
        turns.iter().map(|(role, content)| Message::new(role, content)).collect()
    }

    const TALK: [(&str, &str); 5] =
        [("system", "S"), ("user", "one"), ("assistant", "one"), ("user", "q"), ("assistant", "")];

    fn each(messages: &[Message], turn: impl Fn(&Message) -> String) -> String {
        messages.iter().map(turn).collect()
    }

    #[test]
    fn a_prompt_that_opens_the_turn() {
        let template = |messages: &[Message], prompt: bool| {
            let text = each(messages, |m| format!("<s>{}\n{}</s>\n", m.role, m.content));
            Ok(if prompt { text + "<s>assistant\n" } else { text })
        };
        assert_eq!(spoken(template, &talk(&TALK)).unwrap(), ["one</s>", "</s>"]);
        assert_eq!(spoken(template, &talk(&TALK[..4])).unwrap(), ["one</s>"]);
        assert_eq!(spoken(template, &talk(&TALK[..2])).unwrap(), [""; 0]);
    }

    #[test]
    fn a_user_turn_that_opens_the_answer() {
        let template = |messages: &[Message], _| {
            Ok(each(messages, |m| match m.role.as_str() {
                "assistant" => format!("{}</s>\n", m.content),
                _ => format!("<s>{}\n{}</s>\n<s>assistant\n", m.role, m.content),
            }))
        };
        assert_eq!(spoken(template, &talk(&TALK)).unwrap(), ["one</s>", "</s>"]);
    }

    #[test]
    fn words_the_template_adds_behind_the_prompt_are_said() {
        let template = |messages: &[Message], prompt: bool| {
            let text = each(messages, |m| match m.role.as_str() {
                "assistant" => format!("A:<think></think>{}</s>", m.content),
                _ => format!("U:{}\n", m.content),
            });
            Ok(if prompt { text + "A:" } else { text })
        };
        assert_eq!(
            spoken(template, &talk(&TALK)).unwrap(),
            ["<think></think>one</s>", "<think></think></s>"]
        );
    }

    #[test]
    fn reasoning_is_said() {
        let template = |messages: &[Message], prompt: bool| {
            let text = each(messages, |m| {
                let reasoning = m.extra.get("reasoning_content").and_then(|r| r.as_str()).unwrap_or("");
                let name = m.extra.get("name").and_then(|r| r.as_str()).unwrap_or("");
                format!("<s>{}{name}\n<think>{reasoning}</think>{}</s>\n", m.role, m.content)
            });
            Ok(if prompt { text + "<s>assistant\n<think></think>" } else { text })
        };
        let mut messages = talk(&TALK);
        messages[2].extra.insert("reasoning_content".to_string(), "why".into());
        messages[2].extra.insert("name".to_string(), "Bo".into());
        assert_eq!(spoken(template, &messages).unwrap(), ["why</think>one</s>", "</s>"]);
    }

    #[test]
    fn a_prompt_quoted_by_the_user_is_not_the_opening() {
        let template = |messages: &[Message], prompt: bool| {
            let text = each(messages, |m| match m.role.as_str() {
                "assistant" => format!("A:[{}]", m.content),
                _ => format!("U:{}\n", m.content),
            });
            Ok(if prompt { text + "A:[]" } else { text })
        };
        assert_eq!(spoken(template, &talk(&[("user", "A:[]"), ("assistant", "a")])).unwrap(), ["a]"]);
    }

    #[test]
    fn earlier_thinking_may_be_dropped_and_the_end_closed() {
        let template = |messages: &[Message], prompt: bool| {
            let last_user = messages.iter().rposition(|m| m.role == "user").unwrap_or(0);
            let turn = |(at, m): (usize, &Message)| {
                let think = if at > last_user && m.role == "assistant" { "<think></think>" } else { "" };
                format!("<s>{}\n{think}{}<eot>\n", m.role, m.content)
            };
            let text: String = messages.iter().enumerate().map(turn).collect();
            Ok(text + if prompt { "<s>assistant\n" } else { "[end]" })
        };
        let said = spoken(template, &talk(&TALK)).unwrap();
        assert_eq!(said, ["one<eot>", "<think></think><eot>"]);
    }

    #[test]
    fn turns_that_end_with_text_or_a_line_break() {
        let break_only =
            |messages: &[Message], _| Ok(each(messages, |m| format!("{}: {}\n", m.role, m.content)));
        assert_eq!(spoken(break_only, &talk(&TALK)).unwrap(), ["one\n", "\n"]);
        let marker =
            |messages: &[Message], _| Ok(each(messages, |m| format!("{}:{} ###\n", m.role, m.content)));
        assert_eq!(spoken(marker, &talk(&TALK)).unwrap(), ["one ###", " ###"]);
    }

    #[test]
    fn what_cannot_be_decided_is_an_error_with_a_remedy() {
        let silent = |_: &[Message], _| Ok("hello".to_string());
        let error = spoken(silent, &talk(&TALK)).unwrap_err().to_string();
        assert!(error.contains("prints none") && error.contains("{% generation %}"), "{error}");
        let picky = |messages: &[Message], _| match messages[2].content.as_str() {
            "one" if messages.len() == 5 => Ok("one".to_string()),
            _ => Err(Error::Template("too short".to_string())),
        };
        let mut talk = talk(&TALK);
        talk[2].content = "one".to_string();
        talk[4].role = "user".to_string();
        assert!(spoken(picky, &talk).is_err());
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
