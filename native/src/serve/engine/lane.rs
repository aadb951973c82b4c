//! One model, or one with an adapter, and what it is asked to write.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use kindling::api::{ApiError, KeepAlive, Work};
use kindling::error::{Error, Result};
use kindling::model::Transformer;
use kindling::sample::{BatchEvent, BatchLimits, BatchRequest, Batcher, Ticket, check_ids, check_unmask};

use super::job::{Job, Task};
use super::opened::Opened;
use super::scoring::Scoring;
use crate::serve::limits::{GROWTH, PREFILL_TOKENS};
use crate::serve::metrics::Metrics;
use crate::serve::refusal::Refusal;

/// What a client hears of a panic, which is told in full where the server runs.
pub const CRASHED: &str = "the engine failed in the middle of a step; the server's output says where";

/// A model and its work.
pub struct Lane {
    opened: Arc<Opened>,
    /// What of it requests of another day may still be read by.
    former: Weak<Opened>,
    /// The model itself.
    pub model: Transformer,
    /// What the engine calls the model without adapters.
    pub base: String,
    /// How long it stays when nothing is asked of it.
    pub keep: KeepAlive,
    /// When it was last asked, or at work.
    used: Instant,
    /// The names of the adapters beside it.
    pub adapters: Vec<String>,
    /// Whether it goes when its work is done.
    pub leaves: bool,
    /// Whether a masked predictor is at work.
    pub fills: bool,
    limits: BatchLimits,
    writes: Writes,
    tasks: HashMap<u64, Task>,
    /// Prompts that are scored before anything is written behind them.
    scored: VecDeque<Scoring>,
    /// Which choice of which task a ticket is.
    tickets: HashMap<Ticket, (u64, usize)>,
    next: u64,
}

/// How a model writes.
enum Writes {
    /// Many answers together.
    Together(Box<Batcher>),
    /// One after the other, mask by mask.
    Masked(VecDeque<Masked>),
}

/// Many answers together, each with room as it grows: whoever bounds none would wait for a whole context else.
fn together(model: &Transformer, limits: BatchLimits) -> Writes {
    Writes::Together(Box::new(Batcher::new(model, limits).growing(GROWTH)))
}

/// An answer that a masked predictor is to write.
pub struct Masked {
    /// Whose.
    pub task: u64,
    /// Which of its choices.
    pub choice: usize,
    /// What.
    pub request: BatchRequest,
}

impl Lane {
    /// A lane for a model.
    pub fn new(opened: Opened, model: Transformer, limits: BatchLimits, keep: KeepAlive) -> Self {
        let writes = match opened.config.diffusion {
            Some(_) => Writes::Masked(VecDeque::new()),
            None => together(&model, limits),
        };
        Self {
            base: opened.name.clone(),
            opened: Arc::new(opened),
            former: Weak::new(),
            model,
            keep,
            used: Instant::now(),
            adapters: Vec::new(),
            leaves: false,
            fills: false,
            limits,
            writes,
            tasks: HashMap::new(),
            scored: VecDeque::new(),
            tickets: HashMap::new(),
            next: 0,
        }
    }

    /// What requests are read by now.
    pub fn opened(&mut self) -> Arc<Opened> {
        self.used = Instant::now();
        if let Some(opened) = self.opened.of_today() {
            self.former = Arc::downgrade(&self.opened);
            self.opened = Arc::new(opened);
        }
        Arc::clone(&self.opened)
    }

    /// Notes that it was at work, and how long it stays behind that.
    pub fn touch(&mut self, keep: KeepAlive) {
        (self.used, self.keep) = (Instant::now(), keep);
    }

    /// Whether it has something to do, or a request that is being read is still to come.
    pub fn works(&self) -> bool {
        let is_read_by = Arc::strong_count(&self.opened) > 1 || self.former.strong_count() > 0;
        is_read_by || self.fills || !self.is_idle()
    }

    /// How long it stays from now on, unless it is asked again; none is until the end.
    pub fn stays_for(&self, now: Instant) -> Option<Duration> {
        let KeepAlive::For(keep) = self.keep else { return None };
        Some(if self.works() { keep } else { keep.saturating_sub(now.saturating_duration_since(self.used)) })
    }

    /// Whether nobody needs it any longer.
    pub fn is_expired(&self, now: Instant) -> bool {
        !self.works() && self.stays_for(now) == Some(Duration::ZERO)
    }

    /// Answers that are being written.
    pub fn running(&self) -> usize {
        match &self.writes {
            Writes::Together(batcher) => batcher.running(),
            Writes::Masked(_) => usize::from(self.fills),
        }
    }

    /// Answers that wait.
    pub fn waiting(&self) -> usize {
        let waiting = match &self.writes {
            Writes::Together(batcher) => batcher.waiting(),
            Writes::Masked(queue) => queue.len(),
        };
        waiting + self.scored.len()
    }

    /// Answers that would find no place, with so many more.
    pub fn beyond(&self, more: usize) -> usize {
        let places = if matches!(self.writes, Writes::Masked(_)) { 1 } else { self.limits.rows };
        (self.running() + self.waiting() + more).saturating_sub(places)
    }

