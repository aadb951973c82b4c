//! What can go wrong, said so that a person can act on it: the fact, the limit, the remedy.

use std::fmt::Display;

use crate::told::{Listed, Told, told};

/// Every error of this crate. The message is complete: front ends print it as it is, or say it in another language by its
/// code and values.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Settings that do not hold; all of them at once, one sentence each.
    #[error("{}", unfit(.0))]
    Config(Vec<Told>),
    /// Data rows that cannot be used: the first few, each with its file, line and reason.
    #[error("{}", bad_rows(.total, .rows))]
    BadRows {
        /// How many rows are bad in all.
        total: u64,
        /// `file:line: reason` of the first ones.
        rows: Vec<Told>,
    },
    /// Data that cannot be read or holds nothing to train on.
    #[error("{0}")]
    Data(Told),
    /// A tokenizer file or a text that the tokenizer refuses.
    #[error("{0}")]
    Tokenizer(Told),
    /// A chat template that does not compile or refuses a conversation.
    #[error("{0}")]
    Template(Told),
    /// A chat template that uses what is not built: no other row mends that.
    #[error("{0}")]
    UnknownInTemplate(Told),
    /// A model configuration that is malformed or not supported.
    #[error("{0}")]
    Model(Told),
    /// A checkpoint file that is damaged or does not fit.
    #[error("{0}")]
    Checkpoint(Told),
    /// A device that is absent or refuses the work.
    #[error("{0}")]
    Device(Told),
    /// Training left the road: NaN, infinity or a spike in the loss.
    #[error("{0}")]
    Diverged(Told),
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
    /// The message with its code and values.
    pub fn told(&self) -> Told {
        match self {
            Self::Config(problems) => unfit(problems),
            Self::BadRows { total, rows } => bad_rows(total, rows),
            Self::Data(told)
            | Self::Tokenizer(told)
            | Self::Template(told)
            | Self::UnknownInTemplate(told)
            | Self::Model(told)
            | Self::Checkpoint(told)
            | Self::Device(told)
            | Self::Diverged(told) => told.clone(),
            Self::Io { path, source } => told!("file.io", "{path}: {source}", path, source),
        }
    }

    /// What the tokenizers crate could not do.
    pub(crate) fn tokenizer_failed(error: impl Display) -> Self {
        Self::Tokenizer(told!("tokenizer.failed", "the tokenizer failed: {error}", error))
    }
}

impl From<Error> for Told {
    fn from(error: Error) -> Self {
        error.told()
    }
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

fn unfit(problems: &[Told]) -> Told {
    let problems = Listed(problems.to_vec());
    told!("settings.unfit", "the settings do not fit together{problems}", problems)
}

fn bad_rows(total: &u64, rows: &[Told]) -> Told {
    let rows = Listed(rows.to_vec());
    told!(
        "data.bad_rows",
        "{total} of the data's rows cannot be used (fix them, or add --skip-bad-rows to go on without them){rows}",
        total,
        rows
    )
}
