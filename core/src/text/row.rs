//! What one row of a data file means, and what is odd about it.

use std::collections::BTreeSet;

use super::conversation::{Conversation, Message, Preference};
use super::fields::{Notes, OF_MESSAGE};
use super::json::is_blank;
use super::warning::RowWarning;

/// What one row of a data file means.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// A text to continue.
    Document(String),
    /// Messages to answer.
    Conversation(Conversation),
    /// Two answers to one prompt.
    Preference(Preference),
}

/// Which of them a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowKind {
    /// A text to continue.
    Document,
    /// Messages to answer.
    Conversation,
    /// Two answers to one prompt.
    Preference,
}

/// A row, and what is odd about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The row.
    pub row: Row,
    /// Oddities that leave it usable, each kind at most once.
    pub warnings: Vec<RowWarning>,
    /// Keys that hold something which nothing uses, each at most once.
    pub unused: Vec<String>,
    /// Whether it is a document of a conversation's turns.
    pub joined: bool,
}

impl Parsed {
    /// A row with its warnings.
    pub fn new(row: Row) -> Self {
        Self::with(row, Notes::default())
    }

    pub(super) fn with(row: Row, mut notes: Notes) -> Self {
        row.oddities(&mut notes);
        Self { row, warnings: notes.warnings, unused: notes.unused, joined: false }
    }

    /// The row with the texts of its conversation as a document, one after the other on lines of their own.
    #[must_use]
    pub fn joined(self) -> Self {
        let Row::Conversation(conversation) = &self.row else { return self };
        let texts = self.row.texts().filter(|text| !is_blank(text));
        let document = Row::Document(texts.collect::<Vec<_>>().join("\n"));
        let mut notes = Notes { warnings: Vec::new(), unused: self.unused };
        if conversation.messages.iter().any(|message| message.weight != 1.0) {
            notes.warn(RowWarning::JoinedWithoutWeights);
        }
        if conversation.tools.is_some() || conversation.messages.iter().any(Message::calls_tools) {
            notes.warn(RowWarning::JoinedWithoutTools);
        }
        Self { joined: true, ..Self::with(document, notes) }
    }

    /// The row as one whose conversation is going to be rendered as a text: what concerns answers alone is not odd.
    #[must_use]
    pub fn to_be_rendered(mut self) -> Self {
        let Row::Conversation(conversation) = &self.row else { return self };
        self.warnings.retain(|warning| *warning == RowWarning::EmptyTurn);
        if conversation.messages.iter().any(|message| message.weight != 1.0) {
            self.warnings.push(RowWarning::RenderedWithoutWeights);
        }
        self
    }

    /// The row for a template that looks for these keys in messages: they are not unused.
    #[must_use]
    pub fn with_keys_read(mut self, keys: &BTreeSet<String>) -> Self {
        let is_read = |name: &String| name.strip_suffix(OF_MESSAGE).is_some_and(|key| keys.contains(key));
        self.unused.retain(|name| !is_read(name));
        self
    }
}

impl Row {
    /// Whether it is a document, a conversation or a pair of answers.
    pub fn kind(&self) -> RowKind {
        match self {
            Self::Document(_) => RowKind::Document,
            Self::Conversation(_) => RowKind::Conversation,
            Self::Preference(_) => RowKind::Preference,
        }
    }

    /// All texts of the row that a reader sees: the document, or each message's reasoning and content; a prompt's once.
    pub fn texts(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Self::Document(text) => Box::new(std::iter::once(text.as_str())),
            Self::Conversation(conversation) => {
                Box::new(conversation.messages.iter().flat_map(Message::texts))
            }
            Self::Preference(pair) => Box::new(pair.messages().flat_map(Message::texts)),
        }
    }

    /// The length of all texts in characters.
    pub fn chars(&self) -> usize {
        self.texts().map(|text| text.chars().count()).sum()
    }

    /// The length of all texts in UTF-8 bytes.
    pub fn bytes(&self) -> u64 {
        self.texts().map(|text| text.len() as u64).sum()
    }

    /// Notes what is odd about the row.
    fn oddities(&self, notes: &mut Notes) {
        match self {
            Self::Document(text) if is_blank(text) => notes.warn(RowWarning::EmptyDocument),
            Self::Document(_) => {}
            Self::Conversation(conversation) => oddities(&conversation.messages, notes),
            Self::Preference(pair) => {
                pair.conversations().iter().for_each(|side| oddities(&side.messages, notes));
            }
        }
    }
}

