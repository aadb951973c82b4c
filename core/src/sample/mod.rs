//! From logits to text: drawing tokens, stopping in time, and scoring given text.

mod config;
mod decoder;
#[cfg(test)]
pub(crate) mod fake;
mod generate;
mod sampling;
mod score;
mod stop;
mod together;

pub use config::SamplingConfig;
pub use decoder::Decoder;
pub use generate::{FinishReason, Flow, Generation, GenerationRequest, Piece, generate, generate_pieces};
pub use sampling::Sampler;
pub use score::{Score, Scorer, log_probability, scored_bytes};
pub use stop::{StopMatcher, StopPiece};
pub use together::generate_together;

use crate::error::{Error, Result};

/// Longest piece of a prompt in one pass: bounds the attention scores.
const PREFILL: usize = 512;

/// What generation needs of a model: feed ids, get the next-token logits of the last position.
// Generation runs on one thread, in the browser and in the command line, so no `Send` is promised.
#[allow(async_fn_in_trait)]
pub trait Autoregressive {
    /// Appends `ids` (at least one) to what was fed before and returns the logits of the last
    /// position, `[vocab]`.
    async fn feed(&mut self, ids: &[u32]) -> Result<Vec<f32>>;

    /// Most positions that the model can hold.
    fn context(&self) -> usize;

    /// Number of ids fed so far.
    fn position(&self) -> usize;

    /// Forgets everything from `position` on.
    fn rewind(&mut self, position: usize) -> Result<()>;
}

/// Refuses more positions than the model holds.
fn check_fits(positions: usize, context: usize) -> Result<()> {
    if positions <= context {
        return Ok(());
    }
    Err(Error::Data(format!("{positions} tokens are asked for, the model holds {context}; shorten the text")))
}

/// Refuses ids that the model does not have.
fn check_ids(ids: &[u32], vocab: usize) -> Result<()> {
    match ids.iter().find(|&&id| id as usize >= vocab) {
        None => Ok(()),
        Some(id) => Err(Error::Data(format!(
            "token {id} is outside the vocabulary; the model's ids go from 0 to {}",
            vocab - 1
        ))),
    }
}
