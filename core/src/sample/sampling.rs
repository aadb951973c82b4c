//! Draws one token from the logits: bias, temperature, penalties, top-k, top-p, min-p, in this order.

use super::{SamplingConfig, penalties};
use crate::error::{Error, Result};
use crate::random::Random;
use crate::told::told;

/// Keeps sampling apart from other uses of the same seed.
const SAMPLING_STREAM: u64 = 0x73_61_6d_70_6c_65;

/// Chooses tokens as a [`SamplingConfig`] says, with random numbers of its own.
#[derive(Clone, Debug)]
pub struct Sampler {
    config: SamplingConfig,
    random: Random,
}

/// A token that may still be drawn.
#[derive(Clone, Debug)]
struct Candidate {
    id: u32,
    score: f64,
    /// The probability up to a common factor; the most likely token has 1.
    weight: f64,
}

impl Sampler {
    /// A sampler that starts at the seed of `config`.
    pub fn new(config: &SamplingConfig) -> Self {
        Self { config: config.clone(), random: Random::new(config.seed, SAMPLING_STREAM) }
    }

    /// Draws the next id from `logits`, `[vocab]`. The repetition penalty looks at the ids of `prompt` and answer, the
    /// penalties by count at the `new` ones alone.
    ///
    /// # Errors
    /// Logits that are NaN or positive infinity; a bias of a token that is not among them.
    pub fn next(&mut self, logits: &[f32], prompt: &[u32], new: &[u32]) -> Result<u32> {
        let scores = self.scores(logits, prompt, new)?;
        if self.config.is_greedy() {
            return Ok(argmax(&scores));
        }
        let candidates = self.candidates(&scores);
        Ok(self.draw(&candidates))
    }

    /// As [`Sampler::next`], but as masked predictors draw: the best score with Gumbel noise, `exp(logit) / (−ln u)^T` in
    /// double precision, here its logarithm over the temperature T (Zheng et al., 2024,
    /// <https://arxiv.org/abs/2409.02908>: in single precision it cuts the tails).
    pub(super) fn next_by_gumbel(&mut self, logits: &[f32], prompt: &[u32], new: &[u32]) -> Result<u32> {
        let scores = self.scores(logits, prompt, new)?;
        if self.config.is_greedy() {
            return Ok(argmax(&scores));
        }
        let candidates = self.candidates(&scores);
        let random = &mut self.random;
        Ok(with_gumbel_noise(&candidates, || random.uniform()))
    }

    /// The logits after bias, temperature and penalties.
    fn scores(&self, logits: &[f32], prompt: &[u32], new: &[u32]) -> Result<Vec<f64>> {
        check(logits)?;
        let config = &self.config;
        let temperature = if config.is_greedy() { 1.0 } else { config.temperature };
        let mut scores: Vec<f64> = logits.iter().map(|&logit| f64::from(logit)).collect();
        penalties::add_bias(&mut scores, &config.logit_bias)?;
        scores.iter_mut().for_each(|score| *score /= temperature);
        // By a factor it acts on scores as on logits; what is taken off logits is smaller or larger beside scores.
        penalties::by_repetition(&mut scores, prompt.iter().chain(new), config.repetition_penalty);
        let [presence, frequency] = [config.presence_penalty, config.frequency_penalty];
        penalties::by_count(&mut scores, new, presence / temperature, frequency / temperature);
        Ok(scores)
    }

    fn candidates(&self, scores: &[f64]) -> Vec<Candidate> {
        let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // `libm` gives the same bits on every platform, so a seed means the same text everywhere.
        let candidate =
            |(id, &score): (usize, &f64)| Candidate { id: id as u32, score, weight: libm::exp(score - max) };
        let mut candidates: Vec<Candidate> = scores.iter().enumerate().map(candidate).collect();
        keep_top_k(&mut candidates, self.config.top_k);
        keep_top_p(&mut candidates, self.config.top_p);
        keep_min_p(&mut candidates, self.config.min_p);
        candidates
    }

    fn draw(&mut self, candidates: &[Candidate]) -> u32 {
        let total: f64 = candidates.iter().map(|candidate| candidate.weight).sum();
        let mut rest = self.random.uniform() * total;
        let mut chosen = 0;
        for candidate in candidates.iter().filter(|candidate| candidate.weight > 0.0) {
            chosen = candidate.id;
            rest -= candidate.weight;
            if rest < 0.0 {
                break;
            }
        }
        chosen
    }
}

