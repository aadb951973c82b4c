//! The flags of tracking, and what of them cannot be.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, FromArgMatches};
use kindling::error::{Error, Result};
use kindling::told::Told;
use toml::{Table, Value};

use super::csv::is_table;
use super::event_file::holds_events;
use super::prometheus::bind;
use super::state::State;
use crate::written::TRACKING;

/// Where the measures of a run are kept and shown beside its own log. Nothing that it learns depends on them, so a run that
/// goes on may have others.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct TrackingConfig {
    /// Write event files for TensorBoard into this directory, which no other run writes into: measures, settings, samples
    #[arg(long, value_name = "DIR")]
    pub tensorboard: Option<PathBuf>,
    /// Write an offline run of Weights & Biases into wandb/ below this directory, for `wandb sync` [without a directory: here]
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = ".")]
    pub wandb: Option<PathBuf>,
    /// Write a table of all measures, a row for every logged step; a file, and no - for the standard output
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Show the newest measures to Prometheus at http://127.0.0.1:PORT/metrics while the run trains
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub metrics_port: Option<u16>,
    /// Let the model write every so many steps, where the log has one, and keep that in the log, too; 0 turns it off [default: 0]
    #[arg(long, value_name = "STEPS")]
    pub sample_every: Option<u64>,
    /// What it is asked or goes on from then (repeatable) [default: three built-in prompts]
    #[arg(long, value_name = "TEXT")]
    pub sample_prompt: Vec<String>,
}

/// What a run finds where it is tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing: it is new.
    New,
    /// What an earlier one may have left, which gives way.
    Overwrites,
    /// Its own, and goes on.
    Resumes,
}

impl Standing {
    /// By the flags of the same names.
    pub fn of(overwrite: bool, resume: bool) -> Self {
        match (overwrite, resume) {
            (_, true) => Self::Resumes,
            (true, false) => Self::Overwrites,
            (false, false) => Self::New,
        }
    }
}

impl TrackingConfig {
    /// The long names of the flags.
    pub fn flags() -> Vec<String> {
        let flags = Self::augment_args(clap::Command::new("tracking"));
        flags.get_arguments().filter_map(clap::Arg::get_long).map(String::from).collect()
    }

    /// Whether anything of it is a file.
    pub fn writes_files(&self) -> bool {
        self.tensorboard.is_some() || self.wandb.is_some() || self.csv.is_some()
    }

    /// After how many steps the model writes again; 0 where it does not.
    pub fn samples_every(&self) -> u64 {
        self.sample_every.unwrap_or(0)
    }

