//! Stages one after the other. Each is run by the same code as its verb, from a command line of its own; what is done is
//! left as it is, and what was stopped on its way goes on.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use kindling::tokenizer::TOKENIZER_FILES;

use crate::cli::{self, Everywhere};
use crate::config_file::refuse_changed;
use crate::disk::remove;
use crate::failure::{Failure, io_error};
use crate::interrupt;
use crate::output::Output;
use crate::run_dir::{RunDir, is_run};
use crate::runs::{FoundRun, State};
use crate::tracking::TrackingConfig;
use crate::written::is_ours;

/// The verb that makes a tokenizer, the only one here that makes no run.
pub const TOKENIZER: [&str; 2] = ["tokenizer", "train"];

/// The files of a tokenizer in a folder of a chain: what is read of one, and what is written beside that.
pub fn tokenizer_files(folder: &str) -> impl Iterator<Item = String> {
    TOKENIZER_FILES
        .into_iter()
        .chain(["vocab.json", "merges.txt"])
        .map(move |file| format!("{folder}/{file}"))
}

/// A stage of a chain.
#[derive(Clone, Debug)]
pub struct Link {
    /// What it is called, which is also the name of its directory.
    pub name: String,
    /// Its verb and its flags, without those of its directory.
    pub words: Vec<OsString>,
    /// Its directory.
    pub out: PathBuf,
    /// Whether it takes the place of what an earlier chain left elsewhere, where others hear of its runs.
    pub overwrites: bool,
}

/// Who hears of the stages of the chain of a verb in a directory: as it is said now, and else as it was when that was begun,
/// which is told.
pub fn kept_tracking(
    tracking: &TrackingConfig,
    (verb, out): (&str, &Path),
    said: &[String],
    output: Output,
) -> TrackingConfig {
    let begun = is_run(out).then(|| FoundRun::open(out)).filter(|run| run.verb() == verb);
    let Some(begun) = begun else { return tracking.clone() };
    let (tracking, kept) = tracking.with_kept(said, &begun.settings);
    if !kept.is_empty() {
        output.say(&format!("as when the chain was begun: {}", kept.join(" ")));
    }
    tracking
}

/// How far a stage came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Nothing of it is there.
    New,
    /// It was stopped before its first save.
    Unsaved,
    /// It goes on from its last save.
    Begun,
    /// It came to its end.
    Done,
}

impl Link {
    /// Whether it makes a tokenizer, and no run.
    pub fn is_tokenizer(&self) -> bool {
        TOKENIZER.iter().zip(&self.words).all(|(verb, word)| word == verb)
    }

    /// Whether it came to its end before.
    pub fn is_done(&self) -> bool {
        matches!(self.standing(), Ok(Standing::Done))
    }

    /// Runs it as far as it is not done; whether there was anything to do.
    ///
    /// # Errors
    /// Whatever ends the stage; of a stage that is done, settings that are others now.
    pub fn run(&self, everywhere: &Everywhere) -> Result<bool, Failure> {
        if interrupt::asked() {
            return Err(Failure::Interrupted);
        }
        let more: &[&str] = match self.standing()? {
            Standing::Done if self.is_tokenizer() => return Ok(false),
            Standing::Done => return self.refuse_changed(everywhere).map(|()| false),
            Standing::New if self.overwrites && !self.is_tokenizer() => &["--overwrite"],
            Standing::New => &[],
            Standing::Unsaved => &["--overwrite"],
            Standing::Begun => {
                self.refuse_changed(everywhere)?;
                &["--resume"]
            }
        };
        cli::run(self.line(more, everywhere))?;
        Ok(true)
    }

    /// Refuses settings that are others than those that it was begun with.
    fn refuse_changed(&self, everywhere: &Everywhere) -> Result<(), Failure> {
        let changed = refuse_changed(&cli::command(), &self.line(&[], everywhere), &self.out);
        changed.map_err(|failure| self.named(failure))
    }

