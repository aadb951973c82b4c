//! Where the assistant's messages stand in a long conversation, found with a few renderings for all of them: some
//! renderings for each would take time in the square of the conversation's length.
//!
//! Marks around all other messages part the text into rooms, with a message of the assistant in each. What it says is
//! what changes in its room when the assistant's words are replaced everywhere at once.

use std::cell::OnceCell;
use std::iter;
use std::ops::Range;

use super::compare::{changed_part, printed_twice, said};
use super::generation::{strip, unused_marks};
use super::other_words::{PROBES, Render, bare, common_prefix, common_suffix, marked, replaced};
use crate::error::Result;
use crate::text::Message;

/// Messages of the assistant up to which each is looked at by itself.
const FEW: usize = 4;

/// Gives a message other words.
type Change = fn(&Message, &str) -> Message;

/// A message of the assistant in the whole text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// What stands between the texts of the messages before and behind it.
    pub(super) text: Range<usize>,
    /// What changes with its words.
    pub(super) said: Range<usize>,
}

/// A conversation and its rendering, and the rooms of its messages, which are found where they are first asked for.
pub(super) struct Rendering<'a> {
    pub(super) render: Render<'a>,
    pub(super) messages: &'a [Message],
    /// The messages rendered.
    pub(super) whole: &'a str,
    landmarks: OnceCell<Option<Landmarks>>,
}

impl<'a> Rendering<'a> {
    pub(super) fn new(render: Render<'a>, messages: &'a [Message], whole: &'a str) -> Self {
        Self { render, messages, whole, landmarks: OnceCell::new() }
    }

    /// The room of a message; `None` where it must be looked at by itself.
    pub(super) fn room(&self, message: usize) -> Option<&Room> {
        let found = self.landmarks.get_or_init(|| Landmarks::find(self.render, self.messages, self.whole));
        found.as_ref()?.room(message)
    }

    /// What a message says in the whole; `None` where the template does not print it.
    ///
    /// # Errors
    /// The template does not show it.
    pub(super) fn said(&self, message: usize) -> Result<Option<Range<usize>>> {
        match self.room(message) {
            Some(room) => Ok(Some(room.said.clone())),
            None => said(self.render, self.messages, message, self.whole),
        }
    }
}

/// The rooms of a conversation, by message.
struct Landmarks(Vec<Option<Room>>);

impl Landmarks {
    /// Finds them; `None` for a short conversation, and where the template does not print all other messages once, as
    /// they are and in order.
    fn find(render: Render, messages: &[Message], whole: &str) -> Option<Self> {
        if messages.iter().filter(|message| message.is_assistant()).count() <= FEW {
            return None;
        }
        let marks = unused_marks(whole)?;
        let own = Parted::render(render, messages, marks).filter(|own| own.text == whole)?;
        let (rooms, inhabitants) = (own.rooms(), inhabitants(messages));
        // What each room has in common with all changed ones at its beginning and at its end.
        let mut common = vec![(usize::MAX, usize::MAX); rooms.len()];
        let mut probed = Vec::new();
        for (changed, probe) in changes(messages) {
            let other = Parted::render(render, &changed, marks)?;
            let places = other.rooms();
            for (at, place) in places.iter().enumerate() {
                let (text, other) = (&whole[rooms[at].clone()], &other.text[place.clone()]);
                // The assistant's words may change their own room only.
                if text != other && inhabitants[at].len() != 1 {
                    return None;
                }
                let (before, behind) = common[at];
                common[at] = (before.min(common_prefix(text, other)), behind.min(common_suffix(text, other)));
            }
            probed.extend(probe.map(|probe| (probe, other.text, places)));
        }
        // Words of an answer that stand in a room twice, its own or another's, are looked at by themselves.
        let twice = |at: usize| {
            let room = |(probe, text, places): &(&'static str, String, Vec<Range<usize>>)| {
                (*probe, changed_part(&text[places[at].clone()], common[at]).to_string())
            };
            printed_twice(&probed.iter().map(room).collect::<Vec<_>>())
        };
        if (0..rooms.len()).any(twice) {
            return None;
        }
        let mut found = vec![None; messages.len()];
        for ((text, inhabitants), (before, behind)) in rooms.into_iter().zip(inhabitants).zip(common) {
            // A room that shows no change is looked at by itself.
            if let [message] = inhabitants[..]
                && before < text.len()
            {
                let start = text.start + before;
                found[message] = Some(Room { said: start..start.max(text.end - behind), text });
            }
        }
        Some(Self(found))
    }

    fn room(&self, message: usize) -> Option<&Room> {
        self.0.get(message)?.as_ref()
    }
}

/// The conversation with other words of the assistant's everywhere, in some ways, and the probe where nothing else but
/// these words are there.
fn changes(messages: &[Message]) -> Vec<(Vec<Message>, Option<&'static str>)> {
    let change = |way: Change, probe: &str| -> Vec<Message> {
        let other = |message: &Message| match message.is_assistant() {
            true => way(message, probe),
            false => message.clone(),
        };
        messages.iter().map(other).collect()
    };
    let mut changes = Vec::new();
    for probe in PROBES {
        let (replaced, bare) = (change(replaced, probe), change(bare, probe));
        let differ = bare != replaced;
        changes.push((bare, Some(probe)));
        if differ {
            changes.push((replaced, None));
        }
    }
    changes
}

