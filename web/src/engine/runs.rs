//! Runs that outlive the page.
//!
//! `runs/<id>/` holds `job.json`, the data, for an adapter its base, and two places for saves in turn; `state.json`
//! names the place that is whole, and is written last.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use kindling::adapter::Adapter;
use kindling::checkpoint::{Checkpoint, Files, read_training};
use kindling::train::{Progress, Stage};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::models::checkpoint_files;
use super::port::Port;
use super::protocol::{Event, File, PlanInfo, SavedRun, Training, own_name};
use super::state::{Answer, Engine, OpenModel};
use super::store;
use super::training::job;

const RUNS: &str = "runs";

/// What a run was begun with.
#[derive(Serialize, Deserialize)]
struct KeptJob {
    training: Training,
    model: String,
}

/// Which of the two places is whole, and where the run stands in it.
#[derive(Serialize, Deserialize)]
struct KeptState {
    place: u8,
    step: u64,
    total_steps: u64,
}

/// Keeps what a run begins with; runs that are finished make room.
///
/// # Errors
/// No room; then nothing of it stays.
pub async fn keep_job(
    id: &str,
    training: &Training,
    files: &[(String, Vec<u8>)],
    model: &OpenModel,
) -> Result<(), String> {
    for (old, state) in states().await? {
        if state.is_none_or(|state| state.step >= state.total_steps) {
            store::remove(&format!("{RUNS}/{old}")).await?;
        }
    }
    let folder = format!("{RUNS}/{id}");
    let kept = async {
        let base = match training.stage {
            Stage::Lora => Some(checkpoint_files(model).await?),
            _ => None,
        };
        write_job(&folder, training, files, &model.name, base).await
    };
    let kept = kept.await;
    if kept.is_err() {
        store::remove(&folder).await?;
    }
    kept
}

async fn write_job(
    folder: &str,
    training: &Training,
    data: &[(String, Vec<u8>)],
    model: &str,
    base: Option<Files>,
) -> Result<(), String> {
    if let Some(base) = base {
        store::write_all(&format!("{folder}/base"), &base).await?;
    }
    for (i, (name, bytes)) in data.iter().enumerate() {
        // A number before the name keeps the order, and equal names apart.
        store::write(&format!("{folder}/data/{i:04}-{}", own_name(name)), bytes).await?;
    }
    let job = KeptJob { training: training.clone(), model: model.to_string() };
    let job = serde_json::to_vec(&job).map_err(|e| e.to_string())?;
    store::write(&format!("{folder}/job.json"), &job).await
}

/// Keeps a run that was saved elsewhere, as if it had been begun here.
///
/// # Errors
/// No room; then nothing of it stays.
pub async fn keep_saved(
    training: Training,
    model: String,
    base: Option<Files>,
    save: &Files,
    data: Vec<File>,
    progress: &Progress,
) -> Result<SavedRun, String> {
    let id = new_id();
    let folder = format!("{RUNS}/{id}");
    let (step, total_steps) = (progress.step, progress.total_steps);
    let data: Vec<_> = data.into_iter().map(|file| (file.name, file.bytes)).collect();
    let kept = async {
        write_job(&folder, &training, &data, &model, base).await?;
        write_save(&folder, &KeptState { place: 0, step, total_steps }, save).await
    };
    if let Err(error) = kept.await {
        store::remove(&folder).await?;
        return Err(error);
    }
    let name = training.name.unwrap_or_else(|| training.stage.name().into());
    Ok(SavedRun { id, stage: training.stage, name, model, step, total_steps })
}

/// An id that no other run has.
pub fn new_id() -> String {
    format!("run-{}", js_sys::Date::now() as u64)
}

/// All runs, with the state of those that were saved.
async fn states() -> Result<Vec<(String, Option<KeptState>)>, String> {
    let mut states = Vec::new();
    for (id, _) in store::list(RUNS).await? {
        let state = store::read(&format!("{RUNS}/{id}/state.json")).await?;
        let state = state.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        states.push((id, state));
    }
    states.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(states)
}

impl Engine {
    /// The runs that were saved and are not finished.
    pub async fn saved_runs(&self) -> Result<Answer, String> {
        let active = self.run.borrow().as_ref().map(|run| run.id.clone());
        let mut waiting = Vec::new();
        for (id, state) in states().await? {
            let Some(state) =
                state.filter(|state| state.step < state.total_steps && Some(&id) != active.as_ref())
            else {
                continue;
            };
            let Ok(KeptJob { training, model }) = kept_job(&id).await else { continue };
            let name = training.name.unwrap_or_else(|| training.stage.name().into());
            let (step, total_steps) = (state.step, state.total_steps);
            waiting.push(SavedRun { id, stage: training.stage, name, model, step, total_steps });
        }
        Answer::new(waiting)
    }

    /// Removes a run.
    pub async fn remove_run(&self, id: &str) -> Result<Answer, String> {
        if self.run.borrow().as_ref().is_some_and(|run| run.id == id) {
            return Err(format!("the run {id} trains now; stop it first"));
        }
        check_id(id)?;
        store::remove(&format!("{RUNS}/{id}")).await?;
        Answer::new(())
    }

