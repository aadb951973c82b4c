//! `--train`: the page drives a trainer of this machine by the messages of its own worker. One run at a time, an ordinary run
//! of the command line in a directory of its own, on a thread of its own: it goes on when the page is closed, and whoever
//! comes back hears all of it.

mod asked;
#[allow(dead_code, reason = "some of it the worker alone needs")]
#[path = "../../../../web/src/engine/asked_run.rs"]
mod asked_run;
mod files;
mod log;
#[allow(dead_code, reason = "some of it the page alone needs")]
#[path = "../../../../web/src/messages/mod.rs"]
mod messages;
mod refused;
mod routes;
#[allow(dead_code, reason = "some of it the worker alone needs")]
#[path = "../../../../web/src/engine/run_settings.rs"]
mod run_settings;
mod runner;
mod shelf;
#[allow(dead_code, reason = "some of it the worker alone needs")]
#[path = "../../../../web/src/engine/told_run.rs"]
mod told_run;
mod trainer;
mod work;

pub use files::file;
pub use routes::{control, events, list, resume, start};
pub use trainer::{Means, Trainer};
