//! Where batches come from: a loader over rows, or whatever else can say where it stands.

use std::pin::Pin;

use crate::batch::{Batch, Loader, LoaderState};
use crate::error::{Error, Result};
use crate::model::Transformer;
use crate::platform::Ahead;
use crate::told::told;

/// Batches that are made before they are asked for.
const AHEAD: usize = 2;

/// What is on its way.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + 'a>>;

/// A supply of batches.
pub trait BatchSource {
    /// The next batch; `None` at the end. It may ask the model, whose answers some objectives learn from.
    fn next<'a>(&'a mut self, model: &'a Transformer) -> Pending<'a, Option<Batch>>;

    /// Where it stands, for a run that is resumed.
    fn state(&self) -> LoaderState;

    /// Whether no batch follows. A supply without end, or that cannot tell, says no.
    fn ended(&mut self) -> bool {
        false
    }
}

impl BatchSource for Loader {
    fn next<'a>(&'a mut self, _model: &'a Transformer) -> Pending<'a, Option<Batch>> {
        Box::pin(async { self.next_batch() })
    }

    fn state(&self) -> LoaderState {
        Self::state(self)
    }
}

/// A batch, and where the loader stood behind it.
type Made = (Result<Option<Batch>>, LoaderState);

/// A loader that reads and encodes beside the training.
pub struct ReadAhead {
    batches: Ahead<Made>,
    /// What was looked at before it was asked for.
    next: Option<Made>,
    /// Where the loader stood behind the last batch that was given out.
    state: LoaderState,
}

impl ReadAhead {
    /// Reads ahead of what is asked for, from where the loader stands.
    pub fn new(mut loader: Loader) -> Self {
        let state = loader.state();
        let batches = Ahead::new(AHEAD, move || (loader.next_batch(), loader.state()));
        Self { batches, next: None, state }
    }

    fn made(&mut self) -> Result<Made> {
        self.batches.next().ok_or_else(|| {
            Error::Data(told!(
                "data.ended",
                "the reading of the data ended unexpectedly; resume from the last save"
            ))
        })
    }
}

impl BatchSource for ReadAhead {
    fn next<'a>(&'a mut self, _model: &'a Transformer) -> Pending<'a, Option<Batch>> {
        Box::pin(async {
            let (batch, state) = match self.next.take() {
                Some(made) => made,
                None => self.made()?,
            };
            self.state = state;
            batch
        })
    }

    fn state(&self) -> LoaderState {
        self.state.clone()
    }

    fn ended(&mut self) -> bool {
        if self.next.is_none() {
            // A reading that failed is told where the batch is asked for.
            self.next = self.made().ok();
        }
        matches!(self.next, Some((Ok(None), _)))
    }
}
