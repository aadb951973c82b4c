//! Which rows of the data are used, and as what.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::language::TextLanguage;
use crate::error::{Error, Result};
use crate::text::RowKind;
use crate::told::told;

/// What becomes of a conversation where texts are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Turns {
    /// It is a bad row.
    #[default]
    Refused,
    /// A document of its texts, each on lines of its own.
    Joined,
    /// It stays one, and the chat template makes a text of it, all of which is trained.
    Rendered,
}

/// Which rows are left out because an earlier one says the same. The first one stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Dedup {
    /// None.
    // Earlier runs keep the flag as it was: there or not.
    #[default]
    #[cfg_attr(feature = "cli", value(alias = "false"))]
    None,
    /// Rows that mean exactly the same, however they are spelled in their files: 96 bits of SHA-256, so that among a billion
    /// rows one is taken for another with odds of 1 in 10^11; at most 36 bytes of memory a row
    #[cfg_attr(feature = "cli", value(alias = "true"))]
    Exact,
    /// Rows whose texts are nearly the same, too: 5-shingles of words and of Chinese characters, MinHash in 8 bands of 6, and a
    /// Jaccard similarity of 0.8, which is computed; at most 120 bytes of memory a row
    Minhash,
}

impl Dedup {
    /// The least Jaccard similarity of near-duplicates.
    pub const SIMILAR: f64 = 0.8;
    /// Bytes that an index takes beside those of its rows, at most.
    pub const FIXED_BYTES: u64 = 2 << 20;

    /// Bytes that the index of the kept rows takes for each of them, at most.
    pub fn bytes_a_row(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Exact => 36,
            Self::Minhash => 120,
        }
    }
}

/// Which rows are used, and as what.
#[derive(Clone, Debug, PartialEq)]
pub struct DataOptions {
    /// Stop after so many usable rows, in the order of the files.
    pub limit: Option<u64>,
    /// Leave bad rows out and count them, instead of refusing the data.
    pub skip_bad_rows: bool,
    /// Leave out rows that say what an earlier one says. While the data is opened this takes [`Dedup::bytes_a_row`].
    pub dedup: Dedup,
    /// Leave out rows in other languages than these; empty takes all.
    pub languages: Vec<TextLanguage>,
    /// The fewest characters that all texts of a row must have together.
    pub min_chars: Option<usize>,
    /// The most characters that all texts of a row may have together.
    pub max_chars: Option<usize>,
    /// The most bytes that a row may have in its file; plain text is cut there.
    pub max_row_bytes: usize,
    /// The only kind of rows that is of use: those of the other kind are bad ones. `None` takes both.
    pub kind: Option<RowKind>,
    /// What becomes of a conversation where texts are read.
    pub turns: Turns,
    /// Keys of messages that the chat template looks for: they are not unused.
    pub template_keys: BTreeSet<String>,
    /// The key or the column that holds each row's text; rows are documents then, whatever else they hold.
    pub text_column: Option<String>,
    /// The share of the rows that will be held out: rows on both sides of that split are counted. While the data is
    /// opened this takes 8 bytes a row.
    pub held_out: Option<HeldOutShare>,
}

/// A share of the rows that is held out for validation, as [`split`](super::split) does it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeldOutShare {
    /// Between 0 and 1.
    pub fraction: f64,
    /// The seed of the order that the share is taken from.
    pub seed: u64,
}

impl Default for DataOptions {
    fn default() -> Self {
        Self {
            limit: None,
            skip_bad_rows: false,
            dedup: Dedup::None,
            languages: Vec::new(),
            min_chars: None,
            max_chars: None,
            max_row_bytes: 64 << 20,
            kind: None,
            turns: Turns::Refused,
            template_keys: BTreeSet::new(),
            text_column: None,
            held_out: None,
        }
    }
}

impl DataOptions {
    /// Whether the options fit together.
    ///
    /// # Errors
    /// [`Error::Config`] with everything that does not.
    pub(super) fn check(&self) -> Result<()> {
        let mut problems = Vec::new();
        if self.limit == Some(0) {
            problems.push(told!("data.limit", "the limit of rows must be at least 1"));
        }
        if self.max_row_bytes == 0 {
            problems.push(told!("data.limit_bytes", "the limit of a row's bytes must be at least 1"));
        }
        if let (Some(min), Some(max)) = (self.min_chars, self.max_chars)
            && min > max
        {
            problems.push(told!(
                "data.chars",
                "no row can have at least {min} and at most {max} characters",
                min,
                max
            ));
        }
        if self.text_column.as_deref() == Some("") {
            problems.push("--text-column names no column".into());
        }
        let reads = match self.kind {
            Some(RowKind::Conversation) => Some("fine-tuning reads conversations"),
            Some(RowKind::Preference) => Some("preference training reads pairs of answers"),
            Some(RowKind::Document) | None => None,
        };
        if let Some(reads) = reads {
            let makes_texts = [
                ("--text-column", self.text_column.is_some()),
                ("--join-turns", self.turns == Turns::Joined),
                ("--render-turns", self.turns == Turns::Rendered),
            ];
            for (flag, _) in makes_texts.into_iter().filter(|(_, given)| *given) {
                problems.push(
                    format!("{flag} makes texts of the rows, and {reads}; leave it out, or use `pretrain`")
                        .into(),
                );
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(Error::Config(problems)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_contradict_each_other_are_named() {
        let texts = DataOptions {
            kind: Some(RowKind::Document),
            turns: Turns::Joined,
            text_column: Some("body".into()),
            ..DataOptions::default()
        };
        assert!(texts.check().is_ok());
        let chats = DataOptions { kind: Some(RowKind::Conversation), ..texts.clone() };
        let message = chats.check().unwrap_err().to_string();
        assert!(
            message.contains("--text-column makes texts") && message.contains("--join-turns"),
            "{message}"
        );
        let pairs = DataOptions { kind: Some(RowKind::Preference), ..texts.clone() };
        assert!(pairs.check().unwrap_err().to_string().contains("reads pairs of answers"));
        let rendered = DataOptions { turns: Turns::Rendered, text_column: None, ..chats };
        assert!(rendered.check().unwrap_err().to_string().contains("--render-turns makes texts"));
        let none = DataOptions { text_column: Some(String::new()), ..texts };
        assert!(none.check().unwrap_err().to_string().contains("names no column"));
    }
}
