//! Writing with a masked predictor: all new tokens begin as masks, and each step fills those it is surest of (LLaDA: Nie et
//! al., 2025, <https://arxiv.org/abs/2502.09992>).

mod config;
mod decoder;
mod written;

pub use config::{Remasking, UnmaskConfig};
pub use decoder::MaskedDecoder;
pub use written::{UnmaskStep, Unmasked, Written};
