//! Runs: the same loop as on the command line, with the page as its listener.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use kindling::adapter::{Adapter, AdapterConfig};
use kindling::bench::matmul_flops;
use kindling::checkpoint::run_files;
use kindling::data::DataReport;
use kindling::model::{ModelConfig, Transformer};
use kindling::platform::{SURVEYED_BYTES, now};
use kindling::tokenizer::Tokenizer;
use kindling::train::{Control, Job, Listener, Outcome, Plan, Run, SaveClock, SaveConfig, TrainEvent, train};
use serde_json::{Map, Value, json};

use super::data::{dataset, fitted_config, lora_config};
use super::port::Port;
use super::protocol::{Event, File, PlanInfo, Sample, Training, Wish};
use super::runs::{hold, keep_job, new_id};
use super::saver::Saver;
use super::state::{ActiveRun, Answer, Engine, OpenModel};
use super::talk::ask;

impl Engine {
    /// What a run would need.
    pub async fn plan(&self, training: &Training, files: Vec<File>) -> Result<Answer, String> {
        let told = |e: kindling::error::Error| e.to_string();
        let model = self.opened()?;
        let job = job(training, files, &model, None)?;
        job.validate(&model.base).map_err(told)?;
        let survey = job.survey(SURVEYED_BYTES).map_err(told)?;
        let steps = job.total_steps(&survey);
        let plan = job.plan(&model.base, &survey, steps);
        let mut info = self.info(&plan, job.dataset.len(), job.dataset.report().clone()).await?;
        let adapts = training.adapter.is_some();
        let (_, length) = fitted_config(training.stage, adapts, training.config.clone(), &model)?;
        info.note(length.into_iter().chain(job.warnings()).collect());
        info.note(job.remarks(&survey));
        Answer::new(info)
    }

    async fn info(&self, plan: &Plan, rows: u64, report: DataReport) -> Result<PlanInfo, String> {
        // A training step reaches about a third of a bare product's speed.
        let speed = matmul_flops(&self.device()?).await / 3.0;
        Ok(PlanInfo::new(plan, plan.flops / speed, rows, report))
    }

    /// Trains from the beginning.
    pub async fn train(&self, training: Training, files: Vec<File>, port: &Port) -> Result<Answer, String> {
        self.refuse_second_run()?;
        let model = self.opened()?;
        let kept: Vec<(String, Vec<u8>)> =
            files.iter().map(|file| (file.name.clone(), file.bytes.clone())).collect();
        let job = job(&training, files, &model, None)?;
        let report = job.dataset.report().clone();
        let run = job.start(model.base.clone().trainable()).map_err(|e| e.to_string())?;
        let plan = self.info(&run.plan, run.progress.rows, report).await?;
        let id = new_id();
        let here = hold(&id).await?;
        // Without room to keep the run it still trains; it only cannot go on after a reload.
        let saver = match keep_job(&id, &training, &kept, &model).await {
            Ok(()) => Saver::new(&id),
            Err(message) => {
                port.tell(&Event::Warning { message });
                Saver::nowhere()
            }
        };
        let outcome = self.execute(id, training, run, plan, saver, port).await;
        drop(here);
        outcome
    }

    /// Trains until the end, or until the page says stop.
    pub async fn execute(
        &self,
        id: String,
        training: Training,
        run: Run,
        plan: PlanInfo,
        saver: Saver,
        port: &Port,
    ) -> Result<Answer, String> {
        self.refuse_second_run()?;
        let control = Rc::new(Cell::new(Control::Continue));
        self.run.replace(Some(ActiveRun { id: id.clone(), control: Rc::clone(&control) }));
        port.tell(&Event::Started { id: id.clone(), plan });
        let tokenizer = Arc::clone(&run.tokenizer);
        let adapter = run.adapter.clone();
        let mut listener = PageListener {
            port,
            control,
            saver,
            sample: training.sample.clone(),
            next_sample: training.sample.as_ref().map_or(0, |sample| sample.every),
            clock: SaveClock::new(SaveConfig::default(), now()),
            worked: now(),
            config: run.model.config().clone(),
            tokenizer: Arc::clone(&tokenizer),
        };
        let outcome = train(run, &mut listener).await.map_err(|e| e.to_string());
        self.run.replace(None);
        let saved = listener.saver.finish().await;
        let outcome = outcome?;
        if let Err(message) = saved {
            port.tell(&Event::Warning { message });
        }
        let adapter = self.take_over(&training, &outcome, adapter, tokenizer).await?;
        let progress = &outcome.progress;
        let mut end = json!({
            "id": id, "step": progress.step, "total_steps": progress.total_steps, "stopped": outcome.stopped,
            "heldout_loss": outcome.held_out.as_ref().map(|held_out| held_out.loss),
        });
        if let Some(adapter) = adapter {
            end["adapter"] = adapter.into();
        }
        Answer::new(end)
    }