/// Which of the assistant's messages stand in each room.
fn inhabitants(messages: &[Message]) -> Vec<Vec<usize>> {
    let mut rooms = vec![Vec::new()];
    for (index, message) in messages.iter().enumerate() {
        match (message.is_assistant(), rooms.last_mut()) {
            (true, Some(room)) => room.push(index),
            _ => rooms.push(Vec::new()),
        }
    }
    rooms
}

/// A rendering, and where in it the messages stand that the assistant does not say.
struct Parted {
    text: String,
    others: Vec<Range<usize>>,
}

impl Parted {
    /// `None` where the template refuses the messages, or does not print each of the others once, as it is and in order.
    fn render(render: Render, messages: &[Message], (begin, end): (char, char)) -> Option<Self> {
        let marked: Vec<Message> = messages.iter().map(|message| marked(message, begin, end)).collect();
        let (text, places) = strip(&render(&marked, false).ok()?, begin, end)?;
        let others: Vec<&Message> = messages.iter().filter(|message| !message.is_assistant()).collect();
        let as_it_is =
            |(place, message): (&Range<usize>, &&Message)| text[place.clone()] == *message.content.trim();
        let all = places.len() == others.len() && places.iter().zip(&others).all(as_it_is);
        all.then_some(Self { text, others: places })
    }

    fn rooms(&self) -> Vec<Range<usize>> {
        let starts = iter::once(0).chain(self.others.iter().map(|place| place.end));
        let ends = self.others.iter().map(|place| place.start).chain(iter::once(self.text.len()));
        starts.zip(ends).map(|(start, end)| start..end).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A talk of many turns, with texts that templates trim, none at all, reasoning, and a tool.
    fn talk() -> Vec<Message> {
        let mut messages = vec![Message::new("system", "Be kind.\n")];
        for turn in 0..20 {
            messages.push(Message::new("user", [" q ", "one", "", "a: b"][turn % 4]));
            let mut answer = Message::new("assistant", ["one", "  two\n", "", "q: 3"][turn % 4]);
            if turn % 5 == 1 {
                answer.extra.insert("reasoning_content".to_string(), "why".into());
            }
            if turn % 5 == 2 {
                answer.extra.insert("tool_calls".to_string(), serde_json::json!([{"name": "f"}]));
                messages.extend([answer, Message::new("tool", "7")]);
                answer = Message::new("assistant", "seven");
            }
            messages.push(answer);
        }
        messages
    }

    fn said_by(message: &Message) -> String {
        let extra = ["reasoning_content", "tool_calls"].map(|key| message.extra.get(key));
        extra.into_iter().flatten().map(ToString::to_string).collect::<String>() + &message.content
    }

    #[test]
    fn the_rooms_hold_what_each_message_changes_by_itself() {
        let plain = |m: &Message| format!("<s>{}\n{}</s>\n", m.role, said_by(m));
        let trimmed = |m: &Message| format!("{}: {}\n", m.role, said_by(m).trim());
        let styles: [&dyn Fn(&Message) -> String; 2] = [&plain, &trimmed];
        for style in styles {
            let renderings = Cell::new(0);
            let render = |messages: &[Message], _: bool| -> Result<String> {
                renderings.set(renderings.get() + 1);
                Ok(messages.iter().map(style).collect())
            };
            let messages = talk();
            let whole = render(&messages, false).unwrap();
            let landmarks = Landmarks::find(&render, &messages, &whole).unwrap();
            assert_eq!(renderings.get(), 6, "the whole, marked, and changed in four ways");
            let mut found = 0;
            for index in (0..messages.len()).filter(|&index| messages[index].is_assistant()) {
                let alone = said(&render, &messages, index, &whole).unwrap().unwrap();
                if let Some(room) = landmarks.room(index) {
                    found += 1;
                    assert_eq!(room.said, alone, "{index}");
                    assert!(room.text.start <= alone.start && alone.end <= room.text.end, "{index}");
                }
            }
            assert!(found > 20, "{found}");
        }
    }

    #[test]
    fn what_cannot_be_parted_is_left_to_a_look_at_each() {
        let find = |style: &dyn Fn(&[Message]) -> String, messages: &[Message]| {
            let render = |messages: &[Message], _: bool| Ok(style(messages));
            Landmarks::find(&render, messages, &style(messages)).is_some()
        };
        let each =
            |messages: &[Message]| messages.iter().map(|m| format!("{};", m.content)).collect::<String>();
        let backwards = |messages: &[Message]| {
            messages.iter().rev().map(|m| format!("{};", m.content)).collect::<String>()
        };
        let lengths = |messages: &[Message]| {
            let said = messages.iter().filter(|m| m.is_assistant());
            format!("{}{}", said.map(|m| m.content.len()).sum::<usize>(), each(messages))
        };
        assert!(find(&each, &talk()));
        assert!(!find(&each, &talk()[..7]), "a short one");
        assert!(!find(&backwards, &talk()), "another order");
        assert!(!find(&lengths, &talk()), "words that show elsewhere");
        let summed = |messages: &[Message]| {
            let said = messages.iter().filter(|m| m.is_assistant());
            each(messages) + &said.map(|m| m.content.clone() + "|").collect::<String>()
        };
        assert!(!find(&summed, &talk()), "a room with the words of other rooms");
    }
}
