//! The one run at a time: begun, steered, and told to whoever listens.

use std::mem;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use axum::body::Bytes;
use kindling::error::{Error, Result};
use kindling::kernels::Quantization;
use kindling::told::told;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::asked::Wish;
use super::asked_run;
use super::log::{Kind, Log};
use super::messages::run::{EngineEvent, SavedRun};
use super::refused::Refused;
use super::runner;
use super::shelf::Shelf;
use super::work::{self, Work};
use crate::cli::Everywhere;
use crate::runs::{FoundRun, State as Standing};
use crate::serve::READER_STACK;
use crate::serve::engine::Engine;
use crate::serve::limits::WAITING_PIECES;
use crate::serve::names::Names;
use crate::serve::refusal::Refusal;
use crate::serve::stream::Framing;

/// What of the server's flags a run is bound by.
#[derive(Clone, Debug, Default)]
pub struct Means {
    /// In how many bits the matrices below an adapter are held.
    pub weights: Option<Quantization>,
    /// Whether the model takes parts from elsewhere than its place.
    pub has_parts: bool,
}

/// What a run's thread shares with those who steer it and listen to it.
#[derive(Clone)]
pub struct Trainer {
    /// Where runs are kept.
    pub shelf: Shelf,
    /// What of the server's flags a run is bound by.
    pub means: Means,
    pub(super) engine: Engine,
    pub(super) names: Names,
    everywhere: Everywhere,
    run: Arc<Mutex<Run>>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// The run that goes on, or the last one.
#[derive(Default)]
struct Run {
    id: String,
    goes_on: bool,
    step: f64,
    log: Log,
    hearers: Vec<Sender<std::result::Result<Bytes, Refusal>>>,
    wishes: Arc<Wishes>,
}

/// What is wanted of a run.
#[derive(Debug, Default)]
pub struct Wishes {
    /// To wait.
    pub paused: AtomicBool,
    /// To save once.
    pub save: AtomicBool,
    /// To save and end.
    pub stop: AtomicBool,
}

/// The lock of what is whole at every moment.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Trainer {
    /// A trainer whose runs are kept in a directory.
    ///
    /// # Errors
    /// As [`Shelf::open`].
    pub fn open(
        path: &Path,
        means: Means,
        everywhere: &Everywhere,
        (engine, names): (&Engine, &Names),
    ) -> Result<Self> {
        Ok(Self {
            shelf: Shelf::open(path)?,
            means,
            engine: engine.clone(),
            names: names.clone(),
            everywhere: everywhere.clone(),
            run: Arc::default(),
            thread: Arc::default(),
        })
    }

    /// Begins a run; gives its name. It writes to the disk, and waits for that.
    ///
    /// # Errors
    /// A run that goes on; a disk that cannot be written.
    pub fn begin(&self, wish: &Wish) -> std::result::Result<String, Refused> {
        let (id, before) = self.reserve(|| self.shelf.free_name(&wish.name, &self.names.texts()))?;
        let begun = self.kept(&id, wish).and_then(|work| self.start(work));
        if begun.is_err() {
            let _ = self.shelf.forget_unsaved(&id);
            self.give_back(before);
        }
        begun
    }

    /// A new run once its rows and settings are on the disk.
    fn kept(&self, id: &str, wish: &Wish) -> std::result::Result<Work, Refused> {
        let (settings, files) = self.shelf.keep(id, &wish.files, &wish.settings.to_string())?;
        let (out, model) = (self.shelf.run(id), work::whole(&wish.base.place));
        let mut words = work::begins(wish.adapts, &out, (settings.as_path(), model.as_path()), &files);
        words.extend(work::dtype(&self.everywhere));
        let (id, base) = (id.to_string(), Some(wish.base.name.clone()));
        Ok(Work { id, out, base, adapts: wish.adapts, is_new: true, answers: false, words })
    }

    /// Goes on with a run of this server's directory, which it reads.
    ///
    /// # Errors
    /// No such run, one that is done or damaged, or one that goes on here or in another process.
    pub fn resume(&self, id: &str) -> std::result::Result<String, Refused> {
        let found = self.shelf.find(id).ok_or_else(|| none(id))?;
        match &found.state {
            Standing::Damaged(damaged) => {
                return Err(told!(
                    "run.cannot_go_on",
                    "the saved run {id} cannot go on: {damaged}",
                    id,
                    damaged
                )
                .into());
            }
            Standing::Finished => {
                return Err(
                    told!("served_run.done", "the run {id} is done: all of its steps are taken", id).into()
                );
            }
            // It may be one of the command line.
            Standing::Running => return Err(busy(id)),
            Standing::Stopped | Standing::Interrupted => {}
        }
        let (_, before) = self.reserve(|| id.to_string())?;
        let begun = self.start(self.found(id, &found));
        if begun.is_err() {
            self.give_back(before);
        }
        begun
    }

    /// What is left of a run that was found.
    fn found(&self, id: &str, found: &FoundRun) -> Work {
        let (adapts, out) = (found.adapts(), self.shelf.run(id));
        let model = found.text("model").map(Path::new);
        let listed = self.names.all().into_iter().map(|listed| listed.named);
        let mut bases = listed.filter(|named| named.base.is_none());
        let base = bases.find(|named| Some(work::whole(&named.place).as_path()) == model);
        let given = self.names.find(Some(id)).filter(|listed| listed.named.place == out);
        let (words, base) = (work::goes_on(&found.verb(), &out), base.map(|base| base.name));
        Work { id: id.into(), out, base, adapts, is_new: false, answers: given.is_some(), words }
    }

