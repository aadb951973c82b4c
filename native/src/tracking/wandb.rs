//! An offline run of Weights & Biases: a directory that `wandb sync` takes.
//!
//! A run that goes on goes on in its file, which is cut behind the step of its save: so it stays one run with one identity,
//! whose steps only grow.

use std::fs;
use std::path::{Path, PathBuf};

use kindling::error::{Error, Result};
use prost::Message;
use sha2::{Digest, Sha256};

use super::record_log::{RecordLog, records};
use super::state::State;
use super::wandb_places::{ALL, file_of, found, free};
use super::wandb_records::{
    Environment, Exit, FileItem, Files, Header, History, Item, Items, Record, RunRecord, Step, Timestamp,
    Version,
};
use super::{About, Begins, End, Moment, Sample, Tracker};
use crate::disk::remove;
use crate::failure::io_error;
use crate::model_files::read_optional;
use crate::output;

/// The project that runs are put into; `wandb sync --project` names another.
const PROJECT: &str = "kindling";
/// The run's settings, among its files.
const SETTINGS: &str = "settings.toml";
/// Letters of an identity, and how many it has.
const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const ID_LENGTH: usize = 8;

/// Which offline run belongs to a run of ours.
#[derive(Clone, Debug, PartialEq)]
struct Identity {
    id: String,
    /// When it began, in seconds since 1970.
    began: f64,
}

/// An offline run that is written.
#[derive(Debug)]
pub struct OfflineRun {
    directory: PathBuf,
    log: RecordLog,
    number: i64,
    identity: Identity,
    about: About,
    /// What was not told yet.
    remarks: Vec<String>,
    /// What was measured at the newest step: one row a step, though several calls may tell of it.
    row: Option<(Moment, Vec<Item>)>,
}

impl OfflineRun {
    /// Begins a run in `wandb/` below a directory, or goes on with the one that `state` names.
    ///
    /// # Errors
    /// A directory that cannot be written; a state that is damaged.
    pub fn open(below: &Path, about: &About, begins: Begins, state: &mut State) -> Result<Self> {
        let known = match begins {
            Begins::Behind(step) => {
                let kept = state.id.clone().zip(state.began);
                kept.map(|(id, began)| (Identity { id, began }, step))
            }
            Begins::New | Begins::Anew => None,
        };
        let all = below.join(ALL);
        match known {
            None => {
                let identity = Identity { id: new_id(about), began: about.began };
                (state.id, state.began) = (Some(identity.id.clone()), Some(identity.began));
                Self::create(&all, about, &identity)
            }
            Some((identity, step)) => match found(&all, &identity.id) {
                Some(directory) => Self::go_on(directory, about, identity, step),
                None => {
                    let (id, all) = (&identity.id, all.display());
                    output::warn(&format!(
                        "--wandb: the run {id} that this one goes on with is not in {all}; what follows is written into a new \
                         directory with the same identity"
                    ));
                    Self::create(&below.join(ALL), about, &identity)
                }
            },
        }
    }

    fn create(all: &Path, about: &About, identity: &Identity) -> Result<Self> {
        let directory = free(all, &identity.id);
        let files = directory.join("files");
        fs::create_dir_all(&files).map_err(|e| io_error(&files, e))?;
        let settings = files.join(SETTINGS);
        fs::write(&settings, &about.settings_text).map_err(|e| io_error(&settings, e))?;
        let log = RecordLog::create(&file_of(&directory, &identity.id))?;
        let mut new = Self::of(directory, log, about, identity.clone(), 0);
        new.begin()?;
        Ok(new)
    }

    fn of(directory: PathBuf, log: RecordLog, about: &About, identity: Identity, number: i64) -> Self {
        Self { directory, log, number, identity, about: about.clone(), remarks: Vec::new(), row: None }
    }

    /// The first records of a file.
    fn begin(&mut self) -> Result<()> {
        head(&self.about, &self.identity).into_iter().try_for_each(|record| self.append(record))
    }

