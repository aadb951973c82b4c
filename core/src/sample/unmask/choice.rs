//! Which of the masked places a step fills, and with what.

use super::config::{Remasking, UnmaskConfig};
use super::written::Unmasked;
use crate::error::Result;
use crate::random::Random;
use crate::sample::request::GenerationRequest;
use crate::sample::sampling::Sampler;

/// Keeps random remasking apart from other uses of the same seed.
const REMASKING_STREAM: u64 = 0x72_65_6d_61_73_6b;

/// Chooses tokens and places.
pub(super) struct Chooser {
    sampler: Sampler,
    /// Ranks places where the order is random.
    random: Random,
    unmask: UnmaskConfig,
    forbidden: Vec<u32>,
}

/// What would be filled in at a place.
struct Guess {
    place: usize,
    id: u32,
    probability: f64,
    /// The higher, the sooner it is filled.
    rank: f64,
}

impl Chooser {
    /// A chooser that never takes the `forbidden` tokens.
    pub(super) fn new(request: &GenerationRequest, forbidden: Vec<u32>) -> Self {
        let random = Random::new(request.config.seed, REMASKING_STREAM);
        Self { sampler: Sampler::new(request.config), random, unmask: request.unmask, forbidden }
    }

    /// The tokens to fill, the surest first: `count` of them, and beyond those all whose probability reaches the threshold.
    /// `given` holds the ids of the prompt, and `made` those that were filled, for the penalties.
    ///
    /// LLaDA's `confidence_eos_eot_inf` means to keep end tokens from being sure, but is applied after the tokens are
    /// chosen; here forbidden tokens have no logit before anything is chosen.
    ///
    /// # Shapes
    /// `rows` of `n · vocab` logits for `n` places.
    pub(super) fn choose(
        &mut self,
        places: &[usize],
        rows: &mut [f32],
        [given, made]: [&[u32]; 2],
        count: usize,
    ) -> Result<Vec<Unmasked>> {
        let mut guesses = Vec::with_capacity(places.len());
        let vocab = (rows.len() / places.len().max(1)).max(1);
        for (&place, row) in places.iter().zip(rows.chunks_exact_mut(vocab)) {
            for &id in &self.forbidden {
                if let Some(logit) = row.get_mut(id as usize) {
                    *logit = f32::NEG_INFINITY;
                }
            }
            let id = self.sampler.next_by_gumbel(row, given, made)?;
            let probability = probability(row, id);
            let rank = match self.unmask.remasking {
                Remasking::LowConfidence => probability,
                Remasking::Random => self.random.uniform(),
            };
            guesses.push(Guess { place, id, probability, rank });
        }
        guesses.sort_by(|a, b| b.rank.total_cmp(&a.rank).then(a.place.cmp(&b.place)));
        let sure = self
            .unmask
            .threshold
            .map_or(0, |threshold| guesses.iter().take_while(|guess| guess.probability >= threshold).count());
        guesses.truncate(count.max(sure));
        let filled = |guess: Guess| Unmasked {
            place: guess.place,
            id: guess.id,
            confidence: guess.probability as f32,
        };
        Ok(guesses.into_iter().map(filled).collect())
    }
}

/// The probability of `id` under a row of logits, in double precision; `libm` gives the same bits on every platform, so
/// that places are filled in the same order everywhere.
fn probability(row: &[f32], id: u32) -> f64 {
    let max = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let weight = |logit: f32| libm::exp(f64::from(logit) - max);
    let sum: f64 = row.iter().map(|&logit| weight(logit)).sum();
    row.get(id as usize).map_or(0.0, |&logit| weight(logit) / sum)
}

