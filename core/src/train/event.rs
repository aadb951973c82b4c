//! What the loop tells its listener, and what the listener may answer.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{HeldOut, LossScale, Snapshot};
use crate::error::Result;
use crate::model::Transformer;
use crate::told::Told;

/// A report of the steps since the last one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepLog {
    /// Optimizer steps taken.
    pub step: u64,
    /// Mean loss since the last report; of next-token prediction a target's, in nats.
    pub loss: f64,
    /// The last step's learning rate.
    pub lr: f64,
    /// The last step's gradient norm, before clipping.
    pub grad_norm: f64,
    /// Tokens read since the run began, padding aside.
    pub tokens: u64,
    /// Speed since the last report.
    pub tokens_per_second: f64,
    /// Seconds since this process began training.
    pub elapsed_s: f64,
    /// In f16 the loss's scale, and how many steps since the run began were left out because gradients overflowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<LossScale>,
    /// Of a mixture of experts each expert's share of the tokens since the last report, layer by layer, as a multiple of
    /// an even share.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expert_load: Vec<Vec<f64>>,
    /// What the objective reports beside the loss since the last report, by name.
    #[serde(flatten)]
    pub metrics: BTreeMap<&'static str, f64>,
}

/// Something happened.
pub enum TrainEvent<'a> {
    /// Steps were taken.
    Step {
        /// How they went.
        log: &'a StepLog,
        /// The model after them; a clone of it is a picture of this moment.
        model: &'a Transformer,
    },
    /// The held-out loss was measured.
    Eval {
        /// After this step.
        step: u64,
        /// The measurement.
        held_out: &'a HeldOut,
        /// Whether it is the best so far.
        best: bool,
    },
    /// Time to store the run; `best` marks the best held-out loss so far.
    Save {
        /// Everything that the run needs to go on.
        snapshot: &'a Snapshot,
        /// Whether this is the best state so far.
        best: bool,
    },
    /// Something a person should know; training goes on.
    Warning(Told),
}

/// What the loop does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Go on.
    Continue,
    /// Save, and go on.
    Save,
    /// Do nothing until the answer is another.
    Pause,
    /// Save and end.
    Stop,
}

/// The other side: a terminal, a page, a test.
pub trait Listener {
    /// Takes an event.
    ///
    /// # Errors
    /// What the listener cannot do (a full disk); it ends the run.
    fn on(&mut self, event: TrainEvent<'_>) -> Result<()>;

    /// Asked after every step, and again and again during a pause.
    fn control(&mut self) -> Control {
        Control::Continue
    }
}