    fn go_on(directory: PathBuf, about: &About, identity: Identity, step: u64) -> Result<Self> {
        let path = file_of(&directory, &identity.id);
        let bytes = read_optional(&path)?.unwrap_or_default();
        let kept = records(&bytes).ok_or_else(|| {
            let told = format!(
                "{}: not a file of an offline run; move it away, or leave --wandb out",
                path.display()
            );
            Error::Data(told.into())
        })?;
        let (mut number, mut length) = (0, 0);
        for found in kept {
            let Ok(record) = Record::decode(found.data.as_slice()) else { break };
            let at = record.history.as_ref().and_then(|history| Some(history.step.as_ref()?.num));
            if record.exit.is_some() || at.is_some_and(|at| at > step as i64) {
                break;
            }
            (number, length) = (record.num, found.ends);
        }
        if length == 0 {
            let told =
                format!("{}: its first record is damaged; remove it, or leave --wandb out", path.display());
            return Err(Error::Data(told.into()));
        }
        // `wandb sync` passes over a run that it took once, and there is going to be more of it.
        remove(&path.with_extension("wandb.synced"))?;
        let log = RecordLog::go_on(&path, length)?;
        Ok(Self::of(directory, log, about, identity, number))
    }

    /// Writes into the file that is there, or, where somebody took that away or cut it, into a new one of the same identity.
    fn write(&mut self, record: Record) -> Result<()> {
        if let Some(what) = self.log.watched().changed() {
            let before = file_of(&self.directory, &self.identity.id).display().to_string();
            let all = self.directory.parent().unwrap_or(Path::new(".")).to_path_buf();
            let Self { directory, log, number, .. } = Self::create(&all, &self.about, &self.identity)?;
            (self.directory, self.log, self.number) = (directory, log, number);
            self.remarks.push(format!(
                "--wandb: {before} {what} while the run wrote it; what it held is not written again, and the run goes on in {} \
                 with the same identity",
                self.directory.display()
            ));
        }
        self.append(record)
    }

    fn append(&mut self, record: Record) -> Result<()> {
        self.number += 1;
        self.log.append(&Record { num: self.number, ..record }.encode_to_vec())
    }

    /// Adds to the row of a step; another step's is written before.
    fn add(&mut self, at: Moment, items: impl Iterator<Item = Item>) -> Result<()> {
        if self.row.as_ref().is_some_and(|(other, _)| other.step != at.step) {
            self.flush()?;
        }
        let began = self.identity.began;
        let row = self.row.get_or_insert_with(|| {
            let times = [("_timestamp", at.time), ("_runtime", at.time - began)];
            let times = times.into_iter().map(|(key, value)| Item::number(key, value));
            (at, [Item::of("_step", &at.step.into())].into_iter().chain(times).collect())
        });
        row.1.extend(items);
        Ok(())
    }

    /// Writes the newest row, and then its values as the newest ones.
    fn flush(&mut self) -> Result<()> {
        let Some((at, item)) = self.row.take() else { return Ok(()) };
        let (update, step) = (item.clone(), Some(Step { num: at.step as i64 }));
        self.write(Record { history: Some(History { item, step }), ..Record::default() })?;
        self.write(Record { summary: Some(Items { update }), ..Record::default() })
    }
}

impl Tracker for OfflineRun {
    fn name(&self) -> String {
        format!("--wandb {}", self.directory.display())
    }

    fn numbers(&mut self, at: Moment, numbers: &[(String, f64)]) -> Result<()> {
        self.add(at, numbers.iter().map(|(name, value)| Item::number(name, *value)))
    }

    fn samples(&mut self, at: Moment, samples: &[Sample]) -> Result<()> {
        let item = |(number, sample): (usize, &Sample)| {
            let text = format!("{}\n\n{}", sample.prompt, sample.text);
            Item::of(&format!("samples/{}", number + 1), &text.into())
        };
        self.add(at, samples.iter().enumerate().map(item))
    }

