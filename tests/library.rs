//! Tests across the modules of `kindling`, in one binary because each one links the whole GPU stack.
//!
//! Run with `cargo test --release -p kindling --test library`.
#![recursion_limit = "256"]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

#[path = "library/adapter_kinds.rs"]
mod adapter_kinds;
#[path = "library/adapters_shared.rs"]
mod adapters_shared;
#[path = "library/average.rs"]
mod average;
#[path = "library/batches.rs"]
mod batches;
#[path = "library/batching.rs"]
mod batching;
#[path = "library/batching_rows.rs"]
mod batching_rows;
#[path = "library/batching_shares.rs"]
mod batching_shares;
#[path = "library/chat_styles.rs"]
mod chat_styles;
#[path = "library/corpus.rs"]
mod corpus;
#[path = "library/distillation.rs"]
mod distillation;
#[path = "library/early_stop.rs"]
mod early_stop;
#[path = "library/epochs.rs"]
mod epochs;
#[path = "library/evaluate.rs"]
mod evaluate;
#[path = "library/families.rs"]
mod families;
#[path = "library/few_rows.rs"]
mod few_rows;
#[path = "library/foreign.rs"]
mod foreign;
#[path = "library/foreign_adapters.rs"]
mod foreign_adapters;
#[path = "library/freezing.rs"]
mod freezing;
#[path = "library/gradients.rs"]
mod gradients;
#[path = "library/grpo.rs"]
mod grpo;
#[path = "library/held_out.rs"]
mod held_out;
#[path = "library/inference_masks.rs"]
mod inference_masks;
#[path = "library/kept_teacher.rs"]
mod kept_teacher;
#[path = "library/kernels.rs"]
mod kernels;
#[path = "library/likelihood.rs"]
mod likelihood;
#[path = "library/llada.rs"]
mod llada;
#[path = "library/long_rows.rs"]
mod long_rows;
#[path = "library/lora.rs"]
mod lora;
#[path = "library/map.rs"]
mod map;
#[path = "library/masked.rs"]
mod masked;
#[path = "library/masks.rs"]
mod masks;
#[path = "library/mixes.rs"]
mod mixes;
#[path = "library/mixture.rs"]
mod mixture;
#[path = "library/model.rs"]
mod model;
#[path = "library/options.rs"]
mod options;
#[path = "library/page_types.rs"]
mod page_types;
#[path = "library/parity.rs"]
mod parity;
#[path = "library/parity_stages.rs"]
mod parity_stages;
#[path = "library/pauses.rs"]
mod pauses;
#[path = "library/preferences.rs"]
mod preferences;
#[path = "library/prepared.rs"]
mod prepared;
#[path = "library/pytorch.rs"]
mod pytorch;
#[path = "library/quantized.rs"]
mod quantized;
#[path = "library/ranks.rs"]
mod ranks;
#[path = "library/reasoning.rs"]
mod reasoning;
#[path = "library/rooms.rs"]
mod rooms;
#[path = "library/rows.rs"]
mod rows;
#[path = "library/rust_tokens.rs"]
mod rust_tokens;
#[path = "library/sentencepiece.rs"]
mod sentencepiece;
#[path = "library/shared_tokenizers.rs"]
mod shared_tokenizers;
#[path = "library/shipped.rs"]
mod shipped;
#[path = "library/shipped_trained.rs"]
mod shipped_trained;
#[path = "library/stories260k.rs"]
mod stories260k;
#[path = "library/template_files.rs"]
mod template_files;
#[path = "library/templates_shared.rs"]
mod templates_shared;
#[path = "library/thread_ranks.rs"]
mod thread_ranks;
#[path = "library/tiny.rs"]
mod tiny;
#[path = "library/tiny_tokenizers.rs"]
mod tiny_tokenizers;
#[path = "library/together.rs"]
mod together;
#[path = "library/tokenizer.rs"]
mod tokenizer;
#[path = "library/training.rs"]
mod training;
#[path = "library/turn_ends.rs"]
mod turn_ends;
#[path = "library/unmasking.rs"]
mod unmasking;
#[path = "library/weights_shared.rs"]
mod weights_shared;
#[path = "library/world.rs"]
mod world;
