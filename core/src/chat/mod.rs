//! Conversations with a model: what a person types, and a session that remembers.

mod choice;
mod command;
mod exercise;
mod session;

pub use choice::Choice;
pub use command::{CHAT_HELP, ChatCommand};
pub use exercise::{Exercise, spread};
pub use session::{AnswerSettings, ChatAnswer, ChatPrompt, ChatSession, common_prefix};
