//! The part of this process in a run that several train: which device it takes, and whose directory the run's is.

use std::path::{Path, PathBuf};

use super::train_args::TrainArgs;
use crate::cli::{Everywhere, Invocation};
use crate::failure::Failure;
use crate::piped;
use crate::ranks;
use crate::run_dir::RunDir;
use crate::run_kind::RunKind;

/// Joins the processes that were started together with this one; gives the directory of the run that the first of them has
/// prepared, where this is another one.
///
/// # Errors
/// Processes that cannot join; rows that come through a pipe, and so to one of them alone.
pub fn join_ranks(args: &TrainArgs) -> Result<Option<PathBuf>, Failure> {
    ranks::join()?;
    match args.data.iter().find(|name| ranks::joined().is_some() && piped::passes(name)) {
        Some(name) => Err(Failure::Usage(format!(
            "--data {name} can be read by one process alone, and several train here; write the rows to a file that all of \
             them can read"
        ))),
        None => ranks::await_first(),
    }
}

/// The flags of all verbs as this process acts on them.
pub fn of_this_rank(everywhere: &Everywhere) -> Everywhere {
    Everywhere { device: ranks::own_card(everywhere.device), ..everywhere.clone() }
}

/// The directory of a run that goes on, which the `first` process writes.
///
/// # Errors
/// As [`RunDir::resume`].
pub fn begun_directory(args: &TrainArgs, first: Option<&Path>) -> Result<Option<RunDir>, Failure> {
    let out = args.out.clone().unwrap_or_default();
    Ok(match (args.resume, first) {
        (false, _) => None,
        (true, Some(directory)) => Some(RunDir::of_another(directory)),
        (true, None) => Some(RunDir::resume(&out, args.train.keep_last)?),
    })
}

/// The directory of a new run, which the `first` process has made.
///
/// # Errors
/// As [`RunDir::create`].
pub fn new_directory(
    kind: RunKind,
    args: &TrainArgs,
    invocation: &Invocation,
    settings: &toml::Table,
    first: Option<&Path>,
) -> Result<RunDir, Failure> {
    match first {
        Some(directory) => Ok(RunDir::of_another(directory)),
        None => args.create_directory(kind, invocation, settings, &[]),
    }
}
