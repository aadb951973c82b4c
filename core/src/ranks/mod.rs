//! Processes that train one run together, each on its own rows of every batch (data-parallel training). The library knows no
//! network: whoever starts the run brings what carries numbers between them.

mod agreement;
mod buckets;

pub use agreement::{check_agreement, gather_told};
pub use buckets::{BUCKET, BucketSum};

use crate::error::Result;

/// A sum that is on its way: waiting for it gives the values, added over all ranks.
pub type Summing = Box<dyn FnOnce() -> Result<Vec<f32>>>;

/// The ranks of a run, as one of them sees them. Calls are collective: every rank makes the same ones in the same order. Where
/// one of them dies, the calls of the others end with an error, or their processes do.
pub trait Ranks: Send + Sync {
    /// The number of this one, from 0. Rank 0 tells of the run and stores it.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// Begins to add values, as many on every rank, over all of them. All get the same sums, to the bit; sums that were begun
    /// earlier end earlier.
    ///
    /// # Errors
    /// Ranks that cannot be reached.
    fn begin_sum(&self, values: Vec<f32>) -> Result<Summing>;

    /// What every rank gives, in the order of their numbers.
    ///
    /// # Errors
    /// Ranks that cannot be reached.
    fn gather(&self, own: Vec<u8>) -> Result<Vec<Vec<u8>>>;
}

#[cfg(test)]
pub(crate) mod mirror {
    use super::*;

    /// Two ranks of which the other one does what this one does.
    pub(crate) struct Mirror;

    impl Ranks for Mirror {
        fn rank(&self) -> usize {
            0
        }

        fn size(&self) -> usize {
            2
        }

        fn begin_sum(&self, values: Vec<f32>) -> Result<Summing> {
            Ok(Box::new(move || Ok(values.into_iter().map(|value| 2.0 * value).collect())))
        }

        fn gather(&self, own: Vec<u8>) -> Result<Vec<Vec<u8>>> {
            Ok(vec![own.clone(), own])
        }
    }
}
