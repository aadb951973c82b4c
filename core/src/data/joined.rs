//! What is asked of data whose turns became texts.

use super::dataset::Dataset;
use super::options::Turns;
use super::report::RowOrigin;
use crate::error::Result;
use crate::text::{Message, Row};

impl Dataset {
    /// The fingerprint that data of joined turns had while only the reasoning under `reasoning_content` was a part of
    /// their text; `None` where turns are not joined.
    pub fn content_only_fingerprint(&self) -> Option<&str> {
        self.fingerprints.content_only.as_deref()
    }

    /// The first row with reasoning under another key, which is read to be found; `None` where there is none.
    ///
    /// # Errors
    /// Reading fails.
    pub fn first_joined_of_other_keys(&self) -> Result<Option<RowOrigin>> {
        let reasons = |row: &Row| match row {
            Row::Document(_) | Row::Preference(_) => false,
            Row::Conversation(conversation) => {
                conversation.messages.iter().any(Message::reasons_under_other_keys)
            }
        };
        for row in 0..self.len() {
            let found = self.rows.find(row, |file, scanner| {
                let is_one = file.read(scanner.bytes()).is_ok_and(|parsed| reasons(&parsed.row));
                is_one.then(|| file.origin(scanner))
            })?;
            if let Some(Some(origin)) = found {
                return Ok(Some(origin));
            }
        }
        Ok(None)
    }

    /// That conversations were to become texts, and none is there: a sentence.
    pub fn idle_turns(&self) -> Option<&'static str> {
        match self.turns {
            Turns::Joined if self.report.joined == 0 => {
                Some("--join-turns had nothing to act on: all rows are texts")
            }
            Turns::Rendered if self.report.conversations == 0 => {
                Some("--render-turns had nothing to act on: all rows are texts")
            }
            _ => None,
        }
    }
}
