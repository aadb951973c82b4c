//! The open lesson, kept in this browser beside the tab's conversation.

use serde::{Deserialize, Serialize};

use super::Open;
use crate::language::Language;
use crate::lesson::read;
use crate::ui::storage;

/// Before the id of a conversation.
const KEY: &str = "kindling-lesson-open:";

/// What is kept.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// What stands in the fields.
    pub values: [String; 3],
    /// The checksum of what was laid out or saved last.
    pub noted: Option<u32>,
    /// The lesson's file; empty where none is open.
    lesson: String,
    language: String,
    address: String,
    file: u32,
    remarks: Vec<String>,
}

impl Kept {
    /// What there is to keep.
    pub fn of(open: Option<&Open>, values: [String; 3], noted: Option<u32>) -> Self {
        let kept = Self { values, noted, ..Self::default() };
        let Some(open) = open.cloned() else { return kept };
        Self {
            lesson: open.lesson.to_json(),
            language: open.language.tag().into(),
            address: open.address,
            file: open.file,
            remarks: open.remarks,
            ..kept
        }
    }

    /// What was kept of a tab, if anything.
    pub fn load(slot: &str) -> Option<Self> {
        storage::kept(&format!("{KEY}{slot}")).and_then(|text| serde_json::from_str(&text).ok())
    }

    /// Keeps it; false where the browser has no room.
    pub fn store(&self, slot: &str) -> bool {
        storage::keep(&format!("{KEY}{slot}"), &serde_json::to_string(self).unwrap_or_default())
    }

    /// The lesson that was open.
    pub fn open(self) -> Option<Open> {
        let opened = read(self.lesson.as_bytes()).ok()?;
        Some(Open {
            lesson: opened.lesson,
            language: Language::from_tag(&self.language),
            address: self.address,
            file: self.file,
            remarks: self.remarks,
        })
    }
}
