//! Runs: the same loop as on the command line, with the page as its listener.

use std::rc::Rc;
use std::sync::Arc;

use kindling::adapter::{Adapter, AdapterConfig};
use kindling::checkpoint::run_files;
use kindling::data::Dataset;
use kindling::example::rows_known_by;
use kindling::model::{ModelConfig, Transformer};
use kindling::platform::now;
use kindling::tokenizer::Tokenizer;
use kindling::told::{Told, told};
use kindling::train::{
    Control, Job, Listener, Run, SaveClock, SaveConfig, Stage, TrainConfig, TrainEvent, train,
};
use serde_json::{Map, Value};

use super::aim::Aim;
use super::data::{dataset, fitted_config, lora_config};
use super::lesson::Lesson;
use super::messages::run::{EngineEvent as Event, Plan, RunEnd};
use super::places::Places;
use super::port::{LOST, Port};
use super::protocol::{File, Sample, Training, Wish};
use super::results::result_name;
use super::runs::{hold, keep_job, new_id};
use super::saver::Saver;
use super::state::{Answer, Claim, Engine, OpenModel, Wishes};
use super::talk::ask;
use super::told;
use super::told::warning;

/// Minutes between two saves that nobody asked for: a tab is closed sooner than a program is ended.
const SAVE_MINUTES: f64 = 0.5;
/// Seconds until the first of them.
const FIRST_SAVE: f64 = 3.0;
/// The longest answer on the way of a run, in tokens.
const SAMPLE_TOKENS: usize = 48;

/// A run that stands, and what belongs to it.
pub struct Begun {
    /// Its id.
    pub id: String,
    /// What it is to be.
    pub training: Training,
    /// The model that it trains, or that its adapter stands beside.
    pub model: OpenModel,
    /// The run itself.
    pub run: Run,
    /// What the page is told of it.
    pub plan: Plan,
    /// Where its saves go.
    pub saver: Saver,
    /// What is asked before and after.
    pub lesson: Lesson,
    /// The name of what it gave before, in whose place what it gives comes.
    pub replaces: Option<String>,
    /// The model that was open when it began.
    pub open: OpenModel,
}

impl Engine {
    /// Trains from the beginning.
    pub async fn train(
        &self,
        mut training: Training,
        mut files: Vec<File>,
        port: &Port,
    ) -> Result<Answer, Told> {
        let id = new_id();
        let claim = self.claim(&id)?;
        let open = self.opened()?;
        let model = open.begun(&training).await?;
        let teacher = self.teacher(training.teacher.as_ref(), &mut files, &model).await?;
        let aim = Aim::of(&training, &model, teacher.as_ref().map(|teacher| &teacher.model), None)?;
        let data = files.first().map(|file| file.name.as_str());
        training.name = Some(result_name(&training, data, &model.name));
        let kept: Vec<(String, Vec<u8>)> =
            files.iter().map(|file| (file.name.clone(), file.bytes.clone())).collect();
        let (job, planned) = self.surveyed(&training, files, (&model, &open), &aim)?;
        let job = begun_adapter(job, &model).await?;
        training.teacher =
            training.teacher.zip(teacher.as_ref()).map(|(named, teacher)| teacher.remembered(named));
        let report = job.dataset.report().clone();
        let mut lesson = Lesson::of(&job, &training.questions)?;
        let run = job.clone().start_surveyed(model.base.clone().trainable(), &planned.survey);
        let run = aim.join(run.map_err(Told::from)?, &job, &model).await?;
        drop((planned, job));
        let plan = self.info(&run.plan, run.progress.rows, &report).await?;
        let here = hold(&id).await?;
        if let Err(message) = lesson.ask_before(&model.base, &run.tokenizer).await {
            port.tell(&warning(&message));
        }
        // Without room to keep the run it still trains; it only cannot go on after a reload.
        let begins = (&training, run.progress.total_steps, lesson.before());
        let of_teacher = teacher.and_then(|teacher| teacher.files);
        let saver = match keep_job(&id, begins, kept, (&model, of_teacher)).await {
            Ok(()) => Saver::after(&id, &Places::default()),
            Err(message) => {
                port.tell(&warning(&message));
                Saver::nowhere()
            }
        };
        let begun = Begun { id, training, model, run, plan, saver, lesson, replaces: None, open };
        let outcome = self.execute(claim, begun, port).await;
        drop(here);
        outcome
    }

