//! `kindling`: the command line of Kindling.
#![recursion_limit = "256"]

mod adapted_run;
mod allocator;
mod beside_model;
mod chain;
mod cli;
mod commands;
mod config_file;
mod date;
mod disk;
#[cfg(all(target_os = "linux", any(feature = "wgpu", feature = "vulkan")))]
mod drivers;
mod failure;
mod flag_rules;
mod folded;
mod followed;
mod html_file;
mod hub;
mod in_making;
mod interrupt;
#[cfg(feature = "persistence")]
mod kernel_cache;
mod like;
mod model_files;
mod out_dir;
mod output;
mod piped;
mod plot;
mod prepared_files;
mod progress;
mod push;
mod ranks;
mod report;
mod run_dir;
mod run_kind;
mod run_lock;
mod run_log;
mod runs;
mod serve;
mod sessions;
mod shares;
mod shell_word;
mod sources;
mod table;
mod tracking;
mod unmasking;
mod written;

use std::process::ExitCode;

fn main() -> ExitCode {
    allocator::keep_memory();
    #[cfg(all(target_os = "linux", any(feature = "wgpu", feature = "vulkan")))]
    drivers::hush();
    interrupt::install();
    #[cfg(feature = "persistence")]
    kernel_cache::keep();
    let ended = cli::run(std::env::args_os().collect()).and_then(|()| Ok(output::flushed()?));
    let failed = !matches!(ended, Ok(()) | Err(failure::Failure::Interrupted));
    let code = ended.map_or_else(failure::Failure::report, |()| ExitCode::SUCCESS);
    ranks::leave(failed);
    code
}
