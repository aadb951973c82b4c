//! Where examples come from: rows that are encoded as they are read, or whatever else gives them by number.

use std::sync::Arc;

use super::{Encoder, Example};
use crate::data::{Dataset, RowOrigin, TokenExample, TokenRow};
use crate::error::{Error, Result};
use crate::text::Row;
use crate::told::{Told, told};

/// Examples by the number of their row. Threads share it, so that reading ahead needs no lock.
pub trait ExampleSource: Send + Sync {
    /// Rows, usable or not.
    fn rows(&self) -> u64;

    /// The examples of a row: as many as [`ExampleSource::group`] says, which stay together in a batch.
    ///
    /// # Errors
    /// Data that cannot be read, or a row that cannot be used where none may be left out.
    fn examples(&self, row: u64) -> Result<Found>;

    /// Examples a row: 1, or 2 for the two answers of a preference.
    fn group(&self) -> usize {
        1
    }
}

/// What a row gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Its examples.
    Examples(Vec<Example>),
    /// Nothing: it cannot be used, and such rows are left out. The sentence says why.
    Unusable(Told),
}

/// Rows of files, encoded when they are asked for.
#[derive(Clone)]
pub struct EncodedRows {
    /// The rows.
    pub dataset: Arc<Dataset>,
    /// What makes examples of them.
    pub encoder: Encoder,
    /// Whether rows that the encoder refuses are left out and counted.
    pub skip_bad_rows: bool,
}

impl EncodedRows {
    /// The examples of a row that was read.
    ///
    /// # Errors
    /// A row that cannot be rendered where none may be left out.
    pub fn encode(&self, row: &Row, origin: RowOrigin) -> Result<Found> {
        match self.encoder.examples(row, origin) {
            Ok(examples) => Ok(Found::Examples(examples)),
            // No row can be rendered without a template.
            Err(error) if !self.encoder.has_template() => Err(error),
            Err(Error::Data(reason) | Error::UnknownInTemplate(reason)) if self.skip_bad_rows => {
                Ok(Found::Unusable(reason))
            }
            Err(Error::Data(reason)) => Err(Error::Data(told!(
                "row.mend",
                "{reason} (mend the row, or add --skip-bad-rows to go on without such rows)",
                reason
            ))),
            Err(error) => Err(error),
        }
    }

    /// The examples of a row that is tokens already.
    fn prepared(&self, row: TokenRow) -> Result<Found> {
        let TokenRow { examples, origin } = row;
        let vocabulary = self.encoder.vocab_size();
        let ids = examples.iter().flat_map(|example| &example.ids);
        if let Some(id) = ids.copied().find(|&id| id as usize >= vocabulary) {
            return Err(Error::Data(
                format!(
                    "{origin}: the token {id} is not among the {vocabulary} of the tokenizer; give the model whose tokenizer \
                     made these tokens"
                )
                .into(),
            ));
        }
        let example = |TokenExample { ids, weights, warnings }: TokenExample| Example {
            ids,
            weights,
            warnings,
            origin: origin.clone(),
        };
        match examples.is_empty() {
            true => Ok(Found::Unusable(
                format!("{origin}: the row could not be rendered when the data was prepared").into(),
            )),
            false => Ok(Found::Examples(examples.into_iter().map(example).collect())),
        }
    }
}

impl ExampleSource for EncodedRows {
    fn rows(&self) -> u64 {
        self.dataset.len()
    }

    fn examples(&self, row: u64) -> Result<Found> {
        if let Some(tokens) = self.dataset.tokens() {
            return self.prepared(tokens.row(row)?);
        }
        let Some((row, origin)) = self.dataset.row(row)? else {
            return Err(Error::Data(told!("row.behind", "row {row} is behind the last one", row)));
        };
        self.encode(&row, origin)
    }

    fn group(&self) -> usize {
        self.encoder.group()
    }
}
