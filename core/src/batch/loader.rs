//! The endless supply of batches: shuffled, packed or bucketed, and able to go on where it stopped.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::pack::{PackedStream, Place};
use super::{Batch, Encoder, Example};
use crate::data::{Dataset, Permutation};
use crate::error::{Error, Result};
use crate::random::Random;

/// Batches gathered before they are sorted by length.
const BUCKET_BATCHES: usize = 16;
/// Rows are padded to a multiple of this, so that a device sees few different shapes.
const PAD_MULTIPLE: usize = 16;
/// Streams of the seed, one a use.
const BUCKET_STREAM: u64 = 0x6275_636b;

/// What happens to a row longer than the model's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum TooLong {
    /// A text is cut into pieces, a conversation loses its end.
    Cut,
    /// The row is left out.
    Drop,
}

/// How rows become batches.
#[derive(Clone, Debug)]
pub struct LoaderConfig {
    /// Rows a batch.
    pub batch_size: usize,
    /// Tokens a row, at most.
    pub seq_len: usize,
    /// Fill rows with several examples, which do not see each other.
    pub packing: bool,
    /// What happens to longer rows.
    pub too_long: TooLong,
    /// The seed of the order.
    pub seed: u64,
    /// Cut pieces go on being trained (texts), or are lost (conversations).
    pub keep_pieces: bool,
}

/// Where a loader stands; enough to go on with the very next batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoaderState {
    /// Full passes over the data.
    pub epoch: u64,
    /// Rows read in this pass (bucketed: before the current window).
    pub position: u64,
    /// Bucketed: batches already given out of the window that begins at `position`.
    pub served: usize,
    /// Packed: where the tokens that were read and not yet given out begin.
    carry: Option<Carry>,
    /// Rows cut.
    pub cut: u64,
    /// Rows dropped.
    pub dropped: u64,
}

/// Tokens read and not yet given out: they are read again from their first row on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Carry {
    /// The first row's place.
    place: Place,
    /// Tokens of that row that were given out.
    skip: usize,
    /// Tokens that were not, of all rows.
    len: usize,
}

/// Batches out of a part of a dataset.
pub struct Loader {
    dataset: Arc<Dataset>,
    encoder: Encoder,
    config: LoaderConfig,
    /// Numbers in the fixed order that separates training from validation.
    part: Range<u64>,
    fixed: Permutation,
    order: Permutation,
    state: LoaderState,
    stream: PackedStream,
    window: Vec<Batch>,
    /// The row behind the window.
    window_end: u64,
    endless: bool,
}

impl Loader {
    /// A loader over `part` of the dataset's rows in their `fixed` order. An endless loader shuffles anew
    /// each epoch; another gives every row once.
    pub fn new(
        dataset: Arc<Dataset>,
        encoder: Encoder,
        config: LoaderConfig,
        fixed: Permutation,
        part: Range<u64>,
        endless: bool,
    ) -> Self {
        let order = Permutation::new(part.end - part.start, config.seed, 0);
        let state = LoaderState::default();
        Self {
            dataset,
            encoder,
            config,
            part,
            fixed,
            order,
            state,
            stream: PackedStream::default(),
            window: Vec::new(),
            window_end: 0,
            endless,
        }
    }

    /// Rows in this part.
    pub fn rows(&self) -> u64 {
        self.part.end - self.part.start
    }

    /// Where it stands.
    pub fn state(&self) -> LoaderState {
        let carry =
            self.stream.front().map(|(place, skip)| Carry { place, skip, len: self.stream.ids.len() });
        LoaderState { carry, ..self.state.clone() }
    }

    /// Goes to a saved place.
    ///
    /// # Errors
    /// The data cannot be read again.
    pub fn restore(&mut self, saved: LoaderState) -> Result<()> {
        self.state = LoaderState { served: 0, carry: None, ..saved.clone() };
        self.go_to(Place { epoch: saved.epoch, position: saved.position });
        self.stream = PackedStream::default();
        self.window.clear();
        if saved.served > 0 {
            self.fill_window()?;
            self.window.drain(..saved.served.min(self.window.len()));
        }
        if let Some(Carry { place, skip, len }) = saved.carry {
            self.go_to(place);
            while self.stream.ids.len() < skip + len && self.read_more()? {}
            self.stream.drop_front(skip);
        }
        // What was read again was counted before the save, and the reading ends in the saved epoch.
        self.state = LoaderState { carry: None, ..saved };
        Ok(())
    }

    fn go_to(&mut self, place: Place) {
        self.state.epoch = place.epoch;
        self.state.position = place.position;
        self.order = Permutation::new(self.rows(), self.config.seed, place.epoch);
    }

    /// The next batch; `None` only at the end of a loader that is not endless.
    ///
    /// # Errors
    /// Data that cannot be read or encoded; an epoch without a single usable row.
    pub fn next_batch(&mut self) -> Result<Option<Batch>> {
        if self.config.packing { self.next_packed() } else { self.next_bucketed() }
    }

