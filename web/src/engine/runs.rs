//! Runs that outlive the page.
//!
//! `runs/<id>/` holds `job.json`, the data, for an adapter its base, and two places for saves in turn; `state.json`
//! names the place that is whole, and is written last.

use std::sync::Arc;

use kindling::adapter::Adapter;
use kindling::checkpoint::{Checkpoint, open_tokenizer, read_training};
use kindling::formats::Files;
use kindling::train::Progress;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::load::{NOW, today};
use super::models::kept_files;
use super::port::Port;
use super::protocol::{File, PlanInfo, SavedRun, Training, WeightsAs, own_name};
use super::saver::{Saver, write_save};
use super::state::{Answer, Engine, OpenModel};
use super::store;
use super::training::job;

/// The folder of all runs.
pub const RUNS: &str = "runs";

/// What a run was begun with.
#[derive(Serialize, Deserialize)]
struct KeptJob {
    training: Training,
    model: String,
    /// What the model's matrices were held as.
    #[serde(default = "as_f32")]
    weights: WeightsAs,
    /// The day that its chat template prints; runs of before have none.
    #[serde(default)]
    date: Option<Value>,
}

fn as_f32() -> WeightsAs {
    WeightsAs::F32
}

/// Which of the two places is whole, and where the run stands in it.
#[derive(Serialize, Deserialize)]
pub struct KeptState {
    /// 0 or 1.
    pub place: u8,
    /// Steps taken.
    pub step: u64,
    /// Steps planned.
    pub total_steps: u64,
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
    let held = store::held().await?;
    for (old, state) in states().await? {
        let over = state.is_none_or(|state| state.step >= state.total_steps);
        if over && !held.contains(&hold_name(&old)) {
            store::remove(&format!("{RUNS}/{old}")).await?;
        }
    }
    let folder = format!("{RUNS}/{id}");
    let kept = async {
        let base = match training.adapter {
            Some(_) => Some(kept_files(model).await?),
            None => None,
        };
        let date = model.tokenizer.template_variable(NOW).cloned();
        let job =
            KeptJob { training: training.clone(), model: model.name.clone(), weights: model.weights, date };
        write_job(&folder, &job, files, base).await
    };
    let kept = kept.await;
    if kept.is_err() {
        store::remove(&folder).await?;
    }
    kept
}

async fn write_job(
    folder: &str,
    job: &KeptJob,
    data: &[(String, Vec<u8>)],
    base: Option<Files>,
) -> Result<(), String> {
    if let Some(base) = base {
        store::write_all(&format!("{folder}/base"), &base).await?;
    }
    for (i, (name, bytes)) in data.iter().enumerate() {
        // A number before the name keeps the order, and equal names apart.
        store::write(&format!("{folder}/data/{i:04}-{}", own_name(name)), bytes).await?;
    }
    let job = serde_json::to_vec(job).map_err(|e| e.to_string())?;
    store::write(&format!("{folder}/job.json"), &job).await.map(drop)
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
) -> Result<SavedRun, String> {
    let id = new_id();
    let folder = format!("{RUNS}/{id}");
    let (step, total_steps) = (progress.step, progress.total_steps);
    let data: Vec<_> = data.into_iter().map(|file| (file.name, file.bytes)).collect();
    let job = KeptJob { training, model, weights, date: Some(today().into()) };
    let kept = async {
        write_job(&folder, &job, &data, base).await?;
        write_save(&folder, &KeptState { place: 0, step, total_steps }, save).await
    };
    if let Err(error) = kept.await {
        store::remove(&folder).await?;
        return Err(error);
    }
    Ok(saved_run(id, job, &KeptState { place: 0, step, total_steps }))
}

