//! Diffusion models on the page: how they write, fill holes, are made and learn.

mod calls;
mod canvas;
mod convert;
mod objective;
mod replay;
mod unmasking;
mod writing;

pub use calls::{fills_holes, infill};
pub use convert::Convert;
pub use objective::{Objective, takes_masked};
pub use replay::{Replay, replay};
pub use unmasking::Unmasking;
pub use writing::{Writing, marked};
