//! The loop.

use std::sync::Arc;

use burn::tensor::DType;

use super::diverged::Judged;
use super::expert_load::{ExpertLoad, largest};
use super::held_out_answers::HeldOutAnswers;
use super::metrics::Metrics;
use super::noising::{noised_kept, unread};
use super::step::{Step, StepSettings, StepTensors};
use super::{BatchSource, Control, Copies, HeldOut, Listener, Plan, Progress, StepLog, TrainEvent};
use crate::adapter::AdapterConfig;
use crate::batch::{Batch, KeptRows};
use crate::data::RowOrigin;
use crate::error::{Error, Result};
use crate::loss::Objective;
use crate::model::{Transformer, read};
use crate::optim::{AdamW, Schedule};
use crate::platform::now;
use crate::ranks::Ranks;
use crate::tokenizer::Tokenizer;
use crate::told::{Told, told};

/// The key under which the share of the fullest expert of all layers is reported, as a multiple of an even one.
const FULLEST: &str = "expert_load_max";

/// A run, ready to go on from where its progress says.
pub struct Run {
    /// The model, on a device with autodiff.
    pub model: Transformer,
    /// What it needs.
    pub plan: Plan,
    /// The adapter that trains; `None` where the whole model does.
    pub adapter: Option<AdapterConfig>,
    /// The optimizer of what trains.
    pub optimizer: AdamW,
    /// Copies of the weights beside those that train.
    pub copies: Copies,
    /// What is minimised.
    pub objective: Arc<dyn Objective>,
    /// Training batches: endless, or as many as the passes hold.
    pub batches: Box<dyn BatchSource>,
    /// Rows of what the model knew before, of which every step takes some.
    pub keep: Option<KeptRows>,
    /// Gives the held-out rows, once through; `None` where nothing is held out.
    pub held_out: Option<Box<dyn Fn() -> Box<dyn BatchSource>>>,
    /// Held-out questions that the model answers where the held-out rows are measured.
    pub answers: Option<HeldOutAnswers>,
    /// For bits per byte.
    pub tokenizer: Arc<Tokenizer>,
    /// Settings and position.
    pub progress: Progress,
    /// What a person should know before it goes on.
    pub warnings: Vec<Told>,
    /// Save and end after this step; the schedule does not change.
    pub stop_after: Option<u64>,
    /// The processes that train it together, of which this is one; `None` where it is alone. Each makes all batches, and
    /// computes its own rows of them.
    pub ranks: Option<Arc<dyn Ranks>>,
    /// Whether several ranks share the optimizer's state: each keeps that of some weights, and takes their step for all (ZeRO-1).
    pub shard_optimizer: bool,
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// The trained model: with its best weights where the run may end early, or with their moving average.
    pub model: Transformer,
    /// Whether the listener stopped it before its last step.
    pub stopped: bool,
    /// Whether a whole pass over the rows had low losses only, which ended it.
    pub learned: bool,
    /// The last held-out measurement.
    pub held_out: Option<HeldOut>,
    /// Where it stands.
    pub progress: Progress,
}

/// A run as this process has it.
pub(super) struct Begun {
    schedule: Schedule,
    started: f64,
    /// The step at which it began: what was saved before is not measured and written again.
    pub(super) first: u64,
    /// The step that was saved last.
    pub(super) saved: u64,
}

/// What happened since the last report.
pub(super) struct Since {
    tensors: Vec<StepTensors>,
    load: ExpertLoad,
    /// The pass over the rows that each step is in.
    passes: Vec<u64>,
    origins: Vec<RowOrigin>,
    tokens: u64,
    time: f64,
}

impl Since {
    fn now() -> Self {
        let (tensors, load) = (Vec::new(), ExpertLoad::default());
        Self { tensors, load, passes: Vec::new(), origins: Vec::new(), tokens: 0, time: now() }
    }

    /// Leaves out of the speed what took place up to here.
    pub(super) fn restart(&mut self) {
        self.time = now();
    }
}

