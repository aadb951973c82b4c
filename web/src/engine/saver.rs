//! Saves of a run, written one after the other beside the training.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use kindling::formats::Files;
use kindling::told::{Told, told};
use kindling::train::Progress;

use super::messages::run::EngineEvent as Event;
use super::places::{self, Places};
use super::port::Port;
use super::runs::{RUNS, forget_beginning};
use super::saves::Save;
use super::store;
use super::told::warning;

/// Writes saves one after the other, beside the training.
#[derive(Clone)]
pub struct Saver {
    folder: Option<String>,
    queue: Rc<RefCell<Queue>>,
}

#[derive(Default)]
struct Queue {
    place: u8,
    number: u64,
    waiting: VecDeque<(Save, Files, Port)>,
    busy: bool,
    failed: Option<Told>,
    /// Whether the run's folder holds a save.
    saved: bool,
    /// Whether what a save makes superfluous is gone.
    forgot: bool,
    /// How long the training stood still for the last save's files, in seconds.
    cost: f64,
}

impl Saver {
    /// For a run whose folder holds these saves.
    pub fn after(id: &str, saves: &Places) -> Self {
        let (place, number) = saves.next();
        let saved = !saves.whole.is_empty() || !saves.damaged.is_empty();
        let queue = Queue { place, number, saved, ..Queue::default() };
        Self { folder: Some(format!("{RUNS}/{id}")), queue: Rc::new(RefCell::new(queue)) }
    }

    /// For a run that cannot be kept.
    pub fn nowhere() -> Self {
        Self { folder: None, queue: Rc::default() }
    }

    /// Takes a save; of several that wait only the newest is written.
    pub fn save(&mut self, progress: &Progress, files: Files, port: &Port) {
        let Some(folder) = self.folder.clone() else { return };
        let save = Save { step: progress.step, total_steps: progress.total_steps, ..places::numbered(0) };
        let mut queue = self.queue.borrow_mut();
        queue.waiting.clear();
        queue.waiting.push_back((save, files, port.clone()));
        if std::mem::replace(&mut queue.busy, true) {
            return;
        }
        let queue = Rc::clone(&self.queue);
        wasm_bindgen_futures::spawn_local(async move { write_waiting(&folder, &queue).await });
    }

    /// How long the training stood still for writing the last save, in seconds.
    pub fn cost(&self) -> f64 {
        self.queue.borrow().cost
    }

    /// Whether a save is being written.
    pub fn is_busy(&self) -> bool {
        self.queue.borrow().busy
    }

    /// Removes a run that was never saved.
    ///
    /// # Errors
    /// The browser refuses.
    pub async fn forget_unsaved(&self) -> Result<(), Told> {
        match &self.folder {
            Some(folder) if !self.queue.borrow().saved => store::remove(folder).await,
            _ => Ok(()),
        }
    }

    /// Waits until everything is written.
    ///
    /// # Errors
    /// The last save could not be written.
    pub async fn finish(&self) -> Result<(), Told> {
        while self.queue.borrow().busy {
            kindling::platform::turn().await;
        }
        self.queue.borrow_mut().failed.take().map_or(Ok(()), Err)
    }
}

async fn write_waiting(folder: &str, queue: &RefCell<Queue>) {
    loop {
        let next = queue.borrow_mut().waiting.pop_front();
        let Some((mut save, files, port)) = next else { break };
        let place = queue.borrow().place;
        save.number = queue.borrow().number;
        let step = save.step;
        match places::write(folder, place, save, &files).await {
            Ok(cost) => {
                let first = {
                    let mut queue = queue.borrow_mut();
                    (queue.place, queue.number) = (1 - place, queue.number + 1);
                    (queue.failed, queue.cost, queue.saved) = (None, cost, true);
                    !std::mem::replace(&mut queue.forgot, true)
                };
                if first {
                    forget_beginning(folder).await;
                }
                port.tell(&Event::Save { step: step as f64 });
            }
            Err(message) => {
                port.tell(&warning(&told!(
                    "run.not_saved",
                    "step {step} was not saved: {message}",
                    step,
                    message
                )));
                queue.borrow_mut().failed = Some(message);
            }
        }
    }
    queue.borrow_mut().busy = false;
}
