//! Where the assistant speaks in a rendered conversation, for any template, found by comparing renderings.
//!
//! Nothing here knows a template's markers. What a turn says begins and ends where the rendering changes when
//! the turn's words are replaced by others. What stands between the generation prompt and those words the
//! model must write itself, so it counts as said. The turn ends where the rendering of the conversation up to
//! it ends, and of that tail only the token that ends the answer counts, not the line break many templates
//! put behind it.

use std::collections::HashMap;
use std::ops::Range;

use super::compare::{said, silent_as_last, undecided};
use super::landmarks::Rendering;
use super::left_out::nothing_printed;
use super::other_words::{PROBES, Render, common_prefix, common_suffix};
use crate::error::Result;
use crate::text::Message;
use crate::told::told;

/// The tokens that can end a turn.
pub(super) struct EndTokens<'a> {
    /// The token that ends an answer.
    pub(super) eos: Option<&'a str>,
    /// All tokens that are never split.
    pub(super) added: &'a [String],
}

/// What the assistant says in one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// The message's number.
    pub(super) message: usize,
    /// Its words and the token that ends them, in the whole text.
    pub(super) bytes: Range<usize>,
}

impl Turn {
    /// The weight of its message.
    pub(super) fn weight(&self, messages: &[Message]) -> f32 {
        messages.get(self.message).map_or(1.0, |message| message.weight)
    }
}

/// What the assistant says in a rendering: a turn for each of its messages that the template prints.
///
/// # Errors
/// Turns that cannot be found, and a message that is to be trained and of which the template prints nothing.
pub(super) fn assistant_turns(rendering: &Rendering, ends: &EndTokens) -> Result<Vec<Turn>> {
    let Rendering { render, messages, whole, .. } = *rendering;
    // Where the same text stands around the words, the turn begins and ends at the same distance from them.
    let (mut leads, mut tails) = (HashMap::new(), HashMap::new());
    let (mut turns, mut dropped): (Vec<Turn>, Option<usize>) = (Vec::new(), None);
    for index in (0..messages.len()).filter(|&index| messages[index].is_assistant()) {
        let room = rendering.room(index);
        let Some(said) = rendering.said(index)? else {
            dropped = dropped.or((messages[index].weight != 0.0).then_some(index));
            continue;
        };
        let said_before = turns.last().map_or(0, |turn| turn.bytes.end);
        if said.start < said_before {
            return Err(undecided(told!(
                "template.order",
                "its words stand before those of an earlier turn"
            )));
        }
        let lead = remembered(&mut leads, room.map(|room| &whole[room.text.start..said.start]), || {
            Ok(said.start - turn_begin(render, messages, index, whole, said_before..said.start))
        })?;
        let gap = room.filter(|_| index + 1 < messages.len()).map(|room| &whole[said.end..room.text.end]);
        let tail = remembered(&mut tails, gap, || {
            let end = turn_end(render, messages, index, whole, said.end, ends)?;
            Ok(end_of_answer(&whole[said.end..end], ends))
        })?;
        turns.push(Turn { message: index, bytes: said.start - lead..said.end + tail });
    }
    if turns.is_empty() && messages.iter().any(Message::is_assistant) {
        return Err(undecided(told!("template.no_answers", "it prints none of the assistant's messages")));
    }
    match dropped {
        Some(index) => Err(nothing_printed(index, &messages[index])),
        None => Ok(turns),
    }
}

/// What was found for a text before, else what `find` finds, which is kept for it.
fn remembered<'a>(
    known: &mut HashMap<&'a str, usize>,
    text: Option<&'a str>,
    find: impl FnOnce() -> Result<usize>,
) -> Result<usize> {
    if let Some(&found) = text.and_then(|text| known.get(text)) {
        return Ok(found);
    }
    let found = find()?;
    if let Some(text) = text {
        known.insert(text, found);
    }
    Ok(found)
}