    /// Takes the place of the run that goes on, where none does: gives the name of the new one, and the last one. The lock is
    /// held for no longer, because those who listen and steer wait for it.
    fn reserve(&self, name: impl FnOnce() -> String) -> std::result::Result<(String, Run), Refused> {
        let mut run = held(&self.run);
        if run.goes_on {
            return Err(busy(&run.id));
        }
        let id = name();
        let new = Run { id: id.clone(), goes_on: true, ..Run::default() };
        Ok((id, mem::replace(&mut *run, new)))
    }

    /// Gives back a place that nothing came of.
    fn give_back(&self, before: Run) {
        *held(&self.run) = before;
    }

    /// Gives the run that has the place a thread of its own.
    fn start(&self, mut work: Work) -> std::result::Result<String, Refused> {
        work.words.extend(work::everywhere(&self.everywhere));
        let id = work.id.clone();
        let (trainer, wishes) = (self.clone(), Arc::clone(&held(&self.run).wishes));
        let thread = Builder::new().name("training".into()).stack_size(READER_STACK);
        // A run of a moment may end before its thread is kept, and the next one begin.
        let mut kept = held(&self.thread);
        self.everywhere.output().say(&format!("training {id} begins"));
        let thread = thread.spawn(move || runner::run(&trainer, &work, wishes));
        let thread = thread.map_err(|source| Error::Io { path: "the training's thread".into(), source })?;
        // The one before has ended.
        kept.replace(thread);
        Ok(id)
    }

    /// Wants something of the run that goes on.
    ///
    /// # Errors
    /// Another run, or none.
    pub fn steer(&self, id: &str, wish: asked_run::Wish) -> std::result::Result<(), Refused> {
        let run = held(&self.run);
        if !run.goes_on || run.id != id {
            let target = id;
            return Err(Refused::Now(told!("run.not_now", "the run {target} does not train now", target)));
        }
        let set = |flag: &AtomicBool, on: bool| flag.store(on, Ordering::SeqCst);
        let Wishes { paused, save, stop } = &*run.wishes;
        match wish {
            asked_run::Wish::Continue => set(paused, false),
            // What pauses may be left for long.
            asked_run::Wish::Pause => {
                set(paused, true);
                set(save, true);
            }
            asked_run::Wish::Save => set(save, true),
            asked_run::Wish::Stop => set(stop, true),
        }
        Ok(())
    }

    /// All that was told of the run that goes on, or of the last one, and all that will be.
    ///
    /// # Errors
    /// Any other run.
    pub fn listen(
        &self,
        id: &str,
    ) -> std::result::Result<Receiver<std::result::Result<Bytes, Refusal>>, Refused> {
        let mut run = held(&self.run);
        if run.id != id || id.is_empty() {
            return Err(none(id));
        }
        let (sender, receiver) = channel(run.log.len() + WAITING_PIECES);
        for event in run.log.events() {
            // There is room for all of them.
            let _ = sender.try_send(Ok(event));
        }
        if run.goes_on {
            run.hearers.push(sender);
        }
        Ok(receiver)
    }

    /// Tells those who listen, and keeps it for those who come later.
    pub fn tell(&self, event: &EngineEvent) {
        held(&self.run).tell(event);
    }

    /// Tells the last event, behind which another run may begin.
    pub fn end(&self, event: &EngineEvent) {
        let (id, step) = {
            let mut run = held(&self.run);
            // Who hears it may begin another run at once.
            run.tell(event);
            run.goes_on = false;
            run.hearers.clear();
            (run.id.clone(), run.step)
        };
        self.everywhere.output().say(&format!("training {id} ended at step {step}"));
    }

    /// The name of the run that goes on with whether it pauses, and all runs.
    pub fn list(&self) -> (Option<(String, bool)>, Vec<SavedRun>) {
        let (running, step) = {
            let run = held(&self.run);
            let paused = run.wishes.paused.load(Ordering::SeqCst);
            (run.goes_on.then(|| (run.id.clone(), paused)), run.step)
        };
        let mut runs = self.shelf.list();
        for run in &mut runs {
            if running.as_ref().is_some_and(|(id, _)| *id == run.id) {
                run.step = run.step.max(step);
            }
        }
        (running, runs)
    }

    /// Waits for the end of a run, which the end of the program asks to save.
    pub fn join(&self) {
        let thread = held(&self.thread).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Run {
    fn tell(&mut self, event: &EngineEvent) {
        let kind = match event {
            EngineEvent::Step { step, .. } => {
                self.step = *step;
                Kind::Step
            }
            _ => Kind::Other,
        };
        let bytes = Framing::Events.frame_json(event);
        // Who lags behind by thousands of events, or is gone, may come again.
        self.hearers.retain(|hearer| hearer.try_send(Ok(bytes.clone())).is_ok());
        self.log.add(kind, bytes);
    }
}

/// A run goes on.
fn busy(id: &str) -> Refused {
    Refused::Now(told!("run.busy", "the run {id} trains already; stop it first", id))
}

/// There is no such run.
pub fn none(id: &str) -> Refused {
    Refused::Missing(told!("run.none", "there is no saved run {id}", id))
}
