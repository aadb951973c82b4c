//! Continuous batching: one model decodes many sequences together, which come and go (Yu et al., 2022,
//! <https://www.usenix.org/conference/osdi22/presentation/yu>).

mod request;
mod room;
mod rows;
mod slots;

use std::collections::VecDeque;

pub use request::{BatchCounts, BatchEvent, BatchLimits, BatchRequest, Ticket};
use rows::Rows;

use super::answer::Answer;
use super::generation::{FinishReason, Flow, Piece, rate};
use super::{check_biased, check_ids};
use crate::error::{Error, Result};
use crate::model::Transformer;
use crate::platform::{give_way, now};
use crate::told::{Counted, told};

/// Of the tokens that a step may read so many parts are worth a pass, which costs nearly the same for fewer: the beginning of
/// a prompt that finds no more left waits for the next step.
const FEWEST: usize = 8;

/// One model and the sequences that it continues, in one cache. Each comes out as it does alone, whatever stands beside it.
///
/// A request waits in a queue until it has a row, in the order of the requests. It gets one when its prompt and its longest
/// answer fit into the cache beside those of the others, so that nothing that was begun is ever put off; with
/// [`Batcher::growing`] sooner. Long prompts are read in pieces beside the answers of others, one prompt at a time. What a
/// row wrote stays in the cache until its room is needed: of a prompt that begins as another one did, that beginning is
/// copied and not read.
pub struct Batcher {
    rows: Rows,
    limits: BatchLimits,
    waiting: VecDeque<Waiting>,
    /// Requests so far.
    requests: u64,
    counts: BatchCounts,
}

/// A request in the queue.
struct Waiting {
    ticket: Ticket,
    answer: Answer,
}

impl Batcher {
    /// An idle one; nothing is allocated yet. An adapter is another model with tensors in common, and has a batcher of its
    /// own.
    pub fn new(model: &Transformer, limits: BatchLimits) -> Self {
        let rows = Rows::new(model, limits.rows, limits.cache_bytes);
        Self { rows, limits, waiting: VecDeque::new(), requests: 0, counts: BatchCounts::default() }
    }

    /// The same, with answers that get room as they grow: `step` new tokens at first, and twice what there is when that is
    /// full, or an equal share of all the room where that is less. Where a share is full, those that came last go back to the
    /// head of the queue, and what they wrote is read again as a prompt is, so that a bound which no answer comes near keeps
    /// nobody waiting.
    #[must_use]
    pub fn growing(mut self, step: usize) -> Self {
        self.rows.grow_by(step);
        self
    }

    /// Takes a request into the queue.
    ///
    /// # Errors
    /// A request that [`super::generate`] would refuse; ids that the model does not have; one that does not fit into the
    /// cache alone (`sampling.cache`); a full queue (`sampling.queue_full`).
    pub fn submit(&mut self, request: BatchRequest) -> Result<Ticket> {
        let model = self.rows.config();
        model.check_causal("writing from left to right")?;
        request.alone().check(model.context())?;
        check_ids(&request.prompt, model.vocab_size)?;
        check_biased(&request.config, model.vocab_size)?;
        let BatchRequest { prompt, end_ids, tokenizer, config, constraint, .. } = request;
        let tokenizer = tokenizer.as_deref();
        let answer = Answer::new(prompt, end_ids, tokenizer, &config).within(constraint);
        self.check_room(self.rows.needed(&answer))?;
        let ticket = Ticket(self.requests);
        self.requests += 1;
        self.waiting.push_back(Waiting { ticket, answer });
        Ok(ticket)
    }

    /// Refuses what could never run, and what finds the queue full.
    fn check_room(&self, needed: usize) -> Result<()> {
        let room = self.rows.room();
        if !room.fits(needed) {
            return Err(Error::Data(told!(
                "sampling.cache",
                "the prompt and its new tokens (max_new_tokens) need the keys and values of {needed} positions, but the \
                 cache of {bytes} bytes holds {most}: ask for fewer tokens, or give it more memory",
                needed,
                bytes = self.limits.cache_bytes,
                most = room.positions
            )));
        }
        let (running, waiting) = (self.running(), self.waiting());
        if running + waiting >= room.rows.saturating_add(self.limits.queue) {
            return Err(Error::Data(told!(
                "sampling.queue_full",
                "{running} being answered and {waiting}, which is all that is taken on: ask again later",
                running = Counted::new(running as u64, ["request is", "requests are"]),
                waiting = Counted::new(waiting as u64, ["waits", "wait"])
            )));
        }
        Ok(())
    }

    /// Gives a request up, of which nothing more comes; its row is free at the next step. Returns whether there was one.
    pub fn cancel(&mut self, ticket: Ticket) -> bool {
        if let Some(at) = self.waiting.iter().position(|waiting| waiting.ticket == ticket) {
            self.waiting.remove(at);
            return true;
        }
        self.rows.place_of(ticket).and_then(|place| self.rows.release(place)).is_some()
    }