/// Classifier-free guidance: `un + (scale + 1) · (with − un)` in the place of `with`, the logits with the prompt beside
/// those without.
pub(super) fn guide(with: &mut [f32], without: &[f32], scale: f64) {
    let scale = (scale + 1.0) as f32;
    for (with, &un) in with.iter_mut().zip(without) {
        *with = un + scale * (*with - un);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::SamplingConfig;

    /// Three places whose likeliest ids 1, 2 and 0 have the probabilities 1/2, 4/6 and 1/2.
    fn rows() -> Vec<f32> {
        let row = |weights: [f32; 3]| weights.map(f32::ln);
        [row([1.0, 2.0, 1.0]), row([1.0, 1.0, 4.0]), row([2.0, 1.0, 1.0])].concat()
    }

    fn choose(unmask: UnmaskConfig, seed: u64, forbidden: &[u32], count: usize) -> Vec<Unmasked> {
        let config = SamplingConfig { temperature: 0.0, seed, ..SamplingConfig::default() };
        let request = GenerationRequest {
            prompt: &[0],
            reuse: 0,
            end_ids: &[],
            tokenizer: None,
            config: &config,
            unmask,
        };
        let mut chooser = Chooser::new(&request, forbidden.to_vec());
        chooser.choose(&[4, 6, 7], &mut rows(), [&[], &[]], count).unwrap()
    }

    fn places(filled: &[Unmasked]) -> Vec<usize> {
        filled.iter().map(|filled| filled.place).collect()
    }

    #[test]
    fn the_surest_come_first_and_the_left_one_of_two() {
        let all = choose(UnmaskConfig::default(), 0, &[], 3);
        assert_eq!(
            all.iter().map(|filled| (filled.place, filled.id)).collect::<Vec<_>>(),
            [(6, 2), (4, 1), (7, 0)]
        );
        let confidences = [2.0 / 3.0, 0.5, 0.5];
        assert!(all.iter().zip(confidences).all(|(a, b)| (a.confidence - b).abs() < 1e-6), "{all:?}");
        assert_eq!(places(&choose(UnmaskConfig::default(), 0, &[], 1)), [6]);
    }

    #[test]
    fn forbidden_tokens_are_neither_chosen_nor_counted() {
        // Without 2: 1 of [1, 2], a tie of 1 and 1, 0 of [2, 1].
        let all = choose(UnmaskConfig::default(), 0, &[2, 99], 3);
        assert_eq!(
            all.iter().map(|filled| (filled.place, filled.id)).collect::<Vec<_>>(),
            [(4, 1), (7, 0), (6, 0)]
        );
        assert!((all[0].confidence - 2.0 / 3.0).abs() < 1e-6 && (all[2].confidence - 0.5).abs() < 1e-6);
    }

    #[test]
    fn a_threshold_fills_all_that_are_sure_and_always_one() {
        let filled = |threshold| {
            let unmask = UnmaskConfig { threshold: Some(threshold), ..UnmaskConfig::default() };
            places(&choose(unmask, 0, &[], 1))
        };
        assert_eq!(filled(0.0), [6, 4, 7]);
        assert_eq!(filled(0.6), [6]);
        assert_eq!(filled(1.0), [6], "none is so sure");
    }

    #[test]
    fn a_random_order_is_that_of_its_seed_and_shows_the_models_own_confidence() {
        let unmask = UnmaskConfig { remasking: Remasking::Random, ..UnmaskConfig::default() };
        let orders: Vec<_> = (0..30).map(|seed| places(&choose(unmask, seed, &[], 3))).collect();
        assert_eq!(orders, (0..30).map(|seed| places(&choose(unmask, seed, &[], 3))).collect::<Vec<_>>());
        for first in [4, 6, 7] {
            assert!(orders.iter().any(|order| order[0] == first), "{orders:?}");
        }
        let filled = choose(unmask, 3, &[], 3);
        let sure = filled.iter().find(|filled| filled.place == 6).unwrap();
        assert!((sure.confidence - 2.0 / 3.0).abs() < 1e-6);
    }

    #[test]
    fn the_penalty_knows_what_is_there_and_confidence_does_not() {
        let config =
            SamplingConfig { temperature: 0.0, repetition_penalty: 2.0, ..SamplingConfig::default() };
        let request = GenerationRequest {
            prompt: &[0],
            reuse: 0,
            end_ids: &[],
            tokenizer: None,
            config: &config,
            unmask: UnmaskConfig::default(),
        };
        let mut chooser = Chooser::new(&request, Vec::new());
        // It counts what is given and what was filled alike.
        for ([given, made], id, probability) in [
            ([&[0][..], &[][..]], 1, 0.731_058_6),
            ([&[1][..], &[][..]], 0, 0.268_941_4),
            ([&[][..], &[1][..]], 0, 0.268_941_4),
        ] {
            // 3 / 2 falls below 2.
            let filled = chooser.choose(&[5], &mut [2.0, 3.0], [given, made], 1).unwrap();
            assert_eq!((filled[0].place, filled[0].id), (5, id));
            assert!((filled[0].confidence - probability).abs() < 1e-6, "{filled:?}");
        }
    }

    #[test]
    fn guidance_by_hand() {
        let mut with = [1.0, -2.0, 0.5];
        guide(&mut with, &[0.0, 1.0, 0.5], 0.5);
        assert_eq!(with, [1.5, -3.5, 0.5]);
        let mut same = [1.0, -2.0];
        guide(&mut same, &[0.0, 1.0], 0.0);
        assert_eq!(same, [1.0, -2.0], "no scale, no guidance");
    }
}
