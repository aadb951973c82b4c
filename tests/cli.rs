//! End-to-end tests: the built program `kindling`, run as a person runs it.
//!
//! Run with `cargo test --release -p native --test cli`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

#[path = "cli/adapters.rs"]
mod adapters;
#[path = "cli/averages.rs"]
mod averages;
#[path = "cli/bad_checkpoints.rs"]
mod bad_checkpoints;
#[path = "cli/bad_data.rs"]
mod bad_data;
#[path = "cli/bad_settings.rs"]
mod bad_settings;
#[path = "cli/chains.rs"]
mod chains;
#[path = "cli/checkpoints.rs"]
mod checkpoints;
#[path = "cli/convert.rs"]
mod convert;
#[path = "cli/data_formats.rs"]
mod data_formats;
#[path = "cli/demos.rs"]
mod demos;
#[path = "cli/distillation.rs"]
mod distillation;
#[path = "cli/distilled_texts.rs"]
mod distilled_texts;
#[path = "cli/evaluate.rs"]
mod evaluate;
#[path = "cli/few_rows.rs"]
mod few_rows;
#[path = "cli/foreign.rs"]
mod foreign;
#[path = "cli/grpo.rs"]
mod grpo;
#[path = "cli/harness.rs"]
mod harness;
#[path = "cli/hub/mod.rs"]
mod hub;
#[path = "cli/interrupts.rs"]
mod interrupts;
#[path = "cli/kept_teacher.rs"]
mod kept_teacher;
#[path = "cli/large_data.rs"]
mod large_data;
#[path = "cli/likelihood.rs"]
mod likelihood;
#[path = "cli/live.rs"]
mod live;
#[path = "cli/long_context.rs"]
mod long_context;
#[path = "cli/long_lines.rs"]
mod long_lines;
#[path = "cli/masked.rs"]
mod masked;
#[path = "cli/memory.rs"]
mod memory;
#[path = "cli/mixes.rs"]
mod mixes;
#[path = "cli/mixtures.rs"]
mod mixtures;
#[path = "cli/options.rs"]
mod options;
#[path = "cli/output_dirs.rs"]
mod output_dirs;
#[path = "cli/place.rs"]
mod place;
#[path = "cli/preferences.rs"]
mod preferences;
#[path = "cli/prepared.rs"]
mod prepared;
#[path = "cli/previews.rs"]
mod previews;
#[path = "cli/prompts.rs"]
mod prompts;
#[path = "cli/quickstart.rs"]
mod quickstart;
#[path = "cli/ranks.rs"]
mod ranks;
#[path = "cli/reasoning.rs"]
mod reasoning;
#[path = "cli/recipes.rs"]
mod recipes;
#[path = "cli/reports.rs"]
mod reports;
#[path = "cli/results.rs"]
mod results;
#[path = "cli/resume.rs"]
mod resume;
#[path = "cli/rows.rs"]
mod rows;
#[path = "cli/runs.rs"]
mod runs;
#[path = "cli/sampling.rs"]
mod sampling;
#[path = "cli/serve/mod.rs"]
mod serve;
#[path = "cli/stages.rs"]
mod stages;
#[path = "cli/stories260k.rs"]
mod stories260k;
#[path = "cli/template_files.rs"]
mod template_files;
#[path = "cli/tracking.rs"]
mod tracking;
#[path = "cli/travel.rs"]
mod travel;
#[path = "cli/two_parts.rs"]
mod two_parts;
#[path = "cli/unmasking.rs"]
mod unmasking;
#[path = "cli/warm.rs"]
mod warm;
