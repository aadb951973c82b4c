//! What a preparation makes of which rows.

use serde::{Deserialize, Serialize};

use crate::data::{Mix, TokenTies, Turns};

/// What is prepared, and how: a preparation that was interrupted goes on where this is the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The version of the format.
    #[serde(rename = "kindling_prepared")]
    pub version: u32,
    /// What the tokens depend on beside the rows.
    pub ties: TokenTies,
    /// What the rows are, as [`Dataset::fingerprint`](crate::data::Dataset::fingerprint) says.
    pub fingerprint: String,
    /// Rows in all.
    pub rows: u64,
    /// Rows of every shard but the last.
    pub rows_per_shard: u64,
    /// Bytes a token.
    pub width: u32,
    /// Examples a row.
    pub group: u32,
    /// The files that rows come from.
    pub sources: Vec<String>,
    /// Whether rows that cannot be used are left out.
    pub skip_bad_rows: bool,
    /// What became of conversations.
    pub turns: Turns,
    /// The shares of the sources, where they have any.
    pub mix: Option<Mix>,
}

impl Plan {
    /// The version that is written and read.
    pub const VERSION: u32 = 1;

    /// How many shards there will be.
    pub fn shards(&self) -> u64 {
        self.rows.div_ceil(self.rows_per_shard.max(1))
    }
}

/// The name of a shard's file.
pub fn shard_name(number: u64) -> String {
    format!("shard-{number:05}.bin")
}