    /// A usage error with the stage's directory.
    fn named(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Usage(why) => Failure::Usage(format!("{}: {why}", self.out.display())),
            other => other,
        }
    }

    /// Its command line.
    fn line(&self, more: &[&str], everywhere: &Everywhere) -> Vec<OsString> {
        let out: [OsString; 2] = ["--out".into(), self.out.clone().into()];
        let mut line: Vec<OsString> = vec!["kindling".into()];
        line.extend(self.words.iter().cloned().chain(out));
        line.extend(more.iter().map(OsString::from));
        line.extend(words_everywhere(everywhere));
        line
    }

    fn standing(&self) -> Result<Standing, Failure> {
        if self.is_tokenizer() {
            let is_there = self.out.join("tokenizer.json").is_file();
            if !is_there {
                clear_unfinished(&self.out)?;
            }
            return Ok(if is_there { Standing::Done } else { Standing::New });
        }
        if !is_run(&self.out) {
            return Ok(if is_ours(&self.out) { Standing::Unsaved } else { Standing::New });
        }
        if FoundRun::open(&self.out).state == State::Finished {
            return Ok(Standing::Done);
        }
        let saves = RunDir::open(&self.out, 1)?.newest_first()?;
        Ok(if saves.is_empty() { Standing::Unsaved } else { Standing::Begun })
    }
}

/// Removes what a tokenizer's training that was killed while it wrote left of its own.
fn clear_unfinished(out: &Path) -> Result<(), Failure> {
    for entry in fs::read_dir(out).into_iter().flatten() {
        let path = entry.map_err(|e| Failure::Work(io_error(out, e)))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') && name.ends_with(".tmp") {
            remove(&path)?;
        }
    }
    Ok(())
}

/// The flags that every verb takes, as they were said of the whole chain.
fn words_everywhere(everywhere: &Everywhere) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["--device".into(), everywhere.device.to_string().into()];
    if let Some(dtype) = everywhere.dtype.to_possible_value() {
        words.extend(["--dtype", dtype.get_name()].map(OsString::from));
    }
    let said =
        [("--json", everywhere.json), ("--quiet", everywhere.quiet), ("--verbose", everywhere.verbose)];
    words.extend(said.into_iter().filter(|(_, said)| *said).map(|(flag, _)| OsString::from(flag)));
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::written::{LOCK, LOG, SETTINGS};

    fn link(out: &Path, words: &[&str]) -> Link {
        let words = words.iter().map(OsString::from).collect();
        Link { name: "sft".into(), words, out: out.to_path_buf(), overwrites: false }
    }

    #[test]
    fn a_stage_is_new_unsaved_begun_or_done() {
        let place = tempfile::tempdir().unwrap();
        let out = place.path().join("sft");
        let link = link(&out, &["sft", "--data", "x"]);
        let standing = || link.standing().unwrap();
        assert_eq!(standing(), Standing::New);
        fs::create_dir_all(out.join("training")).unwrap();
        fs::write(out.join(LOCK), "").unwrap();
        assert_eq!(standing(), Standing::Unsaved, "stopped in its first moment");
        fs::write(out.join(SETTINGS), "stage = \"sft\"\n").unwrap();
        assert_eq!(standing(), Standing::Unsaved);
        fs::write(out.join(LOG), "{\"event\":\"done\",\"step\":2,\"total_steps\":2}\n").unwrap();
        assert_eq!(standing(), Standing::Done);
        fs::write(out.join(LOG), "{\"event\":\"done\",\"step\":1,\"total_steps\":2}\n").unwrap();
        fs::create_dir(out.join("checkpoint-000001")).unwrap();
        assert_eq!(standing(), Standing::Begun);
    }

    #[test]
    fn a_tokenizer_is_done_once_its_file_is_there() {
        let place = tempfile::tempdir().unwrap();
        let link = link(place.path(), &["tokenizer", "train", "--data", "x"]);
        fs::write(place.path().join(".tokenizer.json.tmp"), "{").unwrap();
        assert_eq!(link.standing().unwrap(), Standing::New);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
        fs::write(place.path().join("tokenizer.json"), "{}").unwrap();
        assert_eq!(link.standing().unwrap(), Standing::Done);
    }
}