/// Trains until the last step, or until the listener says stop; of several ranks any listener's word counts for all, and rank
/// 0's alone gets what is to be stored.
///
/// # Errors
/// Data that cannot be read, a device that fails, a loss that is not finite or jumps, or what the listener
/// refuses; ranks that differ, or that cannot be reached. The last save stays as it is.
pub async fn train(mut run: Run, listener: &mut dyn Listener) -> Result<Outcome> {
    run.progress.config.validate()?;
    run.agree().await?;
    run.shard();
    run.begin(listener).await?;
    let (first, mut since) = (run.progress.step, Since::now());
    let mut begun = Begun { schedule: run.progress.schedule(), started: now(), first, saved: first };
    let (mut held_out, mut asked, mut learned) = (None, Control::Continue, false);
    loop {
        let step = run.progress.step;
        // Judged at steps of the log alone, so that a save in between changes nothing.
        if run.is_judged() {
            run.report(&mut since, &begun, listener).await?;
            learned = run.progress.end_if_low(run.batches.state().epoch);
        }
        let config = &run.progress.config;
        let last = step >= run.progress.total_steps || run.stop_after.is_some_and(|limit| step >= limit);
        let stopped = asked == Control::Stop;
        let due = |every: u64| step > first && (last || stopped || (every > 0 && step.is_multiple_of(every)));
        // A run that is stopped while it gathers a step may have saved the one before.
        let save = asked == Control::Save || (due(config.save_every) && step > begun.saved);
        // Whoever stops a run in its last step leaves out what ends it, which is told, and comes first where it goes on.
        let eval = (due(config.eval_every) || run.progress.unjudged) && (!stopped || last);
        if due(config.log_every) || save || eval {
            run.report(&mut since, &begun, listener).await?;
        }
        let (mut best, mut meanwhile) = (false, Control::Continue);
        if eval {
            let measured;
            (measured, meanwhile) = run.measure(listener).await?;
            best = measured.as_ref().is_some_and(|(_, best)| *best);
            held_out = measured.map(|(held_out, _)| held_out).or(held_out);
            if !run.progress.unjudged {
                (run, held_out) = run.settle_early_stop(held_out, listener).await?;
            }
            since.restart();
        }
        let last = last || step >= run.progress.total_steps;
        if save || best || (last && step > first) || meanwhile != Control::Continue {
            run.save(best, listener).await?;
            begun.saved = step;
            since.restart();
        }
        if last || stopped || meanwhile == Control::Stop {
            return run.ended(last, learned, held_out, listener);
        }
        let Some(batches) = run.gather(&mut begun, &mut since, listener).await? else {
            asked = Control::Stop;
            continue;
        };
        run = run.step(batches, &begun.schedule, &mut since).await?;
        let (wanted, paused) = run.next_control(listener).await?;
        asked = match paused {
            true => run.heed(wanted, paused, &mut begun, &mut since, listener).await?,
            false => wanted,
        };
    }
}

impl Run {
    /// Says what a person should know, and has at hand what goes on from an earlier process.
    async fn begin(&mut self, listener: &mut dyn Listener) -> Result<()> {
        for warning in std::mem::take(&mut self.warnings) {
            listener.on(TrainEvent::Warning(warning))?;
        }
        self.find_best().await
    }

    /// How it ended: behind its `last` step, or on the way.
    fn ended(
        mut self,
        last: bool,
        learned: bool,
        held_out: Option<HeldOut>,
        listener: &mut dyn Listener,
    ) -> Result<Outcome> {
        if self.progress.planned_steps.is_some()
            && let Some(told) = unread(&*self.objective, &mut *self.batches)
        {
            listener.on(TrainEvent::Warning(told))?;
        }
        let stopped = !last || self.progress.unjudged;
        let model = self.copies.measured(&self.model);
        Ok(Outcome { model, stopped, learned, held_out, progress: self.progress })
    }

    /// Captures the run as it stands, and lets the listener store it.
    pub(super) async fn save(&mut self, best: bool, listener: &mut dyn Listener) -> Result<()> {
        self.progress.loader = self.batches.state();
        let keeps = best && self.progress.config.options.early_stop > 0;
        let stores = self.ranks.as_ref().is_none_or(|ranks| ranks.rank() == 0);
        // A part of what is stored may be this rank's.
        if !(keeps || stores || self.optimizer.own().is_some()) {
            return Ok(());
        }
        let snapshot = self.capture().await?;
        if keeps {
            self.copies.keep_best(snapshot.weights.clone());
        }
        match stores {
            true => listener.on(TrainEvent::Save { snapshot: &snapshot, best }),
            false => Ok(()),
        }
    }

    /// One optimizer step from its batches. Nothing is read back, but in f16 the gradient's norm, which says whether it is
    /// taken.
    async fn step(mut self, mut batches: Vec<Batch>, schedule: &Schedule, since: &mut Since) -> Result<Self> {
        let config = &self.progress.config;
        let scaling = self.model.dtype() == DType::F16;
        let settings = StepSettings {
            learning_rate: schedule.at(self.progress.step),
            grad_clip: config.grad_clip,
            noise: config.noise(self.progress.step, self.objective.rollouts()),
            loss_scale: if scaling { self.progress.loss_scale.unwrap_or_default().factor } else { 1.0 },
        };
        if batches.is_empty() {
            // A source that cannot tell its end before.
            self.progress.total_steps = self.progress.step;
            return Ok(self);
        }
        since.passes.push(self.batches.state().epoch);
        if let Some(keep) = &self.keep {
            let step = self.progress.step;
            let (kept, of_lesson) = (keep.beside(&batches, step)?, (&batches[..], keep.ratio()));
            let kept = noised_kept(kept, of_lesson, &*self.objective, self.model.config(), (config, step));
            batches.push(kept);
        }
        let ranks = self.ranks.as_deref();
        let step = Step::of(&self.model, &*self.objective, &batches, settings, ranks).await?;
        since.load.add(step.tensors.load.clone());
        let taken = !scaling || self.scale_allows(&step.tensors).await?;
        if taken {
            let tensors;
            (self, tensors) = self.take(step).await?;
            self.copies.after_step(&self.model, &self.optimizer);
            since.tensors.push(tensors);
        } else {
            since.tensors.push(step.tensors);
        }
        let ended = self.progress.planned_steps.is_some() && self.batches.ended();
        self.progress.count(ended);
        let tokens = batches.iter().map(Batch::tokens).sum::<usize>() as u64;
        self.progress.tokens += tokens;
        since.tokens += tokens;
        since.origins.extend(batches.into_iter().flat_map(|batch| batch.origins));
        Ok(self)
    }

