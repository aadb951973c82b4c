//! The loop.

use std::sync::Arc;

use super::step::{StepSettings, StepTensors, optimizer_step};
use super::{
    Control, HeldOut, Listener, Objective, Plan, Progress, Snapshot, StepLog, TrainConfig, TrainEvent,
    evaluate,
};
use crate::adapter::AdapterConfig;
use crate::batch::{Batch, Loader};
use crate::data::RowOrigin;
use crate::error::{Error, Result};
use crate::model::{Transformer, read};
use crate::optim::{AdamW, Schedule};
use crate::platform::{breathe, now};
use crate::tokenizer::Tokenizer;

/// Weight of the past in the running mean of the loss.
const MEAN_DECAY: f64 = 0.9;

/// A run, ready to go on from where its progress says.
pub struct Run<O> {
    /// The model, on a device with autodiff.
    pub model: Transformer,
    /// What it needs.
    pub plan: Plan,
    /// The adapter that trains; `None` where the whole model does.
    pub adapter: Option<AdapterConfig>,
    /// The optimizer of what trains.
    pub optimizer: AdamW,
    /// What is minimised.
    pub objective: O,
    /// Endless training batches.
    pub batches: Loader,
    /// Makes a loader over the held-out rows; `None` where nothing is held out.
    pub held_out: Option<Box<dyn Fn() -> Loader>>,
    /// For bits per byte.
    pub tokenizer: Arc<Tokenizer>,
    /// Settings and position.
    pub progress: Progress,
    /// Save and end after this step; the schedule does not change.
    pub stop_after: Option<u64>,
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// The trained model.
    pub model: Transformer,
    /// Whether the listener stopped it before its last step.
    pub stopped: bool,
    /// The last held-out measurement.
    pub held_out: Option<HeldOut>,
    /// Where it stands.
    pub progress: Progress,
}

/// What happened since the last report.
struct Since {
    tensors: Vec<StepTensors>,
    origins: Vec<RowOrigin>,
    tokens: u64,
    time: f64,
}

impl Since {
    fn now() -> Self {
        Self { tensors: Vec::new(), origins: Vec::new(), tokens: 0, time: now() }
    }
}

/// Trains until the last step, or until the listener says stop.
///
/// # Errors
/// Data that cannot be read, a device that fails, a loss that is not finite or jumps, or what the listener
/// refuses. The last save stays as it is.
pub async fn train<O: Objective>(mut run: Run<O>, listener: &mut dyn Listener) -> Result<Outcome> {
    run.progress.config.validate()?;
    let schedule = run.progress.config.schedule(run.progress.total_steps);
    let (started, mut since) = (now(), Since::now());
    let (mut held_out, mut asked) = (None, Control::Continue);
    // What was saved before this process is not measured and written again.
    let first = run.progress.step;
    loop {
        let config = &run.progress.config;
        let step = run.progress.step;
        let last = step >= run.progress.total_steps || run.stop_after.is_some_and(|limit| step >= limit);
        let stopped = asked == Control::Stop;
        let due = |every: u64| step > first && (last || stopped || (every > 0 && step.is_multiple_of(every)));
        let (save, eval) =
            (due(config.save_every) || asked == Control::Save, due(config.eval_every) && !stopped);
        if !since.tensors.is_empty() && (due(config.log_every) || save || eval) {
            run.report(&mut since, &schedule, started, listener).await?;
        }
        let mut best = false;
        if eval {
            let measured = run.measure(listener).await?;
            best = measured.as_ref().is_some_and(|(_, best)| *best);
            held_out = measured.map(|(held_out, _)| held_out).or(held_out);
        }
        if save || best {
            run.progress.loader = run.batches.state();
            let snapshot =
                Snapshot::capture(&run.model, run.adapter.as_ref(), &run.optimizer, &run.progress).await?;
            listener.on(TrainEvent::Save { snapshot: &snapshot, best })?;
            since.time = now();
        }
        if last || stopped {
            return Ok(Outcome {
                model: run.model,
                stopped: stopped && !last,
                held_out,
                progress: run.progress,
            });
        }
        run = run.step(&schedule, &mut since)?;
        asked = next_control(listener).await;
    }
}

/// What the listener wants, once it wants something else than a pause.
async fn next_control(listener: &mut dyn Listener) -> Control {
    loop {
        breathe().await;
        match listener.control() {
            Control::Pause => continue,
            control => return control,
        }
    }
}

