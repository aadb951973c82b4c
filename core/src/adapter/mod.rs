//! Adapters: a few trained numbers beside a frozen base.

mod average;
mod average_config;
mod average_rules;
mod config;
mod copies;
mod dora;
mod fingerprint;
mod lora;
mod mean;
mod merge;
mod modules;
mod names;
mod pissa;
mod reading;
mod scope;
mod svd;
mod whole;

pub use average::{Averaged, Cut};
pub use average_config::AverageConfig;
pub use config::{LoraConfig, LoraInit, Scope, Selection};
pub use fingerprint::Fingerprint;
pub use lora::{Adapter, AdapterConfig};
pub(crate) use mean::Mean;
pub(crate) use names::{known_module, magnitude_path, module_path, path, whole_module};
pub use reading::Reading;

/// How an adapter of another arithmetic is used nevertheless.
pub(crate) const MERGE_IN_PEFT: &str = "merge it into its base with PEFT, merge_and_unload() and save_pretrained(DIR), and give DIR as the model";