/// Where in `whole` the turn of message `index` begins: behind the text that asks for it. Its words begin where `room`
/// ends, and what was said before ends where `room` begins.
fn turn_begin(render: Render, messages: &[Message], index: usize, whole: &str, room: Range<usize>) -> usize {
    let (opening, prompt) = turn_opening(render, &messages[..index], whole, &room);
    let opening = opening.max(room.start).min(room.end);
    let between = &whole[opening..room.end];
    match between.rfind(&prompt) {
        // Nothing asks for the answer but the end of what was said before; a call's introduction is the model's own.
        Some(_) if prompt.is_empty() && (between.trim().is_empty() || messages[index].calls_tools()) => {
            opening
        }
        Some(at) if !prompt.is_empty() => opening + at + prompt.len(),
        _ => room.end,
    }
}

/// Where in `whole` the turn after `messages` opens, and what the template appends to ask for an answer
/// there; that text is empty where the template has none.
fn turn_opening(render: Render, messages: &[Message], whole: &str, room: &Range<usize>) -> (usize, String) {
    // A template may refuse some beginnings of a conversation; then the words alone tell where the turn
    // begins.
    match (render(messages, true), render(messages, false)) {
        (Ok(with), Ok(without)) if !messages.is_empty() => {
            let prompt = with[common_prefix(&with, &without)..].to_string();
            let opening = match whole.starts_with(&without) {
                true => without.len(),
                // Later messages change the beginning (rules that stand before the last question): its end tells.
                false => end_in(&without, whole, room).unwrap_or_else(|| common_prefix(whole, &without)),
            };
            (opening, prompt)
        }
        _ => (0, String::new()),
    }
}

/// The fewest and the most bytes of a text's end that are looked for.
const END_BYTES: Range<usize> = 4..64;

/// Where in this room of `whole` the end of `text` stands, the last time that as much of it as can be found does.
fn end_in(text: &str, whole: &str, room: &Range<usize>) -> Option<usize> {
    let room_text = &whole[room.clone()];
    END_BYTES.rev().filter(|&bytes| bytes <= text.len()).find_map(|bytes| {
        let end = &text[text.ceil_char_boundary(text.len() - bytes)..];
        (end.len() >= END_BYTES.start).then(|| room_text.rfind(end))?.map(|at| room.start + at + end.len())
    })
}

/// Where in `whole` the turn of message `index` ends, whose words end at `said_end`.
fn turn_end(
    render: Render,
    messages: &[Message],
    index: usize,
    whole: &str,
    said_end: usize,
    ends: &EndTokens,
) -> Result<usize> {
    if index + 1 == messages.len() {
        return Ok(last_turn_end(render, messages, whole, said_end, ends).unwrap_or(whole.len()));
    }
    let up_to = &messages[..=index];
    let alone = render(up_to, false).map_err(|error| undecided(error.told()))?;
    if whole.starts_with(&alone) {
        return Ok(alone.len().max(said_end));
    }
    // Later messages changed the beginning (a template may drop earlier thinking): compare the tails. A call that stands
    // alone may show its words up to another place.
    let said = said(render, up_to, index, &alone)?;
    let same_end = |said: &Range<usize>| common_suffix(&whole[..said_end], &alone[..said.end]) > 0;
    let end = match said {
        Some(said) if !messages[index].calls_tools() || same_end(&said) => Some(said.end),
        Some(said) => Some(end_in(&whole[..said_end], &alone, &(0..alone.len())).unwrap_or(said.end)),
        None if messages[index].weight != 0.0 => return Err(silent_as_last(index)),
        None => None,
    };
    Ok(end.map_or(said_end, |end| said_end + common_prefix(&whole[said_end..], &alone[end..])))
}

