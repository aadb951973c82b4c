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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread::ThreadId;
    use std::time::{Duration, Instant};

    use burn::tensor::Device;

    use super::*;
    use crate::batch::{Example, ExampleSource, Fit, Found, LoaderConfig, TooLong};
    use crate::data::{Permutation, RowOrigin};
    use crate::model::tiny;

    const ROWS: u64 = 400;

    /// Rows of nine tokens that are counted as they are encoded, on any thread but that of the training.
    struct Counted {
        encoded: AtomicU64,
        training: Option<ThreadId>,
    }

    impl ExampleSource for Counted {
        fn rows(&self) -> u64 {
            ROWS
        }

        fn examples(&self, row: u64) -> Result<Found> {
            assert_ne!(Some(std::thread::current().id()), self.training);
            self.encoded.fetch_add(1, Ordering::SeqCst);
            let origin = RowOrigin { source: "a".into(), line: row + 1 };
            let (ids, weights) = (vec![row as u32; 9], vec![1.0; 9]);
            Ok(Found::Examples(vec![Example { ids, weights, warnings: Vec::new(), origin }]))
        }
    }

    fn loader(source: &Arc<Counted>, packing: bool) -> Loader {
        let fit = Fit { seq_len: 8, too_long: TooLong::Cut, keep_pieces: true };
        let config = LoaderConfig { batch_size: 2, fit, packing, seed: 4 };
        Loader::new(
            Arc::clone(source) as Arc<dyn ExampleSource>,
            config,
            Permutation::new(ROWS, 9, 0),
            0..ROWS,
            true,
        )
    }

    fn counted(training: Option<ThreadId>) -> Arc<Counted> {
        Arc::new(Counted { encoded: AtomicU64::new(0), training })
    }

    #[test]
    fn rows_are_encoded_beside_the_training_and_only_a_little_ahead() {
        let model = Transformer::init(&tiny(ROWS as usize), 1, &Device::flex()).unwrap();
        let source = counted(Some(std::thread::current().id()));
        let mut ahead = ReadAhead::new(loader(&source, true));
        for asked in 1..=5_u64 {
            pollster::block_on(ahead.next(&model)).unwrap().unwrap();
            // A batch takes sixteen tokens of the stream, which are less than two rows, and needs one more.
            let (least, most) = ((16 * (asked + 1) + 1) / 9, (16 * (asked + AHEAD as u64) + 1).div_ceil(9));
            let until = Instant::now() + Duration::from_secs(20);
            let encoded = || source.encoded.load(Ordering::SeqCst);
            while encoded() < least && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(2));
            }
            assert!(encoded() >= least, "the next batch is made before it is asked for");
            std::thread::sleep(Duration::from_millis(20));
            assert!(encoded() <= most, "{} of {most} after {asked} batches", encoded());
        }
    }

    #[test]
    fn the_state_is_that_of_the_last_batch_that_was_taken() {
        let model = Transformer::init(&tiny(ROWS as usize), 1, &Device::flex()).unwrap();
        for packing in [true, false] {
            let mut plain = loader(&counted(None), packing);
            let mut ahead = ReadAhead::new(loader(&counted(None), packing));
            for _ in 0..7 {
                let batch = pollster::block_on(ahead.next(&model)).unwrap();
                assert_eq!(batch, plain.next_batch().unwrap());
                assert_eq!(BatchSource::state(&ahead), plain.state());
            }
            let mut resumed = loader(&counted(None), packing);
            resumed.restore(BatchSource::state(&ahead)).unwrap();
            let mut resumed = ReadAhead::new(resumed);
            for _ in 0..7 {
                let batch = pollster::block_on(resumed.next(&model)).unwrap();
                assert_eq!(batch, plain.next_batch().unwrap());
            }
        }
    }
}
