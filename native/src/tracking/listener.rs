//! The listener of a run that is tracked: what it hears it tells the trackers, and hands on to the one that shows and saves.

use kindling::error::Result;
use kindling::model::Transformer;
use kindling::told::Told;
use kindling::train::{Control, Listener, TrainEvent};

use super::numbers::{of_held_out, of_step};
use super::{End, Moment, Tracker, Trackers};
use crate::commands::training_samples::TrainingSamples;
use crate::progress::RunListener;

/// Hears a run for its trackers.
pub struct TrackedListener<'a> {
    run: RunListener<'a>,
    trackers: Trackers,
    /// What the model writes on the way.
    samples: Option<TrainingSamples>,
    /// The newest step.
    step: u64,
}

impl<'a> TrackedListener<'a> {
    /// A listener for a run that is at a step.
    pub fn new(
        run: RunListener<'a>,
        trackers: Trackers,
        samples: Option<TrainingSamples>,
        step: u64,
    ) -> Self {
        Self { run, trackers, samples, step }
    }

    /// The run is over, one way or another.
    ///
    /// # Errors
    /// A log that cannot be written.
    pub fn finish(mut self, end: End) -> Result<()> {
        self.run.finish();
        let at = Moment::now(self.step);
        self.tell(|tracker| tracker.end(at, end))?;
        self.keep()
    }

    /// Tells every tracker. One that fails is told of, and ends no run.
    fn tell(&mut self, tell: impl FnMut(&mut dyn Tracker) -> Result<()>) -> Result<()> {
        let failed: Vec<Told> = self.trackers.tell(tell);
        failed.into_iter().try_for_each(|told| self.run.on(TrainEvent::Warning(told)))
    }

    /// Keeps what was written where.
    fn keep(&mut self) -> Result<()> {
        let failed = self.trackers.keep();
        failed.map_or(Ok(()), |told| self.run.on(TrainEvent::Warning(told)))
    }

    /// Tells what an event measures.
    fn track(&mut self, event: &TrainEvent<'_>) -> Result<()> {
        let (step, numbers) = match event {
            TrainEvent::Step { log, .. } => (log.step, of_step(log)),
            TrainEvent::Eval { step, held_out, .. } => (*step, of_held_out(held_out)),
            TrainEvent::Save { .. } => {
                self.tell(|tracker| tracker.saved())?;
                return self.keep();
            }
            TrainEvent::Warning(_) => return Ok(()),
        };
        self.step = step;
        let at = Moment::now(step);
        self.tell(|tracker| tracker.numbers(at, &numbers))
    }

    /// Lets the model write, where it is time.
    fn sample(&mut self, step: u64, model: &Transformer) -> Result<()> {
        let Some(samples) = self.samples.as_mut().filter(|samples| samples.is_due(step)) else {
            return Ok(());
        };
        let Some(written) = samples.write(step, model)? else { return Ok(()) };
        self.run.sampled(step, &written)?;
        let at = Moment::now(step);
        self.tell(|tracker| tracker.samples(at, &written))
    }
}

impl Listener for TrackedListener<'_> {
    fn on(&mut self, event: TrainEvent<'_>) -> Result<()> {
        self.track(&event)?;
        let sampled = match &event {
            TrainEvent::Step { log, model } => Some((log.step, *model)),
            _ => None,
        };
        self.run.on(event)?;
        sampled.map_or(Ok(()), |(step, model)| self.sample(step, model))
    }

    fn control(&mut self) -> Control {
        self.run.control()
    }
}
