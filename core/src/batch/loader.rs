//! The endless supply of batches: shuffled, packed or bucketed, and able to go on where it stopped.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::loader_state::Carry;
use super::pack::{NextFit, PackedStream, tokens_of};
use super::walk::{EpochPosition, Walk};
use super::{Batch, Example, ExampleSource, Found, LoaderConfig, LoaderState};
use crate::data::{Draws, RowOrder};
use crate::error::{Error, Result};
use crate::random::Random;
use crate::told::told;

/// Batches gathered before they are sorted by length.
const BUCKET_BATCHES: usize = 16;
/// Rows are padded to a multiple of this, so that a device sees few different shapes.
const PAD_MULTIPLE: usize = 16;
/// Streams of the seed, one a use.
const BUCKET_STREAM: u64 = 0x6275_636b;

/// Batches out of a part of the rows.
pub struct Loader {
    source: Arc<dyn ExampleSource>,
    config: LoaderConfig,
    walk: Walk,
    state: LoaderState,
    stream: PackedStream,
    window: Vec<Batch>,
    /// Where the next window begins: at which row, and behind how many of its pieces.
    window_end: (u64, usize),
    /// The other pieces of that row, where it has given some.
    left: Vec<Vec<Example>>,
}

impl Loader {
    /// A loader over `part` of the source's rows in their `fixed` order. An endless loader shuffles anew
    /// each epoch; another gives every row once.
    pub fn new(
        source: Arc<dyn ExampleSource>,
        config: LoaderConfig,
        fixed: impl Into<RowOrder>,
        part: Range<u64>,
        endless: bool,
    ) -> Self {
        let walk = Walk::new(fixed.into(), part, config.seed, endless);
        let (state, stream) = (LoaderState::default(), PackedStream::default());
        let (window, left) = (Vec::new(), Vec::new());
        Self { source, config, walk, state, stream, window, window_end: (0, 0), left }
    }

    /// The same, of which a pass draws the rows by the shares of their sources.
    pub fn drawing(mut self, draws: Option<&Draws>) -> Self {
        draws.cloned().into_iter().for_each(|draws| self.walk.draw(draws));
        self
    }

    /// The same, which ends after so many passes; of the last one a part may be asked for.
    pub fn ending_after(mut self, passes: f64) -> Self {
        self.walk.end_after(passes);
        self
    }

    /// Rows of a pass.
    pub fn rows(&self) -> u64 {
        self.walk.rows()
    }

    pub(super) fn config(&self) -> &LoaderConfig {
        &self.config
    }

    pub(super) fn walk(&self) -> &Walk {
        &self.walk
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
        self.left.clear();
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
        self.walk.go_to(place.epoch);
    }

    /// The next batch; `None` at the end of a loader that is not endless.
    ///
    /// # Errors
    /// Data that cannot be read or encoded; examples that belong together and fit no row; an epoch without a single
    /// usable row.
    pub fn next_batch(&mut self) -> Result<Option<Batch>> {
        match self.config.packing {
            true if self.source.group() > 1 => self.next_of_groups(),
            true => self.next_packed(),
            false => self.next_bucketed(),
        }
    }

