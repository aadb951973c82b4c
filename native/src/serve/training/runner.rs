//! A run on its thread, from its first word to what becomes of its result.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use kindling::told::{Told, told};
use kindling::train::{Control, Outcome};

use super::messages::run::{EngineEvent, Plan, RunEnd};
use super::told_run::{eval, failed, step, warning};
use super::trainer::{Trainer, Wishes};
use super::work::Work;
use crate::cli;
use crate::failure::Failure;
use crate::followed::{self, Follower, News};
use crate::interrupt;
use crate::serve::engine::Command;
use crate::serve::names::Named;

/// The page as a run's follower.
struct Page {
    trainer: Trainer,
    id: String,
    adapts: bool,
    wishes: Arc<Wishes>,
    /// Whether the loop was told of the pause.
    in_pause: Cell<bool>,
    end: RefCell<Option<RunEnd>>,
}

/// Does a run to its end, and tells of all of it.
pub fn run(trainer: &Trainer, work: &Work, wishes: Arc<Wishes>) {
    let (id, in_pause, end) = (work.id.clone(), Cell::default(), RefCell::default());
    let page = Rc::new(Page { trainer: trainer.clone(), id, adapts: work.adapts, wishes, in_pause, end });
    let train = || followed::by(Rc::<Page>::clone(&page), || cli::run(work.words.clone()));
    let ended = release(trainer, work).and_then(|()| {
        let ended = catch_unwind(AssertUnwindSafe(train));
        result(ended, page.end.take())
    });
    let last = match ended {
        Ok(end) => {
            offer(trainer, work);
            let result = serde_json::to_value(end).unwrap_or_default();
            EngineEvent::Done { result }
        }
        Err(why) => {
            // What was there before the run stays, whatever became of that.
            let forgotten = if work.is_new { trainer.shelf.forget_unsaved(&work.id) } else { Ok(()) };
            if let Err(error) = forgotten {
                trainer.tell(&warning(&error.told()));
            }
            if work.answers {
                offer(trainer, work);
            }
            failed(&why)
        }
    };
    trainer.end(&last);
}

/// Asks what a run gave no longer: its files are about to change.
fn release(trainer: &Trainer, work: &Work) -> Result<(), Told> {
    if !work.answers {
        return Ok(());
    }
    let name = work.id.clone();
    let released = trainer.engine.ask(|back| Command::Release(name, back));
    pollster::block_on(released).map_err(|refusal| refusal.error.message.into())
}

/// How a run ended.
fn result(ended: thread::Result<Result<(), Failure>>, end: Option<RunEnd>) -> Result<RunEnd, Told> {
    let crashed = |_| {
        told!(
            "served_run.crashed",
            "the training failed in the middle of a step; the server's output says where. It goes on from its last save"
        )
    };
    match (ended.map_err(crashed)?, end) {
        (Ok(()) | Err(Failure::Interrupted), Some(end)) if end.step > 0.0 => Ok(end),
        (Ok(()) | Err(Failure::Interrupted), _) => Err(told!(
            "run.nothing_learned",
            "the run was stopped before its first step: nothing was learned, and nothing is kept"
        )),
        (Err(Failure::Work(error)), _) => Err(error.told()),
        (Err(Failure::Usage(why)), _) => Err(why.into()),
        (Err(Failure::Clap(error)), _) => Err(error.to_string().into()),
    }
}

/// Lets the server answer with what was learned, from now on.
fn offer(trainer: &Trainer, work: &Work) {
    // A server that ends answers nobody any more.
    if interrupt::asked() {
        return;
    }
    let (name, place) = (work.id.clone(), work.out.clone());
    let offered = match (&work.base, work.adapts) {
        (_, false) if trainer.names.texts().contains(&name) => Err(format!("'{name}' has the name already")),
        (_, false) => {
            trainer.names.add(Named { name, place, base: None });
            Ok(())
        }
        (Some(base), true) => {
            let named = Named { name, place, base: Some(base.clone()) };
            let attached = trainer.engine.ask(|back| Command::Attach(named, back));
            pollster::block_on(attached).map_err(|refusal| refusal.error.message)
        }
        (None, true) => Err("its model is not among those of the server".to_string()),
    };
    if let Err(why) = offered {
        let (name, place) = (&work.id, work.out.display());
        trainer.tell(&warning(&told!(
            "served_run.not_offered",
            "the server does not answer with '{name}', which is kept in {place}: {why}",
            name,
            place,
            why
        )));
    }
}

impl Page {
    fn ended(&self, outcome: &Outcome) -> RunEnd {
        let (id, progress) = (self.id.clone(), &outcome.progress);
        RunEnd {
            step: progress.step as f64,
            total_steps: progress.total_steps as f64,
            stopped: outcome.stopped,
            heldout_loss: outcome.held_out.as_ref().map(|held_out| held_out.loss),
            adapter: self.adapts.then(|| id.clone()),
            model: (!self.adapts).then(|| id.clone()),
            kept: true,
            learned: outcome.learned,
            lesson: None,
            id,
        }
    }
}

impl Follower for Page {
    fn hear(&self, news: News<'_>) {
        let event = match news {
            News::Stands { plan, rows, report } => {
                EngineEvent::Started { id: self.id.clone(), plan: Plan::of(plan, None, rows, report) }
            }
            News::Step(log) => step(log),
            News::Eval { step, held_out, best } => eval(step, held_out, best),
            News::Saved(step) => EngineEvent::Save { step: step as f64 },
            News::Warning(why) => warning(why),
            News::Samples(step, samples) => {
                for sample in samples {
                    let (prompt, text) = (sample.prompt.clone(), sample.text.clone());
                    self.trainer.tell(&EngineEvent::Sample { step: step as f64, prompt, text });
                }
                return;
            }
            News::Ended(outcome) => {
                self.end.replace(Some(self.ended(outcome)));
                return;
            }
        };
        self.trainer.tell(&event);
    }

    fn wants(&self) -> Control {
        let Wishes { paused, save, stop } = &*self.wishes;
        let paused = paused.load(Ordering::SeqCst);
        if !paused {
            self.in_pause.set(false);
        }
        if stop.load(Ordering::SeqCst) {
            return Control::Stop;
        }
        // The loop hears of the pause before it saves, so that it takes no step behind the save.
        if paused && !self.in_pause.replace(true) {
            return Control::Pause;
        }
        match (save.swap(false, Ordering::SeqCst), paused) {
            (true, _) => Control::Save,
            (false, true) => Control::Pause,
            (false, false) => Control::Continue,
        }
    }
}
