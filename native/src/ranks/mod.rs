//! Several processes that train one run, started by `mpirun` or `srun`. Rank 0 prepares the run first, tells of it and stores
//! it; the others then read the same files, and say nothing unless they fail.

mod follower;
mod launcher;
#[cfg(feature = "mpi")]
mod world;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use kindling::device::DeviceChoice;
use kindling::error::Error;
use kindling::ranks::Ranks;

use crate::failure::Failure;
use crate::output;

pub use follower::follow;

/// The ranks of this process, once it has joined them.
static JOINED: OnceLock<Joined> = OnceLock::new();
/// Whether all ranks train, so that they end together.
static MET: AtomicBool = AtomicBool::new(false);

#[cfg_attr(not(feature = "mpi"), allow(dead_code, reason = "without MPI nobody joins"))]
struct Joined {
    ranks: Arc<dyn Ranks>,
    /// The machine.
    host: String,
    #[cfg(feature = "mpi")]
    world: Arc<world::World>,
}

/// Joins the processes that were started together with this one, if there are any.
///
/// # Errors
/// A program that was built without MPI, or with another one than that of the launcher.
pub fn join() -> Result<(), Failure> {
    match launcher::processes() {
        Some((count, variable)) if JOINED.get().is_none() => connect(count, variable),
        _ => Ok(()),
    }
}

#[cfg(not(feature = "mpi"))]
fn connect(count: usize, variable: &str) -> Result<(), Failure> {
    Err(Failure::Usage(format!(
        "{count} processes were started together ({variable}), and this kindling was built without MPI: each would train \
         alone, in the same place. Build it with `cargo build --release -p native --features mpi` where mpicc is, or start \
         one process"
    )))
}

#[cfg(feature = "mpi")]
fn connect(count: usize, variable: &str) -> Result<(), Failure> {
    let world = Arc::new(world::World::start()?);
    let (ranks, host): (Arc<dyn Ranks>, String) = (world.clone(), world.host.clone());
    let size = ranks.size();
    let _ = JOINED.set(Joined { ranks, host, world });
    if size != count {
        return Err(Failure::Usage(format!(
            "{count} processes were started together ({variable}), and MPI tells of {size}: the launcher is of another MPI \
             than this kindling was built with; start it with that one's mpirun, or under Slurm with the srun --mpi that it \
             knows"
        )));
    }
    Ok(())
}

/// Refuses a command that is not for several processes.
///
/// # Errors
/// Several that were started together.
pub fn refuse(what: &str) -> Result<(), Failure> {
    match launcher::processes() {
        None => Ok(()),
        Some((count, variable)) => Err(Failure::Usage(format!(
            "{count} processes were started together ({variable}), and {what} is done by one; start it without mpirun, or \
             train with a stage's own command and --data"
        ))),
    }
}

/// The ranks of a run, if there are several.
pub fn joined() -> Option<&'static Arc<dyn Ranks>> {
    JOINED.get().map(|joined| &joined.ranks)
}

/// Whether this is a rank beside the first.
pub fn follows() -> bool {
    joined().is_some_and(|ranks| ranks.rank() > 0)
}

/// The device of this rank, where several share a machine.
pub fn own_card(choice: DeviceChoice) -> DeviceChoice {
    if joined().is_some() { launcher::own_card(choice) } else { choice }
}

/// Of a rank beside the first: waits until rank 0 has prepared the run, whose directory this gives, and says nothing from here
/// on unless it fails.
///
/// # Errors
/// Ranks that cannot be reached.
pub fn await_first() -> Result<Option<PathBuf>, Failure> {
    match JOINED.get() {
        Some(joined) if joined.ranks.rank() > 0 => {
            output::silence();
            Ok(Some(meet(joined, Path::new(""))?))
        }
        _ => Ok(None),
    }
}

/// Lets the other ranks prepare the run in this directory.
///
/// # Errors
/// Ranks that cannot be reached.
pub fn lead(directory: &Path) -> Result<(), Failure> {
    match JOINED.get() {
        Some(joined) if joined.ranks.rank() == 0 => Ok(meet(joined, directory).map(drop)?),
        _ => Ok(()),
    }
}

fn meet(joined: &Joined, directory: &Path) -> Result<PathBuf, Error> {
    #[cfg(feature = "mpi")]
    joined.world.meet()?;
    let all = joined.ranks.gather(directory.to_string_lossy().into_owned().into_bytes())?;
    MET.store(true, Ordering::SeqCst);
    let first = all.into_iter().next().unwrap_or_default();
    Ok(PathBuf::from(String::from_utf8_lossy(&first).into_owned()))
}

/// Which process this is, for what it says when it fails.
pub fn name() -> Option<String> {
    let Joined { ranks, host, .. } = JOINED.get()?;
    Some(format!("rank {} of {} on {host}", ranks.rank(), ranks.size()))
}

/// What the exchange between the ranks has taken so far, in bytes and in seconds.
pub fn spent() -> Option<(u64, f64)> {
    #[cfg(feature = "mpi")]
    return JOINED.get().map(|joined| joined.world.spent());
    #[cfg(not(feature = "mpi"))]
    None
}

/// The end of this process: with all others, or, where it failed, of all others.
pub fn leave(failed: bool) {
    #[cfg(feature = "mpi")]
    if let Some(joined) = JOINED.get() {
        match failed || !MET.load(Ordering::SeqCst) {
            true => joined.world.abort(),
            false => joined.world.leave(),
        }
    }
    #[cfg(not(feature = "mpi"))]
    let _ = failed;
}
