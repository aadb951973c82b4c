//! What the page asks and what the engine answers: the other half of `web/js/kindling.js`.

use kindling::data::DataReport;
use kindling::kernels::Quantization;
use kindling::sample::SamplingConfig;
use kindling::train::{Plan, Stage, StepLog};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A file that travels beside a message.
pub struct File {
    /// Its name, with folders where it came in one.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// The odd things about the data, a sentence each.
pub fn warnings(report: &DataReport) -> Vec<String> {
    report.remarks(|count| count.to_string())
}

/// A file's name without the folders before it.
pub fn own_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// What the page asks for.
#[derive(Deserialize)]
#[serde(tag = "call", rename_all = "kebab-case")]
pub enum Call {
    /// Opens the device: `auto`, `webgpu` or `cpu`.
    Open { device: String },
    /// Describes the open model.
    Model,
    /// Opens a model from the files beside the message.
    Load { name: String, weights: WeightsAs },
    /// Opens a model from a URL, of which what came before a break is still here.
    Download { url: String, keep: bool, weights: WeightsAs },
    /// Opens a kept model.
    LoadKept { name: String, weights: WeightsAs },
    /// Keeps the open model.
    Keep { name: String },
    /// Lists the kept models.
    Kept,
    /// Removes a kept model.
    Forget { name: String },
    /// Answers a conversation.
    Chat { messages: Vec<Turn>, sampling: SamplingConfig, base: bool, top: Option<usize> },
    /// Continues a text or ids.
    Generate { prompt: Option<String>, tokens: Option<Vec<u32>>, sampling: SamplingConfig },
    /// Scores a text or ids.
    Score { text: Option<String>, tokens: Option<Vec<u32>>, add_bos: bool, logits: bool },
    /// Shows rows of the files beside the message.
    Preview { stage: Stage, adapts: bool, config: Map<String, Value>, rows: usize, encoding: Option<String> },
    /// Estimates a run on the files beside the message.
    Plan(Training),
    /// Trains on them.
    Train(Training),
    /// Goes on with a saved run.
    Resume { id: String },
    /// Steers a run.
    Control { target: String, what: Wish },
    /// Ends a call before its time.
    Cancel { target: u32 },
    /// Lists the runs that wait to go on.
    Runs,
    /// Removes a run.
    RemoveRun { id: String },
    /// Takes a run that was saved elsewhere: `saved` of the files beside the message are its save, the others its data.
    ImportRun { stage: Stage, name: Option<String>, saved: usize },
    /// Lists the adapters.
    Adapters,
    /// Chooses those that act.
    UseAdapters { active: Vec<Active> },
    /// Takes an adapter from the files beside the message.
    AddAdapter { name: String },
    /// Removes an adapter.
    RemoveAdapter { name: String },
    /// Gives files to take home: `model` (and its form), `adapter` or `run` (and its name).
    Export { kind: String, name: String, shape: Delivery },
    /// Tells the settings of a stage that trains the model, or an adapter beside it.
    Defaults { stage: Stage, adapts: bool },
}

/// What a model's matrices are held as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WeightsAs {
    /// 32-bit floats.
    #[serde(rename = "f32")]
    F32,
    /// Blocks of few bits.
    #[serde(untagged)]
    Few(Quantization),
}

/// How several files go home.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// As they are.
    Files,
    /// In one archive.
    Zip,
}

/// A message of a conversation.
#[derive(Deserialize)]
pub struct Turn {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// Its text.
    pub content: String,
}

/// What a run is to be; also what is kept of it until it goes on.
#[derive(Clone, Serialize, Deserialize)]
pub struct Training {
    /// What it teaches.
    pub stage: Stage,
    /// Settings that differ from the defaults.
    #[serde(default)]
    pub config: Map<String, Value>,
    /// An adapter learns it, with these settings that differ from the defaults; without them the model itself.
    #[serde(default)]
    pub adapter: Option<Map<String, Value>>,
    /// The name of what comes of it.
    #[serde(default)]
    pub name: Option<String>,
    /// A question asked on the way.
    #[serde(default)]
    pub sample: Option<Sample>,
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
}

/// A question that is asked every so many steps.
#[derive(Clone, Serialize, Deserialize)]
pub struct Sample {
    /// The question.
    pub prompt: String,
    /// Steps between two answers.
    pub every: u64,
}

/// What the page wants of a run.
#[derive(Clone, Copy, Deserialize)]
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

/// An adapter that acts.
#[derive(Deserialize)]
pub struct Active {
    /// Its name.
    pub name: String,
    /// What its scale is multiplied by.
    pub strength: f64,
}