impl<O: Objective> Run<O> {
    /// One optimizer step; nothing is read back.
    fn step(mut self, schedule: &Schedule, since: &mut Since) -> Result<Self> {
        let TrainConfig { grad_accum, grad_clip, seed, .. } = self.progress.config;
        let batches = (0..grad_accum)
            .filter_map(|_| self.batches.next_batch().transpose())
            .collect::<Result<Vec<_>>>()?;
        let settings = StepSettings {
            learning_rate: schedule.at(self.progress.step),
            grad_clip,
            noise: noise_seed(seed, self.progress.step),
        };
        let (model, tensors) =
            optimizer_step(self.model, &mut self.optimizer, &self.objective, &batches, settings);
        self.model = model;
        self.progress.step += 1;
        let tokens = batches.iter().map(Batch::tokens).sum::<usize>() as u64;
        self.progress.tokens += tokens;
        since.tokens += tokens;
        since.tensors.push(tensors);
        since.origins.extend(batches.into_iter().flat_map(|batch| batch.origins));
        Ok(self)
    }

    /// Reads the losses back (the only place in the loop that does), checks and reports them.
    async fn report(
        &mut self,
        since: &mut Since,
        schedule: &Schedule,
        started: f64,
        listener: &mut dyn Listener,
    ) -> Result<()> {
        let since = std::mem::replace(since, Since::now());
        let first = self.progress.step - since.tensors.len() as u64 + 1;
        let (mut losses, mut grad_norm) = (Vec::new(), 0.0);
        for (i, tensors) in since.tensors.into_iter().enumerate() {
            let loss = scalar(read(tensors.loss).await?);
            grad_norm = scalar(read(tensors.grad_norm).await?);
            self.check(first + i as u64, loss, grad_norm, &since.origins)?;
            losses.push(loss);
        }
        let seconds = (now() - since.time).max(1e-9);
        let log = StepLog {
            step: self.progress.step,
            loss: losses.iter().sum::<f64>() / losses.len() as f64,
            lr: schedule.at(self.progress.step - 1),
            grad_norm,
            tokens: self.progress.tokens,
            tokens_per_second: since.tokens as f64 / seconds,
            elapsed_s: now() - started,
        };
        listener.on(TrainEvent::Step { log: &log, model: &self.model })
    }

    /// Stops a run whose loss is not finite or has jumped far above its running mean.
    fn check(&mut self, step: u64, loss: f64, grad_norm: f64, origins: &[RowOrigin]) -> Result<()> {
        let mean = self.progress.mean_loss.unwrap_or(loss);
        let jumped = loss > 2.0 * mean + 3.0;
        if loss.is_finite() && grad_norm.is_finite() && !jumped {
            self.progress.mean_loss = Some(MEAN_DECAY * mean + (1.0 - MEAN_DECAY) * loss);
            return Ok(());
        }
        let what = match jumped {
            true => format!("the loss jumped to {loss:.3}, far above its mean of {mean:.3}"),
            false => format!("the loss is {loss} and the gradient norm {grad_norm}"),
        };
        let rows: Vec<_> = origins.iter().take(8).map(ToString::to_string).collect();
        Err(Error::Diverged(format!(
            "step {step}: {what}. Rows since the last report: {}{}. Try a lower --learning-rate (now {}), a longer \
             --warmup-ratio, or --dtype f32; look at these rows with `kindling data preview`. The last saved \
             checkpoint is untouched.",
            rows.join(", "),
            if origins.len() > 8 { ", …" } else { "" },
            self.progress.config.learning_rate
        )))
    }

    /// Measures the held-out rows, where there are any; also says whether they were never better.
    async fn measure(&mut self, listener: &mut dyn Listener) -> Result<Option<(HeldOut, bool)>> {
        let Some(loader) = &self.held_out else {
            return Ok(None);
        };
        let held_out = evaluate(&self.model, &self.objective, &mut loader(), &self.tokenizer).await?;
        let best = self.progress.best_loss.is_none_or(|best| held_out.loss < best);
        if best {
            self.progress.best_loss = Some(held_out.loss);
        }
        listener.on(TrainEvent::Eval { step: self.progress.step, held_out: &held_out, best })?;
        Ok(Some((held_out, best)))
    }
}

/// Dropout's own seed for each step, so that a resumed run drops what the uninterrupted one drops.
fn noise_seed(seed: u64, step: u64) -> u64 {
    seed ^ (step + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn scalar(values: Vec<f32>) -> f64 {
    values.first().copied().map_or(f64::NAN, f64::from)
}
