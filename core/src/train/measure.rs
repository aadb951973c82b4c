//! What is measured on the way: the held-out rows, and the model's own answers to their questions.

use super::evaluate::evaluate_together;
use super::listen::{Deaf, unless_stopped};
use super::{Control, HeldOut, Listener, Run, TrainEvent};
use crate::error::Result;
use crate::told::told;

impl Run {
    /// Measures the held-out rows, where there are any; also says whether they were never better, and what the listener
    /// wanted meanwhile.
    pub(super) async fn measure(
        &mut self,
        listener: &mut dyn Listener,
    ) -> Result<(Option<(HeldOut, bool)>, Control)> {
        let (held_out, meanwhile) = self.judge(listener).await?;
        self.progress.unjudged = held_out.is_none() && meanwhile == Control::Stop;
        let Some(held_out) = held_out else {
            if self.progress.unjudged {
                listener.on(TrainEvent::Warning(told!(
                    "train.unjudged",
                    "stopped while the model of step {step} was measured: the measurement is left out, and comes first where \
                     the run goes on",
                    step = self.progress.step
                )))?;
            }
            return Ok((None, meanwhile));
        };
        let best = self.progress.note_held_out(held_out.loss);
        listener.on(TrainEvent::Eval { step: self.progress.step, held_out: &held_out, best })?;
        Ok((Some((held_out, best)), meanwhile))
    }

    /// What the held-out rows, and its own answers to their questions, say of the model that is kept; also what the listener
    /// wanted meanwhile. `None` where nothing is held out, or the listener stops the run before all of it is measured: a loss
    /// without the shares of the answers would pass for a whole measurement.
    pub(super) async fn judge(&self, listener: &mut dyn Listener) -> Result<(Option<HeldOut>, Control)> {
        let Some(loader) = &self.held_out else { return Ok((None, Control::Continue)) };
        let (model, mut rows) = (self.copies.measured(&self.model), loader());
        let mut deaf = Deaf;
        let listener: &mut dyn Listener = if self.ranks.is_some() { &mut deaf } else { listener };
        let (objective, ranks) = (&*self.objective, self.ranks.as_deref());
        let measuring = evaluate_together(&model, objective, &mut *rows, &self.tokenizer, ranks);
        let (held_out, wanted) = unless_stopped(Box::pin(measuring), listener).await;
        let Some(mut held_out) = held_out.transpose()? else { return Ok((None, wanted)) };
        let Some(answers) = &self.answers else { return Ok((Some(held_out), wanted)) };
        let (shares, meanwhile) = answers.measure(&model, listener).await?;
        held_out.metrics.extend(shares);
        Ok(match meanwhile {
            Control::Stop => (None, Control::Stop),
            Control::Continue => (Some(held_out), wanted),
            meanwhile => (Some(held_out), meanwhile),
        })
    }
}
