//! The engine: the worker that owns the device, the model and the training. The page reaches it by messages only.

mod adapters;
mod data;
mod download;
mod export;
mod gpu;
mod import;
mod kept_adapters;
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
mod runs;
mod saver;
#[path = "../saves.rs"]
mod saves;
mod serve;
mod state;
mod store;
mod talk;
mod told;
mod training;

pub use serve::serve;
