//! Runs that outlive the page.
//!
//! `runs/<id>/` holds `job.json`, the data, the model that it began with (until the first save of a run that needs it no
//! longer), a teacher that is kept nowhere else, and two places for saves in turn, each with its own state. `result.json` says that what it gave is kept.

use kindling::checkpoint::Checkpoint;
use kindling::formats::Files;
use kindling::told::{Told, told};
use kindling::train::Progress;
use serde::Deserialize;
use serde_json::Value;

use super::kept_job::{KeptJob, parsed};
use super::lesson::Before;
use super::load::{NOW, today};
use super::messages::model::WeightsAs;
use super::messages::run::SavedRun;
use super::models::kept_files;
use super::places::{self, Place, Places};
use super::protocol::{File, Training, own_name};
use super::saves::{Marks, Save, damaged, marks};
use super::state::{Answer, Engine, OpenModel};
use super::store;

/// The folder of all runs.
pub const RUNS: &str = "runs";
/// What a run was begun with, in its folder.
const JOB: &str = "job.json";
/// That a run's result is kept, likewise.
const RESULT: &str = "result.json";
/// Where an older version of the page says which place is whole.
const STATE: &str = "state.json";
/// The beginning of the names that tabs hold for their runs.
const HOLD: &str = "kindling run-";

/// Which of the two places is whole, as an older version of the page wrote it.
#[derive(Deserialize)]
struct OldState {
    place: u8,
    step: u64,
    total_steps: u64,
}

/// A run as its folder shows it.
pub struct KeptRun {
    /// What it was begun with; none where that is missing or damaged.
    pub job: Option<KeptJob>,
    /// Its saves, and all that is damaged.
    pub saves: Places,
    /// Whether what it gave is kept, so that nothing waits here.
    over: bool,
}

impl KeptRun {
    /// Looks at a run's folder.
    ///
    /// # Errors
    /// The browser refuses.
    pub async fn look(id: &str) -> Result<Self, Told> {
        let folder = format!("{RUNS}/{id}");
        let mut saves = places::look(&folder).await?;
        add_old_saves(&folder, &mut saves).await?;
        let job = match store::read(&format!("{folder}/{JOB}")).await? {
            None => None,
            Some(job) => match parsed(&job) {
                Ok(job) => Some(job),
                Err(e) => {
                    let path = format!("{folder}/{JOB}");
                    saves.damaged.push(told!("file.damaged_at", "{path} is damaged: {e}", path, e));
                    None
                }
            },
        };
        let old_end = saves
            .whole
            .first()
            .is_some_and(|newest| newest.save.number == 0 && newest.save.step >= newest.save.total_steps);
        let over = old_end || store::read(&format!("{folder}/{RESULT}")).await?.is_some();
        Ok(Self { job, saves, over })
    }

    /// Whether nothing would be lost with it: its result is kept, or it was cut short before it was begun.
    fn is_leftover(&self) -> bool {
        let begun = self.job.as_ref().is_some_and(|job| job.total_steps > 0);
        self.over || !begun && self.saves.whole.is_empty() && self.saves.damaged.is_empty()
    }

    fn listed(self, id: String) -> Option<SavedRun> {
        if self.is_leftover() {
            return None;
        }
        let planned = self.job.as_ref().map_or(0, |job| job.total_steps);
        let newest = self.saves.whole.first().map(|newest| (newest.save.step, newest.save.total_steps));
        let (step, total_steps) = newest.unwrap_or((0, planned));
        let (step, total_steps) = (step as f64, total_steps as f64);
        let damaged = self.saves.damaged.iter().map(Into::into).collect();
        let (stage, adapter, name, model) = match self.job {
            None => (None, false, id.clone(), String::new()),
            Some(KeptJob { training, model, .. }) => {
                (Some(training.stage.into()), training.adapts(), training.title(), model)
            }
        };
        Some(SavedRun { id, stage, adapter, name, model, step, total_steps, damaged })
    }
}

/// Adds the saves of an older version of the page, whose state lay beside them.
async fn add_old_saves(folder: &str, saves: &mut Places) -> Result<(), Told> {
    let Some(state) = store::read(&format!("{folder}/{STATE}")).await? else { return Ok(()) };
    let state: Option<OldState> = serde_json::from_slice(&state).ok();
    if state.is_none() {
        let path = format!("{folder}/{STATE}");
        saves.damaged.push(told!("file.no_state", "{path} is damaged", path));
    }
    for (place, _) in std::mem::take(&mut saves.unlisted) {
        let steps = match &state {
            Some(state) if state.place == place => Some((state.step, state.total_steps)),
            Some(_) => None,
            None => steps_in(&places::path(folder, place)).await?,
        };
        if let Some((step, total_steps)) = steps {
            let save = Save { step, total_steps, ..places::numbered(0) };
            saves.whole.push(Place { place, save });
        }
    }
    saves.whole.sort_by_key(|place| std::cmp::Reverse((place.save.number, place.save.step)));
    Ok(())
}