/// The candidate with the best `score − ln(−ln u)`; the first of several.
fn with_gumbel_noise(candidates: &[Candidate], mut uniform: impl FnMut() -> f64) -> u32 {
    let mut best: Option<(f64, u32)> = None;
    for candidate in candidates {
        let noisy = candidate.score - libm::log(-libm::log(uniform()));
        if best.is_none_or(|(score, _)| noisy > score) {
            best = Some((noisy, candidate.id));
        }
    }
    best.map_or(0, |(_, id)| id)
}

fn check(logits: &[f32]) -> Result<()> {
    let bad = logits.iter().position(|logit| logit.is_nan() || *logit == f32::INFINITY);
    if let Some(id) = bad {
        return Err(Error::Model(told!(
            "model.output",
            "the model's output for token {id} of {tokens} is {value}: its weights are damaged, or the compute type \
             overflows (try --dtype f32)",
            id,
            tokens = logits.len(),
            value = logits[id]
        )));
    }
    if logits.iter().all(|&logit| logit == f32::NEG_INFINITY) {
        return Err(Error::Model(told!(
            "model.rules_out",
            "the model rules out all of its {tokens} tokens, so none can be drawn: its weights are damaged",
            tokens = logits.len()
        )));
    }
    Ok(())
}

/// The id with the highest score; the lowest id of several.
fn argmax(scores: &[f64]) -> u32 {
    let mut best = 0;
    for (id, &score) in scores.iter().enumerate() {
        if score > scores[best] {
            best = id;
        }
    }
    best as u32
}

/// Keeps the `k` best, the lower id of two equal ones; 0 keeps all.
fn keep_top_k(candidates: &mut Vec<Candidate>, k: usize) {
    if k > 0 && k < candidates.len() {
        candidates.select_nth_unstable_by(k - 1, best_first);
        candidates.truncate(k);
        candidates.sort_unstable_by(best_first);
    }
}

/// Keeps the best until their probabilities reach `p`; the one that crosses it stays, and so does the first.
fn keep_top_p(candidates: &mut Vec<Candidate>, p: f64) {
    if p >= 1.0 {
        return;
    }
    candidates.sort_unstable_by(best_first);
    let limit = p * candidates.iter().map(|candidate| candidate.weight).sum::<f64>();
    let mut before = 0.0;
    let crossed = candidates.iter().position(|candidate| {
        let beyond = before > limit;
        before += candidate.weight;
        beyond
    });
    candidates.truncate(crossed.unwrap_or(candidates.len()));
}

/// Keeps those at least `min_p` times as likely as the best, whose weight is 1.
fn keep_min_p(candidates: &mut Vec<Candidate>, min_p: f64) {
    candidates.retain(|candidate| candidate.weight >= min_p);
}

