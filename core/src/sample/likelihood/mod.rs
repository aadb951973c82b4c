//! How likely a masked predictor finds an answer: parts of it are hidden at random, and how well they are predicted bounds the
//! likelihood from below (Nie et al., 2025, <https://arxiv.org/abs/2502.09992>, `get_log_likelihood.py`).
//!
//! Of L tokens exactly x are hidden, x spread evenly over 1 to L, and `−log p ≤ mean Σ_hidden CE · L / x`. In a block model
//! each block is hidden by its own x, so that blocks of one token give the exact value of the causal model.

mod config;
mod hidden;

pub use config::LikelihoodConfig;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use self::hidden::Hidden;
use super::{check_fits, check_ids};
use crate::error::{Error, Result};
use crate::kernels::token_log_probs;
use crate::model::{DiffusionConfig, MaskedRows, Trace, Transformer, read};
use crate::platform::breathe;
use crate::random::Random;
use crate::told::told;

/// Random numbers of what is hidden.
const STREAM: u64 = 0x6869_6464_656e;
/// Most logits of one pass: 256 MB in f32.
const MOST_LOGITS: usize = 1 << 26;
/// Most attention scores of a layer in one pass.
const MOST_SCORES: usize = 1 << 26;

/// An estimate of how likely an answer is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Likelihood {
    /// The negative log-likelihood in nats: the estimate of its upper bound, or, where it is no bound, itself.
    pub nll: f64,
    /// By how much the estimate is off, from how far batches of draws are apart; none where there was one batch only.
    pub standard_error: Option<f64>,
    /// How often parts of the answer were hidden; once where every draw would hide the same.
    pub draws: usize,
    /// Whether it is a bound: every part of one token gives the exact value.
    pub is_bound: bool,
}

/// The score of a text under a masked predictor; its JSON form is that of `score --json`, where what is not finite becomes
/// `null`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MaskedScore {
    /// The ids of the text.
    pub tokens: Vec<u32>,
    /// The negative log-likelihood of all ids but the first behind it, in nats.
    pub nll: Option<f64>,
    /// Whether that is an upper bound, which the average over hidden parts is.
    pub nll_is_bound: bool,
    /// By how much the average may be off; none where that is not known.
    pub nll_standard_error: Option<f64>,
    /// How often parts of the text were hidden.
    pub mc: usize,
    /// How many tokens were predicted.
    pub tokens_scored: usize,
    /// Bits needed per byte of the predicted text, as far as `nll` tells; none where its bytes are not known.
    pub bits_per_byte: Option<f64>,
}

/// A masked predictor that is asked how likely answers are.
pub struct MaskedScorer {
    model: Transformer,
    diffusion: DiffusionConfig,
    config: LikelihoodConfig,
}

impl MaskedScorer {
    /// A scorer with these settings.
    ///
    /// # Errors
    /// A model that predicts the next token; settings that do not hold.
    pub fn new(model: &Transformer, config: LikelihoodConfig) -> Result<Self> {
        let diffusion = model.config().check_masked("a likelihood from hidden tokens")?.clone();
        let problems = config.validate();
        if !problems.is_empty() {
            return Err(Error::Config(problems));
        }
        Ok(Self { model: model.settled(), diffusion, config })
    }

    /// How likely all ids but the first are behind it; `bytes` is the size of their text (see
    /// [`scored_bytes`](super::scored_bytes)). Texts of other `number`s have other parts hidden.
    ///
    /// # Errors
    /// No ids, and as [`MaskedScorer::likelihood`].
    pub async fn score(&self, ids: &[u32], bytes: Option<usize>, number: u64) -> Result<MaskedScore> {
        if ids.is_empty() {
            return Err(Error::Data(told!(
                "score.empty",
                "there is nothing to score: the text holds no tokens"
            )));
        }
        let mut weights = vec![1.0; ids.len()];
        weights[0] = 0.0;
        let likelihood = self.likelihood(ids, &weights, number).await?;
        let nll = Some(likelihood.nll).filter(|nll| nll.is_finite());
        let bytes = bytes.filter(|bytes| *bytes > 0);
        Ok(MaskedScore {
            tokens: ids.to_vec(),
            nll,
            nll_is_bound: likelihood.is_bound,
            nll_standard_error: likelihood.standard_error.filter(|error| error.is_finite()),
            mc: likelihood.draws,
            tokens_scored: ids.len() - 1,
            bits_per_byte: nll.zip(bytes).map(|(nll, bytes)| nll / std::f64::consts::LN_2 / bytes as f64),
        })
    }

