//! Making prepared data: rows are encoded once, shard by shard, on all threads.

use std::sync::Arc;

use super::index::{PreparedIndex, ShardEntry};
use super::plan::Plan;
use super::ties::ties_of;
use super::writer::ShardWriter;
use crate::batch::{Content, EncodedRows, Encoder, Example, Found};
use crate::data::{Dataset, RawRow, TokenExample, TokenRow};
use crate::error::{Error, Result};
use crate::platform::{map_in_threads, threads};
use crate::tokenizer::{TagWeight, Tokenizer};
use crate::told::told;

/// Text in a shard, about, at least.
const SHARD_BYTES: u64 = 8 << 20;
/// Shards, about, at most: each is a memory map of its own where it is trained from, and systems allow some ten thousands.
const MOST_SHARDS: u64 = 4096;
/// Rows that a thread encodes between two reports.
const ROWS_AT_ONCE: u64 = 64;

/// A preparation of rows for a stage's content.
pub struct Preparation {
    rows: EncodedRows,
    plan: Plan,
}

impl Preparation {
    /// Prepares rows for training in rows of at most `max_seq_len` tokens, pairs with prompts of at most
    /// `max_prompt_len` (0 sets no limit).
    ///
    /// # Errors
    /// Rows that are tokens already, or of another kind than the content; a tokenizer that cannot be written.
    pub fn new(
        dataset: Arc<Dataset>,
        tokenizer: Arc<Tokenizer>,
        content: Content,
        max_seq_len: usize,
        max_prompt_len: usize,
    ) -> Result<Self> {
        if dataset.tokens().is_some() {
            return Err(Error::Data(told!(
                "prepared.of_tokens",
                "the data is tokens already; prepare the texts that they were made of"
            )));
        }
        let ties = ties_of(&tokenizer, content, dataset.turns(), max_seq_len, max_prompt_len)?;
        let (rows, bytes) = (dataset.len(), dataset.report().bytes_of_text.max(1));
        let fitting = u128::from(rows) * u128::from(shard_bytes(bytes)) / u128::from(bytes);
        let plan = Plan {
            version: Plan::VERSION,
            ties,
            fingerprint: dataset.fingerprint(),
            rows,
            rows_per_shard: u64::try_from(fitting).unwrap_or(rows).clamp(1, rows.max(1)),
            width: if tokenizer.vocab_size() <= 1 << 16 { 2 } else { 4 },
            group: content.group() as u32,
            sources: dataset.file_names(),
            skip_bad_rows: dataset.skip_bad_rows(),
            turns: dataset.turns(),
            mix: dataset.mix().cloned(),
        };
        let encoder = Encoder::new(tokenizer, content)
            .for_rows_of(max_seq_len)
            .with_turns(dataset.turns())
            .with_prompts_of(max_prompt_len);
        let skip_bad_rows = dataset.skip_bad_rows();
        Ok(Self { rows: EncodedRows { dataset, encoder, skip_bad_rows }, plan })
    }

    /// The same, where answers stand between tags, whose tokens weigh more.
    pub fn with_tags(mut self, tags: Option<TagWeight>) -> Self {
        self.plan.ties.tags.clone_from(&tags);
        self.rows.encoder = self.rows.encoder.with_tags(tags);
        self
    }

    /// The same with so many rows a shard.
    pub fn with_rows_per_shard(mut self, rows: u64) -> Self {
        self.plan.rows_per_shard = rows.max(1);
        self
    }

    /// The rows.
    pub fn dataset(&self) -> &Dataset {
        &self.rows.dataset
    }

    /// What is prepared, and how.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The rows as tokens, some at a time in their order, given to `take` until it says no.
    ///
    /// # Errors
    /// Rows that cannot be read or encoded; what `take` says.
    pub fn each(&self, mut take: impl FnMut(Vec<TokenRow>) -> Result<bool>) -> Result<()> {
        let mut at = 0;
        while at < self.plan.rows {
            let behind = (at + ROWS_AT_ONCE * threads().max(1) as u64).min(self.plan.rows);
            if !take(encoded(&self.rows, at..behind)?)? {
                break;
            }
            at = behind;
        }
        Ok(())
    }

