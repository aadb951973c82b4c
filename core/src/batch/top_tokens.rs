//! What is kept of a teacher that is asked once: its likeliest tokens at each target.

use std::cmp::Ordering;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// What is less likely than this, in nats (1e-30), counts as so likely, so that every logarithm is finite.
const LEAST: f64 = -69.0;

/// The likeliest tokens at some targets, one target behind the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopTokens {
    /// Tokens of each target.
    pub top_k: usize,
    /// Tokens that share its probability; where these are `top_k`, no other is left.
    pub vocab: usize,
    /// `top_k` of each target, the likeliest first.
    pub ids: Vec<u32>,
    /// Of each target their log-probabilities in nats, and behind them that of all other tokens together: `top_k + 1`.
    pub log_probs: Vec<f32>,
}

impl TopTokens {
    /// Those of no target.
    pub fn new(top_k: usize, vocab: usize) -> Self {
        Self { top_k, vocab, ids: Vec::new(), log_probs: Vec::new() }
    }

    /// How many targets they are of.
    pub fn targets(&self) -> usize {
        self.ids.len() / self.top_k.max(1)
    }

    /// Those of some of the targets.
    pub fn of_targets(&self, targets: Range<usize>) -> Self {
        let of = |each: usize| targets.start * each..targets.end * each;
        let ids = self.ids.get(of(self.top_k)).unwrap_or_default().to_vec();
        let log_probs = self.log_probs.get(of(self.top_k + 1)).unwrap_or_default().to_vec();
        Self { ids, log_probs, ..*self }
    }

    /// Adds those of the targets behind.
    pub fn extend(&mut self, behind: &Self) {
        self.ids.extend(&behind.ids);
        self.log_probs.extend(&behind.log_probs);
    }

    /// Adds a target: of these logits, over the temperature, the `top_k` highest among the first `vocab`, of equal ones the
    /// first. Says whether there are so many and all are numbers; else nothing is added.
    pub fn push(&mut self, logits: &[f32], temperature: f64) -> bool {
        let logits = &logits[..self.vocab.min(logits.len())];
        if !(1..=logits.len()).contains(&self.top_k) || logits.iter().any(|logit| !logit.is_finite()) {
            return false;
        }
        let likelier = |a: &u32, b: &u32| -> Ordering {
            logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b))
        };
        let mut order: Vec<u32> = (0..logits.len() as u32).collect();
        if self.top_k < order.len() {
            order.select_nth_unstable_by(self.top_k - 1, likelier);
        }
        let (top, rest) = order.split_at_mut(self.top_k);
        top.sort_unstable_by(likelier);
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let ahead = |id: &u32| (f64::from(logits[*id as usize]) - f64::from(highest)) / temperature;
        let sum = |ids: &[u32]| ids.iter().map(|id| ahead(id).exp()).sum::<f64>();
        let of_rest = sum(rest);
        let total = (sum(top) + of_rest).ln();
        let told = |log_prob: f64| log_prob.max(LEAST) as f32;
        self.log_probs.extend(top.iter().map(|id| told(ahead(id) - total)));
        self.log_probs.push(told(of_rest.ln() - total));
        self.ids.extend_from_slice(top);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_and_what_all_others_hold_by_hand() {
        // Probabilities of 1/8, 4/8, 2/8 and 1/8, and one that the student lacks.
        let logits = [0.0, 4f32.ln(), 2f32.ln(), 0.0, 9.0];
        let mut top = TopTokens::new(2, 4);
        assert!(top.push(&logits, 1.0));
        // At a temperature of 2 their roots: 1, 2, √2 and 1.
        assert!(top.push(&logits, 2.0));
        assert_eq!((top.targets(), &top.ids[..]), (2, &[1, 2, 1, 2][..]));
        let total = 4.0 + 2f64.sqrt();
        let expected = [0.5, 0.25, 0.25, 2.0 / total, 2f64.sqrt() / total, 2.0 / total];
        for (found, expected) in top.log_probs.iter().zip(expected) {
            assert!((f64::from(*found).exp() - expected).abs() < 1e-6, "{:?}", top.log_probs);
        }
        let second = top.of_targets(1..2);
        assert_eq!((second.targets(), &second.log_probs[..]), (1, &top.log_probs[3..]));
        let mut again = top.of_targets(0..1);
        again.extend(&second);
        assert_eq!(again, top);
    }

    #[test]
    fn all_tokens_leave_no_other_and_what_is_no_number_is_not_taken() {
        let mut all = TopTokens::new(3, 3);
        assert!(all.push(&[1.0, -200.0, 1.0], 1.0));
        assert_eq!(all.ids, [0, 2, 1], "of equal ones the first");
        assert!((all.log_probs[0] + std::f32::consts::LN_2).abs() < 1e-6);
        assert_eq!(all.log_probs[2..], [-69.0, -69.0], "nothing is less likely");
        let before = all.clone();
        assert!(!all.push(&[1.0, f32::NAN, 0.0], 1.0) && !all.push(&[], 1.0));
        assert_eq!(all, before);
    }
}
