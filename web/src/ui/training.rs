//! A run on the page: its progress, its losses, what the model answers meanwhile, and what to do with the
//! result.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde_json::json;
use wasm_bindgen::prelude::JsValue;
use web_sys::VisibilityState;

use super::app::{App, Topic, Unsaved};
use super::chat::Chat;
use super::dom::{self, El};
use super::engine::{self, Answer, Run};
use super::run_panel::RunPanel;
use super::served::{self, Remote};
use super::wake::Wake;
use crate::format::{fill, loss};
use crate::messages::run::{EngineEvent, RunEnd, SavedRun};
use crate::messages::told::Told;

/// The run that goes on, or the last one.
pub struct Training {
    /// Where it is shown.
    pub place: El,
    app: Rc<App>,
    chat: Rc<Chat>,
    panel: RunPanel,
    run: RefCell<Option<Run>>,
    /// From the request to the end, also while there is no `run` yet.
    running: Cell<bool>,
    paused: Cell<bool>,
    /// Whether the page's server trains, where nothing is lost with the tab.
    served: Cell<bool>,
    /// What was wished before there was a `run`, which is told then.
    wishes: RefCell<Vec<String>>,
    total: Cell<f64>,
    /// Step and seconds of the first report, from which the time left is told.
    first: Cell<Option<(f64, f64)>>,
    question: RefCell<String>,
    end: RefCell<Option<RunEnd>>,
    changed: RefCell<Option<Rc<dyn Fn()>>>,
}

impl Training {
    /// Builds the place, hidden until a run begins.
    pub fn build(app: &Rc<App>, chat: Rc<Chat>) -> Rc<Self> {
        let panel = RunPanel::build(app);
        let training = Rc::new(Self {
            place: panel.place.clone(),
            app: Rc::clone(app),
            chat,
            panel,
            run: RefCell::default(),
            running: Cell::default(),
            paused: Cell::default(),
            served: Cell::default(),
            wishes: RefCell::default(),
            total: Cell::default(),
            first: Cell::default(),
            question: RefCell::default(),
            end: RefCell::default(),
            changed: RefCell::default(),
        });
        training.wire();
        training
    }

    fn wire(self: &Rc<Self>) {
        let press = |button: &El, call: fn(&Rc<Self>)| {
            let training = Rc::clone(self);
            dom::listen(button, "click", move |_| call(&training));
        };
        press(&self.panel.pause, Self::pause);
        press(&self.panel.stop, |training| training.tell("stop"));
        press(&self.panel.ask, Self::ask);
        press(&self.panel.more, Self::train_more);
        press(&self.panel.compare, |training| training.app.show_tab("adapters"));
        press(&self.panel.export, Self::export);
        press(&self.panel.export_hf, |training| training.app.export(json!({ "model": "hf" }), true));
        press(&self.panel.export_run, Self::export_run);
        press(&self.panel.go_on, Self::go_on);
        let spoken = Rc::clone(self);
        self.app.watch(Topic::Language, move || spoken.speak());
        let saved = Rc::clone(self);
        if let Some(document) = dom::window().document() {
            let watched = document.clone();
            dom::listen(&watched, "visibilitychange", move |_| {
                // A run that was saved where it stands, as one that pauses, has nothing to save.
                if document.visibility_state() == VisibilityState::Hidden
                    && saved.app.would_lose(Unsaved::Steps)
                {
                    saved.tell("save");
                }
            });
        }
    }

    /// Says in the language of now what stands; what goes on says itself with its next step.
    fn speak(&self) {
        let end = self.end.borrow();
        self.show_state(end.as_ref());
        if let Some(end) = end.as_ref() {
            self.say(&self.end_sentence(end));
        }
    }

    /// Calls back when a run begins or ends.
    pub fn on_change(&self, call: impl Fn() + 'static) {
        self.changed.replace(Some(Rc::new(call)));
    }

    /// Whether a run goes on.
    pub fn is_running(&self) -> bool {
        self.running.get()
    }

    /// Whether this is the run that goes on.
    pub fn is(&self, id: &str) -> bool {
        self.is_running() && self.run.borrow().as_ref().is_some_and(|run| run.id() == id)
    }

    /// Begins a run; `question` is asked after it, and `steps` is what the plan says.
    pub fn start(self: &Rc<Self>, request: JsValue, question: String, steps: f64) {
        self.begin(question, steps, false);
        let training = Rc::clone(self);
        self.app.spawn(async move {
            let told = Rc::clone(&training);
            let run = engine::train(&request, move |event| told.event(event)).await;
            training.follow(run).await
        });
    }

    /// Begins a run on the page's server (`train`), goes on with one (`resume`) or comes back to one (`rejoin`).
    pub fn start_served(self: &Rc<Self>, method: &'static str, what: JsValue, question: String, steps: f64) {
        if self.is_running() {
            self.app.fail(self.app.speech.text().teach.busy);
            return;
        }
        self.begin(question, steps, true);
        let training = Rc::clone(self);
        self.app.spawn(async move {
            let told = Rc::clone(&training);
            let run = engine::served(method, &what, move |event| told.event(event)).await;
            training.follow(run).await
        });
    }

