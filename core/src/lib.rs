//! Kindling trains, adapts and talks with small language models, natively and in a browser tab.
//!
//! text → tokenizer → data → batch → prepared → kernels → model → sample → adapter → loss → optim → train → formats → checkpoint; chat → api; evaluate
//!
//! The crate knows no file system, no clock, no terminal and no page: bytes come in, bytes and
//! [`train::TrainEvent`]s go out. Modules stand in the order in which the data flows.
#![recursion_limit = "256"]

pub mod told;

pub mod error;

mod panics;

pub mod platform;

pub mod random;

pub mod device;

pub mod ranks;

pub mod text;

pub mod tokenizer;

pub mod data;

pub mod batch;

pub mod prepared;

pub mod kernels;

pub mod model;

pub mod sample;

pub mod adapter;

pub mod loss;

pub mod optim;

pub mod train;

pub mod formats;

pub mod checkpoint;

pub mod chat;

pub mod api;
pub mod demo;

pub mod evaluate;

pub mod bench;

pub mod example;