    /// Trains until the end, or until the page says stop.
    pub async fn execute(&self, claim: Claim<'_>, begun: Begun, port: &Port) -> Result<Answer, Told> {
        let Begun { id, training, model, run, plan, saver, lesson, replaces, open } = begun;
        port.tell(&Event::Started { id: id.clone(), plan });
        let tokenizer = Arc::clone(&run.tokenizer);
        let adapter = run.adapter.clone();
        let config = run.model.config().clone();
        let mut listener =
            PageListener::new(port, Rc::clone(&claim.wishes), saver, &training, (config, &tokenizer));
        // The run has its teacher; nothing else needs to hold it until the next plan.
        self.teacher.replace(None);
        let outcome = train(run, &mut listener).await.map_err(Told::from);
        let saver = listener.saver;
        let saved = saver.finish().await;
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(message) => {
                // What fails before its first save would fail again. A run whose device was lost begins once more.
                if message.code() != LOST {
                    saver.forget_unsaved().await?;
                }
                return Err(message);
            }
        };
        if outcome.stopped && outcome.progress.step == 0 {
            // The model still writes the first answers: there is nothing to keep, and nothing to go on from.
            saver.forget_unsaved().await?;
            return Err(told!(
                "run.nothing_learned",
                "the run was stopped before its first step: nothing was learned, and nothing is kept"
            ));
        }
        if let Err(message) = saved {
            port.tell(&warning(&message));
        }
        drop(claim);
        let progress = &outcome.progress;
        // A new model takes the place of the one that was open.
        let began = if training.preset.is_some() { &open } else { &model };
        let replaced = (&*id, &training, began, replaces.as_deref());
        let given = self.take_over(replaced, &outcome, adapter, Arc::clone(&tokenizer), port).await?;
        let asked = lesson.ask_after(&outcome.model, &tokenizer).await;
        let lesson = asked.unwrap_or_else(|message| {
            port.tell(&warning(&message));
            None
        });
        let (adapter, model) =
            if given.is_adapter { (Some(given.name), None) } else { (None, Some(given.name)) };
        Answer::new(RunEnd {
            id,
            step: progress.step as f64,
            total_steps: progress.total_steps as f64,
            stopped: outcome.stopped,
            heldout_loss: outcome.held_out.as_ref().map(|held_out| held_out.loss),
            adapter,
            model,
            kept: given.kept,
            learned: outcome.learned,
            lesson,
        })
    }

    /// Passes the page's wish to the loop.
    pub fn steer(&self, target: &str, what: Wish) -> Result<Answer, Told> {
        let run = self.run.borrow().clone().filter(|run| run.id == target);
        let run = run.ok_or_else(|| told!("run.not_now", "the run {target} does not train now", target))?;
        let Wishes { paused, save, stop } = &*run.wishes;
        match what {
            Wish::Continue => paused.set(false),
            // What pauses may be left for long.
            Wish::Pause => {
                paused.set(true);
                save.set(true);
            }
            Wish::Save => save.set(true),
            Wish::Stop => stop.set(true),
        }
        Answer::new(())
    }
}

/// The ingredients of a run. One that goes on brings its adapter.
pub fn job(
    training: &Training,
    files: Vec<File>,
    (model, aim): (&OpenModel, &Aim),
    saved: Option<Adapter>,
) -> Result<Job, Told> {
    let (config, _) = config_of(training, model, aim)?;
    let encoding = training.encoding.as_deref();
    let dataset = dataset(training.stage, &config, &model.tokenizer, encoding, files)?;
    job_on(training, Arc::new(dataset), (model, aim), saved)
}

/// The settings of a run, and what to say of those that follow from the models: every one must hold the rows that it reads.
///
/// # Errors
/// A setting that cannot be used.
pub fn config_of(
    training: &Training,
    model: &OpenModel,
    aim: &Aim,
) -> Result<(TrainConfig, Vec<Told>), Told> {
    let shape = model.base.config();
    let context = aim.objective.longest_row().unwrap_or(usize::MAX).min(shape.context());
    let read = (context, shape.diffusion.is_some());
    fitted_config(training.stage, training.adapts(), training.config.clone(), read)
}

/// The same on data that are open.
pub fn job_on(
    training: &Training,
    dataset: Arc<Dataset>,
    (model, aim): (&OpenModel, &Aim),
    saved: Option<Adapter>,
) -> Result<Job, Told> {
    let (config, _) = config_of(training, model, aim)?;
    let adapter = match &training.adapter {
        Some(changed) if saved.is_none() => Some(fresh_adapter(changed.clone(), config.seed, model)?),
        _ => saved,
    };
    let tokenizer = Arc::clone(&model.tokenizer);
    let (stage, objective) = (training.stage, Arc::clone(&aim.objective));
    let keep = match stage {
        Stage::Sft if config.keep_share > 0.0 => rows_known_by(model.base.config()).map_err(Told::from)?,
        _ => None,
    };
    Ok(Job { stage, objective, config, tokenizer, dataset, keep, adapter })
}

