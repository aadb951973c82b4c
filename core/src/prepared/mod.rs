//! Prepared data: rows as tokens in files that are read where they lie, and the caches of other programs.
//!
//! A preparation makes shards of rows, an index says what they were made with, and a set of shards gives the rows of all
//! as a dataset whose training equals that of the rows themselves.

mod flat;
mod index;
mod layout;
mod npy;
mod plan;
mod preparation;
mod shard;
mod ties;
mod writer;

pub use flat::{FlatTokens, FlatType, flat_tokens};
pub use index::{INDEX, PreparedIndex, ShardEntry, open_prepared};
pub use npy::{NpyTokens, npy_header};
pub use plan::{Plan, shard_name};
pub use preparation::Preparation;
pub use shard::Shard;
pub use ties::ties_of;