    /// Whether nothing is to be done.
    pub fn is_idle(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Whether it is still needed.
    pub fn stays(&self) -> bool {
        !self.leaves || !self.is_idle() || self.fills
    }

    /// Takes a job on.
    ///
    /// # Errors
    /// What the model cannot write.
    pub fn submit(&mut self, job: Job) -> std::result::Result<(), Refusal> {
        let (mut task, choices) = Task::new(job);
        let number = self.next;
        self.next += 1;
        task.begin();
        let mut choices = choices.into_iter().enumerate();
        let taken = choices.try_for_each(|(choice, work)| self.take(&mut task, (number, choice), work));
        match taken {
            Ok(()) => {
                self.tasks.insert(number, task);
                Ok(())
            }
            Err(error) => {
                self.give_up(number);
                Err(error.into())
            }
        }
    }

    fn take(&mut self, task: &mut Task, (number, choice): (u64, usize), work: Work) -> Result<()> {
        let Work { request, scored } = work;
        let Some(ids) = scored else {
            task.prompt_end(choice);
            match request {
                Some(request) => self.write(number, choice, request)?,
                // Its end comes with the next round.
                None => self.scored.push_back(Scoring::new(number, choice, Vec::new(), None)),
            }
            return Ok(());
        };
        self.opened.config.check_causal("telling how likely a prompt was")?;
        check_ids(&ids, self.opened.config.vocab_size)?;
        self.scored.push_back(Scoring::new(number, choice, ids, request));
        Ok(())
    }

    fn write(&mut self, task: u64, choice: usize, request: BatchRequest) -> Result<()> {
        match &mut self.writes {
            Writes::Together(batcher) => {
                let ticket = batcher.submit(request)?;
                self.tickets.insert(ticket, (task, choice));
            }
            Writes::Masked(queue) => {
                check_unmask(&self.opened.config, &request.alone(), false)?;
                queue.push_back(Masked { task, choice, request });
            }
        }
        Ok(())
    }

    /// Scores the next prompt, or as much of it as a step reads, so that nobody waits for a long one.
    pub fn score(&mut self, metrics: &Metrics) {
        let Some(mut scoring) = self.scored.pop_front() else { return };
        let (number, choice, len) = (scoring.task, scoring.choice, scoring.count());
        let Some(task) = self.tasks.get_mut(&number) else { return };
        if len > 0 {
            let mut on = |position: usize, row: &[f32]| task.prompt_logits(choice, position, row);
            if let Err(refusal) = scoring.read(&self.model, PREFILL_TOKENS, &mut on) {
                return task.fail(refusal);
            }
            if !scoring.is_read() {
                return self.scored.push_front(scoring);
            }
            task.prompt_end(choice);
        }
        match scoring.into_request() {
            None => task.skip(choice, len, metrics),
            Some(request) => {
                if let Err(error) = self.write(number, choice, request) {
                    self.fail(number, &error);
                }
            }
        }
    }

    /// One step of all answers together.
    pub fn step(&mut self, metrics: &Metrics) {
        let Writes::Together(batcher) = &mut self.writes else { return };
        if batcher.is_idle() {
            return;
        }
        let (tasks, tickets) = (&mut self.tasks, &mut self.tickets);
        let mut on = |event: BatchEvent<'_>| {
            let (ticket, ends) = match &event {
                BatchEvent::Piece { ticket, .. } => (*ticket, false),
                BatchEvent::Done { ticket, .. } | BatchEvent::Failed { ticket, .. } => (*ticket, true),
            };
            let Some(&(number, choice)) = tickets.get(&ticket) else { return };
            if ends {
                tickets.remove(&ticket);
                metrics.ended();
            }
            if let Some(task) = tasks.get_mut(&number) {
                task.event(choice, &event, metrics);
            }
        };
        let before = batcher.counts().put_off;
        let stepped = catch_unwind(AssertUnwindSafe(|| pollster::block_on(batcher.step(&mut on))));
        metrics.put_off(batcher.counts().put_off.saturating_sub(before));
        match stepped {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.restart(&error.to_string()),
            Err(_) => self.restart(CRASHED),
        }
    }

    /// Begins anew where the batch cannot go on: what runs fails, and what comes finds a fresh one.
    fn restart(&mut self, why: &str) {
        self.tasks.values_mut().for_each(|task| task.fail(Refusal::failed(why)));
        self.tickets.clear();
        self.writes = together(&self.model, self.limits);
    }

    /// The next answer of a masked predictor.
    pub fn next_masked(&mut self) -> Option<Masked> {
        match &mut self.writes {
            Writes::Masked(queue) => queue.pop_front(),
            Writes::Together(_) => None,
        }
    }

    /// A task, as long as somebody waits for it.
    pub fn task(&mut self, number: u64) -> Option<&mut Task> {
        self.tasks.get_mut(&number)
    }

    /// Fails a task.
    pub fn fail(&mut self, number: u64, error: &Error) {
        if let Some(task) = self.tasks.get_mut(&number) {
            task.fail(ApiError::of(error).into());
        }
    }

    /// Gives up what nobody waits for.
    pub fn tidy(&mut self, now: Instant, metrics: &Metrics) {
        if !self.is_idle() || self.fills {
            self.used = now;
        }
        let over =
            self.tasks.iter_mut().filter_map(|(number, task)| task.is_over(now, metrics).then_some(*number));
        for number in over.collect::<Vec<_>>() {
            self.tasks.remove(&number);
            self.give_up(number);
        }
    }

    /// Takes the answers of a task out of the batch.
    fn give_up(&mut self, number: u64) {
        let Self { writes, tickets, scored, .. } = self;
        scored.retain(|scored| scored.task != number);
        match writes {
            Writes::Together(batcher) => tickets.retain(|ticket, (of, _)| {
                let gone = *of == number;
                if gone {
                    batcher.cancel(*ticket);
                }
                !gone
            }),
            Writes::Masked(queue) => queue.retain(|masked| masked.task != number),
        }
    }
}
