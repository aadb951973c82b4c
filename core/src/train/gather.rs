//! The batches of a step, and what the listener wants while the model still writes answers for them.

use super::listen::{Heard, heard};
use super::run::{Begun, Since};
use super::{BatchSource, Control, Listener, Pending, Run};
use crate::batch::{Batch, LoaderState};
use crate::error::Result;
use crate::model::Transformer;

/// Stands in the place of a supply that makes the batches of a step: what is saved meanwhile begins with that step.
struct Standing(LoaderState);

impl BatchSource for Standing {
    fn next<'a>(&'a mut self, _model: &'a Transformer) -> Pending<'a, Option<Batch>> {
        Box::pin(async { Ok(None) })
    }

    fn state(&self) -> LoaderState {
        self.0.clone()
    }
}

impl Run {
    /// The batches of the next step. `None` where the listener stops the run while they are made: what there is of them is
    /// thrown away, and a run that goes on makes them again, which gives the same.
    ///
    /// # Errors
    /// What the supply, or the listener, cannot do.
    pub(super) async fn gather(
        &mut self,
        begun: &mut Begun,
        since: &mut Since,
        listener: &mut dyn Listener,
    ) -> Result<Option<Vec<Batch>>> {
        let standing: Box<dyn BatchSource> = Box::new(Standing(self.batches.state()));
        let mut source = std::mem::replace(&mut self.batches, standing);
        let (model, mut batches) = (self.model.clone(), Vec::new());
        for _ in 0..self.progress.config.grad_accum {
            let mut making = source.next(&model);
            let made = loop {
                // Ranks are stopped between steps alone, where all of them hear of it.
                if self.ranks.is_some() {
                    break making.await?;
                }
                match heard(&mut making, listener).await {
                    Heard::Done(made) => break made?,
                    Heard::Wanted(wanted) => {
                        if self.heed(wanted, false, begun, since, listener).await? == Control::Stop {
                            return Ok(None);
                        }
                    }
                }
            };
            batches.extend(made);
        }
        self.batches = source;
        Ok(Some(batches))
    }

    /// Does what the listener wants, and waits where it pauses; a save does not end a pause. Comes back with
    /// [`Control::Continue`] or [`Control::Stop`].
    ///
    /// # Errors
    /// A loss that ends the run; what the listener cannot do.
    pub(super) async fn heed(
        &mut self,
        wanted: Control,
        paused: bool,
        begun: &mut Begun,
        since: &mut Since,
        listener: &mut dyn Listener,
    ) -> Result<Control> {
        let (mut wanted, mut paused) = (wanted, paused);
        loop {
            match wanted {
                Control::Save => {
                    // What was saved before this process is not written again.
                    if self.progress.step > begun.first {
                        self.report(since, begun, listener).await?;
                        self.save(false, listener).await?;
                        begun.saved = self.progress.step;
                        since.restart();
                    }
                    if !paused {
                        return Ok(Control::Continue);
                    }
                }
                Control::Pause => {}
                Control::Continue | Control::Stop => return Ok(wanted),
            }
            (wanted, paused) = self.next_control(listener).await?;
        }
    }
}
