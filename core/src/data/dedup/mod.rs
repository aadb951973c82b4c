//! Rows that say what an earlier one says, or nearly so: an index of the rows that are kept, in a stated number of bytes a row.

mod index;
mod minhash;
mod places;
mod shingles;
mod table;

pub(super) use index::{DedupIndex, Earlier, Marks};
pub(super) use minhash::signature;
pub use minhash::{BANDS, Signature};
pub use shingles::fnv1a;
