//! How long a run has not been better.

use serde::{Deserialize, Serialize};

/// How a run's measurements went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patience {
    /// The step of the best one.
    pub best_step: u64,
    /// How many have come since.
    pub stale: u64,
}

impl Patience {
    /// Whether nothing was measured.
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}
