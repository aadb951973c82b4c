//! A run that is no longer better ends, and its best weights are what is left of it.

use super::copies::saved_weights;
use super::patience::Patience;
use super::{HeldOut, Listener, Progress, Run, TrainEvent};
use crate::error::Result;
use crate::told::told;

impl Progress {
    /// Takes a held-out loss in; whether none was better. Where a run may end early, what is measured because it stops on
    /// the way counts for nothing, so that it ends where it would have without the stop.
    pub(super) fn note_held_out(&mut self, loss: f64) -> bool {
        let config = &self.config;
        let due = config.eval_every > 0 && self.step.is_multiple_of(config.eval_every);
        if config.options.early_stop > 0 && !due && self.step < self.total_steps {
            return false;
        }
        // Beside a loss that is no number nothing would ever be better.
        let best = loss.is_finite() && self.best_loss.is_none_or(|best| loss < best);
        if best {
            self.best_loss = Some(loss);
            self.patience = Patience { best_step: self.step, stale: 0 };
        } else {
            self.patience.stale += 1;
        }
        best
    }

    /// Ends a run that was not better for as long as its settings say; whether it did.
    pub(super) fn end_if_stale(&mut self) -> bool {
        let limit = self.config.options.early_stop;
        let ends = limit > 0 && self.patience.stale >= limit && self.step < self.total_steps;
        if ends {
            self.total_steps = self.step;
        }
        ends
    }
}

impl Run {
    /// Has the best weights at hand where a run goes on from its best step, whose own they are.
    ///
    /// # Errors
    /// The device cannot be read.
    pub(super) async fn find_best(&mut self) -> Result<()> {
        let stops = self.progress.config.options.early_stop > 0;
        if stops && self.progress.best_loss.is_some() && !self.copies.has_best() {
            let model = self.copies.measured(&self.model);
            self.copies.keep_best(saved_weights(&model, self.adapter.as_ref()).await?);
        }
        Ok(())
    }

    /// After a measurement: ends a run that is stale, and goes back to the best weights of one that may end early and has
    /// ended. Gives what was measured of the weights that it has then: `measured`, unless they are others; nothing where the
    /// listener stops while these are measured.
    ///
    /// # Errors
    /// Data or the device cannot be read, or what the listener refuses.
    pub(super) async fn settle_early_stop(
        mut self,
        measured: Option<HeldOut>,
        listener: &mut dyn Listener,
    ) -> Result<(Self, Option<HeldOut>)> {
        let (limit, step) = (self.progress.config.options.early_stop, self.progress.step);
        let Patience { best_step, stale } = self.progress.patience;
        let stopped = self.progress.end_if_stale();
        let ended =
            limit > 0 && step >= self.progress.total_steps && best_step < step && self.copies.has_best();
        if !ended {
            return Ok((self, measured));
        }
        self.model = self.copies.back_to_best(self.model);
        // The run is over, whatever the listener wants.
        let (best, _) = self.judge(listener).await?;
        let loss = best.as_ref().map(|best| best.loss).or(self.progress.best_loss);
        let loss = format!("{:.4}", loss.unwrap_or(f64::NAN));
        listener.on(TrainEvent::Warning(match stopped {
            true => told!(
                "train.early_stopped",
                "ended at step {step}: {stale} measurements in a row were no better than the one of step {best_step}, whose \
                 weights are kept (held-out loss {loss})",
                step,
                stale,
                best_step,
                loss
            ),
            false => told!(
                "train.back_to_best",
                "the weights of step {best_step} are kept, whose held-out loss of {loss} is the best of the run",
                best_step,
                loss
            ),
        }))?;
        Ok((self, best))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::LoaderState;
    use crate::train::{Stage, TrainConfig, TrainOptions};

    fn progress(early_stop: u64) -> Progress {
        let options = TrainOptions { early_stop, ..TrainOptions::default() };
        let config = TrainConfig { eval_every: 10, val_split: 0.1, options, ..TrainConfig::of(Stage::Sft) };
        let json = serde_json::json!({
            "step": 0, "total_steps": 100, "tokens": 0, "rows": 1, "loader": LoaderState::default(),
            "best_loss": null, "mean_loss": null, "config": config,
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn two_measurements_that_are_no_better_end_a_run_by_hand() {
        let mut progress = progress(2);
        // A loss that is equal is no better; the one of step 25 is measured because the run was stopped there.
        for (step, loss, best, stale, ends) in [
            (10, 3.0, true, 0, false),
            (20, 3.0, false, 1, false),
            (25, 0.5, false, 1, false),
            (30, 2.5, true, 0, false),
            (40, 2.6, false, 1, false),
            (50, 2.7, false, 2, true),
        ] {
            progress.step = step;
            assert_eq!(progress.note_held_out(loss), best, "step {step}");
            assert_eq!(progress.patience.stale, stale, "step {step}");
            assert_eq!(progress.end_if_stale(), ends, "step {step}");
        }
        assert_eq!(
            (progress.total_steps, progress.best_loss, progress.patience.best_step),
            (50, Some(2.5), 30)
        );
    }

    #[test]
    fn without_it_no_run_ends_and_one_of_before_has_measured_nothing() {
        let mut progress = progress(0);
        assert_eq!(progress.patience, Patience::default());
        for step in 1..90 {
            progress.step = step;
            assert_eq!(progress.note_held_out(1.0), step == 1);
            assert!(!progress.end_if_stale());
        }
    }
}
