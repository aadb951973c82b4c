//! Conversations with a model: what a person types, and a session that remembers.

mod command;
mod session;

pub use command::{CHAT_HELP, ChatCommand};
pub use session::{ChatAnswer, ChatPrompt, ChatSession, common_prefix};
