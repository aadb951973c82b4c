//! Conversations, kept in this browser each under a key of its own.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::diffusion::Replay;
use super::storage;
use crate::messages::chat::{Message, TokenLogprob, Usage};

/// Before the id of a conversation.
const KEY: &str = "kindling-chat:";
/// The key of the one conversation that older versions of the page kept.
const OLD_KEY: &str = "kindling-chat";

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
    /// How a diffusion model wrote it, in this session.
    pub replay: Option<Rc<Replay>>,
    /// A text whose holes were filled, in parts of which each is new or not.
    pub marked: Vec<(String, bool)>,
}

impl Turn {
    /// A message of which nothing more is known.
    pub fn new(role: &str, content: &str) -> Self {
        let message = Message { role: role.into(), content: content.into() };
        let (tokens, marked) = (Vec::new(), Vec::new());
        Self { message, tokens, usage: None, limit: false, stopped: false, replay: None, marked }
    }

    /// Messages of which nothing more is known.
    pub fn all(messages: &[Message]) -> Vec<Self> {
        messages.iter().map(|message| Self::new(&message.role, &message.content)).collect()
    }

    /// Whether the person said it.
    pub fn asks(&self) -> bool {
        self.message.role == "user"
    }
}

/// What is kept of a conversation.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Kept {
    /// The system prompt.
    #[serde(default)]
    pub system: String,
    /// The sampling numbers that were set.
    #[serde(default)]
    pub sampling: serde_json::Map<String, serde_json::Value>,
    /// How a diffusion model fills its masks, likewise.
    #[serde(default)]
    pub unmask: serde_json::Map<String, serde_json::Value>,
    /// The conversation.
    #[serde(default)]
    pub messages: Vec<Message>,
    /// When it was kept, in milliseconds since 1970.
    #[serde(default)]
    pub saved: f64,
}

impl Kept {
    /// What was kept of a conversation, if anything.
    pub fn load(slot: &str) -> Option<Self> {
        storage::kept(&format!("{KEY}{slot}")).and_then(|text| serde_json::from_str(&text).ok())
    }

    /// The same; a new conversation begins with the settings of the last one.
    pub fn load_or_begin(slot: &str) -> Self {
        let last = || slots().into_iter().next().map(|(_, last)| Self { messages: Vec::new(), ..last });
        Self::load(slot).or_else(last).unwrap_or_default()
    }

    /// Keeps it; false where the browser has no room.
    pub fn store(&self, slot: &str) -> bool {
        let kept = Self { saved: js_sys::Date::now(), ..self.clone() };
        storage::keep(&format!("{KEY}{slot}"), &serde_json::to_string(&kept).unwrap_or_default())
    }
}

/// All conversations by their ids, the newest first. What cannot be read is left alone.
pub fn slots() -> Vec<(String, Kept)> {
    let read = |id: String| Kept::load(&id).map(|kept| (id, kept));
    let mut slots: Vec<_> = storage::keys(KEY).into_iter().filter_map(read).collect();
    slots.sort_by(|(_, a), (_, b)| b.saved.total_cmp(&a.saved));
    slots
}

/// Adds what came of an answer to a conversation that this tab has left meanwhile.
pub fn add_answer(slot: &str, answer: Message) {
    if let Some(mut kept) = Kept::load(slot).filter(|_| !answer.content.is_empty())
        && kept.messages.last().is_some_and(|last| last.role == "user")
    {
        kept.messages.push(answer);
        // What has no room was not finished either.
        let _ = kept.store(slot);
    }
}

/// Deletes a conversation.
pub fn forget(slot: &str) {
    storage::forget(&format!("{KEY}{slot}"));
}

/// Gives the conversation of an older version of the page an id.
pub fn adopt_old() {
    if let Some(text) = storage::kept(OLD_KEY)
        && storage::keep(&format!("{KEY}old-{}", js_sys::Date::now()), &text)
    {
        storage::forget(OLD_KEY);
    }
}
