//! The sequences of a batcher and their cache.

use std::cmp::Reverse;
use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::request::Ticket;
use super::room::{Room, Shape};
use super::slots::{Row, Slot, free, shared};
use crate::error::Result;
use crate::model::{KvCache, ModelConfig, Transformer, read};
use crate::platform::now;
use crate::sample::answer::Answer;
use crate::sample::longest_piece;

/// A model with a cache of several sequences. Those that write stand before all others whenever they are fed.
pub(super) struct Rows {
    model: Transformer,
    /// The same where it takes its own tokens.
    writing: Transformer,
    /// Whether that is less exact, so that what it writes is none of what another prompt would have read.
    inexact: bool,
    device: Device,
    cache: KvCache,
    slots: Vec<Slot>,
    room: Room,
    /// How many new tokens an answer is first given room for; none where it gets room for all of them at once.
    step: Option<usize>,
    /// Requests that got a slot so far.
    uses: u64,
}

impl Rows {
    /// An empty one for at most so many rows, whose keys and values take so many bytes at most; nothing is allocated yet.
    pub(super) fn new(model: &Transformer, rows: usize, cache_bytes: u64) -> Self {
        let model = model.settled();
        let (device, config) = (model.device(), model.config());
        let bytes = KvCache::bytes_per_position(config, model.dtype()).max(1);
        let positions = usize::try_from(cache_bytes / bytes).unwrap_or(usize::MAX);
        let room = Room { rows: rows.max(1), positions, context: config.context() };
        let cache = KvCache::new(config, 0, 0);
        let (writing, inexact) = (model.writing(), model.writes_inexactly());
        Self { model, writing, inexact, device, cache, slots: Vec::new(), room, step: None, uses: 0 }
    }

    /// From now on answers get room for so many new tokens at first, and for more as they grow.
    pub(super) fn grow_by(&mut self, step: usize) {
        self.step = Some(step.max(1));
    }

    pub(super) fn config(&self) -> &ModelConfig {
        self.model.config()
    }

    pub(super) fn room(&self) -> Room {
        self.room
    }

