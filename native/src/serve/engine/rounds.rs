//! The engine's rounds: hear what is asked, then one step of each model, and one thing beside them.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use kindling::api::KeepAlive;
use kindling::error::{Error, Result};
use kindling::model::Transformer;
use kindling::sample::{Flow, Generation, Writer, Written};

use super::Command;
use super::aside::Aside;
use super::job::{Back, Job};
use super::lane::{CRASHED, Lane, Masked};
use super::opened::Opened;
use super::opening::Opening;
use crate::serve::metrics::Metrics;
use crate::serve::names::{Named, Names};
use crate::serve::refusal::Refusal;
use crate::serve::wanted::Wanted;

/// How long the engine waits for work before it looks for clients that are gone.
const IDLE: Duration = Duration::from_millis(200);

/// Everything that the thread owns.
pub struct Rounds {
    asked: Receiver<Command>,
    opening: Opening,
    names: Names,
    metrics: Arc<Metrics>,
    lanes: BTreeMap<String, Lane>,
    /// Who waits for a name to be open.
    waiters: Vec<(Wanted, Waiter)>,
    asides: VecDeque<Box<Aside>>,
    ends: bool,
}

/// Whom an open name is told.
enum Waiter {
    /// Who goes on with what it is read by.
    Reads(Back<Arc<Opened>>),
    /// Who asked for an adapter.
    Attached(Back<()>),
}

impl Waiter {
    /// Whether nobody hears it any more.
    fn is_gone(&self) -> bool {
        matches!(self, Self::Reads(reply) if reply.is_closed())
    }
}

impl Rounds {
    /// An engine without work.
    pub fn new(asked: Receiver<Command>, opening: Opening, names: Names, metrics: Arc<Metrics>) -> Self {
        let (lanes, waiters, asides) = (BTreeMap::new(), Vec::new(), VecDeque::new());
        Self { asked, opening, names, metrics, lanes, waiters, asides, ends: false }
    }

    /// Works until it is told to end.
    pub fn run(mut self) {
        while !self.ends {
            self.hear();
            self.step();
            self.fill();
            self.read();
        }
    }

    fn is_idle(&self) -> bool {
        self.asides.is_empty() && self.lanes.values().all(Lane::is_idle)
    }

    /// Takes all that is asked; waits for it where nothing else is to be done.
    fn hear(&mut self) {
        if self.is_idle() {
            match self.asked.recv_timeout(IDLE) {
                Ok(command) => self.take(command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => self.ends = true,
            }
        }
        while let Ok(command) = self.asked.try_recv() {
            self.take(command);
        }
        // A step may be long.
        self.count();
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Open(wanted, reply) => self.wait(wanted, Waiter::Reads(reply)),
            Command::Answer(job, reply) => {
                let taken = self.submit(*job);
                let _ = reply.send(taken);
            }
            Command::Read(aside) => self.take_aside(aside),
            Command::Attach(named, reply) => self.attach(named, reply),
            Command::Detach(name, reply) => {
                let _ = reply.send(self.detach(&name));
            }
            Command::Release(name, reply) => {
                self.release(&name);
                let _ = reply.send(Ok(()));
            }
            Command::Loaded(reply) => {
                let now = Instant::now();
                let loaded = self.lanes.iter().map(|(name, lane)| (name.clone(), lane.stays_for(now)));
                let _ = reply.send(Ok(loaded.collect()));
            }
            Command::Unload(name, reply) => {
                if let Some(lane) = self.lanes.get_mut(&name) {
                    lane.touch(KeepAlive::NONE);
                }
                let _ = reply.send(Ok(()));
            }
            Command::Fetched { name, fetched } => {
                self.opening.take(name, fetched);
                self.settle();
            }
            Command::End => self.ends = true,
        }
    }

    fn wait(&mut self, wanted: Wanted, waiter: Waiter) {
        // A model may be long on its way, and clients come and go meanwhile.
        self.waiters.retain(|(_, waiter)| !waiter.is_gone());
        self.waiters.push((wanted, waiter));
        self.settle();
    }

