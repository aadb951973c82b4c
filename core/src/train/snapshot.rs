//! A run at one step, on the host: enough to go on bit for bit.

use serde::{Deserialize, Serialize};

use super::copies::saved_weights;
use super::patience::Patience;
use super::{Copies, LossScale, TrainConfig};
use crate::adapter::AdapterConfig;
use crate::batch::LoaderState;
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::kernels::Quantization;
use crate::loss::{DistillConfig, DpoConfig, GrpoConfig, ReasonSettings};
use crate::model::{ModelConfig, NamedTensor, Transformer};
use crate::optim::{AdamW, Schedule};
use crate::told::{Counted, Told, told};

/// Where a run stands, apart from its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Optimizer steps taken.
    pub step: u64,
    /// Optimizer steps planned, or known so far where the data's end ends the run.
    pub total_steps: u64,
    /// Steps that the learning rate reckons with where the end of the passes over the data is the run's, as it is without
    /// `--steps`. Of earlier runs those alone have it whose steps were an estimate, under that name.
    #[serde(default, alias = "estimated_steps", skip_serializing_if = "Option::is_none")]
    pub planned_steps: Option<u64>,
    /// Tokens read, padding aside.
    pub tokens: u64,
    /// Rows that the data had.
    pub rows: u64,
    /// The data's fingerprint; runs of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The day that its chat template prints as today's, as `2025-07-31`, where one was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// What its files of data are written in, where somebody said it because that is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// Position in the data.
    pub loader: LoaderState,
    /// Best held-out loss so far.
    pub best_loss: Option<f64>,
    /// When that was, and how many measurements have come since.
    #[serde(default, skip_serializing_if = "Patience::is_none")]
    pub patience: Patience,
    /// Whether its last measurement was stopped: it comes first where the run goes on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unjudged: bool,
    /// Running mean of the loss, against which a spike is judged.
    pub mean_loss: Option<f64>,
    /// The first pass over the rows that may be one of low losses only: every one before held a higher one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub low_from: u64,
    /// The fingerprint of the rows that are mixed in to be kept, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<String>,
    /// The fingerprint of the weights that a preference run began with, where it is compared with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The settings of preferences, where they are learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpo: Option<DpoConfig>,
    /// What a student learns from, and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taught: Option<TaughtBy>,
    /// How answers think first, where that is taught.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<ReasonSettings>,
    /// The settings of rewards, where they are learned from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpo: Option<GrpoConfig>,
    /// The loss's scale, once a step was taken in f16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<LossScale>,
    /// The settings of the run.
    pub config: TrainConfig,
}

/// The teacher of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaughtBy {
    /// The fingerprint of its weights.
    pub teacher: String,
    /// In how few bits they are held, where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Quantization>,
    /// How its student learns.
    pub config: DistillConfig,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Progress {
    /// The learning rate's course.
    pub fn schedule(&self) -> Schedule {
        self.config.schedule(self.planned_steps.unwrap_or(self.total_steps))
    }

    /// Counts a step that was taken, or left out; `ended` says whether the data has ended with it.
    pub(super) fn count(&mut self, ended: bool) {
        self.step += 1;
        match (ended, self.planned_steps) {
            (true, _) => self.total_steps = self.step,
            (false, Some(_)) => self.total_steps = self.total_steps.max(self.step + 1),
            (false, None) => {}
        }
    }

    /// Notes the loss of a step in this pass over the rows.
    pub(super) fn note_loss(&mut self, pass: u64, loss: f64) {
        if self.config.low_loss().is_some_and(|limit| loss >= limit) {
            self.low_from = pass + 1;
        }
    }

    /// Ends a run of which a whole pass before this one had low losses only; whether it did.
    pub(super) fn end_if_low(&mut self, pass: u64) -> bool {
        let ends = self.config.low_loss().is_some() && pass > self.low_from;
        if ends {
            self.total_steps = self.step;
        }
        ends
    }

    /// Lets a run take so many steps from here on, whatever its losses. The learning rate goes on as if they had been
    /// planned from the beginning.
    pub fn go_on_for(&mut self, steps: u64) {
        self.total_steps = self.step + steps.max(1);
        self.planned_steps = None;
        self.config.steps = Some(self.total_steps);
        self.patience.stale = 0;
    }

    /// Steps that the optimizer took: all but those left out because f16 overflowed.
    pub fn optimizer_steps(&self) -> u64 {
        self.step - self.loss_scale.map_or(0, |scale| scale.skipped)
    }

    /// Refuses other data than the run was trained on; where its rows lie does not matter. Gives a warning where that
    /// cannot be told for sure.
    ///
    /// # Errors
    /// How the data differs.
    pub fn check_data(&self, dataset: &Dataset) -> Result<Option<Told>> {
        let (before, now) = (self.rows, dataset.len());
        if before != now {
            return Err(Error::Data(told!(
                "run.rows",
                "the run was trained on {before}, the data has {now} now; give the data as it was, with the same flags for \
                 its rows",
                before = Counted::new(before, ["row", "rows"]),
                now
            )));
        }
        match &self.data {
            Some(data) if *data == dataset.fingerprint() => Ok(None),
            Some(data) if Some(data.as_str()) == dataset.content_only_fingerprint() => {
                Ok(dataset.first_joined_of_other_keys()?.map(|first| {
                    told!(
                        "run.joined_reasoning",
                        "the run was begun by a version that left reasoning under \"reasoning\" and \"thinking\" out of \
                         joined turns, and perhaps not on these texts: {first} is the first row that has some",
                        first
                    )
                }))
            }
            Some(_) => Err(Error::Data(told!(
                "run.other_data",
                "the data has {now} not the same, or not in the same order; give the data as it was, or begin a new run with \
                 this one as its --model",
                now = Counted::new(
                    now,
                    [
                        "row as it had when the run was trained, but it is",
                        "rows as it had when the run was trained, but they are"
                    ]
                )
            ))),
            None => Ok(Some(
                told!(
                    "run.no_fingerprint",
                    "the run was begun by a version that did not keep its data's fingerprint: that the data has as many \
                 rows as then is all that can be told"
                ),
            )),
        }
    }
}

/// Trained weights, optimizer state and progress.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The model's shape.
    pub model: ModelConfig,
    /// The adapter that trains; `None` where the whole model does.
    pub adapter: Option<AdapterConfig>,
    /// What trains: the model's weights, or the adapter's; their moving average where the run keeps one.
    pub weights: Vec<NamedTensor>,
    /// The optimizer's moments, and the copies of the weights that the run goes on with.
    pub optimizer: Vec<NamedTensor>,
    /// Where the run stands.
    pub progress: Progress,
}

impl Snapshot {
    /// Reads a run back from the device.
    ///
    /// # Errors
    /// The device cannot be read.
    pub async fn capture(
        model: &Transformer,
        adapter: Option<&AdapterConfig>,
        optimizer: &AdamW,
        copies: &Copies,
        progress: &Progress,
    ) -> Result<Self> {
        let weights = saved_weights(&copies.measured(model), adapter).await?;
        let mut optimizer = optimizer.state(&weights).await?;
        let is_best = progress.best_loss.is_some() && progress.patience.best_step == progress.step;
        optimizer.extend(copies.state(model, adapter, is_best).await?);
        let (model, adapter, progress) = (model.config().clone(), adapter.cloned(), progress.clone());
        Ok(Self { model, adapter, weights, optimizer, progress })
    }
}