    /// Goes on with a run from its last save.
    pub async fn resume(&self, id: &str, port: &Port) -> Result<Answer, String> {
        let told = |e: kindling::error::Error| e.to_string();
        let KeptJob { training, model: name } = kept_job(id).await?;
        let saved = run_files_of(id).await?;
        let read = |file: &str| Ok(saved.get(file).cloned());
        let base = match training.stage {
            Stage::Lora => store::read_all(&format!("{RUNS}/{id}/base")).await?,
            _ => saved.clone(),
        };
        let model = OpenModel::open(name, &base, &self.device()?).await?;
        let files = store::read_all(&format!("{RUNS}/{id}/data")).await?;
        let file =
            |(name, bytes): (String, Vec<u8>)| File { name: name[5.min(name.len())..].to_string(), bytes };
        let adapter = match training.stage {
            Stage::Lora => Some(Adapter::open(read).map_err(told)?),
            _ => None,
        };
        let (job, warnings) = job(&training, files.into_iter().map(file).collect(), &model, adapter)?;
        let (optimizer, progress) = read_training(read).map_err(told)?;
        let run = job.resume(model.base.clone().trainable(), optimizer, progress).map_err(told)?;
        // What is left of the time is for the page to tell from the run's speed.
        let plan = PlanInfo::new(&run.plan, 0.0, run.progress.rows, warnings);
        if self.opened().is_ok_and(|open| open.fingerprint != model.fingerprint) || self.opened().is_err() {
            self.adapters.borrow_mut().clear();
            self.model.replace(Some(model));
            self.changed();
        }
        self.execute(id.to_string(), training, run, plan, Saver::after(id).await?, port).await
    }
}

/// Ids are made here and hold no folder.
fn check_id(id: &str) -> Result<(), String> {
    if id.is_empty() || id.contains('/') {
        return Err(format!("'{id}' is the id of no run"));
    }
    Ok(())
}

async fn kept_job(id: &str) -> Result<KeptJob, String> {
    check_id(id)?;
    let job = store::read(&format!("{RUNS}/{id}/job.json")).await?;
    let job = job.ok_or_else(|| format!("there is no saved run {id}"))?;
    serde_json::from_slice(&job).map_err(|e| format!("the saved run {id} is damaged: {e}"))
}

async fn kept_state(id: &str) -> Result<KeptState, String> {
    check_id(id)?;
    let state = store::read(&format!("{RUNS}/{id}/state.json")).await?;
    let state = state.ok_or_else(|| format!("the run {id} was never saved"))?;
    serde_json::from_slice(&state).map_err(|e| format!("the saved run {id} is damaged: {e}"))
}

/// The files of a run's last whole save.
pub async fn run_files_of(id: &str) -> Result<Files, String> {
    let place = kept_state(id).await?.place;
    let files = store::read_all(&format!("{RUNS}/{id}/{place}")).await?;
    // An adapter's save has no weights of a model, and the other way round.
    if files.contains_key("model.safetensors") {
        Checkpoint::open(|name| Ok(files.get(name).cloned())).map_err(|e| e.to_string())?;
    }
    Ok(files)
}

/// Writes saves one after the other, beside the training.
#[derive(Clone)]
pub struct Saver {
    folder: Option<String>,
    queue: Rc<RefCell<Queue>>,
}

#[derive(Default)]
struct Queue {
    place: u8,
    waiting: VecDeque<(KeptState, Files, Port)>,
    busy: bool,
    failed: Option<String>,
}

impl Saver {
    /// For a new run.
    pub fn new(id: &str) -> Self {
        Self { folder: Some(format!("{RUNS}/{id}")), queue: Rc::default() }
    }

    /// For a run that goes on: the next save goes into the other place.
    ///
    /// # Errors
    /// The run was never saved.
    pub async fn after(id: &str) -> Result<Self, String> {
        let saver = Self::new(id);
        saver.queue.borrow_mut().place = 1 - kept_state(id).await?.place.min(1);
        Ok(saver)
    }

    /// For a run that cannot be kept.
    pub fn nowhere() -> Self {
        Self { folder: None, queue: Rc::default() }
    }

    /// Takes a save; of several that wait only the newest is written.
    pub fn save(&mut self, progress: &Progress, files: Files, port: &Port) {
        let Some(folder) = self.folder.clone() else { return };
        let state = KeptState { place: 0, step: progress.step, total_steps: progress.total_steps };
        let mut queue = self.queue.borrow_mut();
        queue.waiting.clear();
        queue.waiting.push_back((state, files, port.clone()));
        if std::mem::replace(&mut queue.busy, true) {
            return;
        }
        let queue = Rc::clone(&self.queue);
        wasm_bindgen_futures::spawn_local(async move { write_waiting(&folder, &queue).await });
    }

    /// Waits until everything is written.
    ///
    /// # Errors
    /// The last save could not be written.
    pub async fn finish(&self) -> Result<(), String> {
        while self.queue.borrow().busy {
            kindling::platform::turn().await;
        }
        self.queue.borrow_mut().failed.take().map_or(Ok(()), Err)
    }
}

async fn write_waiting(folder: &str, queue: &RefCell<Queue>) {
    loop {
        let next = queue.borrow_mut().waiting.pop_front();
        let Some((mut state, files, port)) = next else { break };
        state.place = queue.borrow().place;
        let step = state.step;
        match write_save(folder, &state, &files).await {
            Ok(()) => {
                let mut queue = queue.borrow_mut();
                queue.place = 1 - state.place;
                queue.failed = None;
                port.tell(&Event::Save { step });
            }
            Err(message) => {
                port.tell(&Event::Warning { message: format!("step {step} was not saved: {message}") });
                queue.borrow_mut().failed = Some(message);
            }
        }
    }
    queue.borrow_mut().busy = false;
}

async fn write_save(folder: &str, state: &KeptState, files: &Files) -> Result<(), String> {
    store::write_all(&format!("{folder}/{}", state.place), files).await?;
    let state = serde_json::to_vec(&json!(state)).map_err(|e| e.to_string())?;
    store::write(&format!("{folder}/state.json"), &state).await
}
