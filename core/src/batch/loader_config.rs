//! How a loader makes batches of rows.

use super::pack::tokens_of;
use super::{Example, Fit, TooLong};
use crate::error::{Error, Result};
use crate::told::told;

/// How rows become batches.
#[derive(Clone, Debug)]
pub struct LoaderConfig {
    /// Rows a batch, or groups of rows that belong together.
    pub batch_size: usize,
    /// How examples are made to fit a row.
    pub fit: Fit,
    /// Fill rows with several examples, which do not see each other. Examples that belong together share a row.
    pub packing: bool,
    /// The seed of the order.
    pub seed: u64,
}

impl LoaderConfig {
    /// What training sees of examples that belong together, and whether any loses its end; `None` where they go out.
    ///
    /// # Errors
    /// Examples that must share a packed row and do not fit one, where long rows are not left out.
    pub(super) fn fit_all(&self, examples: Vec<Example>) -> Result<Option<(Vec<Example>, bool)>> {
        let Some((examples, cut)) = self.fit.all(examples) else { return Ok(None) };
        let (tokens, longest) = (tokens_of(&examples), self.fit.seq_len.saturating_add(1));
        let origin = match examples.as_slice() {
            [first, _, ..] if self.packing && tokens > longest => &first.origin,
            _ => return Ok(Some((examples, cut))),
        };
        match self.fit.too_long {
            TooLong::Drop => Ok(None),
            TooLong::Cut => Err(Error::Data(told!(
                "row.group_long",
                "{origin}: its {examples} examples belong together and have {tokens} tokens, but a packed row holds {longest}; \
                 take a longer --max-seq-len or --packing false, or leave such rows out with --too-long drop",
                origin,
                examples = examples.len(),
                tokens,
                longest
            ))),
        }
    }
}
