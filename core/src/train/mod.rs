//! The one training loop. A stage is an objective (which batches, which loss), an adapter is which weights train; any
//! stage goes with either, and nothing else differs.

mod config;
mod ends;
mod evaluate;
mod event;
mod expert_load;
mod held_out_answers;
mod idle;
mod keep;
mod loss_scale;
mod losses;
mod metrics;
mod own_answers;
mod parts;
mod plan;
mod prepare;
mod reference;
mod replay;
mod run;
mod saving;
mod snapshot;
mod source;
mod stage;
mod step;

pub use config::TrainConfig;
pub use ends::turn_warnings;
pub use evaluate::{HeldOut, evaluate};
pub use event::{Control, Listener, StepLog, TrainEvent};
pub use loss_scale::LossScale;
pub use plan::{Plan, RowTokens};
pub use prepare::Job;
pub use reference::{ReferenceLogProbs, ReferenceTies};
pub use replay::{Replay, replay};
pub use run::{Outcome, Run, train};
pub use saving::{SaveClock, SaveConfig};
pub use snapshot::{Progress, Snapshot, TaughtBy};
pub use source::{BatchSource, Pending, ReadAhead};
pub use stage::Stage;
pub(crate) use step::{Step, StepSettings};