/// Steps taken and planned, as a save itself has them.
async fn steps_in(save: &str) -> Result<Option<(u64, u64)>, Told> {
    let progress = store::read(&format!("{save}/{}", kindling::checkpoint::PROGRESS)).await?;
    let progress = progress.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    Ok(progress.and_then(|progress| Some((progress["step"].as_u64()?, progress["total_steps"].as_u64()?))))
}

/// Keeps what a run begins with; runs whose result is kept make room.
///
/// # Errors
/// No room; then nothing of it stays.
pub async fn keep_job(
    id: &str,
    (training, total_steps, before): (&Training, u64, Before),
    data: Vec<(String, Vec<u8>)>,
    (model, teacher): (&OpenModel, Option<Files>),
) -> Result<(), Told> {
    let held = store::held(HOLD).await?;
    for (old, _) in store::list(RUNS).await? {
        if !held.contains(&hold_name(&old)) && KeptRun::look(&old).await?.is_leftover() {
            store::remove(&format!("{RUNS}/{old}")).await?;
        }
    }
    let folder = format!("{RUNS}/{id}");
    let job = KeptJob {
        training: training.clone(),
        model: model.name.clone(),
        weights: model.weights,
        date: model.tokenizer.template_variable(NOW).cloned(),
        total_steps,
        before: before.rows,
        asked_before: before.asked,
        pairs_before: before.pairs,
        files: Marks::new(),
    };
    let kept = async { write_job(&folder, job, data, [Some(kept_files(model).await?), teacher]).await };
    let kept = kept.await;
    if kept.is_err() {
        store::remove(&folder).await?;
    }
    kept
}

async fn write_job(
    folder: &str,
    mut job: KeptJob,
    data: Vec<(String, Vec<u8>)>,
    models: [Option<Files>; 2],
) -> Result<(), Told> {
    let mut files = Files::new();
    for (part, model) in ["base", "teacher"].into_iter().zip(models) {
        files.extend(model.into_iter().flatten().map(|(name, bytes)| (format!("{part}/{name}"), bytes)));
    }
    for (i, (name, bytes)) in data.into_iter().enumerate() {
        // A number before the name keeps the order, and equal names apart.
        files.insert(format!("data/{i:04}-{}", own_name(&name)), bytes);
    }
    store::write_all(folder, &files).await?;
    job.files = marks(&files);
    let job = serde_json::to_vec(&job).map_err(Told::from)?;
    store::write(&format!("{folder}/{JOB}"), &job).await.map(drop)
}

/// Files that a run was begun with, of one of its folders.
///
/// # Errors
/// One that is missing or damaged, by its path.
pub async fn beginning(id: &str, part: &str, job: &KeptJob) -> Result<Files, Told> {
    let folder = format!("{RUNS}/{id}");
    let files = store::read_all(&format!("{folder}/{part}")).await?;
    for (name, bytes) in &files {
        let name = format!("{part}/{name}");
        if let Some(how) = damaged(&job.files, &name, bytes) {
            return Err(places::is_wrong(&format!("{folder}/{name}"), how));
        }
    }
    let mut listed = job.files.keys().filter_map(|name| name.strip_prefix(part)?.strip_prefix('/'));
    match listed.find(|name| !files.contains_key(*name)) {
        Some(name) => {
            Err(told!("file.missing", "{path} is missing", path = format!("{folder}/{part}/{name}")))
        }
        None => Ok(files),
    }
}

/// What a whole save makes superfluous: the model that a full run began with, and an older version's state.
pub async fn forget_beginning(folder: &str) {
    let forgotten = async {
        store::remove(&format!("{folder}/{STATE}")).await?;
        let job = store::read(&format!("{folder}/{JOB}")).await?;
        let job = job.and_then(|job| parsed(&job).ok());
        match job {
            Some(job) if !job.training.needs_base() => store::remove(&format!("{folder}/base")).await,
            _ => Ok(()),
        }
    };
    // It takes room, no more, where the browser refuses.
    drop(forgotten.await);
}

/// Notes that what a run gave is kept, under this name.
///
/// # Errors
/// No room.
pub async fn keep_result(id: &str, name: &str) -> Result<(), Told> {
    let result = serde_json::to_vec(name).map_err(Told::from)?;
    store::write(&format!("{RUNS}/{id}/{RESULT}"), &result).await.map(drop)
}

