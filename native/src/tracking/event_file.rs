//! An event file for TensorBoard, in a directory of its own.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use kindling::error::Result;
use prost::Message;

use super::event::{Event, START, SessionLog, Summary, VERSION, Value};
use super::tfrecord::framed;
use super::watched::Watched;
use super::{About, Begins, End, Moment, Sample, Tracker};
use crate::failure::io_error;

/// What the names of such files begin with.
const PREFIX: &str = "events.out.tfevents.";

/// The file that a process writes.
#[derive(Debug)]
pub struct EventFile {
    directory: PathBuf,
    path: PathBuf,
    file: File,
    watched: Watched,
    about: About,
    /// What was not told yet.
    remarks: Vec<String>,
    /// Whether its settings stand in it, so that the end belongs there, too.
    has_hparams: bool,
}

impl EventFile {
    /// Begins one. It says from which step on what earlier files of the directory hold gives way, and the first one of a run
    /// the settings.
    ///
    /// # Errors
    /// A directory that cannot be written.
    pub fn open(directory: &Path, about: &About, begins: Begins) -> Result<Self> {
        // A run that goes on may be watched for the first time.
        let tells_settings = !matches!(begins, Begins::Behind(_)) || !holds_events(directory);
        let (path, file, watched) = create(directory, about)?;
        let (directory, about) = (directory.to_path_buf(), about.clone());
        let mut new = Self { directory, path, file, watched, about, remarks: Vec::new(), has_hparams: false };
        new.begin()?;
        let began = new.about.began;
        match begins {
            Begins::New => {}
            Begins::Anew => new.restart(began, 0)?,
            Begins::Behind(step) => new.restart(began, step + 1)?,
        }
        if tells_settings {
            new.tell_settings()?;
        }
        Ok(new)
    }

    /// The first event of a file.
    fn begin(&mut self) -> Result<()> {
        let wall_time = self.about.began;
        self.append(&Event { wall_time, file_version: Some(VERSION.into()), ..Event::default() })
    }

    fn tell_settings(&mut self) -> Result<()> {
        self.has_hparams = true;
        let settings = Value::hparams(self.about.settings.iter(), self.about.began);
        let values = vec![settings, Value::text("settings", indented(&self.about.settings_text))];
        self.show(Moment { step: 0, time: self.about.began }, values)
    }

    /// Goes on in a new file, where somebody took this one away or cut it.
    fn go_on_elsewhere(&mut self, what: &str) -> Result<()> {
        let tells_settings = !holds_events(&self.directory);
        let before = self.path.display().to_string();
        (self.path, self.file, self.watched) = create(&self.directory, &self.about)?;
        self.remarks.push(format!(
            "{}: {before} {what} while the run wrote it; what it held is not written again, and the run goes on in {}",
            self.name(),
            self.path.display()
        ));
        self.begin()?;
        if tells_settings { self.tell_settings() } else { Ok(()) }
    }

    /// Says that a run goes on, and that events at this step and behind it which stand in earlier files give way.
    fn restart(&mut self, time: f64, step: u64) -> Result<()> {
        let session_log = Some(SessionLog { status: START });
        self.write(&Event { wall_time: time, step: step as i64, session_log, ..Event::default() })
    }

    fn show(&mut self, at: Moment, value: Vec<Value>) -> Result<()> {
        let summary = Some(Summary { value });
        self.write(&Event { wall_time: at.time, step: at.step as i64, summary, ..Event::default() })
    }

    /// Writes into the file that is there, or into a new one.
    fn write(&mut self, event: &Event) -> Result<()> {
        if let Some(what) = self.watched.changed() {
            self.go_on_elsewhere(&what)?;
        }
        self.append(event)
    }

    /// One write, so that whoever reads meanwhile finds whole events.
    fn append(&mut self, event: &Event) -> Result<()> {
        let bytes = framed(&event.encode_to_vec());
        self.file.write_all(&bytes).map_err(|e| io_error(&self.path, e))?;
        self.watched = Watched::of(&self.path, &self.file)?;
        Ok(())
    }
}

impl Tracker for EventFile {
    fn name(&self) -> String {
        format!("--tensorboard {}", self.directory.display())
    }

    fn numbers(&mut self, at: Moment, numbers: &[(String, f64)]) -> Result<()> {
        self.show(at, numbers.iter().map(|(name, value)| Value::scalar(name, *value)).collect())
    }

    fn samples(&mut self, at: Moment, samples: &[Sample]) -> Result<()> {
        let text = |(number, Sample { prompt, text }): (usize, &Sample)| {
            let markdown = format!("{}\n\n---\n\n{}", indented(prompt), indented(text));
            Value::text(&format!("samples/{}", number + 1), markdown)
        };
        self.show(at, samples.iter().enumerate().map(text).collect())
    }

    fn end(&mut self, at: Moment, end: End) -> Result<()> {
        if self.has_hparams {
            let status = if end == End::Failed { 2 } else { 1 };
            self.show(at, vec![Value::hparams_end(status, at.time)])?;
        }
        self.file.sync_all().map_err(|e| io_error(&self.path, e))
    }

    fn remarks(&mut self) -> Vec<String> {
        std::mem::take(&mut self.remarks)
    }

    fn files(&self) -> Vec<(PathBuf, u64)> {
        vec![self.watched.written()]
    }
}