    fn saved(&mut self) -> Result<()> {
        self.flush()
    }

    fn end(&mut self, at: Moment, end: End) -> Result<()> {
        self.flush()?;
        let exit_code = match end {
            End::Done => 0,
            End::Stopped => 130,
            End::Failed => 1,
        };
        let exit = Exit { exit_code, runtime: (at.time - self.identity.began) as i32 };
        self.write(Record { exit: Some(exit), ..Record::default() })?;
        self.log.sync()
    }

    fn remarks(&mut self) -> Vec<String> {
        std::mem::take(&mut self.remarks)
    }

    fn files(&self) -> Vec<(PathBuf, u64)> {
        vec![self.log.watched().written()]
    }
}

/// The records that a file begins with.
fn head(about: &About, identity: &Identity) -> [Record; 4] {
    let producer = format!("kindling {}", env!("CARGO_PKG_VERSION"));
    let update = about.settings.iter().map(|(key, value)| Item::of(key, value)).collect();
    let began = Timestamp::of(identity.began);
    let mut words = about.words.iter().cloned();
    let program = words.next().filter(|word| !word.is_empty()).unwrap_or_else(|| PROJECT.to_string());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let run = RunRecord {
        run_id: identity.id.clone(),
        project: PROJECT.into(),
        config: Some(Items { update }),
        job_type: about.stage.clone(),
        display_name: about.name.clone(),
        host: about.host.clone(),
        start_time: Some(began.clone()),
    };
    let environment = Environment {
        os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        started_at: Some(began),
        args: words.collect(),
        program,
        host: about.host.clone(),
        cpu_count: u32::try_from(threads).unwrap_or(u32::MAX),
        writer_id: identity.id.clone(),
    };
    let files = Files { files: vec![FileItem { path: SETTINGS.into() }] };
    [
        Record { header: Some(Header { version_info: Some(Version { producer }) }), ..Record::default() },
        Record { run: Some(run), ..Record::default() },
        Record { environment: Some(environment), ..Record::default() },
        Record { files: Some(files), ..Record::default() },
    ]
}