/// The name of what a run gave, where that is kept. The note of it is gone afterwards: the run waits to go on.
///
/// # Errors
/// The browser refuses.
pub async fn take_result(id: &str) -> Result<Option<String>, Told> {
    let path = format!("{RUNS}/{id}/{RESULT}");
    let name = store::read(&path).await?.and_then(|name| serde_json::from_slice(&name).ok());
    store::remove(&path).await?;
    Ok(name)
}

/// Keeps a run that was saved elsewhere, as if it had been begun here.
///
/// # Errors
/// No room; then nothing of it stays.
pub async fn keep_saved(
    training: Training,
    (model, weights): (String, WeightsAs),
    base: Option<Files>,
    save: &Files,
    data: Vec<File>,
    progress: &Progress,
) -> Result<SavedRun, Told> {
    let id = new_id();
    let _here = hold(&id).await?;
    let folder = format!("{RUNS}/{id}");
    let (step, total_steps) = (progress.step, progress.total_steps);
    let data: Vec<_> = data.into_iter().map(|file| (file.name, file.bytes)).collect();
    let (stage, adapter, name) = (Some(training.stage.into()), training.adapts(), training.title());
    // Its own day; runs of before, and of other programs, do not tell theirs.
    let date = Some(progress.date.clone().unwrap_or_else(today).into());
    let Before { rows: before, asked: asked_before, pairs: pairs_before } = Before::default();
    let (name_of, files) = (model.clone(), Marks::new());
    let job = KeptJob {
        training,
        model: name_of,
        weights,
        date,
        total_steps,
        before,
        asked_before,
        pairs_before,
        files,
    };
    let kept = async {
        write_job(&folder, job, data, [base, None]).await?;
        places::write(&folder, 0, Save { step, total_steps, ..places::numbered(1) }, save).await
    };
    if let Err(error) = kept.await {
        store::remove(&folder).await?;
        return Err(error);
    }
    let (step, total_steps) = (step as f64, total_steps as f64);
    Ok(SavedRun { id, stage, adapter, name, model, step, total_steps, damaged: Vec::new() })
}

/// An id that no other run has.
pub fn new_id() -> String {
    format!("run-{}", js_sys::Date::now() as u64)
}

impl Engine {
    /// The runs that can go on, and what is damaged of them.
    pub async fn saved_runs(&self) -> Result<Answer, Told> {
        let (mut waiting, held) = (Vec::new(), store::held(HOLD).await?);
        for (id, _) in store::list(RUNS).await? {
            if !held.contains(&hold_name(&id)) {
                waiting.extend(KeptRun::look(&id).await?.listed(id));
            }
        }
        waiting.sort_by(|a, b| a.id.cmp(&b.id));
        Answer::new(waiting)
    }

    /// Removes a run.
    pub async fn remove_run(&self, id: &str) -> Result<Answer, Told> {
        if self.run.borrow().as_ref().is_some_and(|run| run.id == id) {
            return Err(told!("run.trains", "the run {id} trains now; stop it first", id));
        }
        check_id(id)?;
        let _here = hold(id).await?;
        store::remove(&format!("{RUNS}/{id}")).await?;
        Answer::new(())
    }
}

/// Keeps other tabs from a run, as long as what it gives lives.
///
/// # Errors
/// Another tab has it.
pub async fn hold(id: &str) -> Result<store::Hold, Told> {
    store::Hold::take(&hold_name(id)).await?.ok_or_else(|| {
        told!(
            "run.other_tab",
            "the run {id} trains in another tab of this page; go on there, or close that tab first",
            id
        )
    })
}

fn hold_name(id: &str) -> String {
    format!("kindling {id}")
}

/// Ids are made here and hold no folder.
pub fn check_id(id: &str) -> Result<(), Told> {
    if id.is_empty() || id.contains('/') {
        return Err(told!("run.id", "'{id}' is the id of no run", id));
    }
    Ok(())
}

/// The files of a run's last whole save.
///
/// # Errors
/// It was never saved, or no save can be read: what is damaged.
pub async fn run_files_of(id: &str) -> Result<Files, Told> {
    check_id(id)?;
    let mut saves = KeptRun::look(id).await?.saves;
    if saves.whole.is_empty() && saves.damaged.is_empty() {
        return Err(told!("run.never_saved", "the run {id} was never saved", id));
    }
    let (_, files) = places::read_newest(&format!("{RUNS}/{id}"), &mut saves).await?;
    // An adapter's save has no weights of a model, and the other way round.
    if files.contains_key("model.safetensors") {
        Checkpoint::open(|name| Ok(files.get(name).cloned())).map_err(Told::from)?;
    }
    Ok(files)
}