    /// Whether a step in f16 did not overflow; sets the scale of the next one.
    async fn scale_allows(&mut self, tensors: &StepTensors) -> Result<bool> {
        let norm = scalar(read(tensors.grad_norm.clone()).await?);
        let scale = self.progress.loss_scale.get_or_insert_default();
        let taken = scale.take(norm);
        match scale.holds() {
            true => Ok(taken),
            false => Err(Error::Diverged(told!(
                "train.f16",
                "step {step}: gradients overflow f16 at every scale of the loss. Train with --dtype bf16 or f32; the last \
                 saved checkpoint is untouched.",
                step = self.progress.step + 1
            ))),
        }
    }

    /// Whether the losses up to here may end the run.
    fn is_judged(&self) -> bool {
        let (config, step) = (&self.progress.config, self.progress.step);
        config.low_loss().is_some() && step > 0 && step.is_multiple_of(config.log_every)
    }

    /// Reads the losses back (the only place in the loop that does), checks and reports them, where there are any.
    pub(super) async fn report(
        &mut self,
        since: &mut Since,
        begun: &Begun,
        listener: &mut dyn Listener,
    ) -> Result<()> {
        if since.tensors.is_empty() {
            return Ok(());
        }
        let since = std::mem::replace(since, Since::now());
        let first = self.progress.step - since.tensors.len() as u64 + 1;
        let (mut losses, mut grad_norm, mut metrics) = (Vec::new(), 0.0, Metrics::default());
        for (i, tensors) in since.tensors.into_iter().enumerate() {
            let loss = scalar(read(tensors.loss).await?);
            let norm = scalar(read(tensors.grad_norm).await?);
            // In f16 a step whose gradient overflows is left out, and is no sign of a lost run.
            grad_norm = if norm.is_finite() || self.model.dtype() != DType::F16 { norm } else { grad_norm };
            let judged = Judged { loss, drawn: tensors.drawn, grad_norm };
            self.check(first + i as u64, judged, &since.origins)?;
            self.progress.note_loss(since.passes[i], loss);
            losses.push(loss);
            metrics.add(tensors.metrics).await?;
        }
        let expert_load = since.load.shares().await?;
        let mut metrics = metrics.means();
        metrics.extend(largest(&expert_load).map(|share| (FULLEST, share)));
        let seconds = (now() - since.time).max(1e-9);
        let log = StepLog {
            step: self.progress.step,
            loss: losses.iter().sum::<f64>() / losses.len() as f64,
            lr: begun.schedule.at(self.progress.step - 1),
            grad_norm,
            tokens: self.progress.tokens,
            tokens_per_second: since.tokens as f64 / seconds,
            elapsed_s: now() - begun.started,
            loss_scale: self.progress.loss_scale,
            expert_load,
            metrics,
        };
        listener.on(TrainEvent::Step { log: &log, model: &self.model })
    }

    /// Stops a run that is lost, with the rows since the last report.
    fn check(&mut self, step: u64, judged: Judged, origins: &[RowOrigin]) -> Result<()> {
        let Some(what) = judged.note(&mut self.progress.mean_loss, &*self.objective) else { return Ok(()) };
        let rows: Vec<_> = origins.iter().take(8).map(ToString::to_string).collect();
        Err(Error::Diverged(told!(
            "train.diverged",
            "step {step}: {what}. Rows since the last report: {rows}{more}. Try a lower --learning-rate (now {rate}), a longer \
             --warmup-ratio, or --dtype f32; look at these rows with `kindling data preview`. The last saved \
             checkpoint is untouched.",
            step,
            what,
            rows = rows.join(", "),
            more = if origins.len() > 8 { ", …" } else { "" },
            rate = self.progress.config.learning_rate
        )))
    }
}

fn scalar(values: Vec<f32>) -> f64 {
    values.first().copied().map_or(f64::NAN, f64::from)
}