    /// The next example of this epoch, in its order.
    fn next_example(&mut self, position: &mut u64) -> Result<Option<Example>> {
        while *position < self.rows() {
            let at = if self.endless { self.order.at(*position) } else { *position };
            *position += 1;
            let row = self.fixed.at(self.part.start + at);
            let Some((row, origin)) = self.dataset.row(row)? else {
                continue;
            };
            let example = self.encoder.encode(&row, origin)?;
            if let Some(example) = self.fit(example) {
                return Ok(Some(example));
            }
        }
        Ok(None)
    }

    /// Cuts or drops what is too long, and drops what holds no target.
    fn fit(&mut self, mut example: Example) -> Option<Example> {
        let longest = self.config.seq_len + 1;
        if example.ids.len() > longest {
            if self.config.too_long == TooLong::Drop {
                self.state.dropped += 1;
                return None;
            }
            self.state.cut += 1;
            if !self.config.keep_pieces {
                example.ids.truncate(longest);
                example.mask.truncate(longest);
            }
        }
        if !example.mask.iter().skip(1).any(|&target| target) {
            self.state.dropped += 1;
            return None;
        }
        Some(example)
    }

    fn next_epoch(&mut self) {
        self.state.served = 0;
        self.go_to(Place { epoch: self.state.epoch + 1, position: 0 });
    }

    /// Rows cut out of one long stream of examples.
    fn next_packed(&mut self) -> Result<Option<Batch>> {
        let (rows, seq) = (self.config.batch_size, self.config.seq_len);
        while self.stream.ids.len() < rows * seq + 1 && self.read_more()? {}
        let batch = self.stream.take(rows, seq);
        Ok((batch.batch > 0).then_some(batch))
    }

    /// Adds an example to the stream; false at the end of a loader that is not endless.
    fn read_more(&mut self) -> Result<bool> {
        for _ in 0..2 {
            let mut position = self.state.position;
            let example = self.next_example(&mut position)?;
            let place = Place { epoch: self.state.epoch, position: position.saturating_sub(1) };
            self.state.position = position;
            match example {
                Some(example) => {
                    self.stream.push(example, place);
                    return Ok(true);
                }
                None if !self.endless => return Ok(false),
                None => self.next_epoch(),
            }
        }
        Err(no_examples())
    }

    /// Rows of similar length together, each padded on the right.
    fn next_bucketed(&mut self) -> Result<Option<Batch>> {
        if self.window.is_empty() {
            self.advance_window();
            self.fill_window()?;
            if self.window.is_empty() && self.endless {
                self.next_epoch();
                self.fill_window()?;
                if self.window.is_empty() {
                    return Err(no_examples());
                }
            }
        }
        if self.window.is_empty() {
            return Ok(None);
        }
        self.state.served += 1;
        Ok(Some(self.window.remove(0)))
    }

    /// Moves `position` behind the window that is used up.
    fn advance_window(&mut self) {
        if self.state.served > 0 {
            self.state.position = self.window_end;
            self.state.served = 0;
        }
    }

    /// Gathers the window that begins at `position`: sorted by length, cut into batches, shuffled.
    fn fill_window(&mut self) -> Result<()> {
        let wanted = self.config.batch_size * BUCKET_BATCHES;
        let mut position = self.state.position;
        let mut examples = Vec::with_capacity(wanted);
        while examples.len() < wanted {
            let Some(example) = self.next_example(&mut position)? else {
                break;
            };
            self.pieces(example, &mut examples);
        }
        self.window_end = position;
        examples.sort_by_key(|example| example.ids.len());
        self.window = examples.chunks(self.config.batch_size).map(|chunk| self.pad(chunk)).collect();
        let stream = BUCKET_STREAM ^ (self.state.epoch << 40) ^ self.state.position;
        Random::new(self.config.seed, stream).shuffle(&mut self.window);
        Ok(())
    }

    /// Pieces of at most `seq_len + 1` tokens, each beginning with the last token of the one before.
    fn pieces(&self, example: Example, out: &mut Vec<Example>) {
        let seq = self.config.seq_len;
        if example.ids.len() <= seq + 1 {
            out.push(example);
            return;
        }
        for start in (0..example.ids.len() - 1).step_by(seq) {
            let end = (start + seq + 1).min(example.ids.len());
            let (ids, mask) = (example.ids[start..end].to_vec(), example.mask[start..end].to_vec());
            out.push(Example { ids, mask, origin: example.origin.clone() });
        }
    }

    /// One batch, as wide as its longest row needs.
    fn pad(&self, examples: &[Example]) -> Batch {
        let longest = examples.iter().map(|example| example.ids.len() - 1).max().unwrap_or(1);
        let seq = longest.next_multiple_of(PAD_MULTIPLE).min(self.config.seq_len.max(longest));
        let mut batch = Batch::new(seq);
        for example in examples {
            batch.push(&example.ids, &example.mask, &vec![1; example.ids.len()]);
            batch.origins.push(example.origin.clone());
        }
        batch
    }
}

fn no_examples() -> Error {
    Error::Data(
        "no row of the data holds anything to learn: all are empty, without an answer within --max-seq-len, or \
         longer than it with --too-long drop"
            .into(),
    )
}
