//! The optimizer: named gradients, global clipping, AdamW with Muon beside it, averaged weights and the learning-rate
//! schedule.

mod adamw;
mod ema;
mod gradients;
mod muon;
mod saved;
mod schedule;

pub use adamw::{AdamW, AdamWConfig};
pub use ema::Ema;
pub use gradients::NamedGradients;
pub(crate) use saved::take_saved;
pub use schedule::{LrSchedule, Schedule};
