//! Rows that are odd but usable: they are counted and named, and training goes on.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::conversation::{Conversation, Message};
use super::row::Row;

/// A row that is odd but usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowWarning {
    /// A document without a visible character.
    EmptyDocument,
    /// A message without a visible character that calls no tool.
    EmptyTurn,
    /// The last message is the user's: nothing answers it.
    EndsOnUser,
    /// The last message is a tool's: nothing answers it.
    EndsOnTool,
}

impl fmt::Display for RowWarning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::EmptyDocument => "the document is empty",
            Self::EmptyTurn => "a turn is empty",
            Self::EndsOnUser => "the conversation ends on the user",
            Self::EndsOnTool => "the conversation ends on a tool's answer",
        })
    }
}

/// What is odd about a row, each kind once.
pub(super) fn warnings(row: &Row) -> Vec<RowWarning> {
    match row {
        Row::Document(text) if is_blank(text) => vec![RowWarning::EmptyDocument],
        Row::Document(_) => Vec::new(),
        Row::Conversation(conversation) => conversation_warnings(conversation),
    }
}

/// Whether there is no visible character.
pub(super) fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

fn conversation_warnings(conversation: &Conversation) -> Vec<RowWarning> {
    let messages = &conversation.messages;
    let empty = |m: &Message| m.role != "tool" && is_blank(&m.content) && !m.calls_tools();
    let mut warnings = Vec::new();
    if messages.iter().any(empty) {
        warnings.push(RowWarning::EmptyTurn);
    }
    match messages.last().map(|message| message.role.as_str()) {
        Some("user") => warnings.push(RowWarning::EndsOnUser),
        Some("tool") => warnings.push(RowWarning::EndsOnTool),
        _ => {}
    }
    warnings
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
        for (row, warnings) in [
            (json!({"text": " \n"}), vec![RowWarning::EmptyDocument]),
            (json!({"user": "q", "assistant": " "}), vec![RowWarning::EmptyTurn]),
            (json!([user("")]), vec![RowWarning::EmptyTurn, RowWarning::EndsOnUser]),
            (json!([user("q"), call, {"role": "tool", "content": ""}]), vec![RowWarning::EndsOnTool]),
            (json!([user("q"), call]), vec![]),
        ] {
            assert_eq!(parse_row(&row).unwrap().warnings, warnings, "{row}");
        }
    }
}