fn oddities(messages: &[Message], notes: &mut Notes) {
    let is_empty = |m: &Message| m.role != "tool" && is_blank(&m.content) && !m.calls_tools();
    if messages.iter().any(is_empty) {
        notes.warn(RowWarning::EmptyTurn);
    }
    match messages.last().map(|message| message.role.as_str()) {
        Some("user") => notes.warn(RowWarning::EndsOnUser),
        Some("tool") => notes.warn(RowWarning::EndsOnTool),
        _ => {}
    }
    let mut answers = messages.iter().filter(|message| message.is_assistant()).peekable();
    if answers.peek().is_some() && answers.all(|answer| answer.weight == 0.0) {
        notes.warn(RowWarning::NoTrainedTurn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::parse_row;
    use serde_json::json;

    #[test]
    fn odd_rows_are_usable_with_a_warning() {
        let user = |text: &str| json!({"role": "user", "content": text});
        let call = json!({"role": "assistant", "content": "", "tool_calls": [{"name": "f"}]});
        let left = json!({"role": "assistant", "content": "a", "weight": 0});
        for (row, warnings) in [
            (json!({"text": " \n"}), vec![RowWarning::EmptyDocument]),
            (json!({"user": "q", "assistant": " "}), vec![RowWarning::EmptyTurn]),
            (json!([user("")]), vec![RowWarning::EmptyTurn, RowWarning::EndsOnUser]),
            (json!([user("q"), call, {"role": "tool", "content": ""}]), vec![RowWarning::EndsOnTool]),
            (json!([user("q"), call]), vec![]),
            (json!([user("q"), left]), vec![RowWarning::NoTrainedTurn]),
            (json!([user("q"), left, user("q"), {"role": "assistant", "content": "b"}]), vec![]),
            (
                json!([{"role": "user", "content": "q", "loss": true}, left]),
                vec![RowWarning::WeightWithoutEffect, RowWarning::NoTrainedTurn],
            ),
        ] {
            assert_eq!(parse_row(&row).unwrap().warnings, warnings, "{row}");
        }
    }

    #[test]
    fn joined_turns_are_a_document() {
        let row = json!({"note": "n", "messages": [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": "a", "reasoning_content": "r", "weight": 0.5},
            {"role": "user", "content": " "},
            {"role": "assistant", "content": "b", "tool_calls": [{"name": "f"}]},
        ]});
        let joined = parse_row(&row).unwrap().joined();
        assert_eq!(
            (joined.row.kind(), &joined.row),
            (RowKind::Document, &Row::Document("q\nr\na\nb".into()))
        );
        assert_eq!(joined.warnings, [RowWarning::JoinedWithoutWeights, RowWarning::JoinedWithoutTools]);
        assert_eq!((&joined.unused[..], joined.joined), (&["note".to_string()][..], true));
        let document = Parsed::new(Row::Document(" x\n".into()));
        assert_eq!(document.clone().joined(), document);
    }

    #[test]
    fn rendered_turns_stay_and_lose_their_weights() {
        let row = json!([
            {"role": "user", "content": " ", "thought": "t", "note": "n"},
            {"role": "assistant", "content": "a", "weight": 0},
            {"role": "user", "content": "q"},
        ]);
        let parsed = parse_row(&row).unwrap();
        let rendered = parsed.clone().to_be_rendered();
        assert_eq!(rendered.row, parsed.row);
        assert_eq!(rendered.warnings, [RowWarning::EmptyTurn, RowWarning::RenderedWithoutWeights]);
        let read = BTreeSet::from(["thought".to_string()]);
        assert_eq!(rendered.with_keys_read(&read).unused, ["note of a message"]);
        let document = Parsed::new(Row::Document(" \n".into()));
        assert_eq!(document.clone().to_be_rendered(), document);
    }

    #[test]
    fn lengths_count_every_text() {
        let row = json!([
            {"role": "user", "content": "你好"},
            {"role": "assistant", "content": "hi", "reasoning_content": "é"},
        ]);
        let row = parse_row(&row).unwrap().row;
        assert_eq!(row.texts().collect::<Vec<_>>(), ["你好", "é", "hi"]);
        assert_eq!((row.chars(), row.bytes()), (5, 10));
    }
}
