//! What the engine says and is told, as `kindling.d.ts` has it; only the parts that the page shows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What computes.
#[derive(Clone, Deserialize)]
pub struct DeviceInfo {
    /// `webgpu` or `cpu`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Why it is not WebGPU.
    pub notice: Option<String>,
    /// The same as a word.
    pub reason: Option<String>,
}

/// The open model.
#[derive(Clone, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct ModelInfo {
    pub name: String,
    pub parameters: f64,
    pub layers: u32,
    pub hidden: u32,
    pub vocabulary: u32,
    pub context: u32,
    pub chat: bool,
    pub weights: String,
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// A message of a conversation.
#[derive(Clone, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// Its text.
    pub content: String,
}

/// A token of an answer, how likely it was, and what else was; what is impossible has no log-probability.
#[derive(Clone, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct TokenLogprob {
    pub token: String,
    pub logprob: Option<f64>,
    #[serde(default)]
    pub top_logprobs: Vec<Alternative>,
}

/// A token that might have come.
#[derive(Clone, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Alternative {
    pub token: String,
    pub logprob: Option<f64>,
}

/// A part of an answer.
#[derive(Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Chunk {
    pub choices: Vec<Choice>,
    pub usage: Option<Usage>,
}

/// The one choice of a chunk.
#[derive(Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Choice {
    pub delta: Delta,
    pub logprobs: Option<Logprobs>,
    pub finish_reason: Option<String>,
}

/// What a chunk adds.
#[derive(Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Delta {
    pub content: Option<String>,
}

/// The tokens of a chunk.
#[derive(Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Logprobs {
    pub content: Vec<TokenLogprob>,
}

/// What an answer took.
#[derive(Clone, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Usage {
    pub completion_tokens: u32,
    pub tokens_per_second: Option<f64>,
    pub dropped_messages: Option<u32>,
}

/// What the engine does where nothing was set, by the names of `kindling.d.ts`.
#[derive(Clone, Deserialize)]
pub struct Defaults {
    /// How a stage trains, with or without an adapter.
    pub config: Map<String, Value>,
    /// How an adapter is made.
    pub lora: Map<String, Value>,
    /// How the next token is chosen.
    pub sampling: Map<String, Value>,
}

/// What a run will need; counts beyond 2³² stay whole in an `f64`.
#[derive(Clone, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Plan {
    pub parameters: f64,
    pub trained: f64,
    pub bytes: f64,
    pub steps: f64,
    pub tokens: f64,
    pub seconds: Option<f64>,
    pub rows: f64,
    #[serde(default)]
    pub report: DataReport,
    #[serde(default)]
    pub notes: Vec<String>,
}

/// What a run tells; a loss that is no number comes as none.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum TrainEvent {
    Step { step: f64, loss: Option<f64>, tokens_per_second: Option<f64>, elapsed_s: Option<f64> },
    Eval { step: f64, loss: Option<f64> },
    Sample { step: f64, prompt: String, text: String },
    Save { step: f64 },
    Warning { message: String },
}

/// How a run ended.
#[derive(Clone, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct RunEnd {
    pub id: String,
    pub step: f64,
    pub total_steps: f64,
    pub stopped: bool,
    pub heldout_loss: Option<f64>,
    pub adapter: Option<String>,
    pub model: Option<String>,
    #[serde(default)]
    pub kept: bool,
}

/// A run that can go on.
#[derive(Clone, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct SavedRun {
    pub id: String,
    pub stage: Option<String>,
    pub adapter: bool,
    pub name: String,
    pub model: String,
    pub step: f64,
    pub total_steps: f64,
    #[serde(default)]
    pub damaged: Vec<String>,
}

/// An adapter in this browser, of whatever model.
#[derive(Clone, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct AdapterInfo {
    pub name: String,
    pub rank: u32,
    pub parameters: f64,
    pub active: bool,
    pub strength: f64,
    pub base: Option<String>,
    pub fits: bool,
    pub kept: bool,
    pub made: f64,
    pub damaged: Option<String>,
}

/// What is odd about the data.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct DataReport {
    /// By a word for each kind of oddity.
    pub warnings: BTreeMap<String, RowCount>,
    /// Keys that hold a text which nothing reads.
    pub unused_keys: BTreeMap<String, RowCount>,
    /// Rows with other such keys.
    pub more_unused: f64,
    /// Held-out rows that are trained on.
    pub on_both_sides: Option<RowCount>,
}

/// How many rows, and where the first of them stands.
#[derive(Clone, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct RowCount {
    pub rows: f64,
    pub first: String,
}

/// Rows as the model sees them.
#[derive(Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Preview {
    pub rows: Vec<PreviewRow>,
    pub total: f64,
    #[serde(default)]
    pub report: DataReport,
    #[serde(default)]
    pub notes: Vec<String>,
}

/// A row as the model sees it.
#[derive(Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct PreviewRow {
    pub line: f64,
    pub tokens: Vec<PreviewToken>,
    pub cut: bool,
}

/// A token of a row.
#[derive(Deserialize)]
pub struct PreviewToken {
    /// What it spells.
    pub text: String,
    /// Its number.
    pub id: u32,
    /// Whether the model is trained to say it.
    pub target: bool,
}

/// A model kept in this browser.
#[derive(Clone, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct KeptModel {
    pub name: String,
    pub bytes: f64,
    pub damaged: Option<String>,
}