    /// With the flags that `kept` settings of an earlier call have and that are not among those `said` now; these as words.
    pub fn with_kept(&self, said: &[String], kept: &Table) -> (Self, Vec<String>) {
        let mut words: Vec<String> = Vec::new();
        let is_off = said.iter().any(|flag| flag == "sample-every") && self.samples_every() == 0;
        for flag in Self::flags().into_iter().filter(|flag| !said.contains(flag)) {
            let values = match kept.get(&flag) {
                None => continue,
                Some(Value::Array(values)) => values.clone(),
                Some(value) => vec![value.clone()],
            };
            if !(is_off && flag == "sample-prompt") {
                let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), String::from);
                words.extend(values.into_iter().map(|value| format!("--{flag}={}", text(value))));
            }
        }
        let own = self.words(&[]).into_iter();
        let line =
            [OsString::from("tracking")].into_iter().chain(own).chain(words.iter().map(OsString::from));
        let command = Self::augment_args(clap::Command::new("tracking"));
        let joined = command.try_get_matches_from(line).and_then(|matches| Self::from_arg_matches(&matches));
        // Settings that somebody changed by hand may hold what is no flag's value.
        joined.map_or_else(|_| (self.clone(), Vec::new()), |joined| (joined, words))
    }

    /// The same as settings, by the names of the flags.
    pub fn settings(&self) -> Table {
        let mut table = Table::new();
        let places = [("tensorboard", &self.tensorboard), ("wandb", &self.wandb), ("csv", &self.csv)];
        for (flag, place) in places {
            table.extend(place.as_ref().map(|place| (flag.to_string(), place.display().to_string().into())));
        }
        table.extend(self.metrics_port.map(|port| ("metrics-port".to_string(), i64::from(port).into())));
        let every = self.sample_every.and_then(|every| i64::try_from(every).ok());
        table.extend(every.map(|every| ("sample-every".to_string(), every.into())));
        if !self.sample_prompt.is_empty() {
            table.insert("sample-prompt".into(), self.sample_prompt.clone().into());
        }
        table
    }

    /// Everything that does not hold, as sentences; nothing is written to find out.
    pub fn problems(&self, standing: Standing) -> Vec<Told> {
        let found = [
            self.tensorboard.as_deref().and_then(|place| problem_of_events(place, standing)),
            self.wandb.as_deref().and_then(|place| unwritable("--wandb", place, &place.join("wandb"))),
            self.csv.as_deref().and_then(|path| problem_of_table(path, standing)),
            self.metrics_port.and_then(problem_of_port),
            (!self.sample_prompt.is_empty() && self.samples_every() == 0).then(|| {
                "--sample-prompt would not act without --sample-every; add --sample-every 100".to_string()
            }),
        ];
        found.into_iter().flatten().map(Told::from).collect()
    }

    /// The places of a run that goes on: its table may be another one than was asked for, whose name somebody took.
    pub fn of_run(&self, run: &Path) -> Self {
        let state = State::read(&run.join(TRACKING)).unwrap_or_default();
        Self { csv: self.csv.as_ref().map(|path| state.table_of(path)), ..self.clone() }
    }

    /// Whether all of it can be in each of the stages of a command that trains several, below a directory where they go on.
    ///
    /// # Errors
    /// All that cannot.
    pub fn check(&self, stages: &[&str], standing: Standing, out: Option<&Path>) -> Result<()> {
        let all = stages.iter().flat_map(|stage| {
            let own = self.below(stage);
            out.map_or(own.clone(), |out| own.of_run(&out.join(stage))).problems(standing)
        });
        let mut problems: Vec<Told> = Vec::new();
        for problem in all {
            // The port is the same for all.
            if !problems.iter().any(|known| known.text() == problem.text()) {
                problems.push(problem);
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(Error::Config(problems)) }
    }

    /// The places of one stage of a command that trains several: each has a directory, a table and an offline run of its own.
    pub fn below(&self, stage: &str) -> Self {
        let table = |path: &PathBuf| {
            if is_stream(path) {
                return path.clone();
            }
            let (stem, end) = (path.file_stem().unwrap_or_default(), path.extension());
            let end = end.map_or(String::new(), |end| format!(".{}", end.to_string_lossy()));
            path.with_file_name(format!("{}-{stage}{end}", stem.to_string_lossy()))
        };
        Self {
            tensorboard: self.tensorboard.as_ref().map(|place| place.join(stage)),
            csv: self.csv.as_ref().map(table),
            ..self.clone()
        }
    }

    /// The same as words of a command line, but for flags that already stand there.
    pub fn words(&self, said: &[OsString]) -> Vec<OsString> {
        let places = [("tensorboard", &self.tensorboard), ("wandb", &self.wandb), ("csv", &self.csv)];
        let mut all: Vec<(&str, OsString)> = places
            .into_iter()
            .filter_map(|(flag, place)| Some((flag, place.clone()?.into_os_string())))
            .collect();
        all.extend(self.metrics_port.map(|port| ("metrics-port", port.to_string().into())));
        all.extend(self.sample_every.map(|every| ("sample-every", every.to_string().into())));
        all.extend(self.sample_prompt.iter().map(|prompt| ("sample-prompt", prompt.into())));
        let is_said = |flag: &str| {
            said.iter().any(|word| {
                let word = word.to_string_lossy();
                word.strip_prefix("--").is_some_and(|word| word.split('=').next() == Some(flag))
            })
        };
        let word = |(flag, value): (&str, OsString)| {
            let mut word = OsString::from(format!("--{flag}="));
            word.push(value);
            word
        };
        all.into_iter().filter(|(flag, _)| !is_said(flag)).map(word).collect()
    }
}

