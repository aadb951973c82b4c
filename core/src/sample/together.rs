//! Several prompts continued together: each comes out as alone, and all of them sooner.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::generate::{Answer, rate};
use super::{FinishReason, Flow, Generation, GenerationRequest};
use crate::error::Result;
use crate::model::{KvCache, Transformer, read};
use crate::platform::{give_way, now};

/// How many prompts may be continued side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SideBySide {
    /// At most so many.
    pub rows: usize,
    /// Fewer where their keys and values would take more bytes than this; a single one always goes.
    pub cache_bytes: u64,
}

impl SideBySide {
    /// How many of those that take `bytes` each: the most rows, halved until they fit.
    fn rows_of(self, bytes: u64) -> usize {
        let fits = |rows: usize| (rows as u64).saturating_mul(bytes) <= self.cache_bytes;
        let mut halves = std::iter::successors(Some(self.rows.max(1)), |rows| Some((rows / 2).max(1)));
        halves.find(|&rows| rows == 1 || fits(rows)).unwrap_or(1)
    }
}

/// Continues every request, some of them side by side, and hands each over, by its number, when it ends. Requests that
/// follow each other and need as much memory share a cache, and a prompt that stands there already is not read again. Asked after every token, `on_step` may end it: what there
/// is of each then comes out, and the others are not begun.
///
/// # Errors
/// A request that [`super::generate`] would refuse, before any is begun; what `on_done` refuses; a device that cannot
/// be read.
pub async fn generate_together(
    model: &Transformer,
    requests: &[GenerationRequest<'_>],
    limit: SideBySide,
    on_step: &mut dyn FnMut() -> Flow,
    on_done: &mut dyn FnMut(usize, Generation) -> Result<()>,
) -> Result<()> {
    let config = model.config();
    for request in requests {
        request.check(config.context())?;
        super::check_ids(request.prompt, config.vocab_size)?;
    }
    let bytes = KvCache::bytes_per_position(config, model.dtype());
    let needed = |request: &GenerationRequest| {
        request.prompt.len().saturating_add(request.config.max_new_tokens).min(config.context())
    };
    let rows = |request: &GenerationRequest| limit.rows_of((needed(request) as u64).saturating_mul(bytes));
    let numbered: Vec<(usize, &GenerationRequest)> = requests.iter().enumerate().collect();
    for group in numbered.chunk_by(|(_, a), (_, b)| rows(a) == rows(b)) {
        let capacity = group.iter().map(|(_, request)| needed(request)).max().unwrap_or(0);
        let side_by_side = rows(group[0].1).min(group.len());
        let mut sequences = Sequences::new(model, side_by_side, capacity);
        if sequences.run(group, on_step, on_done).await? == Flow::Stop {
            break;
        }
    }
    Ok(())
}

/// The sequences that are decoded side by side, and their cache.
struct Sequences<'a> {
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
    /// Of the last position, and of the prompt's last one.
    logits: Vec<f32>,
    prompt_logits: Arc<[f32]>,
    begun: f64,
    prefilled: f64,
}

impl<'a> Sequences<'a> {
    fn new(model: &Transformer, rows: usize, capacity: usize) -> Self {
        let model = model.settled();
        let device = model.device();
        let cache = KvCache::new(model.config(), rows, capacity);
        Self { model, device, cache, rows: Vec::new() }
    }

    /// Continues these requests; a sequence that ends makes room for the next one.
    async fn run(
        &mut self,
        group: &[(usize, &'a GenerationRequest<'a>)],
        on_step: &mut dyn FnMut() -> Flow,
        on_done: &mut dyn FnMut(usize, Generation) -> Result<()>,
    ) -> Result<Flow> {
        let mut waiting = group.iter();
        loop {
            while self.rows.len() < self.cache.batch()
                && let Some(&(number, request)) = waiting.next()
            {
                self.admit(number, request).await?;
            }
            let stopped = on_step() == Flow::Stop;
            for (number, generation) in self.draw(stopped)? {
                on_done(number, generation)?;
            }
            if stopped {
                return Ok(Flow::Stop);
            }
            if self.rows.is_empty() && waiting.as_slice().is_empty() {
                return Ok(Flow::Continue);
            }
            give_way().await;
            self.feed().await?;
        }
    }

    /// Takes a request into the first free sequence.
    async fn admit(&mut self, number: usize, request: &'a GenerationRequest<'a>) -> Result<()> {
        self.model.config().check_causal("writing from left to right")?;
        let begun = now();
        let same = self.rows.iter().position(|row| row.answer.prompt() == request.prompt);
        let prompt_logits = match same {
            Some(place) => {
                self.cache.copy(place, self.rows.len(), request.prompt.len());
                Arc::clone(&self.rows[place].prompt_logits)
            }
            None => self.prefill(request.prompt).await?.into(),
        };
        let (answer, logits) = (Answer::new(request), prompt_logits.to_vec());
        self.rows.push(Row { number, answer, logits, prompt_logits, begun, prefilled: now() });
        Ok(())
    }

    /// Reads a prompt into the first free sequence, as it would be read alone; gives the logits of its last position.
    async fn prefill(&mut self, prompt: &[u32]) -> Result<Vec<f32>> {
        let row = self.rows.len();
        self.cache.clear(row);
        self.cache.reserve(prompt.len());
        self.cache.expect(row, prompt.len());
        let pieces = super::pieces(prompt, 0, self.model.config().num_attention_heads);
        let Some((last, before)) = pieces.split_last() else { return Ok(Vec::new()) };
        for piece in before {
            // Not read: the device need not be waited for.
            self.forward(piece, row..row + 1);
            give_way().await;
        }
        self.logits(last, row..row + 1).await
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

    /// Logits of the last position of each of these sequences, whose new ids follow each other, `[rows, 1, vocab]`,
    /// still on the device.
    fn forward(&mut self, ids: &[u32], rows: Range<usize>) -> Tensor<3> {
        let shape = [rows.len(), ids.len() / rows.len()];
        let ids: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
        let tokens = Tensor::<2, Int>::from_data(TensorData::new(ids, shape), &self.device);
        self.model.forward_cached(tokens, &mut self.cache, rows, true)
    }

    /// The same, row by row.
    async fn logits(&mut self, ids: &[u32], rows: Range<usize>) -> Result<Vec<f32>> {
        let logits = self.forward(ids, rows);
        let values = logits.shape().num_elements();
        read(logits.reshape([values])).await
    }
}

impl Row<'_> {
    fn finish(mut self, reason: FinishReason, position: usize) -> Generation {
        self.answer.finish(&mut |_| Flow::Continue);
        let prompt = self.answer.prompt().len();
        let prefill = rate(prompt, self.prefilled - self.begun);
        let decode = rate(position.saturating_sub(prompt), now() - self.prefilled);
        self.answer.into_generation(reason, prefill, decode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_halved_until_they_fit_and_one_always_goes() {
        let limit = SideBySide { rows: 12, cache_bytes: 1000 };
        for (bytes, rows) in
            [(0, 12), (83, 12), (84, 6), (166, 6), (167, 3), (334, 1), (5000, 1), (u64::MAX, 1)]
        {
            assert_eq!(limit.rows_of(bytes), rows, "{bytes} bytes each");
        }
        assert_eq!(SideBySide { rows: 0, cache_bytes: 0 }.rows_of(1), 1);
    }
}
