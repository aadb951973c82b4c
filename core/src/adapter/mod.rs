//! Adapters: a few trained numbers beside a frozen base.

mod config;
mod fingerprint;
mod lora;

pub use config::LoraConfig;
pub use fingerprint::Fingerprint;
pub(crate) use lora::path;
pub use lora::{Adapter, AdapterConfig};
