//! The conversation, kept in this browser.

use serde::{Deserialize, Serialize};

use super::dom;
use super::types::{Message, TokenLogprob, Usage};

const KEY: &str = "kindling-chat";

/// A message with what is known of it; only the message outlives the tab.
#[derive(Clone)]
pub struct Turn {
    /// Who says what.
    pub message: Message,
    /// The tokens of an answer of this session.
    pub tokens: Vec<TokenLogprob>,
    /// What the answer took.
    pub usage: Option<Usage>,
    /// Whether it ended at the longest answer.
    pub limit: bool,
    /// Whether the person stopped it.
    pub stopped: bool,
}

impl Turn {
    /// A message of which nothing more is known.
    pub fn new(role: &str, content: &str) -> Self {
        let message = Message { role: role.into(), content: content.into() };
        Self { message, tokens: Vec::new(), usage: None, limit: false, stopped: false }
    }

    /// Whether the person said it.
    pub fn asks(&self) -> bool {
        self.message.role == "user"
    }
}

/// What is kept.
#[derive(Default, Serialize, Deserialize)]
pub struct Kept {
    /// The system prompt.
    #[serde(default)]
    pub system: String,
    /// The sampling numbers that were set.
    #[serde(default)]
    pub sampling: serde_json::Map<String, serde_json::Value>,
    /// The conversation.
    #[serde(default)]
    pub messages: Vec<Message>,
}

impl Kept {
    /// What was kept last time, if anything.
    pub fn load() -> Self {
        dom::kept(KEY).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// Keeps it.
    pub fn store(&self) {
        dom::keep(KEY, &serde_json::to_string(self).unwrap_or_default());
    }
}
