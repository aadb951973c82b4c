//! What the page asks, as `web/js/kindling.js` writes it. `messages` has what the engine answers.

use kindling::train::Stage;
use serde::Deserialize;
use serde_json::{Map, Value};

pub use super::asked_run::{Sample, Teacher, TeacherFrom, Training, Wish};
use super::messages::chat::Message;
use super::messages::model::{GgufWeights, WeightsAs};

/// A file that travels beside a message.
pub struct File {
    /// Its name, with folders where it came in one.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
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
    /// Makes a masked predictor of the open model, and keeps it.
    Convert(Conversion),
    /// Lists the kept models.
    Kept,
    /// Removes a kept model.
    Forget { name: String },
    /// Answers a conversation: as what acts now, as the base, or with only the adapters that are named.
    Chat {
        messages: Vec<Message>,
        #[serde(flatten)]
        choosing: Choosing,
        base: bool,
        #[serde(default)]
        only: Option<Vec<Active>>,
        top: Option<usize>,
    },
    /// Continues a text or ids, likewise.
    Generate {
        prompt: Option<String>,
        tokens: Option<Vec<u32>>,
        #[serde(flatten)]
        choosing: Choosing,
    },
    /// Fills the holes of a text, of so many tokens each.
    Infill {
        text: String,
        hole_tokens: Option<usize>,
        #[serde(flatten)]
        choosing: Choosing,
    },
    /// Scores a text or ids; `likelihood` are the settings of a masked predictor that somebody set.
    Score {
        text: Option<String>,
        tokens: Option<Vec<u32>>,
        add_bos: bool,
        logits: bool,
        #[serde(default)]
        likelihood: Map<String, Value>,
    },
    /// Asks the questions of the files beside the message.
    Evaluate(Evaluating),
    /// Makes a few such questions.
    ExampleQuestions,
    /// Shows rows of the files beside the message.
    Preview {
        stage: Stage,
        adapts: bool,
        config: Map<String, Value>,
        rows: usize,
        encoding: Option<String>,
        preset: Option<String>,
        #[serde(default)]
        experts: Option<Map<String, Value>>,
    },
    /// Reads the pasted text beside the message as rows for a stage.
    ReadRows { stage: Stage },
    /// Reads it as questions and answers, if it is nothing but such.
    ReadPairs,
    /// Reads it as cells of a spreadsheet, with worse answers where those are asked for.
    ReadCells { choices: bool },
    /// Estimates a run on the files beside the message.
    Plan(Training),
    /// Trains on them.
    Train(Training),
    /// Goes on with a saved run, for `more` steps where it was done.
    Resume { id: String, more: Option<u64> },
    /// Steers a run.
    Control { target: String, what: Wish },
    /// Ends a call before its time.
    Cancel { target: u32 },
    /// Lists the runs that wait to go on.
    Runs,
    /// Removes a run.
    RemoveRun { id: String },
    /// Takes a run that was saved elsewhere: `saved` of the files beside the message are its save, the others its data.
    ImportRun {
        stage: Stage,
        name: Option<String>,
        saved: usize,
        teacher: Option<Teacher>,
        #[serde(default)]
        encoding: Option<String>,
    },
    /// Lists the adapters.
    Adapters,
    /// Chooses those that act.
    UseAdapters { active: Vec<Active> },
    /// Takes an adapter from the files beside the message.
    AddAdapter { name: String },
    /// Averages adapters of the open model into a new one.
    AverageAdapters {
        name: String,
        of: Vec<String>,
        #[serde(default)]
        weights: Vec<f64>,
        #[serde(default)]
        rank: Option<usize>,
    },
    /// Removes an adapter.
    RemoveAdapter { name: String },
    /// Gives files to take home: `model` (and its form), `adapter` or `run` (and its name).
    Export { kind: String, name: String, shape: Delivery, weights: Option<GgufWeights> },
    /// Tells the settings of a stage that trains the model, or an adapter beside it.
    Defaults { stage: Stage, adapts: bool },
}

/// How an answer is chosen: settings that somebody set.
#[derive(Deserialize)]
pub struct Choosing {
    /// How tokens are chosen.
    pub sampling: Map<String, Value>,
    /// How a masked predictor fills its masks.
    #[serde(default)]
    pub unmask: Map<String, Value>,
}

/// What is asked, of whom and how.
#[derive(Deserialize)]
pub struct Evaluating {
    /// The task.
    pub task: String,
    /// How questions are asked: settings that somebody set.
    pub config: Map<String, Value>,
    /// How a masked predictor is asked, likewise.
    pub likelihood: Map<String, Value>,
    /// What stands around thinking and answer, likewise.
    pub tags: Map<String, Value>,
    /// The most questions, of each subject where a set has subjects.
    #[serde(default)]
    pub limit: Option<u64>,
    /// Tokens that an answer that thinks first may have.
    #[serde(default)]
    pub max_new_tokens: Option<usize>,
    /// Whether the base is asked and nothing else.
    pub base: bool,
    /// Adapters that act alone.
    #[serde(default)]
    pub only: Option<Vec<Active>>,
    /// Whether the base is asked first; without it where an adapter acts.
    #[serde(default)]
    pub compare: Option<bool>,
    /// What the files are written in, where that is not UTF-8.
    #[serde(default)]
    pub encoding: Option<String>,
    /// Of the files the last ones are those that examples come from: so many.
    pub shots_files: usize,
}

/// What a masked predictor is to be like.
#[derive(Deserialize)]
pub struct Conversion {
    /// Whether its logits predict the token behind them.
    #[serde(default)]
    pub shift_logits: Option<bool>,
    /// Tokens of a block; without it, or with 0, all positions see all.
    #[serde(default)]
    pub block_length: Option<usize>,
    /// The name under which it is kept.
    #[serde(default)]
    pub name: Option<String>,
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

/// An adapter that acts.
#[derive(Deserialize)]
pub struct Active {
    /// Its name.
    pub name: String,
    /// What its scale is multiplied by.
    pub strength: f64,
}