/// What the engine tells before it is done.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A token came.
    Token {
        /// The text that became final with it.
        text: String,
        /// How likely it was, where that was asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        logprob: Option<TokenLogprob>,
    },
    /// So much of a download is here.
    Loaded { loaded: f64, total: Option<f64> },
    /// A run stands and begins.
    Started { id: String, plan: PlanInfo },
    /// Steps were taken.
    Step(StepLog),
    /// The held-out loss was measured.
    Eval { step: u64, loss: f64, bits_per_byte: f64, best: bool },
    /// The question was answered.
    Sample { step: u64, prompt: String, text: String },
    /// The run was saved.
    Save { step: u64 },
    /// Something to know.
    Warning { message: String },
    /// The end, with the call's result.
    Done { result: Value },
    /// The end, with what went wrong.
    Failed { message: String },
}

/// A token's probability, in OpenAI's shape.
#[derive(Serialize)]
pub struct TokenLogprob {
    /// The token's own text.
    pub token: String,
    /// Its id.
    pub id: u32,
    /// The natural logarithm of its probability.
    pub logprob: f64,
    /// The most likely tokens.
    pub top_logprobs: Vec<Alternative>,
}

/// A token that could have come.
#[derive(Serialize)]
pub struct Alternative {
    /// Its text.
    pub token: String,
    /// Its id.
    pub id: u32,
    /// The natural logarithm of its probability.
    pub logprob: f64,
}

/// The open model.
#[derive(Serialize)]
pub struct ModelInfo {
    /// Its name.
    pub name: String,
    /// Number of weights.
    pub parameters: u64,
    /// Number of blocks.
    pub layers: usize,
    /// Width.
    pub hidden: usize,
    /// Number of ids.
    pub vocabulary: usize,
    /// Longest sequence.
    pub context: usize,
    /// Whether it has a chat template.
    pub chat: bool,
    /// What its matrices are held as.
    pub weights: WeightsAs,
    /// What is odd about the files that it came from.
    pub warnings: Vec<String>,
}

/// What a run will need.
#[derive(Clone, Serialize)]
pub struct PlanInfo {
    /// Weights of the model.
    pub parameters: u64,
    /// Weights that train.
    pub trained: u64,
    /// Memory.
    pub bytes: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// Tokens, at most.
    pub tokens: u64,
    /// Time, from the speed of a bare product.
    pub seconds: f64,
    /// Rows of the data.
    pub rows: u64,
    /// What is odd about the data and the run, a sentence each.
    pub warnings: Vec<String>,
    /// What is odd about the data, counted.
    pub report: DataReport,
    /// Of the warnings those that are not in the report.
    pub notes: Vec<String>,
}

impl PlanInfo {
    /// A plan for these rows; `seconds` is 0 where only the run's own speed can tell.
    pub fn new(plan: &Plan, seconds: f64, rows: u64, report: DataReport) -> Self {
        Self {
            parameters: plan.parameters,
            trained: plan.trained,
            bytes: plan.bytes(),
            steps: plan.steps,
            tokens: plan.tokens,
            seconds,
            rows,
            warnings: warnings(&report),
            report,
            notes: Vec::new(),
        }
    }

    /// Adds what else a person should know.
    pub fn note(&mut self, notes: Vec<String>) {
        self.warnings.extend(notes.iter().cloned());
        self.notes.extend(notes);
    }
}

/// An adapter that is at hand or kept.
#[derive(Serialize)]
pub struct AdapterInfo {
    /// Its name.
    pub name: String,
    /// The width of its paths.
    pub rank: usize,
    /// Its number of weights.
    pub parameters: u64,
    /// Whether it acts.
    pub active: bool,
    /// How strongly.
    pub strength: f64,
    /// The name of the model that it belongs to.
    pub base: Option<String>,
    /// Whether that is the open model.
    pub fits: bool,
    /// Whether it is kept in this browser.
    pub kept: bool,
    /// When it was made or added, in milliseconds since 1970.
    pub made: f64,
    /// What is damaged of it, so that it cannot be opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damaged: Option<String>,
}

/// A run that waits to go on.
#[derive(Serialize)]
pub struct SavedRun {
    /// Its id.
    pub id: String,
    /// What it teaches; none where that is damaged.
    pub stage: Option<Stage>,
    /// Whether an adapter learns it.
    pub adapter: bool,
    /// The name of what comes of it.
    pub name: String,
    /// The name of the model that it began with.
    pub model: String,
    /// Steps taken.
    pub step: u64,
    /// Steps planned.
    pub total_steps: u64,
    /// Files of it that were cut short or damaged, and how; it goes on from what is whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<String>,
}

/// A row as the model sees it.
#[derive(Serialize)]
pub struct PreviewRow {
    /// Its line.
    pub line: u64,
    /// Its tokens.
    pub tokens: Vec<PreviewToken>,
    /// Whether it is longer than the longest row.
    pub cut: bool,
}

/// A token of such a row.
#[derive(Serialize)]
pub struct PreviewToken {
    /// Its text.
    pub text: String,
    /// Its id.
    pub id: u32,
    /// Whether the model is trained to say it.
    pub target: bool,
}
