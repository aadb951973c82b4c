//! `log.jsonl` of a run.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use kindling::error::Result;

use crate::disk::replace;
use crate::failure::io_error;
use crate::model_files::read_optional;
use crate::written::LOG;

/// Adds a line to the log in a run's directory.
///
/// # Errors
/// A log that cannot be written.
pub fn append(run: &Path, line: &serde_json::Value) -> Result<()> {
    let path = run.join(LOG);
    let file = File::options().create(true).append(true).open(&path);
    // One write: a process killed here leaves no torn line.
    file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes())).map_err(|e| io_error(&path, e))
}

/// Cuts it behind a step.
///
/// # Errors
/// A log that cannot be read or written.
pub fn cut(run: &Path, step: u64) -> Result<()> {
    let path = run.join(LOG);
    let Some(bytes) = read_optional(&path)? else { return Ok(()) };
    let mut kept = String::new();
    for line in String::from_utf8_lossy(&bytes).lines() {
        // A line that is torn by a crash of the machine says nothing.
        let Ok(value) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        if value["step"].as_u64().is_some_and(|at| at > step) {
            break;
        }
        kept += &format!("{line}\n");
    }
    if kept.as_bytes() == bytes { Ok(()) } else { replace(&path, kept.as_bytes()) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_log_is_cut_behind_the_step_that_a_run_goes_on_from() {
        let place = tempfile::tempdir().unwrap();
        let run = place.path();
        cut(run, 3).unwrap();
        let line = |step: u64| format!("{{\"step\":{step}}}\n");
        let warning = "{\"event\":\"warning\"}\n";
        let before = [warning, &line(2), "{\"event\":\"save\",\"step\":2}\n", warning].concat();
        let whole = [before.as_str(), &line(3), warning, &line(4), "{\"step\":"].concat();
        for (step, expected) in [
            (4, [before.as_str(), &line(3), warning, &line(4)].concat()),
            (3, [before.as_str(), &line(3), warning].concat()),
            (2, before.clone()),
        ] {
            fs::write(run.join(LOG), &whole).unwrap();
            cut(run, step).unwrap();
            assert_eq!(fs::read_to_string(run.join(LOG)).unwrap(), expected, "{step}");
        }
    }
}