fn problem_of_events(place: &Path, standing: Standing) -> Option<String> {
    if standing == Standing::New && holds_events(place) {
        return Some(format!(
            "--tensorboard {} holds the event files of another run, and both would be drawn as one; choose another directory, \
             or let the new run take its place with --overwrite",
            place.display()
        ));
    }
    unwritable("--tensorboard", place, place)
}

fn problem_of_table(path: &Path, standing: Standing) -> Option<String> {
    let shown = path.display();
    // Its rows are written again where a measure comes late, which no stream can do.
    if is_stream(path) {
        return Some(
            "--csv - is no stream: a row is written again where a measure comes later; name a file, as --csv measures.csv, or \
             take --json, which writes a line a logged step to the standard output"
                .into(),
        );
    }
    match fs::metadata(path) {
        Err(_) => unwritable("--csv", path, path.parent().unwrap_or(path)),
        Ok(found) if !found.is_file() => Some(format!("--csv {shown} is no file; name one that is new")),
        Ok(_) if standing == Standing::New => Some(format!(
            "--csv {shown} is there already; choose another file, or let the new run take its place with --overwrite"
        )),
        Ok(_) => {
            let table = fs::read(path).is_ok_and(|bytes| is_table(&String::from_utf8_lossy(&bytes)));
            (!table).then(|| {
                format!("--csv {shown} is not a table of a run, and stays as it is; choose another file")
            })
        }
    }
}