fn best_first(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.score.total_cmp(&a.score).then(a.id.cmp(&b.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plain sampling: every filter off.
    fn plain() -> SamplingConfig {
        with(|_| ())
    }

    /// Plain sampling with a change.
    fn with(change: impl FnOnce(&mut SamplingConfig)) -> SamplingConfig {
        let mut config = SamplingConfig::default();
        (config.temperature, config.top_k, config.top_p) = (1.0, 0, 1.0);
        change(&mut config);
        config
    }

    fn logits(probabilities: &[f64]) -> Vec<f32> {
        probabilities.iter().map(|p| p.ln() as f32).collect()
    }

    /// The ids left after all filters, best first.
    fn kept(config: SamplingConfig, probabilities: &[f64]) -> Vec<u32> {
        let sampler = Sampler::new(&config);
        let mut candidates = sampler.candidates(&sampler.scores(&logits(probabilities), &[], &[]).unwrap());
        candidates.sort_by(best_first);
        candidates.iter().map(|candidate| candidate.id).collect()
    }

    /// How often each id is drawn.
    fn counts(config: &SamplingConfig, logits: &[f32], draws: usize) -> Vec<usize> {
        let mut sampler = Sampler::new(config);
        let mut counts = vec![0; logits.len()];
        for _ in 0..draws {
            counts[sampler.next(logits, &[], &[]).unwrap() as usize] += 1;
        }
        counts
    }

    const FOUR: [f64; 4] = [0.15, 0.5, 0.05, 0.3];

    #[test]
    fn temperature_zero_takes_the_best_and_the_lower_id_of_two() {
        let mut sampler = Sampler::new(&with(|config| config.temperature = 0.0));
        assert_eq!(sampler.next(&[1.0, 3.0, 3.0, -2.0], &[], &[]).unwrap(), 1);
        assert_eq!(sampler.next(&[f32::NEG_INFINITY, -7.0, -6.5], &[], &[]).unwrap(), 2);
    }

    #[test]
    fn the_penalty_also_acts_on_greedy_choices() {
        let config = with(|config| {
            config.temperature = 0.0;
            config.repetition_penalty = 2.0;
        });
        let mut sampler = Sampler::new(&config);
        // 4 / 2 = 2 falls below 3.
        assert_eq!(sampler.next(&[4.0, 3.0], &[], &[]).unwrap(), 0);
        assert_eq!(sampler.next(&[4.0, 3.0], &[0], &[]).unwrap(), 1);
    }

    #[test]
    fn a_bias_comes_first_and_penalties_by_count_look_at_new_tokens_alone() {
        let config = with(|config| {
            config.temperature = 0.5;
            config.repetition_penalty = 2.0;
            config.presence_penalty = 0.5;
            config.frequency_penalty = 0.25;
            config.logit_bias = [(1, -2.0)].into();
        });
        let scores = Sampler::new(&config).scores(&[1.0, 3.0, -1.0, 2.0], &[0, 2], &[1, 1]).unwrap();
        // 0 and 2 stand in the prompt: 1 / 0.5 / 2 and -1 / 0.5 · 2. 1 came twice: (3 - 2) / 0.5 / 2, and off it
        // (0.5 + 2 · 0.25) / 0.5. 3 did not come: 2 / 0.5.
        assert_eq!(scores, [1.0, -1.0, -4.0, 4.0]);
    }

    #[test]
    fn top_k_keeps_the_k_best_and_the_lower_id_of_two() {
        assert_eq!(kept(with(|config| config.top_k = 2), &FOUR), [1, 3]);
        assert_eq!(kept(with(|config| config.top_k = 9), &FOUR), [1, 3, 0, 2]);
        assert_eq!(kept(with(|config| config.top_k = 2), &[0.2, 0.4, 0.2, 0.2]), [1, 0]);
    }

    #[test]
    fn top_p_keeps_the_token_that_crosses_it_and_always_the_first() {
        // Sorted: 0.5, 0.3, 0.15, 0.05; sums before each: 0, 0.5, 0.8, 0.95.
        for (top_p, expected) in [
            (0.0, vec![1]),
            (0.4, vec![1]),
            (0.6, vec![1, 3]),
            (0.85, vec![1, 3, 0]),
            (0.97, vec![1, 3, 0, 2]),
        ] {
            assert_eq!(kept(with(|config| config.top_p = top_p), &FOUR), expected, "top_p {top_p}");
        }
    }

    #[test]
    fn min_p_is_a_share_of_the_best() {
        // 0.2 · 0.5 = 0.1 and 0.5 · 0.5 = 0.25.
        assert_eq!(kept(with(|config| config.min_p = 0.2), &FOUR), [1, 3, 0]);
        assert_eq!(kept(with(|config| config.min_p = 0.5), &FOUR), [1, 3]);
        assert_eq!(kept(with(|config| config.min_p = 1.0), &FOUR), [1]);
    }

    #[test]
    fn top_p_counts_only_what_top_k_left() {
        let probabilities = [0.4, 0.3, 0.2, 0.1];
        let alone = with(|config| config.top_p = 0.5);
        assert_eq!(kept(alone.clone(), &probabilities), [0, 1]);
        // 0.4 / 0.7 = 0.57 is beyond 0.5 already.
        assert_eq!(kept(SamplingConfig { top_k: 2, ..alone }, &probabilities), [0]);
    }

    #[test]
    fn temperature_sharpens_before_the_filters() {
        // Halving the temperature squares: 0.25, 0.09, 0.0225, 0.0025 of 0.365; 0.25 / 0.365 = 0.68.
        let config = with(|config| {
            config.temperature = 0.5;
            config.top_p = 0.6;
        });
        assert_eq!(kept(config, &FOUR), [1]);
    }

    #[test]
    fn frequencies_follow_the_probabilities() {
        let draws = 20_000;
        let counts = counts(&plain(), &logits(&FOUR), draws);
        let chi_square: f64 = FOUR
            .iter()
            .zip(&counts)
            .map(|(p, &count)| (count as f64 - p * draws as f64).powi(2) / (p * draws as f64))
            .sum();
        // Three degrees of freedom: 16.27 is passed by chance once in a thousand.
        assert!(chi_square < 16.27, "{chi_square} {counts:?}");
    }

    #[test]
    fn gumbel_noise_by_hand() {
        // Temperature 2: exp(l) / (−ln u)^2 with u = 0.5, 0.9, 0.1 is 1/0.480, 0.5/0.0111, 4/5.30 = 2.08, 45.0, 0.754.
        let logits = [0.0, 0.5f32.ln(), 4f32.ln()];
        let sampler = Sampler::new(&with(|config| config.temperature = 2.0));
        let candidates = sampler.candidates(&sampler.scores(&logits, &[], &[]).unwrap());
        let best = |uniforms: [f64; 3]| {
            let mut uniforms = uniforms.into_iter();
            with_gumbel_noise(&candidates, || uniforms.next().unwrap())
        };
        assert_eq!(best([0.5, 0.9, 0.1]), 1);
        // 1/0.480, 0.5/0.480, 4/0.480.
        assert_eq!(best([0.5; 3]), 2);
        // 4/5.30 = 0.754 falls below 1/0.480; a number of zero is infinitely unlucky.
        assert_eq!((best([0.5, 0.5, 0.1]), best([0.0, 0.0, 0.01])), (0, 2));
        assert_eq!(best([0.0; 3]), 0, "the first of several");
    }

    #[test]
    fn frequencies_with_gumbel_noise_follow_the_probabilities_too() {
        let mut sampler = Sampler::new(&plain());
        let mut counts = [0usize; 4];
        for _ in 0..20_000 {
            counts[sampler.next_by_gumbel(&logits(&FOUR), &[], &[]).unwrap() as usize] += 1;
        }
        let chi_square: f64 =
            FOUR.iter().zip(counts).map(|(p, count)| (count as f64 - p * 2e4).powi(2) / (p * 2e4)).sum();
        assert!(chi_square < 16.27, "{chi_square} {counts:?}");
        // Filters and the penalty act before it.
        let mut sampler = Sampler::new(&with(|config| config.top_k = 1));
        assert!((0..50).all(|_| sampler.next_by_gumbel(&logits(&FOUR), &[], &[]).unwrap() == 1));
        let mut sampler = Sampler::new(&with(|config| {
            config.temperature = 0.0;
            config.repetition_penalty = 2.0;
        }));
        assert_eq!(sampler.next_by_gumbel(&[4.0, 3.0], &[0], &[]).unwrap(), 1);
        assert!(sampler.next_by_gumbel(&[f32::NAN, 3.0], &[0], &[]).is_err());
    }

    #[test]
    fn ruled_out_tokens_are_never_drawn() {
        let logits = [f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY, 0.0];
        let counts = counts(&plain(), &logits, 1000);
        assert_eq!((counts[0], counts[2]), (0, 0));
        assert!(counts[1] > 400 && counts[3] > 400, "{counts:?}");
    }

    #[test]
    fn a_seed_fixes_the_draws_and_another_seed_changes_them() {
        let draws = |seed| {
            let mut sampler = Sampler::new(&with(|config| config.seed = seed));
            (0..50).map(|_| sampler.next(&logits(&FOUR), &[], &[]).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(draws(0), draws(0));
        assert_ne!(draws(0), draws(1));
    }

    #[test]
    fn logits_that_are_no_numbers_are_refused_by_place() {
        let mut sampler = Sampler::new(&plain());
        let message = sampler.next(&[0.0, f32::NAN, 1.0], &[], &[]).unwrap_err().to_string();
        assert!(message.contains("token 1 of 3 is NaN"), "{message}");
        assert!(sampler.next(&[f32::INFINITY, 0.0], &[], &[]).is_err());
        assert!(sampler.next(&[f32::NEG_INFINITY; 2], &[], &[]).is_err());
    }

    #[test]
    fn extreme_temperatures_still_draw() {
        for temperature in [1e-300, 1e-5, 1e300] {
            let mut sampler = Sampler::new(&with(|config| config.temperature = temperature));
            assert!(sampler.next(&[3e38, -3e38, 0.0], &[], &[]).unwrap() < 3);
        }
    }
}