/// A new file of a directory, behind all that are there.
fn create(directory: &Path, about: &About) -> Result<(PathBuf, File, Watched)> {
    fs::create_dir_all(directory).map_err(|e| io_error(directory, e))?;
    let stamp = newest(directory).map_or(0, |newest| newest + 1).max(about.began as u64);
    let host: String =
        about.host.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    let path = directory.join(format!("{PREFIX}{stamp:010}.{host}.{}.0", std::process::id()));
    let file = File::create_new(&path).map_err(|e| io_error(&path, e))?;
    let watched = Watched::of(&path, &file)?;
    Ok((path, file, watched))
}

/// Whether a directory holds event files.
pub fn holds_events(directory: &Path) -> bool {
    names(directory).next().is_some()
}

/// The newest stamp among the event files of a directory: they are read in the order of their names.
fn newest(directory: &Path) -> Option<u64> {
    names(directory).filter_map(|name| name.strip_prefix(PREFIX)?.split('.').next()?.parse().ok()).max()
}

fn names(directory: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
    names.filter(|name| name.starts_with(PREFIX))
}

/// A text as Markdown that shows it as it is.
fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What tests/golden/tracking/make.py tells the real package.
    fn about() -> About {
        About {
            settings_text: "batch-size = 4\nname = \"a\"\n".into(),
            settings: [("batch-size", 4.into()), ("name", "a".into()), ("packing", true.into())]
                .map(|(key, value): (&str, serde_json::Value)| (key.to_string(), value))
                .into_iter()
                .collect(),
            host: "host".into(),
            began: 1_700_000_000.5,
            ..About::default()
        }
    }

    fn told(file: &mut EventFile) -> Vec<u8> {
        let at = |step: u64| Moment { step, time: 1_700_000_000.5 + step as f64 };
        file.numbers(at(1), &[("train/loss".into(), 2.5), ("train/grad_norm".into(), 0.0)]).unwrap();
        file.numbers(at(2), &[("train/loss".into(), f64::NAN)]).unwrap();
        let sample = Sample { prompt: "Once".into(), text: "upon a\ntime 好".into() };
        file.samples(at(2), &[sample]).unwrap();
        file.end(at(3), End::Done).unwrap();
        fs::read(&file.path).unwrap()
    }

    #[test]
    fn events_are_those_that_the_real_package_writes() {
        let place = tempfile::tempdir().unwrap();
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/tracking");
        let mut file = EventFile::open(place.path(), &about(), Begins::New).unwrap();
        assert_eq!(told(&mut file), fs::read(golden.join("new.tfevents")).unwrap());
        let mut file = EventFile::open(place.path(), &about(), Begins::Behind(1)).unwrap();
        assert_eq!(told(&mut file), fs::read(golden.join("resumed.tfevents")).unwrap());
    }

    #[test]
    fn a_file_that_is_taken_away_or_cut_is_told_and_followed_by_another() {
        let place = tempfile::tempdir().unwrap();
        let mut file = EventFile::open(place.path(), &about(), Begins::New).unwrap();
        let at = |step: u64| Moment { step, time: 1_700_000_000.5 };
        let tell = |file: &mut EventFile, step: u64| {
            file.numbers(at(step), &[("train/loss".into(), step as f64)]).unwrap();
            file.remarks()
        };
        assert!(tell(&mut file, 1).is_empty());
        let first = file.path.clone();
        File::options().write(true).open(&first).unwrap().set_len(30).unwrap();
        let told = tell(&mut file, 2);
        assert!(
            told.len() == 1 && told[0].contains("was cut from") && told[0].contains("--tensorboard"),
            "{told:?}"
        );
        assert!(
            file.path > first && fs::metadata(&first).unwrap().len() == 30,
            "what is left stays as it is"
        );
        let holds =
            |path: &Path, part: &[u8]| fs::read(path).unwrap().windows(part.len()).any(|at| at == part);
        assert!(holds(&file.path, b"train/loss") && !holds(&file.path, b"settings"));
        fs::remove_dir_all(place.path()).unwrap();
        let told = tell(&mut file, 3);
        assert!(told[0].contains("was removed"), "{told:?}");
        assert!(
            holds(&file.path, b"train/loss") && holds(&file.path, b"batch-size = 4"),
            "no other file has them"
        );
        assert!(tell(&mut file, 4).is_empty());
        assert_eq!(file.files(), [(file.path.clone(), fs::metadata(&file.path).unwrap().len())]);
    }

    #[test]
    fn a_run_that_is_watched_from_its_middle_on_tells_its_settings() {
        let place = tempfile::tempdir().unwrap();
        let file = EventFile::open(place.path(), &about(), Begins::Behind(7)).unwrap();
        let bytes = fs::read(&file.path).unwrap();
        let holds = |part: &[u8]| bytes.windows(part.len()).any(|at| at == part);
        assert!(file.has_hparams && holds(b"batch-size = 4") && holds(b"session_start_info"));
        let again = EventFile::open(place.path(), &about(), Begins::Behind(9)).unwrap();
        assert!(!again.has_hparams, "they stand in the first file");
    }

    #[test]
    fn a_later_file_is_read_later_whatever_the_clock_says() {
        let place = tempfile::tempdir().unwrap();
        assert!(!holds_events(place.path()));
        let ahead = place.path().join(format!("{PREFIX}2000000000.host.1.0"));
        fs::write(&ahead, "").unwrap();
        let file = EventFile::open(place.path(), &about(), Begins::Anew).unwrap();
        assert!(file.path > ahead && holds_events(place.path()));
        assert_eq!(newest(place.path()), Some(2_000_000_001));
    }
}
