//! Settings of answers that the model writes itself, whatever is learned from them.

use serde::{Deserialize, Serialize};

use crate::told::{Told, told};

/// Settings of answers that the model writes itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct RolloutConfig {
    /// The most tokens of an answer that the model writes itself; fewer where a row has no room for them.
    #[cfg_attr(feature = "cli", arg(long, default_value_t = RolloutConfig::default().max_new_tokens))]
    pub max_new_tokens: usize,
}

impl Default for RolloutConfig {
    fn default() -> Self {
        Self { max_new_tokens: 128 }
    }
}

impl RolloutConfig {
    /// What does not hold.
    pub fn problem(&self) -> Option<Told> {
        (self.max_new_tokens == 0)
            .then(|| told!("rollouts.max_new_tokens", "--max-new-tokens is 0; it must be at least 1"))
    }
}