    /// How likely the ids with a weight are behind those without one, each as often as it weighs. What is hidden depends on
    /// the seed and on `number`.
    ///
    /// # Errors
    /// Another number of weights than of ids, ids outside the vocabulary, a mask among them, more ids than the context, a first
    /// id with a weight where the logits are shifted (nothing predicts it), a device that cannot be read.
    pub async fn likelihood(&self, ids: &[u32], weights: &[f32], number: u64) -> Result<Likelihood> {
        let config = self.model.config();
        check_fits(ids.len(), config.context())?;
        check_ids(ids, config.vocab_size)?;
        if let Some(place) = ids.iter().position(|id| *id == self.diffusion.mask_token_id) {
            return Err(Error::Data(told!(
                "score.mask",
                "token {number} of the text is the model's mask (id {mask}), which stands for a hidden word and is none, so that \
                 it has no likelihood; take it out, or write a word in its place",
                number = place + 1,
                mask = self.diffusion.mask_token_id
            )));
        }
        let first_counts = weights.first().is_some_and(|&weight| weight != 0.0);
        if weights.len() != ids.len() || (first_counts && self.diffusion.shift_logits) {
            return Err(Error::Data(told!(
                "score.answer",
                "{weights} weights for {ids} ids, or a weight for the first, which nothing predicts; give each id one, the \
                 first 0",
                weights = weights.len(),
                ids = ids.len()
            )));
        }
        let answer: Vec<usize> = (0..ids.len()).filter(|&place| weights[place] != 0.0).collect();
        let parts = hidden::parts(&answer, self.diffusion.block_length);
        let is_bound = parts.iter().any(|part| part.len() > 1);
        let draws = if is_bound { self.config.draws() } else { 1 };
        // Each text has a stream of its own.
        let mut random = Random::new(self.config.seed(), STREAM ^ number.rotate_right(16));
        let mut means = Vec::new();
        for size in hidden::batches(draws) {
            let mut sum = 0.0;
            let drawn = hidden::draw(&parts, size, &mut random);
            for rows in self.passes(&drawn, ids.len()) {
                sum += self.nll_of(ids, weights, rows).await?;
                breathe().await;
            }
            means.push((sum / size as f64, size as f64));
        }
        let (nll, standard_error) = mean_and_error(&means);
        let standard_error = if is_bound { standard_error } else { Some(0.0) };
        Ok(Likelihood { nll, standard_error, draws, is_bound })
    }

    /// Draws in passes that memory holds.
    fn passes<'a>(&self, mut drawn: &'a [Hidden], seq: usize) -> Vec<&'a [Hidden]> {
        let config = self.model.config();
        // A block model reads two copies.
        let copies = if self.diffusion.block_length.is_some() { 2 } else { 1 };
        let scores = config.num_attention_heads * (copies * seq).pow(2);
        let rows = (MOST_SCORES / scores.max(1)).max(1);
        let mut passes = Vec::new();
        while !drawn.is_empty() {
            let (mut taken, mut logits) = (0, 0);
            for hidden in drawn.iter().take(rows) {
                logits += hidden.places.len() * config.vocab_size;
                if taken > 0 && logits > MOST_LOGITS {
                    break;
                }
                taken += 1;
            }
            let (pass, rest) = drawn.split_at(taken);
            passes.push(pass);
            drawn = rest;
        }
        passes
    }

    /// `Σ_hidden weight · CE / share` of some draws together.
    async fn nll_of(&self, ids: &[u32], weights: &[f32], drawn: &[Hidden]) -> Result<f64> {
        let seq = ids.len();
        let mask = self.diffusion.mask_token_id;
        let (mut noised, mut places) = (ids.repeat(drawn.len()), Vec::new());
        for (row, hidden) in drawn.iter().enumerate() {
            for place in &hidden.places {
                noised[row * seq + place] = mask;
                places.push((row * seq + place) as u32);
            }
        }
        if places.is_empty() {
            return Ok(0.0);
        }
        let targets: Vec<u32> = places.iter().map(|&place| ids[place as usize % seq]).collect();
        let mut logits = self.logits(ids, &noised, &places);
        let scale = self.config.scale();
        if scale > 0.0 {
            // The same without the prompt, which is hidden whole.
            let hide = |(id, &weight): (&u32, &f32)| if weight == 0.0 { mask } else { *id };
            let unprompted: Vec<u32> = ids.iter().zip(weights).map(hide).collect();
            let hide = |(at, id): (usize, u32)| if weights[at % seq] == 0.0 { mask } else { id };
            let noised: Vec<u32> = noised.into_iter().enumerate().map(hide).collect();
            let without = self.logits(&unprompted, &noised, &places);
            logits = without.clone() + (logits - without) * (scale + 1.0);
        }
        let [tokens, vocab] = logits.dims();
        let log_probs =
            read(token_log_probs(logits.reshape([1, tokens, vocab]), &targets).reshape([tokens])).await?;
        let shares = drawn.iter().flat_map(|hidden| &hidden.shares);
        let each = log_probs.iter().zip(shares).zip(&places);
        Ok(each
            .map(|((&log_prob, share), &place)| {
                -f64::from(log_prob) * f64::from(weights[place as usize % seq]) / share
            })
            .sum())
    }

    /// What predicts the tokens at `places` of rows that are all `clean` before anything is hidden, `[places, vocab]`.
    fn logits(&self, clean: &[u32], noised: &[u32], places: &[u32]) -> Tensor<2> {
        let seq = clean.len();
        let rows = MaskedRows {
            seq,
            noised,
            clean: &clean.repeat(noised.len() / seq),
            segments: &vec![1; noised.len()],
        };
        self.model.forward_masked(&rows, places, &mut Trace::default())
    }
}

/// The mean of all draws and its standard error, from the means of batches and the draws in each.
fn mean_and_error(means: &[(f64, f64)]) -> (f64, Option<f64>) {
    let total: f64 = means.iter().map(|(_, draws)| draws).sum();
    let mean = means.iter().map(|(mean, draws)| mean * draws).sum::<f64>() / total;
    if means.len() < 2 {
        return (mean, None);
    }
    // Draws of a batch are spread out together, so that batches, and not draws, are independent.
    let apart: f64 = means.iter().map(|(batch, draws)| ((batch - mean) * draws / total).powi(2)).sum();
    let batches = means.len() as f64;
    (mean, Some((apart * batches / (batches - 1.0)).sqrt()))
}

#[cfg(test)]
mod tests;
