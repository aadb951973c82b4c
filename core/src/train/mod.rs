//! The one training loop. A stage is an objective (which batches, which loss); nothing else differs.

mod config;
mod evaluate;
mod event;
mod objective;
mod plan;
mod prepare;
mod run;
mod snapshot;
mod step;

pub use config::{Stage, TrainConfig};
pub use evaluate::{HeldOut, evaluate};
pub use event::{Control, Listener, StepLog, TrainEvent};
pub use objective::{NextToken, Objective};
pub use plan::{Plan, RowTokens};
pub use prepare::Job;
pub use run::{Outcome, Run, train};
pub use snapshot::{Progress, Snapshot};
pub(crate) use step::{StepSettings, optimizer_step};
