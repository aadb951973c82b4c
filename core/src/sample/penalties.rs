//! What is added to the scores of tokens, and taken off them, before one is drawn.

use std::collections::BTreeMap;

use crate::error::Result;

/// Adds to each score the bias of its id.
///
/// # Errors
/// A bias of an id that has no score.
pub(super) fn add_bias(scores: &mut [f64], bias: &BTreeMap<u32, f64>) -> Result<()> {
    let largest = bias.keys().next_back();
    super::check_ids(largest.map(std::slice::from_ref).unwrap_or_default(), scores.len())?;
    for (&id, bias) in bias {
        if let Some(score) = scores.get_mut(id as usize) {
            *score += bias;
        }
    }
    Ok(())
}

/// Divides positive scores of ids seen before by `penalty` and multiplies negative ones, once per id (Keskar et al., 2019,
/// <https://arxiv.org/abs/1909.05858>; for negative scores as in transformers).
pub(super) fn by_repetition<'a>(scores: &mut [f64], seen: impl Iterator<Item = &'a u32>, penalty: f64) {
    if penalty == 1.0 {
        return;
    }
    let counts = counts(seen, scores.len());
    for (score, _) in scores.iter_mut().zip(counts).filter(|(_, count)| *count > 0) {
        *score = if *score > 0.0 { *score / penalty } else { *score * penalty };
    }
}

/// Takes `presence + frequency · count` off the score of each id that came, as OpenAI's API has it.
pub(super) fn by_count(scores: &mut [f64], new: &[u32], presence: f64, frequency: f64) {
    if presence == 0.0 && frequency == 0.0 {
        return;
    }
    let counts = counts(new.iter(), scores.len());
    for (score, count) in scores.iter_mut().zip(counts).filter(|(_, count)| *count > 0) {
        *score -= presence + frequency * f64::from(count);
    }
}

/// How often each id came.
fn counts<'a>(ids: impl Iterator<Item = &'a u32>, vocab: usize) -> Vec<u32> {
    let mut counts = vec![0; vocab];
    for &id in ids {
        if let Some(count) = counts.get_mut(id as usize) {
            *count += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Sampler, SamplingConfig};

    #[test]
    fn the_penalty_divides_positive_scores_and_multiplies_negative_ones_once_per_id() {
        let mut scores = [2.0, -1.0, 0.0, 3.0];
        by_repetition(&mut scores, [0, 1, 0, 2, 99].iter(), 2.0);
        assert_eq!(scores, [1.0, -2.0, 0.0, 3.0]);
    }

    #[test]
    fn penalties_by_count_are_those_of_openai() {
        // mu[j] - c[j] · frequency - [c[j] > 0] · presence, of the counts 3, 0, 1.
        let new = [0, 2, 0, 0, 99];
        let penalized = |presence: f64, frequency: f64| {
            let mut scores = [1.0, 1.0, -1.0];
            by_count(&mut scores, &new, presence, frequency);
            scores
        };
        assert_eq!(penalized(0.5, 0.25), [1.0 - 0.75 - 0.5, 1.0, -1.0 - 0.25 - 0.5]);
        assert_eq!(penalized(0.5, 0.0), [0.5, 1.0, -1.5]);
        assert_eq!(penalized(0.0, -1.0), [4.0, 1.0, 0.0], "below zero they make repetitions likelier");
        assert_eq!(penalized(0.0, 0.0), [1.0, 1.0, -1.0]);
    }

    #[test]
    fn a_bias_is_added_and_a_token_that_is_not_there_refused() {
        let mut scores = [1.0, 2.0];
        add_bias(&mut scores, &[(0, 0.5), (1, -100.0)].into()).unwrap();
        assert_eq!(scores, [1.5, -98.0]);
        assert!(add_bias(&mut scores, &[(0, 1.0), (2, 1.0)].into()).is_err());
        assert_eq!(scores, [1.5, -98.0], "nothing is added where one is refused");
    }

    #[test]
    fn a_bias_forces_and_forbids_greedy_choices_and_must_be_of_a_token() {
        let next = |id: u32, bias: f64| {
            let logit_bias = [(id, bias)].into();
            let config = SamplingConfig { temperature: 0.0, logit_bias, ..SamplingConfig::default() };
            Sampler::new(&config).next(&[1.0, 5.0, 2.0], &[], &[])
        };
        assert_eq!((next(0, 100.0).unwrap(), next(1, -100.0).unwrap(), next(0, 3.9).unwrap()), (0, 2, 1));
        let error = next(3, 1.0).unwrap_err();
        assert!(error.to_string().contains("token 3 is outside the vocabulary"), "{error}");
    }
}
