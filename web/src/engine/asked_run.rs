//! What is asked of a run, as `web/js/kindling.js` writes it. `kindling serve --train` includes this file: it takes what the
//! worker takes.

use kindling::train::Stage;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::messages::model::WeightsAs;

/// What a run is to be; also what is kept of it until it goes on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Training {
    /// What it teaches.
    pub stage: Stage,
    /// Settings that differ from the defaults.
    #[serde(default)]
    pub config: Map<String, Value>,
    /// An adapter learns it, with these settings that differ from the defaults; without them the model itself.
    #[serde(default)]
    pub adapter: Option<Map<String, Value>>,
    /// Settings of preferences that differ from the defaults, where they are learned.
    #[serde(default)]
    pub dpo: Option<Map<String, Value>>,
    /// Those of distillation, likewise.
    #[serde(default)]
    pub distill: Option<Map<String, Value>>,
    /// Those of answers that think first.
    #[serde(default)]
    pub reason: Option<Map<String, Value>>,
    /// Those of rewards.
    #[serde(default)]
    pub grpo: Option<Map<String, Value>>,
    /// What a student learns from.
    #[serde(default)]
    pub teacher: Option<Teacher>,
    /// A new model of this size learns it, with the tokenizer of the open one; without it the open model.
    #[serde(default)]
    pub preset: Option<String>,
    /// What is said of the experts of that new model.
    #[serde(default)]
    pub experts: Option<Map<String, Value>>,
    /// The name of what comes of it.
    #[serde(default)]
    pub name: Option<String>,
    /// A question asked on the way.
    #[serde(default)]
    pub sample: Option<Sample>,
    /// Questions asked before it and after it, beside those of its rows.
    #[serde(default)]
    pub questions: Vec<String>,
    /// What the data files are written in, where that is not UTF-8.
    #[serde(default)]
    pub encoding: Option<String>,
}

/// What an adapter is called that nobody named.
const ADAPTER: &str = "lora";

impl Training {
    /// The name of what comes of it, or else what is trained.
    pub fn title(&self) -> String {
        let unnamed = if self.adapts() { ADAPTER } else { self.stage.name() };
        self.name.clone().unwrap_or_else(|| unnamed.into())
    }

    /// Whether it trains an adapter beside the model, and not the model itself.
    pub fn adapts(&self) -> bool {
        self.adapter.is_some()
    }

    /// Whether it needs the model that it began with after its first save, too: under an adapter, or to be compared with.
    pub fn needs_base(&self) -> bool {
        self.adapts() || matches!(self.stage, Stage::Dpo | Stage::Grpo)
    }
}

/// What a student learns from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Teacher {
    /// Where it is.
    pub from: TeacherFrom,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Of the files beside the message the last ones are its: so many.
    #[serde(default)]
    pub files: usize,
    /// What its matrices are held as.
    pub weights: WeightsAs,
    /// Which weights it has, once a run has begun with it.
    #[serde(default)]
    pub fingerprint: Option<String>,
}

/// Where a teacher is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TeacherFrom {
    /// Among the kept models.
    Kept,
    /// It is the open model.
    Open,
    /// In files beside the message.
    Files,
}

/// A question that is asked every so many steps.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// The question.
    pub prompt: String,
    /// Steps between two answers.
    pub every: u64,
}

/// What the page wants of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wish {
    /// Go on.
    Continue,
    /// Wait.
    Pause,
    /// Save and go on.
    Save,
    /// Save and end.
    Stop,
}
