//! `doctor`: what is here, and what will be used.

use clap::Args;
use kindling::device::{DeviceChoice, OpenDevice, survey};
use serde_json::json;
use sysinfo::System;

use super::open_device;
use super::warm::{WarmArgs, Warming};
use crate::cli::Everywhere;
use crate::failure::Failure;
use crate::output;

/// Flags of `doctor`.
#[derive(Args)]
pub struct DoctorArgs {
    /// What is warmed
    #[command(flatten, next_help_heading = "Kernels")]
    pub warming: WarmArgs,
}

/// Features of this build: devices, and several of them.
const FEATURES: [(&str, bool); 5] = [
    ("wgpu", cfg!(feature = "wgpu")),
    ("vulkan", cfg!(feature = "vulkan")),
    ("metal", cfg!(feature = "metal")),
    ("cuda", cfg!(feature = "cuda")),
    // Several processes that train one run.
    ("mpi", cfg!(feature = "mpi")),
];

/// Free and total memory, in bytes.
pub fn memory() -> (u64, u64) {
    let Ok(mut system) = System::new() else {
        return (0, 0);
    };
    system.refresh_memory();
    (system.available_memory(), system.total_memory())
}

/// Looks and tells.
///
/// # Errors
/// A device or compute type that was asked for and cannot be used; what keeps `--warm` from its work.
pub fn run(args: &DoctorArgs, everywhere: &Everywhere) -> Result<(), Failure> {
    let output = everywhere.output();
    let device = open_device(everywhere)?;
    let warming = args.warming.warm.then(|| Warming::new(&args.warming, &device)).transpose()?;
    let (free, total) = memory();
    let devices = survey();
    let auto = OpenDevice::open(DeviceChoice::Auto)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let built: Vec<_> = FEATURES.iter().filter(|(_, built)| *built).map(|(name, _)| *name).collect();
    output.json(&json!({
        "version": env!("CARGO_PKG_VERSION"), "threads": threads, "memory_free_bytes": free,
        "memory_total_bytes": total, "features": built, "devices": devices, "auto": auto.choice.to_string(),
        "device": device.choice.to_string(),
    }));
    output.line(&format!(
        "kindling {} on {} {}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    ));
    output.line(&format!(
        "  processor: {}, memory {} free of {}",
        output::counted(threads as u64, ["thread", "threads"]),
        output::bytes(free),
        output::bytes(total)
    ));
    output.line("  devices:");
    for device in &devices {
        let note = if device.software { "  (software: never chosen by auto)" } else { "" };
        output.line(&format!("    {:10} {}{note}", device.choice, device.name));
    }
    #[cfg(feature = "persistence")]
    if let Some(folder) = crate::kernel_cache::folder() {
        let size = output::bytes(crate::kernel_cache::size(&folder));
        output.line(&format!("  kernels kept: {size} in {}", folder.display()));
    }
    output.line(&format!("  --device auto uses {}", auto.choice));
    if everywhere.device != DeviceChoice::Auto {
        output.line(&format!("  --device {} can be used", everywhere.device));
    }
    for (name, built) in FEATURES {
        if !built && (name != "metal" || cfg!(target_os = "macos")) {
            output.line(&format!(
                "  not built in: {name}  (cargo build --release -p native --features {name})"
            ));
        }
    }
    warming.map_or(Ok(()), |warming| warming.run(everywhere))
}

/// The most memory this process has held, where the system tells.
pub fn peak_resident() -> Option<u64> {
    status_bytes("VmHWM:")
}

/// The memory that this process holds, where the system tells.
pub fn resident() -> Option<u64> {
    status_bytes("VmRSS:")
}

/// A number of Linux' account of this process, in bytes.
fn status_bytes(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kb| kb * 1024)
}
