//! Several prompts continued together: each comes out as alone, and all of them sooner.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{BatchEvent, BatchLimits, BatchRequest, Batcher, Flow, Generation, GenerationRequest, Ticket};
use crate::error::Result;
use crate::model::{KvCache, Transformer};

/// How many prompts may be continued side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SideBySide {
    /// At most so many.
    pub rows: usize,
    /// Fewer where their keys and values would take more bytes than this; a single one always goes.
    pub cache_bytes: u64,
}

impl SideBySide {
    /// What that is for the longest of these requests.
    fn limits(self, model: &Transformer, requests: &[GenerationRequest<'_>]) -> BatchLimits {
        let (config, rows) = (model.config(), self.rows.clamp(1, requests.len().max(1)));
        let longest = requests.iter().map(|request| request.positions(config.context())).max().unwrap_or(0);
        let alone = (longest as u64).saturating_mul(KvCache::bytes_per_position(config, model.dtype()));
        // Nobody waits for a single token here: prompts are read at once, so that as many rows as can be write together.
        BatchLimits {
            rows,
            cache_bytes: self.cache_bytes.max(alone),
            prefill_tokens: usize::MAX,
            queue: rows,
        }
    }
}

/// Continues every request, some of them side by side, and hands each over, by its number, when it ends. A prompt, or the
/// beginning of one, that stands in their cache already is not read again. Asked before every step, `on_step` may end it:
/// what there is of each then comes out, and the others are not begun.
///
/// # Errors
/// A request that [`super::generate`] would refuse, before any is begun; one whose logits are no numbers; what `on_done`
/// refuses; a device that cannot be read.
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
        super::check_biased(request.config, config.vocab_size)?;
    }
    let limits = limit.limits(model, requests);
    let mut batcher = Batcher::new(model, limits);
    let (mut numbers, mut rest) = (BTreeMap::new(), requests.iter().enumerate());
    loop {
        // No more wait in the batcher than it may begin at once: the others cost nothing yet.
        while batcher.waiting() < limits.rows
            && let Some((number, request)) = rest.next()
        {
            numbers.insert(batcher.submit(request.into())?, number);
        }
        if batcher.is_idle() {
            return Ok(());
        }
        let stopped = on_step() == Flow::Stop;
        let mut outcome = Ok(());
        let mut on_event = |event: BatchEvent<'_>| hand_over(event, &mut numbers, on_done, &mut outcome);
        match stopped {
            true => batcher.stop(&mut on_event),
            false => batcher.step(&mut on_event).await?,
        }
        outcome?;
        if stopped {
            return Ok(());
        }
    }
}

/// Hands over what ended; keeps the first thing that went wrong.
fn hand_over(
    event: BatchEvent<'_>,
    numbers: &mut BTreeMap<Ticket, usize>,
    on_done: &mut dyn FnMut(usize, Generation) -> Result<()>,
    outcome: &mut Result<()>,
) {
    let done = match event {
        BatchEvent::Piece { .. } => Ok(()),
        BatchEvent::Done { ticket, generation } => match numbers.remove(&ticket) {
            Some(number) if outcome.is_ok() => on_done(number, generation),
            _ => Ok(()),
        },
        BatchEvent::Failed { error, .. } => Err(error),
    };
    if outcome.is_ok() {
        *outcome = done;
    }
}

impl From<&GenerationRequest<'_>> for BatchRequest {
    fn from(request: &GenerationRequest<'_>) -> Self {
        Self {
            prompt: request.prompt.to_vec(),
            end_ids: request.end_ids.to_vec(),
            tokenizer: request.tokenizer.map(|tokenizer| Arc::new(tokenizer.clone())),
            config: request.config.clone(),
            constraint: None,
            unmask: request.unmask,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tiny_model;
    use crate::sample::{SamplingConfig, UnmaskConfig};
    use burn::tensor::Device;

    #[test]
    fn a_single_row_always_goes_and_no_more_rows_are_made_than_requests() {
        let model = tiny_model(&Device::flex());
        let config = SamplingConfig { max_new_tokens: 4, ..SamplingConfig::default() };
        let request = |prompt: &'static [u32]| GenerationRequest {
            prompt,
            reuse: 0,
            end_ids: &[],
            tokenizer: None,
            config: &config,
            unmask: UnmaskConfig::default(),
        };
        let position = KvCache::bytes_per_position(model.config(), model.dtype());
        let requests = [request(&[1; 5]), request(&[2; 30])];
        let limits = |rows: usize, cache_bytes: u64, requests: &[GenerationRequest]| {
            let limits = SideBySide { rows, cache_bytes }.limits(&model, requests);
            (limits.rows, limits.cache_bytes)
        };
        // 30 + 3 positions, of which the model holds 32.
        assert_eq!(limits(12, 0, &requests), (2, 32 * position));
        assert_eq!(limits(1, 1 << 40, &requests), (1, 1 << 40));
        assert_eq!(limits(0, 0, &requests[..1]), (1, 8 * position));
        assert_eq!(limits(3, 7, &[]), (1, 7));
    }
}
