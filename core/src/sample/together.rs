//! Several prompts continued together: each comes out as alone, and all of them sooner.

use std::collections::VecDeque;
use std::ops::Range;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::generate::{Answer, check, rate};
use super::{FinishReason, Flow, Generation, GenerationRequest, PREFILL};
use crate::error::Result;
use crate::model::{KvCache, Transformer, read};
use crate::platform::{breathe, now};

/// Continues every request, `at_once` of them side by side, and hands each over, by its number, when it ends. Asked
/// after every token, `on_step` may end it: what there is of each then comes out, and the others are not begun.
///
/// # Errors
/// A request that [`super::generate`] would refuse, before any is begun; what `on_done` refuses; a device that cannot
/// be read.
pub async fn generate_together(
    model: &Transformer,
    requests: &[GenerationRequest<'_>],
    at_once: usize,
    on_step: &mut dyn FnMut() -> Flow,
    on_done: &mut dyn FnMut(usize, Generation) -> Result<()>,
) -> Result<()> {
    if requests.is_empty() {
        return Ok(());
    }
    let context = model.config().context();
    for request in requests {
        check(request, context)?;
    }
    let needed = |request: &GenerationRequest| {
        request.prompt.len().saturating_add(request.config.max_new_tokens).min(context)
    };
    let capacity = requests.iter().map(needed).max().unwrap_or(0);
    let rows = at_once.clamp(1, requests.len().max(1));
    let mut waiting: VecDeque<_> = requests.iter().enumerate().collect();
    let mut room = Room::new(model, rows, capacity);
    loop {
        while room.rows.len() < rows
            && let Some((number, request)) = waiting.pop_front()
        {
            room.admit(number, request).await?;
        }
        let stopped = on_step() == Flow::Stop;
        for (number, generation) in room.draw(stopped)? {
            on_done(number, generation)?;
        }
        if stopped {
            return Ok(());
        }
        if room.rows.is_empty() && waiting.is_empty() {
            return Ok(());
        }
        breathe().await;
        room.feed().await?;
    }
}

/// The sequences that are decoded side by side, and their cache.
struct Room<'a> {
    model: Transformer,
    device: Device,
    cache: KvCache,
    /// In the order of the cache's sequences; those of the cache behind them are free.
    rows: Vec<Row<'a>>,
}

/// One of them.
struct Row<'a> {
    number: usize,
    answer: Answer<'a>,
    /// Of the last position.
    logits: Vec<f32>,
    begun: f64,
    prefilled: f64,
}

impl<'a> Room<'a> {
    fn new(model: &Transformer, rows: usize, capacity: usize) -> Self {
        let model = model.valid();
        let device = model.device();
        let cache = KvCache::new(model.config(), rows, capacity, model.dtype(), &device);
        Self { model, device, cache, rows: Vec::new() }
    }

    /// Reads a prompt into the first free sequence, as it would be read alone.
    async fn admit(&mut self, number: usize, request: &'a GenerationRequest<'a>) -> Result<()> {
        let (row, begun) = (self.rows.len(), now());
        self.cache.clear(row);
        let mut logits = Vec::new();
        for piece in request.prompt.chunks(PREFILL) {
            logits = self.logits(piece, row..row + 1).await?;
        }
        self.rows.push(Row { number, answer: Answer::new(request), logits, begun, prefilled: now() });
        Ok(())
    }

    /// Draws each sequence's next token, and takes out those that end with it; all where it is stopped.
    fn draw(&mut self, stopped: bool) -> Result<Vec<(usize, Generation)>> {
        let context = self.cache.capacity().min(self.model.config().context());
        let (mut done, mut kept, mut order, mut free) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (place, mut row) in std::mem::take(&mut self.rows).into_iter().enumerate() {
            let full = self.cache.len(place) >= context;
            let flow = if stopped { Flow::Stop } else { Flow::Continue };
            let reason = row.answer.extend(&row.logits, &mut |_| flow)?;
            let reason = reason.or((full || row.answer.is_long_enough()).then_some(FinishReason::Length));
            match reason {
                Some(reason) => {
                    free.push(place);
                    done.push((row.number, row.finish(reason, self.cache.len(place))));
                }
                None => {
                    order.push(place);
                    kept.push(row);
                }
            }
        }
        // Sequences behind those that go on are free as they are.
        if order.iter().enumerate().any(|(place, &row)| place != row) {
            let unused = order.len() + free.len()..self.cache.batch();
            order.extend(free.into_iter().chain(unused));
            self.cache.keep(&order);
        }
        self.rows = kept;
        Ok(done)
    }

    /// Feeds each sequence the token that was drawn for it, all in one pass.
    async fn feed(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let last: Vec<u32> = self.rows.iter().map(|row| row.answer.last()).collect();
        let logits = self.logits(&last, 0..self.rows.len()).await?;
        let vocab = self.model.config().vocab_size;
        for (row, logits) in self.rows.iter_mut().zip(logits.chunks_exact(vocab)) {
            row.logits = logits.to_vec();
        }
        Ok(())
    }

    /// Logits of the last position of each of these sequences, whose new ids follow each other.
    async fn logits(&mut self, ids: &[u32], rows: Range<usize>) -> Result<Vec<f32>> {
        super::check_ids(ids, self.model.config().vocab_size)?;
        let shape = [rows.len(), ids.len() / rows.len()];
        let ids: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
        let tokens = Tensor::<2, Int>::from_data(TensorData::new(ids, shape), &self.device);
        let logits = self.model.forward_cached(tokens, &mut self.cache, rows, true);
        let values = logits.shape().num_elements();
        read(logits.reshape([values])).await
    }
}

impl Row<'_> {
    fn finish(mut self, reason: FinishReason, position: usize) -> Generation {
        self.answer.finish(&mut |_| Flow::Continue);
        let prompt = self.answer.prompt_len();
        let prefill = rate(prompt, self.prefilled - self.begun);
        let decode = rate(position.saturating_sub(prompt), now() - self.prefilled);
        self.answer.into_generation(reason, prefill, decode)
    }
}
