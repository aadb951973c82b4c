//! The optimizer: named gradients, global clipping, AdamW and the learning-rate schedule.

mod adamw;
mod gradients;
mod schedule;

pub use adamw::{AdamW, AdamWConfig};
pub use gradients::NamedGradients;
pub use schedule::{LrSchedule, Schedule};
