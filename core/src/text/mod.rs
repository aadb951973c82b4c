//! What data means: one row of a data file, whatever its shape, is a document, a conversation or a preference pair.

mod conversation;
mod difference;
mod fields;
mod fold;
mod json;
mod message;
mod pair;
mod parse;
mod preference;
mod prompt;
mod reasoning;
mod reasoning_rows;
mod row;
mod shape;
mod tools;
mod unread;
mod warning;
mod weight;

pub use conversation::{Conversation, Message, Preference, REASONING_KEYS, TOOL_CALLS};
pub use difference::{Piece, differences};
pub(crate) use fields::is_label;
pub use fold::{Part, TAGS, parts};
pub(crate) use json::short;
pub use json::{is_blank, parse_json};
pub use parse::{parse_row, parse_text_column};
pub use preference::parse_preference;
pub use prompt::{Prompt, parse_prompt, prompt_key};
pub use reasoning::{Reasoning, TagPair, Tags, parse_reasoning, same_answer};
pub use row::{Parsed, Row, RowKind};
pub use shape::RowShape;
pub(crate) use shape::preference_keys;
pub use tools::{FUNCTION_CALL, function_of_mut};
pub use warning::RowWarning;
