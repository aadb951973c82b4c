//! Tests across the modules of `kindling`, in one binary because each one links the whole GPU stack.
//!
//! Run with `cargo test --release -p kindling --test library`.
#![recursion_limit = "256"]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

#[path = "library/corpus.rs"]
mod corpus;
#[path = "library/families.rs"]
mod families;
#[path = "library/gradients.rs"]
mod gradients;
#[path = "library/kernels.rs"]
mod kernels;
#[path = "library/lora.rs"]
mod lora;
#[path = "library/map.rs"]
mod map;
#[path = "library/model.rs"]
mod model;
#[path = "library/parity.rs"]
mod parity;
#[path = "library/quantized.rs"]
mod quantized;
#[path = "library/shipped.rs"]
mod shipped;
#[path = "library/stories260k.rs"]
mod stories260k;
#[path = "library/tiny.rs"]
mod tiny;
#[path = "library/tokenizer.rs"]
mod tokenizer;
#[path = "library/training.rs"]
mod training;
#[path = "library/weights_shared.rs"]
mod weights_shared;
