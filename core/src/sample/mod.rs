//! From logits to text: drawing tokens, stopping in time, and scoring given text.

mod answer;
mod batcher;
mod config;
mod constraint;
mod decoder;
mod embedding;
#[cfg(test)]
pub(crate) mod fake;
mod foreign_settings;
mod generate;
mod generation;
mod hole_text;
mod holes;
mod likelihood;
mod of_model;
mod penalties;
mod request;
mod row_settings;
mod sampling;
mod score;
mod stop;
mod streamed;
mod together;
mod unmask;
mod writer;

pub use batcher::{BatchCounts, BatchEvent, BatchLimits, BatchRequest, Batcher, Ticket};
pub use config::SamplingConfig;
pub use constraint::Constraint;
pub use decoder::Decoder;
pub use embedding::{Embedder, Pooling};
pub use generate::{generate, generate_pieces};
pub use generation::{FinishReason, Flow, Generation, Piece};
pub use hole_text::has_holes;
pub use holes::{Canvas, Filled, HOLE_TOKENS, canvas_of, unescaped};
pub use likelihood::{Likelihood, LikelihoodConfig, MaskedScore, MaskedScorer};
pub use of_model::OfModel;
pub use request::GenerationRequest;
pub use row_settings::{ROW_HOLE_TOKENS, row_hole_tokens, row_settings, row_unmask_settings};
pub use sampling::Sampler;
pub use score::{Score, Scorer, log_probability, scored_bytes};
pub use stop::{StopMatcher, StopPiece};
pub use together::{SideBySide, generate_together};
pub use unmask::{MaskedDecoder, Remasking, UnmaskConfig, UnmaskStep, Unmasked, Written, check_unmask};
pub use writer::Writer;

use crate::error::{Error, Result};
use crate::told::told;

/// Longest piece of a prompt in one pass.
const PREFILL: usize = 512;

/// Most attention scores of one layer in one pass: in f32 as many bytes as WebGPU binds at once by default.
const MOST_SCORES: usize = 1 << 25;

/// The pieces in which a prompt is read behind `past` positions, so that the attention scores of `heads` heads stay
/// bounded, however long it is.
fn pieces(mut ids: &[u32], past: usize, heads: usize) -> Vec<&[u32]> {
    let (mut pieces, mut keys) = (Vec::new(), past);
    while !ids.is_empty() {
        let (piece, rest) = ids.split_at(longest_piece(ids.len(), keys, heads));
        pieces.push(piece);
        keys += piece.len();
        ids = rest;
    }
    pieces
}

/// How many of so many ids are read in one pass behind `past` positions.
fn longest_piece(ids: usize, past: usize, heads: usize) -> usize {
    let longest = ids.min(PREFILL);
    let most = MOST_SCORES / (heads * (past + longest)).max(1);
    longest.min(most.max(1))
}

/// What generation needs of a model: feed ids, get the next-token logits of the last position.
// Generation runs on one thread, in the browser and in the command line, so no `Send` is promised.
#[allow(async_fn_in_trait)]
pub trait Autoregressive {
    /// Appends `ids` (at least one) to what was fed before and returns the logits of the last
    /// position, `[vocab]`.
    async fn feed(&mut self, ids: &[u32]) -> Result<Vec<f32>>;

    /// The same for one id that was drawn from those logits: a model may take it a little less exactly, where that is
    /// faster.
    async fn feed_drawn(&mut self, id: u32) -> Result<Vec<f32>> {
        self.feed(&[id]).await
    }

    /// Most positions that the model can hold.
    fn context(&self) -> usize;

    /// Number of ids fed so far.
    fn position(&self) -> usize;

    /// How many of them, from the first on, stand as they would had they been read: those that were drawn do not where the
    /// model takes them less exactly.
    fn reusable(&self) -> usize {
        self.position()
    }

    /// Forgets everything from `position` on.
    fn rewind(&mut self, position: usize) -> Result<()>;
}

/// Refuses more positions than the model holds.
fn check_fits(positions: usize, context: usize) -> Result<()> {
    if positions <= context {
        return Ok(());
    }
    Err(Error::Data(told!(
        "sampling.context",
        "{positions} tokens are asked for, the model holds {context}; shorten the text",
        positions,
        context
    )))
}

/// Refuses ids that the model does not have.
///
/// # Errors
/// The first of them.
pub fn check_ids(ids: &[u32], vocab: usize) -> Result<()> {
    match ids.iter().find(|&&id| id as usize >= vocab) {
        None => Ok(()),
        Some(id) => Err(Error::Data(told!(
            "sampling.id",
            "token {id} is outside the vocabulary; the model's ids go from 0 to {most}",
            id,
            most = vocab - 1
        ))),
    }
}

/// Refuses a bias of a token that the model does not have.
fn check_biased(config: &SamplingConfig, vocab: usize) -> Result<()> {
    let largest = config.logit_bias.keys().next_back();
    check_ids(largest.map(std::slice::from_ref).unwrap_or_default(), vocab)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_all_of_a_prompt_and_their_scores_are_bounded() {
        let ids: Vec<u32> = (0..9000).collect();
        for (past, heads) in [(0, 4), (0, 32), (120_000, 32), (7, 1 << 20)] {
            let prompt = &ids[..if heads > 99 { 50 } else { 9000 }];
            let found = pieces(prompt, past, heads);
            assert_eq!(found.concat(), prompt, "nothing is lost");
            let mut keys = past;
            for piece in &found {
                keys += piece.len();
                let bounded = piece.len() == 1 || piece.len() * keys * heads <= MOST_SCORES;
                assert!(piece.len() <= PREFILL && bounded, "{} behind {keys}", piece.len());
            }
        }
        // Short prompts are read as one.
        assert_eq!(pieces(&ids[..512], 0, 32), [&ids[..512]]);
        assert_eq!(pieces(&ids[..513], 0, 8), [&ids[..512], &ids[512..513]]);
        assert!(pieces(&[], 5, 8).is_empty());
    }
}