    /// The bytes of a shard; `goes_on` is told of rows and tokens on the way and says whether to go on, `None` comes where
    /// it does not.
    ///
    /// # Errors
    /// Rows that cannot be read or encoded.
    pub fn shard(&self, number: u64, goes_on: &mut dyn FnMut(u64, u64) -> bool) -> Result<Option<Vec<u8>>> {
        let first = number * self.plan.rows_per_shard;
        let end = (first + self.plan.rows_per_shard).min(self.plan.rows);
        let mut shard = ShardWriter::new(self.plan.width, self.plan.group);
        let mut at = first;
        while at < end {
            let behind = (at + ROWS_AT_ONCE * threads().max(1) as u64).min(end);
            let before = shard.tokens();
            for row in encoded(&self.rows, at..behind)? {
                let source = self.plan.sources.iter().position(|source| *source == row.origin.source);
                let source = source.ok_or_else(|| {
                    let why = told!("prepared.no_file", "the row comes from no file of the data");
                    Error::Data(told!("row.at", "{origin}: {reason}", origin = row.origin, reason = why))
                })?;
                shard.push(&row, source as u32)?;
            }
            if !goes_on(behind - at, shard.tokens() - before) {
                return Ok(None);
            }
            at = behind;
        }
        Ok(Some(shard.finish()))
    }

    /// The index of all shards.
    pub fn index(&self, shards: Vec<ShardEntry>) -> PreparedIndex {
        let report = self.rows.dataset.report().clone();
        PreparedIndex { plan: self.plan.clone(), report, shards }
    }
}

/// Bytes of text in a shard, where all rows have `bytes`: what is made at once must fit into memory, and what is lost by an
/// interruption should be little.
fn shard_bytes(bytes: u64) -> u64 {
    SHARD_BYTES.max(bytes / MOST_SHARDS)
}

/// Rows of `source` as tokens, in order: read one behind the other, for which nothing is searched, and made tokens of on all
/// threads.
///
/// # Errors
/// Rows that cannot be read or encoded.
fn encoded(source: &EncodedRows, rows: std::ops::Range<u64>) -> Result<Vec<TokenRow>> {
    let read = |row: u64| match source.dataset.raw_row(row) {
        Ok(Some(raw)) => Ok(raw),
        Ok(None) => Err(Error::Data(told!("row.behind", "row {row} is behind the last one", row))),
        Err(error) => Err(error),
    };
    let raw = rows.map(read).collect::<Result<Vec<RawRow>>>()?;
    let length = raw.len().div_ceil(threads().max(1)).max(1);
    let parts: Vec<&[RawRow]> = raw.chunks(length).collect();
    let encode = |part: &[RawRow]| part.iter().map(|raw| token_row(source, raw)).collect::<Result<Vec<_>>>();
    let parts = map_in_threads(parts, encode).into_iter().collect::<Result<Vec<_>>>()?;
    Ok(parts.into_iter().flatten().collect())
}

fn token_row(source: &EncodedRows, raw: &RawRow) -> Result<TokenRow> {
    let origin = raw.origin.clone();
    let examples = match source.encode(&source.dataset.parse(raw)?, origin.clone())? {
        Found::Examples(examples) => examples,
        Found::Unusable(_) => return Ok(TokenRow { examples: Vec::new(), origin }),
    };
    if examples.is_empty() {
        return Err(Error::Data(told!("prepared.no_example", "{origin}: the row gives no example", origin)));
    }
    let tokens = |Example { ids, weights, warnings, .. }: Example| TokenExample { ids, weights, warnings };
    Ok(TokenRow { examples: examples.into_iter().map(tokens).collect(), origin })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_grow_with_the_data_and_stay_few() {
        assert_eq!(shard_bytes(1), 8 << 20);
        assert_eq!(shard_bytes(32 << 30), 8 << 20);
        // 1 TB: 244 MB of text a shard.
        assert_eq!(shard_bytes(1_000_000_000_000), 244_140_625);
    }
}
