//! How sure a result is: 95 % intervals.
//!
//! Shares of right answers have Wilson's interval (1927), which is a formula, never leaves 0 to 1, and holds near both ends
//! and for few questions, where mean ± 1.96 standard errors does not. The difference of two models on the same questions
//! has Newcombe's for paired proportions (1998, method 10), which is made of both Wilson intervals. Ratios of sums, as bits
//! per byte, have no such formula: texts are drawn again (bootstrap, percentiles).

use serde::{Deserialize, Serialize};

use crate::random::Random;

/// The 97.5th percentile of the standard normal distribution.
const Z: f64 = 1.959_963_984_540_054;
/// Draws of a bootstrap, and the stream of its random numbers.
const DRAWS: usize = 2000;
const STREAM: u64 = 0x626f_6f74;

/// A share of right answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Right ones.
    pub correct: u64,
    /// Of so many.
    pub n: u64,
}

impl Share {
    /// Counts one more.
    pub fn add(&mut self, is_right: bool) {
        self.n += 1;
        self.correct += u64::from(is_right);
    }

    /// The share; NaN of none.
    pub fn value(self) -> f64 {
        self.correct as f64 / self.n as f64
    }

    /// Wilson's interval; all from 0 to 1 where nothing was asked.
    pub fn interval(self) -> [f64; 2] {
        if self.n == 0 {
            return [0.0, 1.0];
        }
        let (p, n) = (self.value(), self.n as f64);
        let whole = 1.0 + Z * Z / n;
        let middle = (p + Z * Z / (2.0 * n)) / whole;
        let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt() / whole;
        let low = if self.correct == 0 { 0.0 } else { middle - half };
        let high = if self.correct == self.n { 1.0 } else { middle + half };
        [low, high]
    }
}

/// How two models answered the same questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paired {
    /// Both are right.
    pub both: u64,
    /// The first one alone is.
    pub first_only: u64,
    /// The second one alone is.
    pub second_only: u64,
    /// Neither is.
    pub neither: u64,
}

impl Paired {
    /// Counts a question.
    pub fn add(&mut self, first: bool, second: bool) {
        *match (first, second) {
            (true, true) => &mut self.both,
            (true, false) => &mut self.first_only,
            (false, true) => &mut self.second_only,
            (false, false) => &mut self.neither,
        } += 1;
    }

    fn n(self) -> u64 {
        self.both + self.first_only + self.second_only + self.neither
    }

    /// By how much the second one's share is larger; NaN of no questions.
    pub fn difference(self) -> f64 {
        (self.second_only as f64 - self.first_only as f64) / self.n() as f64
    }

    /// Its interval, within −1 to 1.
    pub fn interval(self) -> [f64; 2] {
        let n = self.n();
        if n == 0 {
            return [-1.0, 1.0];
        }
        let first = Share { correct: self.both + self.first_only, n };
        let second = Share { correct: self.both + self.second_only, n };
        let ([l1, u1], [l2, u2]) = (second.interval(), first.interval());
        let (p1, p2, phi) = (second.value(), first.value(), self.correlation());
        let side = |a: f64, b: f64| (a * a - 2.0 * phi * a * b + b * b).max(0.0).sqrt();
        let d = p1 - p2;
        [d - side(p1 - l1, u2 - p2), d + side(u1 - p1, p2 - l2)]
    }

    /// φ of the table, with Newcombe's correction for continuity.
    fn correlation(self) -> f64 {
        let [e, f, g, h] =
            [self.both, self.second_only, self.first_only, self.neither].map(|count| count as f64);
        let margins = (e + f) * (g + h) * (e + g) * (f + h);
        let (apart, half) = (e * h - f * g, self.n() as f64 / 2.0);
        let corrected = if apart > half { apart - half } else { apart.min(0.0) };
        if margins > 0.0 { corrected / margins.sqrt() } else { 0.0 }
    }
}

/// The 95 % interval of a statistic of so many texts, from drawing as many of them again and again: the 2.5th and the
/// 97.5th percentile of what `of` says of their numbers. None of fewer than two texts.
pub fn bootstrap(texts: usize, seed: u64, of: impl Fn(&[usize]) -> f64) -> Option<[f64; 2]> {
    if texts < 2 {
        return None;
    }
    let mut random = Random::new(seed, STREAM);
    let mut drawn = vec![0; texts];
    let mut values: Vec<f64> = (0..DRAWS)
        .map(|_| {
            drawn.iter_mut().for_each(|place| *place = random.below(texts as u64) as usize);
            of(&drawn)
        })
        .collect();
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((DRAWS - 1) as f64 * share).round() as usize];
    Some([at(0.025), at(0.975)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: [f64; 2], expected: [f64; 2]) {
        let apart = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart < 5e-5, "{found:?} and {expected:?}");
    }

    #[test]
    fn wilsons_interval_is_the_published_one() {
        // Newcombe (1998), Statistics in Medicine 17, 857: 81 of 263.
        near(Share { correct: 81, n: 263 }.interval(), [0.2553, 0.3662]);
        near(Share { correct: 1, n: 4 }.interval(), [0.045_59, 0.699_36]);
        near(Share { correct: 0, n: 10 }.interval(), [0.0, 0.277_53]);
        near(Share { correct: 10, n: 10 }.interval(), [0.722_47, 1.0]);
        assert_eq!(Share::default().interval(), [0.0, 1.0]);
    }

    #[test]
    fn the_paired_interval_is_the_published_one() {
        // Newcombe (1998), Statistics in Medicine 17, 2635, method 10.
        let table =
            |both, second_only, first_only, neither| Paired { both, first_only, second_only, neither };
        near(table(36, 12, 2, 0).interval(), [0.0569, 0.3404]);
        near(table(20, 12, 2, 16).interval(), [0.0562, 0.3292]);
        near(table(0, 0, 0, 30).interval(), [-0.113_51, 0.113_51]);
        assert!((table(20, 12, 2, 16).difference() - 0.2).abs() < 1e-12);
        let mut counted = Paired::default();
        for (first, second) in [(true, true), (true, false), (false, true), (false, true)] {
            counted.add(first, second);
        }
        assert_eq!(counted, table(1, 2, 1, 0));
    }

    #[test]
    fn drawn_again_texts_that_are_alike_leave_no_doubt() {
        assert_eq!(bootstrap(9, 1, |_| 0.5), Some([0.5, 0.5]));
        assert_eq!(bootstrap(1, 1, |_| 0.5), None);
        // The mean of 100 numbers, half of them 0 and half 1: 0.5 ± 1.96 · 0.05.
        let mean = |drawn: &[usize]| drawn.iter().filter(|place| *place % 2 == 0).count() as f64 / 100.0;
        let [low, high] = bootstrap(100, 1, mean).unwrap();
        assert!((low - 0.402).abs() < 0.03 && (high - 0.598).abs() < 0.03, "{low} to {high}");
    }
}
