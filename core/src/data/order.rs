//! The order of rows: a seeded shuffle of any number of rows without a table, and the split for validation.

use std::ops::Range;

use crate::random::Random;

/// Streams of a seed that belong to the order of data; other uses have small or other numbers.
const SHUFFLE_STREAM: u64 = 0x5348_5546 << 32;
const SPLIT_STREAM: u64 = 0x5350_4C54 << 32;

/// A random order of the numbers below `len`, computed number by number.
///
/// A Feistel network permutes the numbers of an even count of bits; numbers that fall outside are permuted again until
/// they fall inside ("cycle walking", Black and Rogaway 2002, <https://web.cs.ucdavis.edu/~rogaway/papers/subset.pdf>).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permutation {
    len: u64,
    half_bits: u32,
    keys: [u64; ROUNDS],
}

/// Enough that small domains look shuffled, too; four would do for large ones.
const ROUNDS: usize = 8;

impl Permutation {
    /// The order of `len` rows in this epoch of a run with this seed.
    pub fn new(len: u64, seed: u64, epoch: u64) -> Self {
        Self::from_stream(len, seed, SHUFFLE_STREAM.wrapping_add(epoch))
    }

    /// Which row comes at `position`, below `len`; a position behind the end is its own row.
    pub fn at(&self, position: u64) -> u64 {
        if position >= self.len {
            return position;
        }
        let mut number = self.network(position);
        while number >= self.len {
            number = self.network(number);
        }
        number
    }

    /// How many rows there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn from_stream(len: u64, seed: u64, stream: u64) -> Self {
        // Halves of fewer than 4 bits have too few round functions to choose from.
        const LEAST_HALF_BITS: u32 = 4;
        let bits = u64::BITS - len.saturating_sub(1).leading_zeros();
        let mut random = Random::new(seed, stream);
        let keys = std::array::from_fn(|_| random.next_u64());
        Self { len, half_bits: bits.div_ceil(2).max(LEAST_HALF_BITS), keys }
    }

    fn network(&self, number: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (number >> self.half_bits, number & mask);
        for key in self.keys {
            (left, right) = (right, left ^ (mix(right ^ key) & mask));
        }
        (left << self.half_bits) | right
    }
}

/// The finaliser of SplitMix64: every bit of the input moves every bit of the output.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

/// Rows held out for validation and rows to train on.
///
/// The first `validation` positions of a fixed order are held out, whatever the epoch; the rest is for training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// How many rows are held out.
    pub validation: u64,
    /// How many rows are trained on.
    pub train: u64,
    order: Permutation,
}

/// Holds out a `fraction` of `len` rows: the nearest number of rows, but at least one of each part if there are two
/// rows and the fraction is above 0.
pub fn split(len: u64, fraction: f64, seed: u64) -> Split {
    let validation = if fraction > 0.0 && len >= 2 {
        ((len as f64 * fraction).round() as u64).clamp(1, len - 1)
    } else {
        0
    };
    Split { validation, train: len - validation, order: Permutation::from_stream(len, seed, SPLIT_STREAM) }
}

impl Split {
    /// The fixed order of all rows that both parts are cut from.
    pub fn order(&self) -> &Permutation {
        &self.order
    }

    /// The positions in that order that are held out.
    pub fn validation_part(&self) -> Range<u64> {
        0..self.validation
    }

    /// The positions in that order that are trained on.
    pub fn train_part(&self) -> Range<u64> {
        self.validation..self.validation + self.train
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(len: u64, seed: u64, epoch: u64) -> Vec<u64> {
        let permutation = Permutation::new(len, seed, epoch);
        (0..len).map(|position| permutation.at(position)).collect()
    }

    #[test]
    fn every_row_comes_exactly_once() {
        for len in [0, 1, 2, 3, 10, 255, 256, 257, 1000, 4097] {
            let mut rows = order(len, 5, 1);
            rows.sort_unstable();
            assert!(rows.into_iter().eq(0..len), "{len} rows");
        }
    }

    #[test]
    fn epochs_and_seeds_differ_and_repeat() {
        let first = order(1000, 1, 0);
        assert_eq!(first, order(1000, 1, 0));
        for other in [order(1000, 1, 1), order(1000, 2, 0)] {
            // Two random orders agree in one place on average; ten places have a chance of one in a million.
            let equal = first.iter().zip(&other).filter(|(a, b)| a == b).count();
            assert!(equal < 10, "{equal} places are equal");
        }
    }

    #[test]
    fn every_order_of_three_rows_is_equally_likely() {
        let mut counts = std::collections::BTreeMap::new();
        for epoch in 0..6000 {
            *counts.entry(order(3, 9, epoch)).or_insert(0) += 1;
        }
        // Six orders of 1000 each; the standard deviation is 29.
        assert_eq!(counts.len(), 6);
        assert!(counts.values().all(|count| (850..1150).contains(count)), "{counts:?}");
    }

    #[test]
    fn rows_move_far_and_neighbours_part() {
        let rows = order(4097, 3, 2);
        // Over random orders, |row - position| is a third of the length on average, and so is the step between
        // neighbours.
        let moved: u64 = rows.iter().enumerate().map(|(position, row)| row.abs_diff(position as u64)).sum();
        let stepped: u64 = rows.windows(2).map(|pair| pair[0].abs_diff(pair[1])).sum();
        for mean in [moved as f64 / 4097.0, stepped as f64 / 4096.0] {
            assert!((mean / 4097.0 - 1.0 / 3.0).abs() < 0.02, "{mean}");
        }
    }

    #[test]
    fn very_large_numbers_of_rows_work() {
        for len in [(1 << 62) + 1, u64::MAX] {
            let permutation = Permutation::new(len, 1, 0);
            assert!((0..100).all(|position| permutation.at(position) < len));
        }
    }

    #[test]
    fn a_split_has_the_asked_share_and_parts_that_do_not_meet() {
        for (len, fraction, validation) in [
            (100, 0.1, 10),
            (7, 0.5, 4),
            (1000, 0.0001, 1),
            (2, 0.01, 1),
            (2, 1.0, 1),
            (1, 0.5, 0),
            (0, 0.5, 0),
            (100, 0.0, 0),
            (100, f64::NAN, 0),
        ] {
            let split = split(len, fraction, 4);
            assert_eq!(
                (split.validation, split.train),
                (validation, len - validation),
                "{fraction} of {len}"
            );
            let parts = split.validation_part().chain(split.train_part());
            let mut rows: Vec<u64> = parts.map(|position| split.order().at(position)).collect();
            rows.sort_unstable();
            assert!(rows.into_iter().eq(0..len));
        }
    }

    #[test]
    fn the_split_is_shuffled_and_depends_on_the_seed_alone() {
        let held = |seed| {
            let split = split(1000, 0.1, seed);
            split.validation_part().map(|position| split.order().at(position)).collect::<Vec<_>>()
        };
        assert_eq!(held(1), held(1));
        assert_ne!(held(1), held(2));
        let mean = held(1).iter().sum::<u64>() as f64 / 100.0;
        assert!((mean - 500.0).abs() < 120.0, "{mean}");
    }
}
