//! What is asked once of a second model, about all rows: told on the way, kept where a person stops it, and used again.

use std::path::Path;

use kindling::error::Result;

use crate::failure::Failure;
use crate::interrupt;
use crate::model_files::read_optional;
use crate::output::{self, Output};
use crate::shell_word::path_word;

/// How often the asking is told on the way.
const TOLD: u64 = 10;

/// Tells now and then how many of all rows a model was asked about; the asking goes on until a person stops it.
pub fn telling(rows: u64, output: Output) -> impl FnMut(u64) -> bool {
    // From here on Ctrl-C ends it behind a batch.
    interrupt::listen();
    let mut next = rows / TOLD;
    move |done: u64| {
        if output.verbose && done >= next && done < rows {
            output.say(&format!("asked about {} of {}", output::grouped(done), output::grouped(rows)));
            next = done + rows / TOLD;
        }
        !interrupt::asked()
    }
}

/// Says what is kept of an asking that a person stopped: what `whom` said of so many examples; `goes_on` where the run has a
/// save to go on from.
pub fn stopped(whom: &str, known: usize, (run, goes_on): (&Path, bool), output: Output) -> Failure {
    let (known, run) = (output::counted(known as u64, ["example is", "examples are"]), path_word(run));
    let again = match goes_on {
        true => format!("go on with --resume --out {run}"),
        false => format!("begin again with --overwrite --out {run}"),
    };
    output.say(&format!(
        "stopped while {whom} was asked; {known} known and kept: {again}, and only the rest is asked"
    ));
    Failure::Interrupted
}

/// What the run that is overwritten kept in a file, where it did; a damaged one is told and left aside.
pub fn earlier<T>(out: &Path, file: &str, read: fn(&[u8]) -> Result<T>) -> Option<T> {
    let bytes = read_optional(&out.join(file)).ok().flatten()?;
    let read = read(&bytes);
    read.inspect_err(|e| output::warn(&format!("{}: {e}; --overwrite does both", out.display()))).ok()
}