/// Whether a table is to go to the standard output.
fn is_stream(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn problem_of_port(port: u16) -> Option<String> {
    let why = bind(port).err()?;
    Some(format!("--metrics-port {port} cannot be used: {why}; choose another port"))
}

/// Why a directory, which may be absent, cannot be written; what is said of it is `shown`.
fn unwritable(flag: &str, shown: &Path, directory: &Path) -> Option<String> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let whole = std::path::absolute(directory).unwrap_or_else(|_| directory.to_path_buf());
    let there = whole.ancestors().find(|above| above.symlink_metadata().is_ok())?;
    let why = match fs::metadata(there) {
        Ok(found) if !found.is_dir() => format!("{} is a file", there.display()),
        Ok(_) => tempfile::tempfile_in(there).err()?.to_string(),
        Err(error) => error.to_string(),
    };
    Some(format!("{flag} {} cannot be written: {why}; name a place that can be", shown.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(config: &TrackingConfig, standing: Standing) -> String {
        config.problems(standing).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn everything_that_cannot_be_is_told_at_once_and_nothing_is_written() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::write(at("file"), "text").unwrap();
        let taken = bind(0).unwrap();
        let port = taken.local_addr().unwrap().port();
        let config = TrackingConfig {
            tensorboard: Some(at("file/tb")),
            wandb: Some(at("file")),
            csv: Some(at("file/m.csv")),
            metrics_port: Some(port),
            sample_every: None,
            sample_prompt: vec!["Once".into()],
        };
        let all = told(&config, Standing::New);
        for part in [
            "--tensorboard",
            "--wandb",
            "--csv",
            "is a file",
            "--metrics-port",
            "--sample-prompt would not act",
        ] {
            assert!(all.contains(part), "{part} in {all}");
        }
        assert_eq!(all.lines().count(), 5, "{all}");
        let free = TrackingConfig {
            tensorboard: Some(at("new/tb")),
            wandb: Some(at("new")),
            csv: Some(at("new/m.csv")),
            ..TrackingConfig::default()
        };
        assert_eq!(told(&free, Standing::New), "");
        assert!(!at("new").exists());
    }

    #[test]
    fn what_another_run_left_gives_way_only_where_that_is_said() {
        let place = tempfile::tempdir().unwrap();
        let (events, table) = (place.path().join("tb"), place.path().join("m.csv"));
        fs::create_dir(&events).unwrap();
        fs::write(events.join("events.out.tfevents.1.a.1.0"), "").unwrap();
        fs::write(&table, "step,time\n1,2\n").unwrap();
        let config = TrackingConfig {
            tensorboard: Some(events),
            csv: Some(table.clone()),
            ..TrackingConfig::default()
        };
        let all = told(&config, Standing::New);
        assert!(all.contains("event files of another run") && all.contains("is there already"), "{all}");
        for standing in [Standing::Overwrites, Standing::Resumes] {
            assert_eq!(told(&config, standing), "");
        }
        let stream = TrackingConfig { csv: Some("-".into()), ..TrackingConfig::default() };
        for standing in [Standing::New, Standing::Overwrites, Standing::Resumes] {
            assert!(told(&stream, standing).contains("--csv - is no stream"));
        }
        fs::write(&table, "name,age\n").unwrap();
        for standing in [Standing::Overwrites, Standing::Resumes] {
            assert!(told(&config, standing).contains("is not a table of a run"));
        }
    }

    #[test]
    fn each_stage_of_several_has_places_of_its_own_and_words_that_are_not_said_yet() {
        let config = TrackingConfig {
            tensorboard: Some("tb".into()),
            wandb: Some(".".into()),
            csv: Some("out/m.csv".into()),
            metrics_port: Some(9100),
            sample_every: Some(5),
            sample_prompt: vec!["a b".into()],
        };
        let said = ["sft", "--csv=mine.csv"].map(OsString::from);
        let words = config.below("sft").words(&said);
        let expected = [
            "--tensorboard=tb/sft",
            "--wandb=.",
            "--metrics-port=9100",
            "--sample-every=5",
            "--sample-prompt=a b",
        ];
        assert_eq!(words, expected.map(OsString::from));
        assert_eq!(config.below("sft").csv.unwrap(), Path::new("out/m-sft.csv"));
        assert!(TrackingConfig::default().words(&[]).is_empty());
        let stream = TrackingConfig { csv: Some("-".into()), ..TrackingConfig::default() };
        let told = stream.check(&["sft", "dpo"], Standing::New, None).unwrap_err().to_string();
        assert_eq!(told.matches("is no stream").count(), 1, "{told}");
        assert_eq!(TrackingConfig::flags().len(), 6);
    }

    #[test]
    fn what_an_earlier_call_said_is_kept_unless_it_is_said_otherwise() {
        let first = TrackingConfig {
            tensorboard: Some("tb".into()),
            csv: Some("m.csv".into()),
            metrics_port: Some(9100),
            sample_every: Some(5),
            sample_prompt: vec!["a b".into(), "c".into()],
            ..TrackingConfig::default()
        };
        let kept = first.settings();
        let (again, words) = TrackingConfig::default().with_kept(&[], &kept);
        assert_eq!(again, first);
        assert!(words.contains(&"--csv=m.csv".to_string()) && words.len() == 6, "{words:?}");
        let now =
            TrackingConfig { csv: Some("n.csv".into()), sample_every: Some(0), ..TrackingConfig::default() };
        let said = ["csv", "sample-every"].map(String::from);
        let (again, words) = now.with_kept(&said, &kept);
        let expected = TrackingConfig { tensorboard: Some("tb".into()), metrics_port: Some(9100), ..now };
        assert_eq!((again, words.len()), (expected, 2), "{words:?}");
        assert!(TrackingConfig::default().with_kept(&[], &Table::new()).1.is_empty());
    }
}