    /// Goes on with a saved run.
    pub fn resume(self: &Rc<Self>, saved: &SavedRun) {
        let question = self.app.speech.text().teach.question.into();
        self.go_on_with(saved.id.clone(), None, question, saved.total_steps);
    }

    /// Trains the last run's result as much again.
    fn train_more(self: &Rc<Self>) {
        let Some(end) = self.end.borrow().clone() else { return };
        let question = self.question.borrow().clone();
        self.go_on_with(end.id, Some(end.step), question, 2.0 * end.step);
    }

    fn go_on_with(self: &Rc<Self>, id: String, more: Option<f64>, question: String, steps: f64) {
        if self.is_running() {
            self.app.fail(self.app.speech.text().teach.busy);
            return;
        }
        self.app.show_tab("teach");
        self.begin(question, steps, false);
        let training = Rc::clone(self);
        self.app.spawn(async move {
            let told = Rc::clone(&training);
            let run = engine::resume(&id, more, move |event| told.event(event)).await;
            training.follow(run).await
        });
    }

    /// Leads to a new conversation with what was taught, and the lesson's first question in the field.
    fn ask(self: &Rc<Self>) {
        let end = self.end.borrow().clone();
        let lesson = end.as_ref().and_then(|end| end.lesson.as_ref());
        let asked = lesson.and_then(|lesson| {
            let pairs = || lesson.pairs.first().map(|pair| pair.question.clone());
            lesson.answers.first().map(|answer| answer.question.clone()).or_else(pairs)
        });
        self.chat.propose_anew(&asked.unwrap_or_else(|| self.question.borrow().clone()));
        if let (true, Some(end), Some(server)) = (self.served.get(), &end, served::own()) {
            self.app.set_remote(Some(Remote { server, model: end.id.clone() }));
        }
        let Some(name) = end.and_then(|end| end.adapter) else { return };
        let app = Rc::clone(&self.app);
        self.app.spawn(async move {
            let mut adapters = engine::adapters().await?;
            // It acts since the run ended, unless it was switched off.
            if adapters.iter().any(|adapter| adapter.name == name && adapter.fits && !adapter.active) {
                adapters.iter_mut().for_each(|adapter| adapter.active = adapter.name == name);
                engine::use_adapters(&adapters).await?;
                app.changed(Topic::Adapters);
            }
            Ok(())
        });
    }

    fn begin(&self, question: String, steps: f64, served: bool) {
        self.question.replace(question);
        self.served.set(served);
        self.total.set(steps);
        self.first.set(None);
        self.paused.set(false);
        self.end.replace(None);
        self.set_running(true);
        self.panel.begin(steps);
        self.say(self.app.speech.text().teach.preparing);
        // What was pressed waits or is gone until the run ends.
        self.place.focus_quietly();
        self.place.scroll_into_view();
    }

    fn set_running(&self, running: bool) {
        self.running.set(running);
        self.app.set_training(running);
        self.show_state(self.end.borrow().as_ref());
        let changed = self.changed.borrow().clone();
        if let Some(changed) = changed {
            changed();
        }
    }

    fn show_state(&self, end: Option<&RunEnd>) {
        self.panel.show_state(self.running.get(), self.paused.get(), end, self.served.get());
    }

    /// Waits for the end of a run that stands.
    async fn follow(&self, run: Answer<Run>) -> Answer<()> {
        let wake = Wake::take().await;
        let end = match run {
            Ok(run) => {
                if let Some(plan) = run.plan() {
                    self.total.set(plan.steps);
                }
                self.run.replace(Some(run.clone()));
                self.wishes.take().iter().for_each(|wish| run.tell(wish));
                if run.is_paused() {
                    self.show_pause(true);
                }
                self.app.changed(Topic::Runs);
                run.done().await
            }
            Err(sentence) => Err(sentence),
        };
        wake.release();
        self.run.replace(None);
        self.wishes.take();
        self.end.replace(end.as_ref().ok().cloned());
        self.app.set_unsaved(Unsaved::Steps, false);
        self.app.set_unsaved(Unsaved::Result, end.as_ref().is_ok_and(|end| !end.kept));
        self.set_running(false);
        self.say(&end.as_ref().map_or_else(Clone::clone, |end| self.end_sentence(end)));
        // After a full run another model is open.
        if let Ok(end) = &end
            && let Ok(model) = engine::model().await
        {
            let source = match &end.model {
                Some(name) if model.as_ref().is_some_and(|model| model.name == *name) => {
                    end.kept.then(|| engine::write(&json!({ "kept": name })))
                }
                _ => self.app.source(),
            };
            self.app.set_model(model, source);
        }
        // This tab lists them with the model, which may have got an adapter.
        self.app.tell_others(Topic::Adapters);
        self.app.changed(Topic::Runs);
        self.app.changed(Topic::Kept);
        end.map(drop)
    }