    /// Bytes that keys and values take at the moment.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = KvCache::bytes_per_position(self.model.config(), self.model.dtype());
        (self.cache.batch() * self.cache.allocated()) as u64 * bytes
    }

    /// The most positions that an answer and its prompt take.
    pub(super) fn needed(&self, answer: &Answer) -> usize {
        answer.positions().min(self.room.context)
    }

    /// The positions that an answer gets room for now: what it has, and as much again. What could not be read again as it was
    /// written gets all at once: a text whose keys turn with its length, or one that is written less exactly than read.
    pub(super) fn claim(&self, answer: &Answer) -> usize {
        let (held, all) = (answer.ids().len(), self.needed(answer));
        let alike = self.config().rope_scaling.turns_alike(answer.prompt().len(), all);
        let grown =
            self.step.filter(|_| alike && !self.inexact).map(|step| held.saturating_add(held.max(step)));
        grown.map_or(all, |grown| grown.min(all))
    }

    /// The most positions that one of those that have a slot may take.
    fn longest_claim(&self) -> usize {
        self.slots.iter().filter_map(|slot| slot.row.as_ref()).map(|row| row.claim).max().unwrap_or(0)
    }

    /// How many requests have a slot.
    pub(super) fn running(&self) -> usize {
        self.slots.iter().filter(|slot| slot.row.is_some()).count()
    }

    /// The places where somebody writes or reads.
    pub(super) fn taken(&self) -> Vec<usize> {
        (0..self.slots.len()).filter(|&place| self.slots[place].row.is_some()).collect()
    }

    pub(super) fn place_of(&self, ticket: Ticket) -> Option<usize> {
        self.slots.iter().position(|slot| slot.row.as_ref().is_some_and(|row| row.ticket == ticket))
    }

    /// Where a text is being read, if one is.
    pub(super) fn reading(&self) -> Option<usize> {
        self.slots.iter().position(Slot::is_reading)
    }

    /// The one that has this place.
    pub(super) fn row_mut(&mut self, place: usize) -> Option<&mut Row> {
        self.slots[place].row.as_mut()
    }

    /// Whether the model can hold no more of this sequence.
    pub(super) fn is_full(&self, place: usize) -> bool {
        self.slots[place].ids.len() >= self.room.context
    }

    /// Makes room for one more sequence of so many positions, with those in view that `wait` behind it. False where it
    /// must wait itself until another one ends.
    pub(super) fn make_room(&mut self, needed: usize, waiting: impl Iterator<Item = usize>) -> bool {
        let running = [self.running(), self.longest_claim()];
        let is_empty = |slot: &Slot| slot.ids.is_empty() && slot.row.is_none();
        let wished = self.slots.len() + usize::from(!self.slots.iter().any(is_empty));
        let shape = self.room.shape(wished, running, needed, waiting);
        shape.is_some_and(|shape| {
            self.take_shape(shape);
            true
        })
    }

    /// Gives more room to those that wrote as much as theirs holds, as far as all can have as much. Where there is too little
    /// even for the next token of each, those that came last are put off, so that the first of all never waits: they are
    /// returned, the last one first.
    pub(super) fn widen(&mut self) -> Vec<(Ticket, Answer)> {
        let narrow: Vec<usize> =
            (0..self.slots.len()).filter(|&place| self.slots[place].is_narrow()).collect();
        for &place in &narrow {
            if let Some(row) = &mut self.slots[place].row {
                row.claim = row.answer.ids().len();
            }
        }
        let mut put_off = Vec::new();
        while self.running() > 1 && self.running() * self.longest_claim() > self.room.positions {
            put_off.extend(self.put_off());
        }
        let share = self.room.positions / self.running().max(1);
        for place in narrow {
            let grown = self.slots[place].row.as_ref().map(|row| self.claim(&row.answer));
            if let (Some(row), Some(grown)) = (self.slots[place].row.as_mut(), grown) {
                row.claim = grown.min(share).max(row.claim);
            }
        }
        let longest = self.longest_claim();
        if longest > self.cache.capacity() {
            let rows = (self.room.positions / longest).clamp(self.running(), self.slots.len());
            let positions = (self.room.positions / rows).min(self.room.context);
            self.take_shape(Shape { rows, positions });
        }
        put_off
    }

    /// Takes the one that came last out of its slot, where what it wrote stays until that is needed.
    fn put_off(&mut self) -> Option<(Ticket, Answer)> {
        let last = self.taken().into_iter().max_by_key(|&place| self.slots[place].used)?;
        self.release(last).map(|(row, _)| (row.ticket, row.answer))
    }

    fn take_shape(&mut self, shape: Shape) {
        if shape.rows < self.slots.len() {
            // Those that run stay, and of the free ones those that were used last.
            let mut kept: Vec<usize> = (0..self.slots.len()).collect();
            kept.sort_by_key(|&place| (self.slots[place].row.is_none(), Reverse(self.slots[place].used)));
            kept.truncate(shape.rows);
            kept.sort_unstable();
            self.cache.keep(&kept);
            self.slots = kept.iter().map(|&place| std::mem::take(&mut self.slots[place])).collect();
        }
        if (self.cache.batch(), self.cache.capacity()) != (shape.rows, shape.positions) {
            self.cache.resize(shape.rows, shape.positions);
            self.slots.iter_mut().for_each(|slot| slot.ids.truncate(shape.positions));
            self.slots.resize_with(shape.rows, Slot::default);
        }
    }

    /// Gives an answer one of the free slots, and that what the cache holds of its text; which one, and how much it holds.
    pub(super) fn admit(&mut self, ticket: Ticket, answer: Answer) -> Option<(usize, usize)> {
        let (text, claim) = (answer.ids().len(), self.claim(&answer));
        let shared = shared(&self.slots, answer.ids(), &self.model.config().rope_scaling);
        let place = free(&self.slots, shared)?;
        let (mut reused, mut logits) = (0, None);
        if let Some(shared) = shared {
            reused = shared.ids;
            logits = self.slots[shared.place].logits.clone().filter(|_| shared.whole);
        }
        match shared.filter(|shared| shared.place != place) {
            None => self.cache.truncate(place, reused),
            Some(shared) => {
                self.cache.truncate(place, 0);
                self.cache.copy(shared.place, place, reused);
            }
        }
        self.cache.reserve(text);
        self.cache.expect(place, text);
        self.uses += 1;
        let (ids, begun) = (answer.ids()[..reused].to_vec(), now());
        let row = Row { ticket, answer, text, claim, reused, begun, prefilled: begun };
        let kept = if self.inexact { text } else { usize::MAX };
        self.slots[place] = Slot { ids, prompt: text, kept, logits, used: self.uses, row: Some(row) };
        Some((place, reused))
    }

    /// How much of a text is still to be read.
    pub(super) fn unread(&self, place: usize) -> usize {
        let slot = &self.slots[place];
        slot.row.as_ref().map_or(0, |row| row.text.saturating_sub(slot.ids.len()))
    }

    /// The logits behind a text of which nothing need be read.
    pub(super) fn known(&self, place: usize) -> Option<Arc<[f32]>> {
        self.slots[place].logits.clone().filter(|_| !self.slots[place].is_reading())
    }

    /// Reads at most so many tokens of a text; how many it were, and the logits behind the last one, once it is read.
    pub(super) async fn read(&mut self, place: usize, most: usize) -> Result<(usize, Option<Arc<[f32]>>)> {
        let (slot, heads) = (&self.slots[place], self.model.config().num_attention_heads);
        let Some(row) = &slot.row else { return Ok((0, None)) };
        let (held, rest) = (slot.ids.len(), &row.answer.ids()[slot.ids.len()..]);
        let count = longest_piece(rest.len().min(most), held, heads);
        let (ids, is_last) = (rest[..count].to_vec(), count == rest.len());
        let tokens = self.tokens(&ids, 1);
        let logits = self.model.forward_cached(tokens, &mut self.cache, place..place + 1, true);
        // Those of other pieces are not read: the device need not be waited for.
        let logits: Option<Arc<[f32]>> = if is_last { Some(values(logits).await?.into()) } else { None };
        let slot = &mut self.slots[place];
        slot.ids.extend(ids);
        slot.logits.clone_from(&logits);
        if let Some(row) = &mut slot.row {
            row.prefilled = now();
        }
        Ok((count, logits))
    }

    /// Feeds each of those that write the token that was drawn for it, all in one pass; the logits of each behind it, by
    /// its place.
    pub(super) async fn feed(&mut self) -> Result<Vec<Vec<f32>>> {
        let writing = self.gather();
        if writing == 0 {
            return Ok(Vec::new());
        }
        let last = |slot: &Slot| slot.row.as_ref().map(|row| row.answer.last()).unwrap_or_default();
        let ids: Vec<u32> = self.slots[..writing].iter().map(last).collect();
        let tokens = self.tokens(&ids, writing);
        let logits = self.writing.forward_cached(tokens, &mut self.cache, 0..writing, true);
        let logits = values(logits).await?;
        self.slots.iter_mut().zip(ids).for_each(|(slot, id)| slot.ids.push(id));
        Ok(logits.chunks_exact(self.model.config().vocab_size).map(<[f32]>::to_vec).collect())
    }

    /// Moves those that write before all others; how many they are.
    fn gather(&mut self) -> usize {
        let writing = self.slots.iter().filter(|slot| slot.is_writing()).count();
        for place in 0..writing {
            let behind = (place..self.slots.len()).rev().find(|&other| self.slots[other].is_writing());
            if let Some(other) = behind.filter(|_| !self.slots[place].is_writing()) {
                self.cache.swap(place, other);
                self.slots.swap(place, other);
            }
        }
        writing
    }

    /// Takes a request out; what it wrote stays for others to go on from, as far as it was looked at. With it comes how
    /// many positions it has.
    pub(super) fn release(&mut self, place: usize) -> Option<(Row, usize)> {
        if self.slots[place].is_reading() {
            return self.discard(place);
        }
        let held = self.slots[place].ids.len();
        self.slots[place].row.take().map(|row| (row, held))
    }

    /// Takes a request out with all that it wrote: it may not be numbers.
    pub(super) fn discard(&mut self, place: usize) -> Option<(Row, usize)> {
        self.cache.clear(place);
        let slot = std::mem::take(&mut self.slots[place]);
        let held = slot.ids.len();
        slot.row.map(|row| (row, held))
    }

    /// The new ids of so many sequences, which follow each other, `[rows, new]`.
    fn tokens(&self, ids: &[u32], rows: usize) -> Tensor<2, Int> {
        let shape = [rows, ids.len() / rows];
        let ids: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
        Tensor::from_data(TensorData::new(ids, shape), &self.device)
    }
}

/// The numbers of logits, row by row.
async fn values(logits: Tensor<3>) -> Result<Vec<f32>> {
    let count = logits.shape().num_elements();
    read(logits.reshape([count])).await
}
