//! Making prepared data: rows are encoded once, shard by shard, on all threads.

use std::sync::Arc;

use super::index::{PreparedIndex, ShardEntry};
use super::plan::Plan;
use super::ties::ties_of;
use super::writer::ShardWriter;
use crate::batch::{Content, EncodedRows, Encoder, Example, ExampleSource, Found};
use crate::data::{Dataset, RowOrigin, TokenExample, TokenRow};
use crate::error::{Error, Result};
use crate::platform::{map_in_threads, threads};
use crate::tokenizer::{TagWeight, Tokenizer};
use crate::told::told;

/// Text in a shard, about.
const SHARD_BYTES: u64 = 8 << 20;
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
        let fitting = u128::from(rows) * u128::from(SHARD_BYTES) / u128::from(bytes);
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

/// Rows of `source` as tokens, in order, encoded on all threads.
///
/// # Errors
/// Rows that cannot be read or encoded.
fn encoded(source: &EncodedRows, rows: std::ops::Range<u64>) -> Result<Vec<TokenRow>> {
    // Dealt out in turns: the threads then read near each other, where the file's block is at hand.
    let parts = threads().clamp(1, (rows.end - rows.start).max(1) as usize);
    let part = |thread: usize| rows.clone().skip(thread).step_by(parts).collect::<Vec<u64>>();
    let encode =
        |part: Vec<u64>| part.into_iter().map(|row| token_row(source, row)).collect::<Result<Vec<_>>>();
    let encoded = map_in_threads((0..parts).map(part).collect(), encode);
    let mut encoded = encoded.into_iter().map(|part| part.map(Vec::into_iter)).collect::<Result<Vec<_>>>()?;
    let count = (rows.end - rows.start) as usize;
    Ok((0..count).filter_map(|row| encoded[row % parts].next()).collect())
}

fn token_row(source: &EncodedRows, row: u64) -> Result<TokenRow> {
    let examples = match source.examples(row)? {
        Found::Examples(examples) => examples,
        Found::Unusable(_) => {
            let origin = source.dataset.row(row)?.map(|(_, origin)| origin);
            let origin = origin.unwrap_or(RowOrigin { source: String::new(), line: 0 });
            return Ok(TokenRow { examples: Vec::new(), origin });
        }
    };
    let Some(origin) = examples.first().map(|example| example.origin.clone()) else {
        return Err(Error::Data(told!("prepared.no_example", "row {row} gives no example", row)));
    };
    let tokens = |Example { ids, weights, warnings, .. }: Example| TokenExample { ids, weights, warnings };
    Ok(TokenRow { examples: examples.into_iter().map(tokens).collect(), origin })
}
