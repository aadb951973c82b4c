//! What data means: one row of a data file, whatever its shape, is a document or a conversation.

mod conversation;
mod json;
mod message;
mod row;
mod shape;
mod warning;

pub use conversation::{Conversation, Message};
pub use json::parse_json;
pub use row::{Parsed, Row, parse_row};
pub use shape::Shape;
pub use warning::RowWarning;