    /// Tells everybody whose name is open, or cannot be opened.
    fn settle(&mut self) {
        for (wanted, waiter) in std::mem::take(&mut self.waiters) {
            let advance = || self.opening.advance(&wanted, &mut self.lanes);
            let advanced = catch_unwind(AssertUnwindSafe(advance));
            let Some(outcome) = advanced.unwrap_or_else(|_| Some(Err(Refusal::failed(CRASHED)))) else {
                self.waiters.push((wanted, waiter));
                continue;
            };
            let name = wanted.key;
            let opened = outcome.and_then(|()| {
                let lane = self.lanes.get_mut(&name).filter(|lane| !lane.leaves);
                let lane = lane.ok_or_else(|| Refusal::no_model(&name, &self.names.texts()))?;
                Ok(lane.opened())
            });
            match waiter {
                Waiter::Reads(reply) => drop(reply.send(opened)),
                Waiter::Attached(reply) => {
                    if opened.is_err() {
                        self.names.remove(&name);
                    }
                    drop(reply.send(opened.map(|_| ())));
                }
            }
        }
    }

    fn attach(&mut self, named: Named, reply: Back<()>) {
        if self.names.texts().contains(&named.name) || self.lanes.contains_key(&named.name) {
            let message = format!("there is a model or an adapter '{}' already; unload it first", named.name);
            let _ = reply.send(Err(Refusal::bad("invalid_value", message).about("lora_name")));
            return;
        }
        let wanted = Wanted::of(&named);
        self.names.add(named);
        self.wait(wanted, Waiter::Attached(reply));
    }

    /// Lets an adapter go, as soon as what it writes is done.
    fn detach(&mut self, name: &str) -> Result<(), Refusal> {
        let listed = self.names.find(Some(name)).filter(|listed| listed.named.name == name);
        let listed = listed.ok_or_else(|| Refusal::no_model(name, &self.names.texts()))?;
        if listed.named.base.is_none() {
            let message = format!("'{name}' is a model; only adapters are unloaded");
            return Err(Refusal::bad("invalid_value", message).about("lora_name"));
        }
        self.names.remove(name);
        self.opening.forget(name);
        for lane in self.lanes.values_mut().filter(|lane| lane.adapters.iter().any(|own| own == name)) {
            lane.leaves = true;
        }
        self.lanes.retain(|_, lane| lane.stays());
        Ok(())
    }

    /// Forgets a name, and what is open of it as soon as its work is done.
    fn release(&mut self, name: &str) {
        self.names.remove(name);
        self.opening.release(name);
        let is_of = |key: &str, lane: &Lane| {
            key == name || lane.base == name || lane.adapters.iter().any(|own| own == name)
        };
        for (_, lane) in self.lanes.iter_mut().filter(|(key, lane)| is_of(key, lane)) {
            lane.leaves = true;
        }
        self.lanes.retain(|_, lane| lane.stays());
    }

    /// Answers that wait, of all models and of what is only read.
    fn waiting(&self) -> usize {
        self.asides.len() + self.lanes.values().map(Lane::waiting).sum::<usize>()
    }

    /// Refuses what would wait behind as many as may, `more` answers of one model among them.
    fn check_queue(&self, model: &str, more: usize) -> Result<(), Refusal> {
        let beyond = |(name, lane): (&String, &Lane)| lane.beyond(if name == model { more } else { 0 });
        let waiting = self.asides.len() + self.lanes.iter().map(beyond).sum::<usize>();
        if waiting > self.opening.queue() { Err(Refusal::busy(self.waiting())) } else { Ok(()) }
    }

    fn submit(&mut self, job: Job) -> Result<(), Refusal> {
        self.check_queue(&job.model, job.choices.len())?;
        let keep = job.keep.unwrap_or(self.opening.keep_alive());
        match self.lanes.get_mut(&job.model).filter(|lane| !lane.leaves) {
            Some(lane) => {
                lane.touch(keep);
                lane.submit(job)
            }
            // A mixture of adapters that gave way to others meanwhile.
            None if job.model.contains(' ') => Err(Refusal::busy(self.waiting())),
            None => Err(Refusal::no_model(&job.model, &self.names.texts())),
        }
    }

