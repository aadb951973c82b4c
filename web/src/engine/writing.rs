//! How an answer is written, and what the page hears of it on the way.

use kindling::sample::{
    GenerationRequest, SamplingConfig, UnmaskConfig, UnmaskStep, Unmasked, Written, log_probability,
};
use kindling::tokenizer::Tokenizer;

use super::messages::chat::{Alternative, TokenLogprob};
use super::messages::diffusion::UnmaskedToken;
use super::messages::run::EngineEvent as Event;
use super::port::Port;
use super::state::Talking;

/// The most tokens that one event tells of.
const MOST_FILLED: usize = 128;

/// How an answer is written.
pub struct Writing<'a> {
    /// Its vocabulary, and where it ends.
    pub talking: Talking,
    /// How tokens are chosen.
    pub sampling: SamplingConfig,
    /// How a masked predictor fills its masks.
    pub unmask: UnmaskConfig,
    /// How many alternatives are told for each token, where log-probabilities are.
    pub top: Option<usize>,
    /// Who hears of it.
    pub port: &'a Port,
}

impl Writing<'_> {
    /// What is to be written behind a prompt, or into a text with holes; of the prompt so many ids were read before.
    pub fn request<'r>(&'r self, prompt: &'r [u32], reuse: usize) -> GenerationRequest<'r> {
        GenerationRequest {
            prompt,
            reuse,
            end_ids: &self.talking.ends,
            tokenizer: Some(self.talking.tokenizer.as_ref()),
            config: &self.sampling,
            unmask: self.unmask,
        }
    }

    /// Tells the page what was written.
    pub fn tell(&self, written: &Written<'_>) {
        let tokenizer = self.talking.tokenizer.as_ref();
        match written {
            Written::Piece(piece) => {
                let token = piece.token.zip(self.top);
                let logprob = token.map(|((id, logits), top)| describe(tokenizer, id, logits, top));
                self.port.tell(&Event::Token { text: piece.text.to_string(), logprob });
            }
            Written::Step(step) => self.tell_step(step),
        }
    }

    fn tell_step(&self, UnmaskStep { step, steps, filled, canvas }: &UnmaskStep<'_>) {
        let tokenizer = self.talking.tokenizer.as_ref();
        let (step, steps, canvas_length) = (*step as u32, *steps as u32, canvas.len() as u32);
        for part in filled.chunks(MOST_FILLED) {
            let token = |token: &Unmasked| UnmaskedToken {
                place: token.place as u32,
                id: token.id,
                text: tokenizer.token_text(token.id),
                confidence: token.confidence.into(),
            };
            let filled = part.iter().map(token).collect();
            self.port.tell(&Event::Unmasked { step, steps, filled, canvas_length });
        }
    }
}

/// A token, how likely it was, and so many of the likeliest ones.
fn describe(tokenizer: &Tokenizer, id: u32, logits: &[f32], top: usize) -> TokenLogprob {
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    let top = top.min(order.len());
    let likely = |id: &u32| -logits[*id as usize];
    if top > 0 && top < order.len() {
        order.select_nth_unstable_by(top - 1, |a, b| likely(a).total_cmp(&likely(b)));
    }
    order.truncate(top);
    order.sort_by(|a, b| likely(a).total_cmp(&likely(b)));
    let alternative = |id: u32| Alternative {
        token: tokenizer.token_text(id),
        id,
        logprob: Some(log_probability(logits, id)),
    };
    TokenLogprob {
        token: tokenizer.token_text(id),
        id,
        logprob: Some(log_probability(logits, id)),
        top_logprobs: order.into_iter().map(alternative).collect(),
    }
}