fn fresh_adapter(changed: Map<String, Value>, seed: u64, model: &OpenModel) -> Result<Adapter, Told> {
    let lora = lora_config(changed)?;
    let (base, base_name) = (Some(model.fingerprint.clone()), Some(model.name.clone()));
    Adapter::init(&model.base, AdapterConfig { lora, base, base_name }, seed).map_err(Told::from)
}

/// The same run with all that its fresh adapter takes from the model's values.
///
/// # Errors
/// The device cannot be read; settings that the model's values do not allow.
pub async fn begun_adapter(mut job: Job, model: &OpenModel) -> Result<Job, Told> {
    if let Some(adapter) = job.adapter.take() {
        job.adapter = Some(adapter.begun(&model.base, job.config.seed).await.map_err(Told::from)?);
    }
    Ok(job)
}

/// Passes the loop's events on, and saves.
struct PageListener<'a> {
    port: &'a Port,
    wishes: Rc<Wishes>,
    /// Whether the loop was told of the pause.
    in_pause: bool,
    /// Whether the page asked for the save that is being written.
    hurried: bool,
    saver: Saver,
    sample: Option<Sample>,
    next_sample: u64,
    clock: SaveClock,
    /// When the work ended that is not part of a save.
    worked: f64,
    config: ModelConfig,
    tokenizer: Arc<Tokenizer>,
}

impl<'a> PageListener<'a> {
    fn new(
        port: &'a Port,
        wishes: Rc<Wishes>,
        saver: Saver,
        training: &Training,
        (config, tokenizer): (ModelConfig, &Arc<Tokenizer>),
    ) -> Self {
        let saves = SaveConfig { save_minutes: SAVE_MINUTES };
        Self {
            port,
            wishes,
            in_pause: false,
            hurried: false,
            saver,
            sample: training.sample.clone(),
            next_sample: training.sample.as_ref().map_or(0, |sample| sample.every),
            clock: SaveClock::new(saves, now() - SAVE_MINUTES * 60.0 + FIRST_SAVE),
            worked: now(),
            config,
            tokenizer: Arc::clone(tokenizer),
        }
    }

    /// Asks the question beside the training, on a picture of the model.
    fn maybe_ask(&mut self, step: u64, model: &Transformer) {
        let Some(sample) = self.sample.clone().filter(|sample| sample.every > 0 && step >= self.next_sample)
        else {
            return;
        };
        self.next_sample = (step / sample.every + 1) * sample.every;
        let (port, model, tokenizer) = (self.port.clone(), model.clone(), Arc::clone(&self.tokenizer));
        wasm_bindgen_futures::spawn_local(async move {
            port.tell(&match ask(&model, &tokenizer, &sample.prompt, SAMPLE_TOKENS).await {
                Ok(text) => Event::Sample { step: step as f64, prompt: sample.prompt, text },
                Err(message) => warning(&message),
            });
        });
    }
}

impl Listener for PageListener<'_> {
    fn on(&mut self, event: TrainEvent<'_>) -> kindling::error::Result<()> {
        match event {
            TrainEvent::Step { log, model } => {
                self.port.tell(&told::step(log));
                self.maybe_ask(log.step, model);
            }
            TrainEvent::Eval { step, held_out, best } => {
                self.port.tell(&told::eval(step, held_out, best));
            }
            TrainEvent::Save { snapshot, .. } => {
                let files = run_files(snapshot, &self.config, &self.tokenizer)?;
                self.saver.save(&snapshot.progress, files, self.port);
                // The files are written in the gaps of the training; how long that takes is known of the save before.
                let now = now();
                self.clock.saved(now, now - self.worked + self.saver.cost());
            }
            TrainEvent::Warning(message) => self.port.tell(&warning(&message)),
        }
        self.worked = now();
        Ok(())
    }

    fn control(&mut self) -> Control {
        self.worked = now();
        let paused = self.wishes.paused.get();
        if !paused {
            self.in_pause = false;
        }
        if self.wishes.stop.get() {
            return Control::Stop;
        }
        // The loop hears of the pause before it saves, so that it takes no step behind the save.
        if paused && !std::mem::replace(&mut self.in_pause, true) {
            return Control::Pause;
        }
        if self.wishes.save.take() {
            self.hurried = true;
            return Control::Save;
        }
        // A page that is left has seconds, and beside the training each file would wait for a step at every turn.
        if self.hurried && self.saver.is_busy() {
            return Control::Pause;
        }
        self.hurried = false;
        match paused {
            true => Control::Pause,
            false if self.clock.due(self.worked) => Control::Save,
            false => Control::Continue,
        }
    }
}