    fn take_aside(&mut self, mut aside: Box<Aside>) {
        match self.check_queue(aside.model(), 0) {
            Ok(()) => self.asides.push_back(aside),
            Err(refusal) => aside.fail(refusal),
        }
    }

    /// One step of every model that writes answers together, and a prompt that is scored beside them.
    fn step(&mut self) {
        let now = Instant::now();
        for lane in self.lanes.values_mut() {
            lane.tidy(now, &self.metrics);
            lane.step(&self.metrics);
        }
        self.lanes.values_mut().for_each(|lane| lane.score(&self.metrics));
        self.lanes.retain(|_, lane| lane.stays());
        self.put_away(now);
        self.count();
    }

    /// Says how it stands.
    fn count(&self) {
        let running: usize = self.lanes.values().map(Lane::running).sum();
        self.metrics.now(running, self.waiting(), self.lanes.len());
    }

    /// Lets go what nobody asked for long enough; a model stays as long as one of its adapters.
    fn put_away(&mut self, now: Instant) {
        let expired =
            self.lanes.iter().filter(|(_, lane)| lane.is_expired(now)).map(|(name, _)| name.clone());
        for name in expired.collect::<Vec<_>>() {
            let needed = self.waiters.iter().any(|(wanted, _)| wanted.key == name || wanted.base == name)
                || self.lanes.iter().any(|(other, lane)| *other != name && lane.base == name);
            if !needed {
                self.lanes.remove(&name);
                self.opening.close(&name);
            }
        }
    }

    /// One answer of each masked predictor, to its end; the others go on beside it.
    fn fill(&mut self) {
        let names: Vec<String> = self.lanes.keys().cloned().collect();
        for name in names {
            let Some(lane) = self.lanes.get_mut(&name).filter(|lane| !lane.fills) else { continue };
            let Some(masked) = lane.next_masked() else { continue };
            lane.fills = true;
            let model = lane.model.clone();
            let made = catch_unwind(AssertUnwindSafe(|| self.fill_one(&name, &model, &masked)));
            let made = made.unwrap_or_else(|_| Err(Error::Device(CRASHED.into())));
            let Some(lane) = self.lanes.get_mut(&name) else { continue };
            lane.fills = false;
            self.metrics.ended();
            match made {
                Ok(generation) => {
                    if let Some(task) = lane.task(masked.task) {
                        task.done(masked.choice, &generation, &self.metrics);
                    }
                }
                Err(error) => lane.fail(masked.task, &error),
            }
        }
    }

    fn fill_one(&mut self, name: &str, model: &Transformer, masked: &Masked) -> Result<Generation> {
        let asked = &masked.request;
        let positions = asked.prompt.len().saturating_add(asked.config.max_new_tokens);
        let mut writer = Writer::new(model, positions);
        let mut on = |written: Written| {
            if let Written::Piece(piece) = written
                && let Some(task) = self.lanes.get_mut(name).and_then(|lane| lane.task(masked.task))
            {
                task.piece(masked.choice, &piece, &self.metrics);
            }
            while let Ok(command) = self.asked.try_recv() {
                self.take(command);
            }
            self.step();
            self.read();
            let heard = self.lanes.get_mut(name).and_then(|lane| lane.task(masked.task)).is_some();
            if heard && !self.ends { Flow::Continue } else { Flow::Stop }
        };
        pollster::block_on(writer.write(&asked.alone(), &mut on))
    }

    /// One part of what is only read.
    fn read(&mut self) {
        let Some(mut aside) = self.asides.pop_front() else { return };
        let keep = aside.keep.unwrap_or(self.opening.keep_alive());
        let Some(lane) = self.lanes.get_mut(aside.model()).filter(|lane| !lane.leaves) else {
            let refusal = Refusal::no_model(aside.model(), &self.names.texts());
            return aside.fail(refusal);
        };
        lane.touch(keep);
        if !aside.step(&lane.model, Instant::now()) {
            self.asides.push_back(aside);
        }
    }
}
