//! What a message says, seen by rendering the conversation with other words in its place.

use std::ops::Range;

use super::generation::unused_marks;
use super::other_words::{NOT_SAID, PROBES, Render, bare, common_prefix, common_suffix, marked, replaced};
use crate::error::{Error, Result};
use crate::text::Message;
use crate::told::{Told, told};

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
        Some(error) if !compared => return Err(undecided(error.told())),
        _ if before == whole.len() => return Ok(None),
        _ => {}
    }
    for (_, text) in &mut probed {
        *text = changed_part(text, (before, behind)).to_string();
    }
    if printed_twice(&probed) {
        return Err(undecided(told!(
            "template.words_twice",
            "it prints the words of message {number} more than once",
            number = index + 1
        )));
    }
    // Only other words than the message's own can stand around something.
    let is_plain = messages[index].extra.keys().all(|key| NOT_SAID.contains(&key.as_str()));
    if is_plain && changes_more(&probed) && holds_another(render, messages, index, whole) {
        return Err(undecided(told!(
            "template.words_apart",
            "what it prints of message {number} stands before and behind another message",
            number = index + 1
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

/// Whether the text of another message stands in what changes with a message's words.
fn holds_another(render: Render, messages: &[Message], index: usize, whole: &str) -> bool {
    let Some((begin, end)) = unused_marks(whole) else { return false };
    let render = |messages: &[Message]| {
        let marked: Vec<Message> = messages.iter().map(|message| marked(message, begin, end)).collect();
        render(&marked, false).ok()
    };
    let Some(own) = render(messages) else { return false };
    let (mut before, mut behind) = (own.len(), own.len());
    let mut changed = messages.to_vec();
    for probe in PROBES {
        changed[index] = bare(&messages[index], probe);
        let Some(other) = render(&changed) else { return false };
        before = before.min(common_prefix(&own, &other));
        behind = behind.min(common_suffix(&own, &other));
    }
    own.get(before..own.len() - behind).is_some_and(|part| part.contains([begin, end]))
}

pub(super) fn undecided(why: Told) -> Error {
    Error::Template(told!(
        "template.undecided",
        "the chat template does not show where the assistant's words begin and end ({why}); write {{% generation %}} \
         before and {{% endgeneration %}} behind the assistant's words and their end token in the template",
        why
    ))
}

/// That a message is not printed where it ends the conversation, so that nothing shows how its turn ends.
pub(super) fn silent_as_last(index: usize) -> Error {
    undecided(told!(
        "template.silent_as_last",
        "it prints nothing of message {number} where that is the last one",
        number = index + 1
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn words_around_another_message_are_known() {
        let messages = [("user", "q"), ("assistant", "a"), ("user", "r")];
        let messages = messages.map(|(role, content)| Message::new(role, content));
        let holds = |style: &dyn Fn(&[Message]) -> String| {
            let render = |messages: &[Message], _: bool| Ok(style(messages));
            holds_another(&render, &messages, 1, &style(&messages))
        };
        let each =
            |messages: &[Message]| messages.iter().map(|m| format!("{};", m.content)).collect::<String>();
        assert!(!holds(&each));
        assert!(holds(&|messages: &[Message]| format!("{}{}", each(messages), messages[1].content.len())));
        assert!(!holds(&|messages: &[Message]| each(messages).replace("one;", "one.;")));
    }
}
