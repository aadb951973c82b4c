//! The endless supply of batches: shuffled, packed or bucketed, and able to go on where it stopped.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::pack::{EpochPosition, PackedStream};
use super::{Batch, Example, ExampleSource, Fit, Found};
use crate::data::Permutation;
use crate::error::{Error, Result};
use crate::random::Random;

/// Batches gathered before they are sorted by length.
const BUCKET_BATCHES: usize = 16;
/// Times its size that a window may grow until its last batch is full.
const FULLEST: usize = 16;
/// Rows are padded to a multiple of this, so that a device sees few different shapes.
const PAD_MULTIPLE: usize = 16;
/// Streams of the seed, one a use.
const BUCKET_STREAM: u64 = 0x6275_636b;

/// How rows become batches.
#[derive(Clone, Debug)]
pub struct LoaderConfig {
    /// Rows a batch, or groups of rows that belong together.
    pub batch_size: usize,
    /// How examples are made to fit a row.
    pub fit: Fit,
    /// Fill rows with several examples, which do not see each other.
    pub packing: bool,
    /// The seed of the order.
    pub seed: u64,
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
    /// Rows of the first pass that were cut.
    pub cut: u64,
    /// Rows of the first pass that were dropped: too long, or without anything to learn.
    pub dropped: u64,
    /// Rows of the first pass that cannot be used and were left out.
    #[serde(default)]
    pub unusable: u64,
}

/// Tokens read and not yet given out: they are read again from their first row on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Carry {
    /// The first row's place.
    place: EpochPosition,
    /// Tokens of that row that were given out.
    skip: usize,
    /// Tokens that were not, of all rows.
    len: usize,
}

/// Batches out of a part of the rows.
pub struct Loader {
    source: Arc<dyn ExampleSource>,
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
    /// A loader over `part` of the source's rows in their `fixed` order. An endless loader shuffles anew
    /// each epoch; another gives every row once.
    pub fn new(
        source: Arc<dyn ExampleSource>,
        config: LoaderConfig,
        fixed: Permutation,
        part: Range<u64>,
        endless: bool,
    ) -> Self {
        let order = Permutation::new(part.end - part.start, config.seed, 0);
        let state = LoaderState::default();
        Self {
            source,
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
        self.go_to(EpochPosition { epoch: saved.epoch, position: saved.position });
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

    fn go_to(&mut self, place: EpochPosition) {
        self.state.epoch = place.epoch;
        self.state.position = place.position;
        self.order = Permutation::new(self.rows(), self.config.seed, place.epoch);
    }

    /// The next batch; `None` only at the end of a loader that is not endless.
    ///
    /// # Errors
    /// Data that cannot be read or encoded; an epoch without a single usable row.
    pub fn next_batch(&mut self) -> Result<Option<Batch>> {
        match self.config.packing {
            true if self.source.group() > 1 => Err(Error::Config(vec![
                "--packing would part rows that belong together; leave it out".into(),
            ])),
            true => self.next_packed(),
            false => self.next_bucketed(),
        }
    }

    /// The next examples of this epoch, in its order: one, or those that belong together.
    fn next_examples(&mut self, position: &mut u64) -> Result<Option<Vec<Example>>> {
        while *position < self.rows() {
            let at = if self.endless { self.order.at(*position) } else { *position };
            *position += 1;
            let found = self.source.examples(self.fixed.at(self.part.start + at))?;
            // A pass counts what it leaves out; those behind it meet the same rows again.
            let counts = u64::from(self.state.epoch == 0);
            let Found::Examples(examples) = found else {
                self.state.unusable += counts;
                continue;
            };
            match self.config.fit.all(examples) {
                Some((examples, cut)) => {
                    self.state.cut += counts * u64::from(cut);
                    return Ok(Some(examples));
                }
                None => self.state.dropped += counts,
            }
        }
        Ok(None)
    }

    fn next_epoch(&mut self) {
        self.state.served = 0;
        self.go_to(EpochPosition { epoch: self.state.epoch + 1, position: 0 });
    }

    /// Rows cut out of one long stream of examples.
    fn next_packed(&mut self) -> Result<Option<Batch>> {
        let (rows, seq) = (self.config.batch_size, self.config.fit.seq_len);
        while self.stream.ids.len() < rows * seq + 1 && self.read_more()? {}
        let batch = self.stream.take(rows, seq);
        Ok((batch.batch > 0).then_some(batch))
    }

    /// Adds an example to the stream; false at the end of a loader that is not endless.
    fn read_more(&mut self) -> Result<bool> {
        for _ in 0..2 {
            let mut position = self.state.position;
            let examples = self.next_examples(&mut position)?;
            let place = EpochPosition { epoch: self.state.epoch, position: position.saturating_sub(1) };
            self.state.position = position;
            match examples {
                Some(examples) => {
                    examples.into_iter().for_each(|example| self.stream.push(example, place));
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
        let mut groups: Vec<Vec<Example>> = Vec::with_capacity(wanted);
        // On until the batches are full, though a long text gives many pieces: only an epoch's last one is not.
        let batch_size = self.config.batch_size;
        let full = |count: usize| count >= wanted && count.is_multiple_of(batch_size);
        while !full(groups.len()) && groups.len() < FULLEST * wanted {
            let Some(examples) = self.next_examples(&mut position)? else {
                break;
            };
            match <[Example; 1]>::try_from(examples) {
                Ok([example]) => {
                    groups.extend(self.config.fit.pieces(example).into_iter().map(|piece| vec![piece]))
                }
                Err(group) => groups.push(group),
            }
        }
        self.window_end = position;
        groups.sort_by_key(|group| group.iter().map(|example| example.ids.len()).max());
        self.window = groups.chunks(self.config.batch_size).map(|chunk| self.pad(chunk)).collect();
        let stream = BUCKET_STREAM ^ (self.state.epoch << 40) ^ self.state.position;
        Random::new(self.config.seed, stream).shuffle(&mut self.window);
        Ok(())
    }

    /// One batch, as wide as its longest row needs.
    fn pad(&self, groups: &[Vec<Example>]) -> Batch {
        let examples = || groups.iter().flatten();
        let longest = examples().map(|example| example.ids.len() - 1).max().unwrap_or(1);
        let seq = longest.next_multiple_of(PAD_MULTIPLE).min(self.config.fit.seq_len.max(longest));
        let mut batch = Batch { group: self.source.group(), ..Batch::new(seq) };
        for example in examples() {
            batch.push(&example.ids, &example.weights, &vec![1; example.ids.len()]);
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
