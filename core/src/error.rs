//! What can go wrong, said so that a person can act on it: the fact, the limit, the remedy.

use std::fmt::Display;

/// Every error of this crate. The message is complete: front ends print it as it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Settings that do not hold; all of them at once, one sentence each.
    #[error("{}", list("the settings do not fit together", .0))]
    Config(Vec<String>),
    /// Data rows that cannot be used: the first few, each with its file, line and reason.
    #[error("{}", list(&format!("{total} of the data's rows cannot be used (fix them, or add --skip-bad-rows to go on without them)"), .rows))]
    BadRows {
        /// How many rows are bad in all.
        total: u64,
        /// `file:line: reason` of the first ones.
        rows: Vec<String>,
    },
    /// Data that cannot be read or holds nothing to train on.
    #[error("{0}")]
    Data(String),
    /// A tokenizer file or a text that the tokenizer refuses.
    #[error("{0}")]
    Tokenizer(String),
    /// A chat template that does not compile or refuses a conversation.
    #[error("{0}")]
    Template(String),
    /// A chat template that uses what is not built: no other row mends that.
    #[error("{0}")]
    UnknownInTemplate(String),
    /// A model configuration that is malformed or not supported.
    #[error("{0}")]
    Model(String),
    /// A checkpoint file that is damaged or does not fit.
    #[error("{0}")]
    Checkpoint(String),
    /// A device that is absent or refuses the work.
    #[error("{0}")]
    Device(String),
    /// Training left the road: NaN, infinity or a spike in the loss.
    #[error("{0}")]
    Diverged(String),
    /// Reading or writing failed.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// What the tokenizers crate could not do.
    pub(crate) fn tokenizer_failed(error: impl Display) -> Self {
        Self::Tokenizer(format!("the tokenizer failed: {error}"))
    }
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

fn list(head: &str, items: &[String]) -> String {
    match items {
        [one] => format!("{head}: {one}"),
        many => many.iter().fold(format!("{head}:"), |text, item| text + "\n  - " + item),
    }
}
