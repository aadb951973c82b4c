//! The model: a decoder-only transformer of the Llama family. Files go from leaf to whole.

mod attention;
mod block;
mod cache;
mod config;
mod family;
mod hugging_face;
mod init;
mod linear;
mod low_rank;
mod mlp;
mod moe;
mod norm;
mod presets;
mod rope;
mod rope_scaling;
mod transformer;
mod weight;
mod weights;

pub use attention::Attention;
pub use block::Block;
pub use cache::KvCache;
pub use config::{Experts, ModelConfig, SlidingWindow};
pub(crate) use init::stream_of;
pub use init::{WeightSource, fresh_weights};
pub use linear::Linear;
pub use low_rank::LowRank;
pub use mlp::{FeedForward, Mlp};
pub use moe::Moe;
pub use norm::RmsNorm;
pub use presets::{Preset, preset, presets};
pub use rope::{Rope, frequencies, interleaved_to_half};
pub use rope_scaling::RopeScaling;
pub use transformer::Transformer;
pub use weight::{Quantized, Weight};
pub use weights::NamedTensor;
pub(crate) use weights::{Path, from_named, is_linear, read, to_named};
