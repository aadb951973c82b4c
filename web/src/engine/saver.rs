//! Saves of a run, written one after the other beside the training.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use kindling::formats::Files;
use kindling::train::Progress;
use serde_json::json;

use super::port::Port;
use super::protocol::Event;
use super::runs::{KeptState, RUNS, kept_state};
use super::store;

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
    /// How long the training stood still for the last save's files, in seconds.
    cost: f64,
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

    /// How long the training stood still for writing the last save, in seconds.
    pub fn cost(&self) -> f64 {
        self.queue.borrow().cost
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
            Ok(cost) => {
                let mut queue = queue.borrow_mut();
                queue.place = 1 - state.place;
                (queue.failed, queue.cost) = (None, cost);
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

/// Writes a save into its place, and then that it is the whole one; gives the seconds that the worker stood still.
///
/// # Errors
/// No room; the other place stays.
pub async fn write_save(folder: &str, state: &KeptState, files: &Files) -> Result<f64, String> {
    let seconds = store::write_all(&format!("{folder}/{}", state.place), files).await?;
    let state = serde_json::to_vec(&json!(state)).map_err(|e| e.to_string())?;
    Ok(seconds + store::write(&format!("{folder}/state.json"), &state).await?)
}