/// An identity that no other run has: of the machine, the process, the run's name and the moment.
fn new_id(about: &About) -> String {
    let all = format!("{} {} {} {:?}", about.host, std::process::id(), about.name, about.began);
    let letter = |byte: &u8| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]);
    Sha256::digest(all).iter().take(ID_LENGTH).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About {
        About {
            name: "sft-003".into(),
            stage: "sft".into(),
            words: ["kindling", "sft"].map(String::from).into(),
            settings: [("batch-size".to_string(), 4.into())].into_iter().collect(),
            host: "host".into(),
            began: 1_700_000_000.5,
            ..About::default()
        }
    }

    fn at(step: u64) -> Moment {
        Moment { step, time: 1_700_000_000.5 + step as f64 }
    }

    fn steps(path: &Path) -> (Vec<i64>, Vec<i64>, bool) {
        let bytes = fs::read(path).unwrap();
        let all: Vec<Record> = records(&bytes)
            .unwrap()
            .iter()
            .map(|found| Record::decode(found.data.as_slice()).unwrap())
            .collect();
        let steps = all.iter().filter_map(|record| Some(record.history.as_ref()?.step.as_ref()?.num));
        (steps.collect(), all.iter().map(|record| record.num).collect(), all.last().unwrap().exit.is_some())
    }

    #[test]
    fn a_run_that_goes_on_keeps_its_identity_and_has_each_step_once() {
        let place = tempfile::tempdir().unwrap();
        let (below, mut state) = (place.path().join("tracked"), State::default());
        let mut run = OfflineRun::open(&below, &about(), Begins::New, &mut state).unwrap();
        let id = state.id.clone().unwrap();
        assert_eq!(id.len(), ID_LENGTH);
        for step in 1..=5 {
            run.numbers(at(step), &[("train/loss".into(), 1.0)]).unwrap();
            run.numbers(at(step), &[("eval/loss".into(), f64::NAN)]).unwrap();
        }
        run.end(at(5), End::Stopped).unwrap();
        let directory = found(&below.join(ALL), &id).unwrap();
        let path = file_of(&directory, &id);
        assert_eq!(steps(&path), (vec![1, 2, 3, 4, 5], (1..=15).collect(), true));
        fs::write(path.with_extension("wandb.synced"), "").unwrap();
        let mut run = OfflineRun::open(&below, &about(), Begins::Behind(3), &mut state).unwrap();
        assert!(!path.with_extension("wandb.synced").exists());
        run.numbers(at(4), &[("train/loss".into(), 0.5)]).unwrap();
        run.saved().unwrap();
        assert_eq!(steps(&path), (vec![1, 2, 3, 4], (1..=12).collect(), false));
        drop(run);
        // Its directory is gone: a new one has the same identity.
        fs::remove_dir_all(&directory).unwrap();
        OfflineRun::open(&below, &about(), Begins::Behind(4), &mut state).unwrap();
        assert!(found(&below.join(ALL), &id).is_some() && state.id == Some(id));
    }

    #[test]
    fn a_file_that_is_cut_or_taken_away_is_told_and_followed_by_another_of_the_same_identity() {
        let place = tempfile::tempdir().unwrap();
        let mut state = State::default();
        let mut run = OfflineRun::open(place.path(), &about(), Begins::New, &mut state).unwrap();
        let id = state.id.unwrap();
        let mut tell = |step: u64| {
            run.numbers(at(step), &[("train/loss".into(), 1.0)]).unwrap();
            run.saved().unwrap();
            (run.directory.clone(), run.remarks())
        };
        let (first, told) = tell(1);
        assert!(told.is_empty(), "{told:?}");
        fs::File::options().write(true).open(file_of(&first, &id)).unwrap().set_len(20).unwrap();
        let (second, told) = tell(2);
        assert!(told.len() == 1 && told[0].contains("was cut from"), "{told:?}");
        assert!(first != second && fs::metadata(file_of(&first, &id)).unwrap().len() == 20);
        assert_eq!(steps(&file_of(&second, &id)).0, [2]);
        fs::remove_dir_all(&second).unwrap();
        let (third, told) = tell(3);
        assert!(told[0].contains("was removed"), "{told:?}");
        assert_eq!(steps(&file_of(&third, &id)).0, [3]);
        assert!(tell(4).1.is_empty());
        assert_eq!(steps(&file_of(&third, &id)).0, [3, 4]);
    }

    #[test]
    fn records_are_those_of_the_real_package() {
        let place = tempfile::tempdir().unwrap();
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/tracking/run.wandb");
        let path = place.path().join("run.wandb");
        let log = RecordLog::create(&path).unwrap();
        let identity = Identity { id: "abcd1234".into(), began: 1_700_000_000.5 };
        let mut run = OfflineRun::of(place.path().into(), log, &about(), identity.clone(), 0);
        for mut record in head(&about(), &identity) {
            // What differs between machines and versions.
            if let Some(version) = record.header.as_mut().and_then(|header| header.version_info.as_mut()) {
                version.producer = "kindling".into();
            }
            if let Some(environment) = &mut record.environment {
                (environment.os, environment.cpu_count) = ("linux".into(), 2);
            }
            run.write(record).unwrap();
        }
        run.numbers(at(1), &[("train/loss".into(), 2.5)]).unwrap();
        run.numbers(at(1), &[("eval/loss".into(), f64::INFINITY)]).unwrap();
        run.numbers(at(2), &[("train/loss".into(), f64::NAN)]).unwrap();
        let sample = Sample { prompt: "Once".into(), text: "好 \"x\"".into() };
        run.samples(at(2), &[sample]).unwrap();
        run.end(at(3), End::Failed).unwrap();
        assert_eq!(fs::read(&path).unwrap(), fs::read(golden).unwrap());
    }
}
