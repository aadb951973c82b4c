//! Writing with a masked predictor: all new tokens begin as masks, and each step fills those that it is surest of (LLaDA:
//! Nie et al., 2025, <https://arxiv.org/abs/2502.09992>).

mod answer;
mod check;
mod choice;
mod config;
mod decoder;
#[cfg(test)]
mod fake;
mod masked_model;
#[cfg(test)]
mod model_tests;
mod plan;
mod predictor;
#[cfg(test)]
mod tests;
mod written;

pub use check::check_unmask;
pub(crate) use config::MOST_GUIDANCE;
pub use config::{Remasking, UnmaskConfig};
pub use decoder::MaskedDecoder;
pub use written::{UnmaskStep, Unmasked, Written};