    /// The next examples of this epoch, in its order: one, or those that belong together.
    fn next_examples(&mut self, position: &mut u64) -> Result<Option<Vec<Example>>> {
        while let Some(row) = self.walk.row(*position) {
            if let Some(source) = self.walk.source(*position) {
                count(&mut self.state.drawn, source);
            }
            *position += 1;
            let found = self.source.examples(row)?;
            // A pass counts what it leaves out; those behind it meet the same rows again.
            let counts = u64::from(self.state.epoch == 0);
            let Found::Examples(examples) = found else {
                self.state.unusable += counts;
                continue;
            };
            match self.config.fit_all(examples)? {
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
        self.state.pieces = 0;
        self.go_to(EpochPosition { epoch: self.state.epoch + 1, position: 0 });
    }

    /// The next examples of this epoch or the one behind it, and their row's place; `None` where the last epoch ends.
    fn read_on(&mut self) -> Result<Option<(Vec<Example>, EpochPosition)>> {
        for _ in 0..2 {
            let mut position = self.state.position;
            let examples = self.next_examples(&mut position)?;
            let place = EpochPosition { epoch: self.state.epoch, position: position.saturating_sub(1) };
            self.state.position = position;
            match examples {
                Some(examples) => return Ok(Some((examples, place))),
                None if self.walk.is_last() => return Ok(None),
                None => self.next_epoch(),
            }
        }
        Err(no_examples())
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
        let Some((examples, place)) = self.read_on()? else { return Ok(false) };
        examples.into_iter().for_each(|example| self.stream.push(example, place));
        Ok(true)
    }

    /// Rows of whole groups, which are never parted: one that finds no room opens a row.
    fn next_of_groups(&mut self) -> Result<Option<Batch>> {
        let (rows, seq) = (self.config.batch_size, self.config.fit.seq_len);
        let mut batch = Batch { members: self.source.group(), ..Batch::new(seq) };
        let (mut fit, mut row) = (NextFit::new(seq), Vec::new());
        loop {
            let before = self.state.clone();
            let Some((group, _)) = self.read_on()? else { break };
            if fit.opens_row(tokens_of(&group)) && !row.is_empty() {
                batch.push_examples(&std::mem::take(&mut row));
                if batch.batch == rows {
                    // The next batch begins with this group, and reads it again.
                    self.go_to(EpochPosition { epoch: before.epoch, position: before.position });
                    self.state = before;
                    break;
                }
            }
            row.extend(group);
        }
        if !row.is_empty() {
            batch.push_examples(&row);
        }
        Ok((batch.batch > 0).then_some(batch))
    }

    /// Rows of similar length together, each padded on the right.
    fn next_bucketed(&mut self) -> Result<Option<Batch>> {
        if self.window.is_empty() {
            self.advance_window();
            self.fill_window()?;
            if self.window.is_empty() && !self.walk.is_last() {
                self.next_epoch();
                self.fill_window()?;
                if self.window.is_empty() && !self.walk.is_last() {
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

    /// Moves behind the window that is used up.
    fn advance_window(&mut self) {
        if self.state.served > 0 {
            (self.state.position, self.state.pieces) = self.window_end;
            self.state.served = 0;
        }
    }

    /// Gathers the window that begins at `position`: sorted by length, cut into batches, shuffled. A text may go on in the
    /// next one, so that only an epoch's last batch has fewer rows.
    fn fill_window(&mut self) -> Result<()> {
        let wanted = self.config.batch_size * BUCKET_BATCHES;
        let (mut position, mut given) = (self.state.position, self.state.pieces);
        let mut left = std::mem::take(&mut self.left);
        let mut groups: Vec<Vec<Example>> = Vec::with_capacity(wanted);
        while groups.len() < wanted {
            let mut pieces = std::mem::take(&mut left);
            if !pieces.is_empty() {
                position += 1;
            } else if let Some(examples) = self.next_examples(&mut position)? {
                pieces = self.pieces(examples);
                pieces.drain(..given.min(pieces.len()));
            } else {
                break;
            }
            let room = wanted - groups.len();
            given = match pieces.len() > room {
                true => {
                    self.left = pieces.split_off(room);
                    position -= 1;
                    given + room
                }
                false => 0,
            };
            groups.extend(pieces);
        }
        self.window_end = (position, given);
        groups.sort_by_key(|group| group.iter().map(|example| example.ids.len()).max());
        self.window = groups.chunks(self.config.batch_size).map(|chunk| self.pad(chunk)).collect();
        let within = (self.state.pieces as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let stream = BUCKET_STREAM ^ (self.state.epoch << 40) ^ self.state.position ^ within;
        Random::new(self.config.seed, stream).shuffle(&mut self.window);
        Ok(())
    }

    /// What stands in a batch of its own right: the pieces of an example, or a group as it is.
    fn pieces(&self, examples: Vec<Example>) -> Vec<Vec<Example>> {
        match <[Example; 1]>::try_from(examples) {
            Ok([example]) => self.config.fit.pieces(example).into_iter().map(|piece| vec![piece]).collect(),
            Err(group) => vec![group],
        }
    }

    /// One batch, as wide as its longest row needs.
    fn pad(&self, groups: &[Vec<Example>]) -> Batch {
        let examples = || groups.iter().flatten();
        let longest = examples().map(|example| example.ids.len() - 1).max().unwrap_or(1);
        let seq = row_length(longest, self.config.fit.seq_len);
        let group = self.source.group();
        let mut batch = Batch { group, members: group, ..Batch::new(seq) };
        examples().for_each(|example| batch.push_examples(std::slice::from_ref(example)));
        batch
    }
}

/// Counts one more by this name.
fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => drop(counts.insert(name.to_string(), 1)),
    }
}

/// Tokens a row of a batch whose longest one has `longest`, where rows hold `most`.
pub(crate) fn row_length(longest: usize, most: usize) -> usize {
    longest.next_multiple_of(PAD_MULTIPLE).min(most.max(longest))
}

fn no_examples() -> Error {
    Error::Data(told!(
        "data.nothing_to_learn",
        "no row of the data holds anything to learn: all are empty, without an answer within --max-seq-len, or \
         longer than it with --too-long drop"
    ))
}
