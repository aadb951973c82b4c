//! What a person typed to teach, kept in this browser beside the tab's conversation.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::storage;

/// Before the id of a conversation.
const KEY: &str = "kindling-lesson:";

/// What was typed and chosen under "Teach".
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Lesson {
    pub source: usize,
    pub rows: Vec<[String; 2]>,
    /// The worse answers beside them, where preferences were typed.
    pub worse: Vec<String>,
    /// Whether the text is newer than the rows.
    pub pasted_last: bool,
    pub name: String,
    pub maker: String,
    pub text: String,
    pub encoding: String,
    pub stage: String,
    pub trained: String,
    pub training: Map<String, Value>,
    pub lora: Map<String, Value>,
    pub dpo: Map<String, Value>,
    pub distill: Map<String, Value>,
    pub reason: Map<String, Value>,
    pub grpo: Map<String, Value>,
    pub diffusion: Map<String, Value>,
    pub experts: Map<String, Value>,
    pub teacher: String,
    pub teacher_weights: String,
    pub preset: String,
    pub sample: Map<String, Value>,
    pub question: String,
    pub result: String,
    /// When it was kept, in milliseconds since 1970.
    pub saved: f64,
}

impl Lesson {
    /// The lesson of a tab, or the last one of any.
    pub fn load(slot: &str) -> Self {
        let read = |id: &str| {
            storage::kept(&format!("{KEY}{id}")).and_then(|text| serde_json::from_str::<Self>(&text).ok())
        };
        let last = || {
            let all = storage::keys(KEY).into_iter().filter_map(|id| read(&id));
            all.max_by(|a, b| a.saved.total_cmp(&b.saved))
        };
        read(slot).or_else(last).unwrap_or_default()
    }

    /// Keeps it; false where the browser has no room.
    pub fn store(&self, slot: &str) -> bool {
        let kept = Self { saved: js_sys::Date::now(), ..self.clone() };
        storage::keep(&format!("{KEY}{slot}"), &serde_json::to_string(&kept).unwrap_or_default())
    }
}