    fn end_sentence(&self, end: &RunEnd) -> String {
        let t = self.app.speech.text();
        let (step, total) = (format!("{:.0}", end.step), format!("{:.0}", end.total_steps));
        let sentence = match (end.stopped, end.learned) {
            (true, _) => t.teach.stopped,
            (false, true) => t.teach.done_low,
            (false, false) => t.teach.done,
        };
        let sentence = fill(sentence, &[&step, &total]);
        let sentence = match end.heldout_loss {
            Some(held) => sentence + &fill(t.teach.ended_loss, &[&loss(Some(held))]),
            None => sentence,
        };
        let offered = self.served.get().then(|| fill(t.served.offered, &[&end.id]));
        let sentence = sentence + &offered.unwrap_or_default();
        match end.adapter.as_ref().or(end.model.as_ref()).filter(|_| end.kept) {
            Some(name) => sentence + &fill(t.teach.kept_as, &[name]),
            None => sentence,
        }
    }

    fn say(&self, sentence: &str) {
        self.panel.status.write(sentence);
    }

    fn event(&self, event: EngineEvent) {
        match event {
            EngineEvent::Step { step, loss, tokens_per_second, elapsed_s, metrics, expert_load, .. } => {
                self.app.set_unsaved(Unsaved::Steps, !self.served.get());
                self.panel.chart.trained(step, loss);
                self.panel.metrics.add(step, &metrics, false);
                self.panel.experts.show(expert_load);
                self.panel.progress(step, self.total.get());
                self.step(step, tokens_per_second, elapsed_s);
            }
            EngineEvent::Eval { step, loss, metrics, .. } => {
                self.panel.chart.held_out(step, loss);
                self.panel.metrics.add(step, &metrics, true);
            }
            EngineEvent::Sample { step, prompt, text } => self.panel.sample(step, &prompt, &text),
            EngineEvent::Save { step } => {
                self.panel.saved(step);
                // A run that does not pause has taken more steps since.
                self.app.set_unsaved(Unsaved::Steps, !self.paused.get() && !self.served.get());
            }
            EngineEvent::Warning { code, values, message } => {
                self.panel.warn(&engine::spoken(&Told { code, values, message }));
            }
            // Of other calls, or kindling.js hears it.
            _ => (),
        }
    }

    fn step(&self, step: f64, speed: Option<f64>, elapsed: Option<f64>) {
        let (total, mut left) = (self.total.get(), None);
        match (self.first.get(), elapsed) {
            (Some((first, began)), Some(now)) if step > first => {
                left = Some((total - step).max(0.0) * (now - began) / (step - first));
            }
            _ => self.first.set(elapsed.map(|now| (step, now))),
        }
        if !self.paused.get() && self.is_running() {
            self.say(&self.panel.at_step((step, total), speed, left));
        }
    }

    fn tell(&self, what: &str) {
        match self.run.borrow().as_ref() {
            Some(run) => run.tell(what),
            None if self.is_running() => self.wishes.borrow_mut().push(what.to_string()),
            None => (),
        }
    }

    fn pause(self: &Rc<Self>) {
        let paused = !self.paused.get();
        self.tell(if paused { "pause" } else { "resume" });
        self.show_pause(paused);
    }

    /// Shows whether the run pauses, which it may when one comes back to it.
    fn show_pause(&self, paused: bool) {
        self.paused.set(paused);
        if !paused {
            self.app.set_unsaved(Unsaved::Steps, !self.served.get());
        }
        let t = self.app.speech.text();
        self.say(if paused { t.teach.paused } else { t.teach.going_on });
        self.show_state(None);
    }

    /// Goes on with the run that was stopped.
    fn go_on(self: &Rc<Self>) {
        let Some(end) = self.end.borrow().clone() else { return };
        if self.served.get() {
            let question = self.question.borrow().clone();
            return self.start_served("resume", JsValue::from_str(&end.id), question, end.total_steps);
        }
        let training = Rc::clone(self);
        self.app.spawn(async move {
            if let Some(run) = engine::runs().await?.iter().find(|run| run.id == end.id) {
                training.resume(run);
            }
            Ok(())
        });
    }

    fn export(self: &Rc<Self>) {
        let adapter = self.end.borrow().as_ref().and_then(|end| end.adapter.clone());
        self.app.set_unsaved(Unsaved::Result, false);
        match adapter {
            Some(name) => self.app.export(json!({ "adapter": name }), true),
            None => self.app.export(json!({ "model": "single-file" }), false),
        }
    }

    /// Takes the stopped run home: a model's save is one file, an adapter's is several.
    fn export_run(self: &Rc<Self>) {
        if let Some(end) = self.end.borrow().as_ref() {
            self.app.export(json!({ "run": end.id }), end.adapter.is_some());
        }
    }
}
