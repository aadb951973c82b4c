//! Whether a run left the road: a loss that is no number, or one that jumped.

use super::Run;
use crate::data::RowOrigin;
use crate::error::{Error, Result};
use crate::told::told;

/// Weight of the past in the running mean of the loss.
const MEAN_DECAY: f64 = 0.9;

/// What a step is judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    /// Its mean loss.
    pub(super) loss: f64,
    /// What its draws brought of the weight that the loss is divided by; 1 where nothing is drawn.
    pub(super) drawn: f64,
    /// The gradient's norm, before clipping.
    pub(super) grad_norm: f64,
}

impl Judged {
    /// The mean loss of what was drawn, which does not depend on how much that was; `None` where nothing was.
    fn of_drawn(&self) -> Option<f64> {
        (self.drawn > 0.0).then(|| self.loss / self.drawn)
    }
}

impl Run {
    /// Stops a run whose loss is not finite or has jumped far above its running mean.
    ///
    /// # Errors
    /// Such a loss, with the rows since the last report.
    pub(super) fn check(&mut self, step: u64, judged: Judged, origins: &[RowOrigin]) -> Result<()> {
        let Judged { loss, grad_norm, .. } = judged;
        // A step that drew nothing tells nothing of the mean.
        let drawn = judged.of_drawn().or((!loss.is_finite()).then_some(loss));
        let jumped = drawn.map(|drawn| (drawn, self.progress.mean_loss.unwrap_or(drawn)));
        let jumped = jumped.filter(|(drawn, mean)| self.objective.diverged(*drawn, *mean));
        if loss.is_finite() && grad_norm.is_finite() && jumped.is_none() {
            if let Some(drawn) = drawn {
                let mean = self.progress.mean_loss.unwrap_or(drawn);
                self.progress.mean_loss = Some(MEAN_DECAY * mean + (1.0 - MEAN_DECAY) * drawn);
            }
            return Ok(());
        }
        let what = match jumped {
            Some((loss, mean)) => told!(
                "train.jumped",
                "the loss jumped to {loss}, far above its mean of {mean}",
                loss = format!("{loss:.3}"),
                mean = format!("{mean:.3}")
            ),
            None => told!(
                "train.not_finite",
                "the loss is {loss} and the gradient norm {grad_norm}",
                loss,
                grad_norm
            ),
        };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_judged_by_what_was_drawn() {
        let judged = |loss: f64, drawn: f64| Judged { loss, drawn, grad_norm: 1.0 }.of_drawn();
        assert_eq!(judged(4.8, 1.0), Some(4.8), "to the bit where nothing is drawn");
        // Of 500 tokens one was hidden with a probability of 1/1000 and cost 6: 6 · 1000 / 500 beside 1000 / 500.
        assert_eq!(judged(12.0, 2.0), Some(6.0));
        assert_eq!(judged(0.0, 0.0), None);
    }
}
