//! Whether a run left the road: a loss that is no number, or one that jumped.

use crate::loss::Objective;
use crate::told::{Told, told};

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

    /// Takes the loss into its running `mean`. What is wrong where the run is lost: a loss or a gradient that is not finite,
    /// or a loss far above its mean.
    pub(super) fn note(&self, mean: &mut Option<f64>, objective: &dyn Objective) -> Option<Told> {
        let (loss, grad_norm) = (self.loss, self.grad_norm);
        // A step that drew nothing tells nothing of the mean.
        let drawn = self.of_drawn().or((!loss.is_finite()).then_some(loss));
        let before = mean.or(drawn).unwrap_or(0.0);
        if let Some(drawn) = drawn.filter(|drawn| objective.diverged(*drawn, before)) {
            return Some(told!(
                "train.jumped",
                "the loss jumped to {loss}, far above its mean of {mean}",
                loss = format!("{drawn:.3}"),
                mean = format!("{before:.3}")
            ));
        }
        if !(loss.is_finite() && grad_norm.is_finite()) {
            return Some(told!(
                "train.not_finite",
                "the loss is {loss} and the gradient norm {grad_norm}",
                loss,
                grad_norm
            ));
        }
        *mean = drawn.map(|drawn| MEAN_DECAY * before + (1.0 - MEAN_DECAY) * drawn).or(*mean);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::{Diffusion, DiffusionSettings, LossWeight, Masking, NextToken, TimeRange};

    #[test]
    fn a_loss_is_judged_by_what_was_drawn() {
        let judged = |loss: f64, drawn: f64| Judged { loss, drawn, grad_norm: 1.0 };
        assert_eq!(judged(4.8, 1.0).of_drawn(), Some(4.8), "to the bit where nothing is drawn");
        let settings = DiffusionSettings {
            loss_weight: LossWeight::InverseT,
            t_range: TimeRange { from: 0.0, to: 1.0 },
            ..DiffusionSettings::default()
        };
        let bound = Diffusion::new(Masking { settings, answers: false });
        let mut mean = Some(6.0);
        // Of 500 tokens one was hidden with a probability of 1/1000, and cost 9: 9 · 1000 / 500 beside 1000 / 500.
        assert!(judged(18.0, 2.0).note(&mut mean, &bound).is_none());
        assert!((mean.unwrap() - 6.3).abs() < 1e-9, "0.9 · 6 + 0.1 · 9: {mean:?}");
        assert!(judged(0.0, 0.0).note(&mut mean, &bound).is_none() && mean.is_some_and(|mean| mean > 6.0));
        // It cost 40, and so did each of half the tokens: both lie above 2 · 6.3 + 25.
        for lost in [judged(80.0, 2.0), judged(40.0, 1.0)] {
            let told = lost.note(&mut mean, &bound).unwrap();
            assert_eq!(told, "the loss jumped to 40.000, far above its mean of 6.300");
        }
        assert!(judged(37.0, 1.0).note(&mut mean, &bound).is_none());
    }

    #[test]
    fn what_is_no_number_is_told_with_the_gradient() {
        let mut mean = None;
        let judged = |loss: f64, grad_norm: f64| Judged { loss, drawn: 1.0, grad_norm };
        assert!(judged(3.0, 1.0).note(&mut mean, &NextToken).is_none() && mean == Some(3.0));
        for lost in [judged(f64::NAN, 1.0), judged(3.0, f64::INFINITY)] {
            assert_eq!(lost.note(&mut mean, &NextToken).unwrap().code(), "train.not_finite");
        }
        assert_eq!(
            (judged(9.1, 1.0).note(&mut mean, &NextToken).unwrap().code(), mean),
            ("train.jumped", Some(3.0))
        );
    }
}
