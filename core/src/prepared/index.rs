//! The index of prepared data: what its shards were made of and with, and a dataset over all of them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::plan::Plan;
use super::shard::{Shard, damaged};
use crate::data::{DataReport, Dataset, Source, TokenData, TokenRow, TokenRows, TokenTies};
use crate::error::{Error, Result};
use crate::platform::{map_in_threads, threads};
use crate::told::told;

/// The name of the index in the directory of prepared data.
pub const INDEX: &str = "prepared.json";

/// What a directory of prepared data holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreparedIndex {
    /// What was prepared, and how.
    pub plan: Plan,
    /// What was counted when the rows were read.
    pub report: DataReport,
    /// Its shards, in the order of their rows.
    pub shards: Vec<ShardEntry>,
}

/// A shard as the index knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardEntry {
    /// The name of its file, beside the index.
    pub file: String,
    /// Rows in it.
    pub rows: u64,
    /// Tokens in it.
    pub tokens: u64,
    /// The SHA-256 of all but its last 32 bytes, which are this checksum.
    pub sha256: String,
}

impl PreparedIndex {
    /// Reads an index; `name` is what it is called in messages.
    ///
    /// # Errors
    /// What is no index, torn, or of a later version.
    pub fn read(name: &str, json: &[u8]) -> Result<Self> {
        let index: Self = serde_json::from_slice(json).map_err(|e| {
            damaged(
                name,
                told!(
                    "prepared.index",
                    "the index of the prepared data is damaged ({e}); prepare it again",
                    e
                ),
            )
        })?;
        let plan = &index.plan;
        if plan.version != Plan::VERSION {
            let why = told!(
                "prepared.version",
                "the prepared data has version {version}, and {own} is read; prepare it again",
                version = plan.version,
                own = Plan::VERSION
            );
            return Err(damaged(name, why));
        }
        let rows: u64 = index.shards.iter().fold(0, |sum, shard| shard.rows.saturating_add(sum));
        if rows != plan.rows || plan.rows_per_shard == 0 || index.shards.len() as u64 != plan.shards() {
            let why = told!(
                "prepared.index_rows",
                "the index of the prepared data is damaged: its shards have {rows} rows, and it tells of {planned}; prepare it \
                 again",
                rows,
                planned = plan.rows
            );
            return Err(damaged(name, why));
        }
        Ok(index)
    }

    /// Tokens in all shards.
    pub fn tokens(&self) -> u64 {
        self.shards.iter().map(|shard| shard.tokens).sum()
    }
}

/// The dataset of an index whose shards' bytes are given in its order. Every byte is looked at once, for the checksums.
///
/// # Errors
/// Shards that are damaged, or not those of the index.
pub fn open_prepared(index: PreparedIndex, shards: Vec<Arc<dyn Source>>) -> Result<Dataset> {
    let opened = shards.into_iter().map(Shard::open).collect::<Result<Vec<_>>>()?;
    let pairs: Vec<(&Shard, &ShardEntry)> = opened.iter().zip(&index.shards).collect();
    if pairs.len() != index.shards.len() {
        return Err(Error::Data(told!(
            "prepared.lacks_shards",
            "the prepared data lacks shards that its index tells of; prepare it again"
        )));
    }
    let parts = threads().clamp(1, pairs.len().max(1));
    let part = |thread: usize| pairs.iter().skip(thread).step_by(parts).copied().collect::<Vec<_>>();
    let group = index.plan.group;
    let checked = map_in_threads((0..parts).map(part).collect(), |part: Vec<(&Shard, &ShardEntry)>| {
        part.into_iter().try_for_each(|(shard, entry)| check(shard, entry, group))
    });
    checked.into_iter().collect::<Result<Vec<()>>>()?;
    let PreparedIndex { plan, report, .. } = index;
    let (fingerprint, skip_bad_rows) = (plan.fingerprint.clone(), plan.skip_bad_rows);
    let (turns, mix) = (plan.turns, plan.mix.clone());
    let rows = Arc::new(ShardSet { shards: opened, plan });
    Ok(Dataset::of_tokens(TokenData { rows, report, fingerprint, skip_bad_rows, turns, mix }))
}

fn check(shard: &Shard, entry: &ShardEntry, group: u32) -> Result<()> {
    let checksum = shard.verify()?;
    let is_it = checksum == entry.sha256
        && (shard.rows(), shard.tokens(), shard.group()) == (entry.rows, entry.tokens, group);
    match is_it {
        true => Ok(()),
        false => {
            let why = told!(
                "prepared.other_shard",
                "this is another shard than the index tells of; prepare the data again"
            );
            Err(damaged(&entry.file, why))
        }
    }
}

/// All shards of prepared data.
struct ShardSet {
    shards: Vec<Shard>,
    plan: Plan,
}

impl TokenRows for ShardSet {
    fn rows(&self) -> u64 {
        self.plan.rows
    }

    fn row(&self, row: u64) -> Result<TokenRow> {
        let shard = usize::try_from(row / self.plan.rows_per_shard.max(1)).ok();
        match shard.and_then(|shard| self.shards.get(shard)) {
            Some(shard) => shard.row(row % self.plan.rows_per_shard.max(1), &self.plan.sources),
            None => Err(Error::Data(told!("prepared.no_row", "row {row} is behind the last one", row))),
        }
    }

    fn ties(&self) -> Option<&TokenTies> {
        Some(&self.plan.ties)
    }
}
