//! `kindling`: the command line of Kindling.
#![recursion_limit = "256"]

mod beside_model;
mod cli;
mod commands;
mod config_file;
mod date;
mod disk;
mod failure;
mod folded;
mod hub;
mod interrupt;
mod model_files;
mod out_dir;
mod output;
mod piped;
mod progress;
mod run_dir;
mod run_kind;
mod run_lock;
mod sources;
mod written;

use std::process::ExitCode;

/// Tensors come and go by the thousand; the system's allocator gives each large one back to the kernel.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    interrupt::install();
    match cli::run(std::env::args_os().collect()).and_then(|()| Ok(output::flushed()?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
