//! The engine: the worker that owns the device, the model and the training. The page reaches it by messages only.

mod adapters;
mod aim;
mod asked_run;
mod average;
mod convert;
mod data;
mod download;
mod evaluate;
mod evaluated;
mod export;
mod fresh;
mod gpu;
mod import;
mod infill;
mod kept_adapters;
mod kept_job;
mod lesson;
mod load;
#[allow(dead_code, reason = "some of it the page alone needs")]
#[path = "../messages/mod.rs"]
mod messages;
mod models;
#[path = "../names.rs"]
mod names;
mod paste;
mod places;
mod plan;
mod port;
mod protocol;
mod queue;
mod results;
mod resume;
mod run_settings;
mod runs;
mod saver;
#[path = "../saves.rs"]
mod saves;
mod score;
mod serve;
mod state;
mod store;
mod talk;
mod teacher;
mod teaches;
mod told;
mod told_run;
mod training;
mod writing;

pub use serve::serve;