/// Where the last turn ends like the ones before it: some templates close the whole conversation once more, where no
/// answer of a model stops. `None` where nothing but that ends it.
fn last_turn_end(
    render: Render,
    messages: &[Message],
    whole: &str,
    said_end: usize,
    ends: &EndTokens,
) -> Option<usize> {
    let mut longer = messages.to_vec();
    longer.push(Message::new("user", PROBES[0]));
    let longer = render(&longer, false).ok()?;
    let (said, tail) = whole.split_at(said_end);
    let shared = &tail[..common_prefix(tail, longer.strip_prefix(said)?)];
    ends.added.iter().any(|token| shared.contains(token.as_str())).then(|| said_end + shared.len())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    const ENDS: [&str; 3] = ["<s>", "</s>", "<eot>"];

    /// The texts the assistant says under a template given as a function.
    fn spoken(
        template: impl Fn(&[Message], bool) -> Result<String>,
        messages: &[Message],
    ) -> Result<Vec<String>> {
        let added: Vec<String> = ENDS.map(str::to_string).into();
        let ends = EndTokens { eos: Some("</s>"), added: &added };
        let whole = template(messages, false)?;
        let turns = assistant_turns(&Rendering::new(&template, messages, &whole), &ends)?;
        Ok(turns.into_iter().map(|turn| whole[turn.bytes].to_string()).collect())
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
    fn a_space_that_no_prompt_ends_with_is_said() {
        let template = |messages: &[Message], _| {
            Ok(each(messages, |m| match m.role.as_str() {
                "assistant" => format!(" {} </s>", m.content),
                _ => format!("<s>[{}]", m.content),
            }))
        };
        assert_eq!(spoken(template, &talk(&TALK)).unwrap(), [" one </s>", "  </s>"]);
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
    fn what_closes_a_whole_conversation_is_not_said() {
        let template = |messages: &[Message], prompt: bool| {
            let text = each(messages, |m| format!("<s>{}\n{}<eot>\n", m.role, m.content));
            Ok(text + if prompt { "<s>assistant\n" } else { "</s>" })
        };
        assert_eq!(spoken(template, &talk(&TALK)).unwrap(), ["one<eot>", "<eot>"]);
        // Where turns have no token of their own, that is the end.
        let plain = |messages: &[Message], prompt: bool| {
            let text = each(messages, |m| format!("{}: {}\n", m.role, m.content));
            Ok(text + if prompt { "assistant: " } else { "</s>" })
        };
        assert_eq!(spoken(plain, &talk(&TALK[1..3])).unwrap(), ["one\n</s>"]);
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
    fn words_that_stand_before_an_earlier_turns_are_no_panic() {
        let turned = |messages: &[Message], _| {
            Ok(messages.iter().rev().map(|m| format!("<{}>{}</s>", m.role, m.content)).collect())
        };
        let talk = talk(&[("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]);
        assert!(spoken(turned, &talk).unwrap_err().to_string().contains("before those of an earlier turn"));
    }

    #[test]
    fn a_summary_of_the_answers_is_refused_and_never_trained() {
        let summed = |messages: &[Message], _| {
            let said = messages.iter().filter(|m| m.is_assistant());
            Ok(each(messages, |m| format!("<{}>{}</s>", m.role, m.content))
                + "In short:"
                + &said.map(|m| format!(" {}", m.content)).collect::<String>())
        };
        let pair = [("user", "a"), ("assistant", "b")];
        for turns in [1, 2, 9] {
            let messages = talk(&pair.repeat(turns));
            let error = spoken(summed, &messages).unwrap_err().to_string();
            assert!(error.contains("the words of message 2 more than once"), "{turns}: {error}");
        }
    }

    #[test]
    fn what_cannot_be_decided_is_an_error_with_a_remedy() {
        let silent = |_: &[Message], _| Ok("hello".to_string());
        let error = spoken(silent, &talk(&TALK)).unwrap_err().to_string();
        assert!(error.contains("prints none") && error.contains("{% generation %}"), "{error}");
        let picky = |messages: &[Message], _| match messages[2].content.as_str() {
            "one" if messages.len() == 5 => Ok("one".to_string()),
            _ => Err(Error::Template("too short".into())),
        };
        let mut talk = talk(&TALK);
        talk[2].content = "one".to_string();
        talk[4].role = "user".to_string();
        assert!(spoken(picky, &talk).is_err());
    }
}