    /// Ends all requests: those that were begun with what there is of their answers, and those that wait without a word.
    pub fn stop(&mut self, on_event: &mut dyn FnMut(BatchEvent<'_>)) {
        for Waiting { ticket, answer } in std::mem::take(&mut self.waiting) {
            if !answer.tokens().is_empty() {
                end(ticket, answer, FinishReason::Stop, [None, None], on_event);
            }
        }
        for place in self.rows.taken() {
            self.finish(place, FinishReason::Stop, on_event);
        }
    }

    /// Whether nothing is running and nothing waits.
    pub fn is_idle(&self) -> bool {
        self.running() == 0 && self.waiting() == 0
    }

    /// Requests that have a row.
    pub fn running(&self) -> usize {
        self.rows.running()
    }

    /// Requests that wait for one.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// What it did since it began.
    pub fn counts(&self) -> BatchCounts {
        self.counts
    }

    /// Bytes that keys and values take at the moment, never more than the limit; while one layer's grow or move, what it had
    /// stands beside them.
    pub fn cache_bytes(&self) -> u64 {
        self.rows.bytes()
    }

    /// One step: draws a token of each row, admits requests, and reads at most `prefill_tokens` of their texts.
    ///
    /// # Errors
    /// A device that cannot be read; then the batcher is of no use any more. What concerns one request alone comes as
    /// [`BatchEvent::Failed`].
    pub async fn step(&mut self, on_event: &mut dyn FnMut(BatchEvent<'_>)) -> Result<()> {
        for (ticket, answer) in self.rows.widen() {
            self.waiting.push_front(Waiting { ticket, answer });
            self.counts.put_off += 1;
        }
        let logits = self.rows.feed().await?;
        for (place, logits) in logits.iter().enumerate() {
            self.draw(place, logits, on_event);
        }
        give_way().await;
        self.read(on_event).await
    }

    /// Admits requests and reads their prompts, as far as there is room and the step allows.
    async fn read(&mut self, on_event: &mut dyn FnMut(BatchEvent<'_>)) -> Result<()> {
        let (mut left, mut admitted) = (self.limits.prefill_tokens.max(1), 0);
        let fewest = left / FEWEST;
        loop {
            let place = match self.rows.reading() {
                Some(place) => place,
                // Prompts that stand in the cache cost no reading, but their number is bounded as well.
                None if admitted >= self.rows.room().rows => return Ok(()),
                None => {
                    admitted += 1;
                    let Some(place) = self.admit() else { return Ok(()) };
                    place
                }
            };
            let (count, logits) = match self.rows.known(place) {
                Some(logits) => (0, Some(logits)),
                None if left == 0 => return Ok(()),
                None if left < fewest && left < self.rows.unread(place) => return Ok(()),
                None => self.rows.read(place, left).await?,
            };
            left -= count;
            self.counts.read += count as u64;
            if let Some(logits) = logits {
                self.draw(place, &logits, on_event);
            }
            give_way().await;
        }
    }

    /// Gives the next request a row, if there is room for it; where.
    fn admit(&mut self) -> Option<usize> {
        let needed = self.rows.claim(&self.waiting.front()?.answer);
        let behind: Vec<usize> = self
            .waiting
            .iter()
            .skip(1)
            .take(self.rows.room().rows)
            .map(|next| self.rows.claim(&next.answer))
            .collect();
        if !self.rows.make_room(needed, behind.into_iter()) {
            return None;
        }
        let Waiting { ticket, answer } = self.waiting.pop_front()?;
        let (place, reused) = self.rows.admit(ticket, answer)?;
        self.counts.reused += reused as u64;
        Some(place)
    }

    /// Draws the next token of a row; the row ends with it, goes on, or fails.
    fn draw(&mut self, place: usize, logits: &[f32], on_event: &mut dyn FnMut(BatchEvent<'_>)) {
        let full = self.rows.is_full(place);
        let Some(row) = self.rows.row_mut(place) else { return };
        let ticket = row.ticket;
        let mut on_piece = |piece: Piece| {
            on_event(BatchEvent::Piece { ticket, piece });
            Flow::Continue
        };
        match row.answer.extend(logits, &mut on_piece) {
            Ok(reason) => {
                let is_long = full || row.answer.is_long_enough();
                self.counts.written += 1;
                if let Some(id) = row.answer.end_token() {
                    let piece = Piece { text: "", token: None, end: Some((id, logits)) };
                    on_event(BatchEvent::Piece { ticket, piece });
                }
                if let Some(reason) = reason.or(is_long.then_some(FinishReason::Length)) {
                    self.finish(place, reason, on_event);
                }
            }
            Err(error) => {
                self.rows.discard(place);
                on_event(BatchEvent::Failed { ticket, error });
            }
        }
    }

    /// Ends a row with what there is of its answer.
    fn finish(&mut self, place: usize, reason: FinishReason, on_event: &mut dyn FnMut(BatchEvent<'_>)) {
        let Some((row, held)) = self.rows.release(place) else { return };
        let prefill = rate(row.text - row.reused, row.prefilled - row.begun);
        let decode = rate(held.saturating_sub(row.text), now() - row.prefilled);
        end(row.ticket, row.answer, reason, [prefill, decode], on_event);
    }
}

/// Tells the end of an answer, with what it was read and written at, in tokens a second.
fn end(
    ticket: Ticket,
    mut answer: Answer,
    reason: FinishReason,
    [prefill, decode]: [Option<f64>; 2],
    on_event: &mut dyn FnMut(BatchEvent<'_>),
) {
    let mut on_piece = |piece: Piece| {
        on_event(BatchEvent::Piece { ticket, piece });
        Flow::Continue
    };
    answer.finish(&mut on_piece);
    let generation = answer.into_generation(reason, prefill, decode);
    on_event(BatchEvent::Done { ticket, generation });
}
