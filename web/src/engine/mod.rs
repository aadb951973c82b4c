//! The engine: the worker that owns the device, the model and the training. The page reaches it by messages only.

mod adapters;
mod data;
mod download;
mod export;
mod gpu;
mod import;
mod load;
mod models;
mod port;
mod protocol;
mod runs;
mod saver;
mod serve;
mod state;
mod store;
mod talk;
mod training;

pub use serve::serve;
