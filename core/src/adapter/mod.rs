//! Adapters: a few trained numbers beside a frozen base.

mod config;
mod copies;
mod fingerprint;
mod lora;
mod scope;
mod whole;

pub use config::{LoraConfig, Scope, Selection};
pub use fingerprint::Fingerprint;
pub use lora::{Adapter, AdapterConfig};
pub(crate) use whole::path;

/// How an adapter of another arithmetic is used nevertheless.
pub(crate) const MERGE_IN_PEFT: &str = "merge it into its base with PEFT, merge_and_unload() and save_pretrained(DIR), and give DIR as the model";