fn saved_run(id: String, job: KeptJob, state: &KeptState) -> SavedRun {
    let KeptJob { training, model, .. } = job;
    let (stage, adapter, name) = (training.stage, training.adapter.is_some(), training.title());
    SavedRun { id, stage, adapter, name, model, step: state.step, total_steps: state.total_steps }
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
        let (mut waiting, held) = (Vec::new(), store::held().await?);
        for (id, state) in states().await? {
            let unfinished = state.filter(|state| state.step < state.total_steps);
            let Some(state) = unfinished.filter(|_| !held.contains(&hold_name(&id))) else {
                continue;
            };
            let Ok(job) = kept_job(&id).await else { continue };
            waiting.push(saved_run(id, job, &state));
        }
        Answer::new(waiting)
    }

    /// Removes a run.
    pub async fn remove_run(&self, id: &str) -> Result<Answer, String> {
        if self.run.borrow().as_ref().is_some_and(|run| run.id == id) {
            return Err(format!("the run {id} trains now; stop it first"));
        }
        check_id(id)?;
        let _here = hold(id).await?;
        store::remove(&format!("{RUNS}/{id}")).await?;
        Answer::new(())
    }

    /// Goes on with a run from its last save.
    pub async fn resume(&self, id: &str, port: &Port) -> Result<Answer, String> {
        let told = |e: kindling::error::Error| e.to_string();
        self.refuse_second_run()?;
        let KeptJob { training, model: name, weights, date } = kept_job(id).await?;
        let here = hold(id).await?;
        let saved = run_files_of(id).await?;
        let read = |file: &str| Ok(saved.get(file).cloned());
        let base = match training.adapter {
            Some(_) => store::read_all(&format!("{RUNS}/{id}/base")).await?,
            None => saved.clone(),
        };
        let mut model = OpenModel::open(name, weights, base, &self.device()?)?;
        if let Some(date) = date {
            Arc::make_mut(&mut model.tokenizer).set_template_variable(NOW, date);
        }
        let files = store::read_all(&format!("{RUNS}/{id}/data")).await?;
        let file =
            |(name, bytes): (String, Vec<u8>)| File { name: name[5.min(name.len())..].to_string(), bytes };
        let adapter = training.adapter.as_ref().map(|_| Adapter::open(read)).transpose().map_err(told)?;
        let mut job = job(&training, files.into_iter().map(file).collect(), &model, adapter)?;
        if job.adapter.is_some()
            && let Some(mut own) = open_tokenizer(&mut |file: &str| read(file)).map_err(told)?
        {
            // An adapter's run may have a template of its own.
            if let Some(date) = model.tokenizer.template_variable(NOW).cloned() {
                own.set_template_variable(NOW, date);
            }
            job.tokenizer = Arc::new(own);
        }
        let report = job.dataset.report().clone();
        let (optimizer, progress) = read_training(read).map_err(told)?;
        let run = job.resume(model.base.clone().trainable(), optimizer, progress).map_err(told)?;
        // What is left of the time is for the page to tell from the run's speed.
        let plan = PlanInfo::new(&run.plan, 0.0, run.progress.rows, report);
        if self.opened().is_ok_and(|open| open.fingerprint != model.fingerprint) || self.opened().is_err() {
            self.adapters.borrow_mut().clear();
            self.model.replace(Some(model));
            self.changed();
        }
        let outcome = self.execute(id.to_string(), training, run, plan, Saver::after(id).await?, port).await;
        drop(here);
        outcome
    }
}

/// Keeps other tabs from a run, as long as what it gives lives.
///
/// # Errors
/// Another tab has it.
pub async fn hold(id: &str) -> Result<store::Hold, String> {
    store::Hold::take(&hold_name(id)).await?.ok_or_else(|| {
        format!("the run {id} trains in another tab of this page; go on there, or close that tab first")
    })
}

fn hold_name(id: &str) -> String {
    format!("kindling {id}")
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
    let job = serde_json::from_slice(&job).map(of_now).and_then(serde_json::from_value);
    job.map_err(|e| format!("the saved run {id} is damaged: {e}"))
}

/// A kept job in the words of now: before an adapter went with any stage, `lora` was one, with its settings beside it.
fn of_now(mut job: Value) -> Value {
    let training = job.get_mut("training").and_then(Value::as_object_mut);
    if let Some(training) = training.filter(|training| training.get("stage") == Some(&Value::from("lora"))) {
        let settings = training.remove("lora").unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        training.insert("adapter".into(), settings);
        training.insert("stage".into(), "sft".into());
    }
    job
}

/// Which save of a run is whole.
///
/// # Errors
/// It was never saved.
pub async fn kept_state(id: &str) -> Result<KeptState, String> {
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