    /// Lets what was trained answer from now on; gives an adapter's name.
    async fn take_over(
        &self,
        training: &Training,
        outcome: &Outcome,
        adapter: Option<AdapterConfig>,
        tokenizer: Arc<Tokenizer>,
    ) -> Result<Option<String>, String> {
        let told = |e: kindling::error::Error| e.to_string();
        if let Some(config) = adapter {
            let name = training.title();
            let adapter = Adapter::of(&outcome.model, config).await.map_err(told)?;
            self.hold(name.clone(), adapter, Some(&*tokenizer))?;
            return Ok(Some(name));
        }
        let old = self.opened()?.name;
        let name = training.name.clone().unwrap_or_else(|| format!("{old}-{}", training.stage.name()));
        let model = OpenModel::trained(name, &outcome.model, tokenizer).await.map_err(told)?;
        self.adapters.borrow_mut().clear();
        self.model.replace(Some(model));
        self.changed();
        Ok(None)
    }

    /// Passes the page's wish to the loop.
    pub fn steer(&self, target: &str, what: Wish) -> Result<Answer, String> {
        let run = self.run.borrow().clone().filter(|run| run.id == target);
        let run = run.ok_or_else(|| format!("the run {target} does not train now"))?;
        run.control.set(match what {
            Wish::Continue => Control::Continue,
            Wish::Pause => Control::Pause,
            Wish::Save => Control::Save,
            Wish::Stop => Control::Stop,
        });
        Answer::new(())
    }

    /// One run at a time: two would be no quicker, and need twice the memory.
    pub fn refuse_second_run(&self) -> Result<(), String> {
        match self.run.borrow().as_ref() {
            Some(run) => Err(format!("the run {} trains already; stop it first", run.id)),
            None => Ok(()),
        }
    }
}

/// The ingredients of a run. One that goes on brings its adapter.
pub fn job(
    training: &Training,
    files: Vec<File>,
    model: &OpenModel,
    saved: Option<Adapter>,
) -> Result<Job, String> {
    let adapts = training.adapter.is_some();
    let (config, _) = fitted_config(training.stage, adapts, training.config.clone(), model)?;
    let encoding = training.encoding.as_deref();
    let dataset = dataset(training.stage, &config, &model.tokenizer, encoding, files)?;
    let adapter = match &training.adapter {
        Some(changed) if saved.is_none() => Some(fresh_adapter(changed.clone(), config.seed, model)?),
        _ => saved,
    };
    let (tokenizer, dataset) = (Arc::clone(&model.tokenizer), Arc::new(dataset));
    let (stage, objective) = (training.stage, training.stage.objective());
    Ok(Job { stage, objective, config, tokenizer, dataset, adapter })
}

fn fresh_adapter(changed: Map<String, Value>, seed: u64, model: &OpenModel) -> Result<Adapter, String> {
    let lora = lora_config(changed)?;
    let (base, base_name) = (Some(model.fingerprint.clone()), Some(model.name.clone()));
    Adapter::init(&model.base, AdapterConfig { lora, base, base_name }, seed).map_err(|e| e.to_string())
}

/// Passes the loop's events on, and saves.
struct PageListener<'a> {
    port: &'a Port,
    control: Rc<Cell<Control>>,
    saver: Saver,
    sample: Option<Sample>,
    next_sample: u64,
    clock: SaveClock,
    /// When the work ended that is not part of a save.
    worked: f64,
    config: ModelConfig,
    tokenizer: Arc<Tokenizer>,
}

impl PageListener<'_> {
    /// Asks the question beside the training, on a picture of the model.
    fn maybe_ask(&mut self, step: u64, model: &Transformer) {
        let Some(sample) = self.sample.clone().filter(|sample| sample.every > 0 && step >= self.next_sample)
        else {
            return;
        };
        self.next_sample = (step / sample.every + 1) * sample.every;
        let (port, model, tokenizer) = (self.port.clone(), model.clone(), Arc::clone(&self.tokenizer));
        wasm_bindgen_futures::spawn_local(async move {
            port.tell(&match ask(&model, &tokenizer, &sample.prompt).await {
                Ok(text) => Event::Sample { step, prompt: sample.prompt, text },
                Err(message) => Event::Warning { message },
            });
        });
    }
}

impl Listener for PageListener<'_> {
    fn on(&mut self, event: TrainEvent<'_>) -> kindling::error::Result<()> {
        match event {
            TrainEvent::Step { log, model } => {
                self.port.tell(&Event::Step(log.clone()));
                self.maybe_ask(log.step, model);
            }
            TrainEvent::Eval { step, held_out, best } => {
                let (loss, bits_per_byte) = (held_out.loss, held_out.bits_per_byte);
                self.port.tell(&Event::Eval { step, loss, bits_per_byte, best });
            }
            TrainEvent::Save { snapshot, .. } => {
                let files = run_files(snapshot, &self.config, &self.tokenizer)?;
                self.saver.save(&snapshot.progress, files, self.port);
                // The files are written in the gaps of the training; how long that takes is known of the save before.
                let now = now();
                self.clock.saved(now, now - self.worked + self.saver.cost());
            }
            TrainEvent::Warning(message) => self.port.tell(&Event::Warning { message }),
        }
        self.worked = now();
        Ok(())
    }

    fn control(&mut self) -> Control {
        self.worked = now();
        match self.control.get() {
            Control::Save => {
                self.control.set(Control::Continue);
                Control::Save
            }
            Control::Continue if self.clock.due(self.worked) => Control::Save,
            asked => asked,
        }
    }
}
