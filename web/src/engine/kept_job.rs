//! What a run was begun with, as its folder keeps it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::lesson::{Before, WeighedBefore};
use super::messages::model::WeightsAs;
use super::protocol::Training;
use super::saves::Marks;

/// What a run was begun with.
#[derive(Serialize, Deserialize)]
pub struct KeptJob {
    /// What it is to be.
    pub training: Training,
    /// The name of the model that it began with.
    pub model: String,
    /// What the model's matrices were held as.
    #[serde(default = "as_f32")]
    pub weights: WeightsAs,
    /// The day that its chat template prints; runs of before have none.
    #[serde(default)]
    pub date: Option<Value>,
    /// Steps planned; 0 in runs of before.
    #[serde(default)]
    pub total_steps: u64,
    /// What was answered to its rows' questions before it.
    #[serde(default)]
    pub before: Vec<String>,
    /// Likewise to the questions of whoever began it.
    #[serde(default)]
    pub asked_before: Vec<String>,
    /// How its pairs of answers were weighed before it.
    #[serde(default)]
    pub pairs_before: Vec<WeighedBefore>,
    /// The files of the data and of the model; runs of before have no list.
    #[serde(default)]
    pub files: Marks,
}

impl KeptJob {
    /// What was answered before it.
    pub fn before(&self) -> Before {
        let (rows, asked) = (self.before.clone(), self.asked_before.clone());
        Before { rows, asked, pairs: self.pairs_before.clone() }
    }
}

fn as_f32() -> WeightsAs {
    WeightsAs::F32
}

/// What a run was begun with, from its file.
///
/// # Errors
/// The file is damaged.
pub fn parsed(job: &[u8]) -> serde_json::Result<KeptJob> {
    serde_json::from_slice(job).map(of_now).and_then(serde_json::from_value)
}

/// A kept job in the words of now: before an adapter went with any stage, `lora` was one, with its settings beside it.
fn of_now(mut job: Value) -> Value {
    let training = job.get_mut("training").and_then(Value::as_object_mut);
    if let Some(training) = training.filter(|training| training.get("stage") == Some(&Value::from("lora"))) {
        let settings = training.remove("lora").unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        training.insert("adapter".into(), settings);
        training.insert("stage".into(), "sft".into());
    }
    job
}
