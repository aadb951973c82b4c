//! The order of rows: a seeded shuffle of any number of rows without a table, and orders made of several of them.

use crate::random::Random;

/// Streams of a seed that belong to the order of data; other uses have small or other numbers.
const SHUFFLE_STREAM: u64 = 0x5348_5546 << 32;

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

    /// The order of `len` rows that a stream of the seed gives.
    pub(super) fn from_stream(len: u64, seed: u64, stream: u64) -> Self {
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

/// A fixed order of rows: blocks of places one behind the other, each of them a part of a permutation of some rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowOrder(Vec<OrderBlock>);

/// Places whose rows a permutation gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OrderBlock {
    /// The first place.
    pub(super) start: u64,
    /// Where it stands in the permutation.
    pub(super) from: u64,
    /// The number of the row that the permutation calls 0.
    pub(super) first_row: u64,
    pub(super) order: Permutation,
}

impl RowOrder {
    /// The blocks in the order of their places, the first of which is 0.
    pub(super) fn of(blocks: Vec<OrderBlock>) -> Self {
        Self(blocks)
    }

    /// Which row stands at `position`; behind the end no row is meant by the number.
    pub fn at(&self, position: u64) -> u64 {
        let behind = self.0.partition_point(|block| block.start <= position);
        match self.0.get(behind.saturating_sub(1)) {
            Some(block) => block.first_row + block.order.at(block.from + position - block.start),
            None => position,
        }
    }
}

impl From<Permutation> for RowOrder {
    fn from(order: Permutation) -> Self {
        Self(vec![OrderBlock { start: 0, from: 0, first_row: 0, order }])
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
    fn blocks_stand_one_behind_the_other() {
        let permutation = |len: u64| Permutation::new(len, 1, 0);
        let (three, five) = (permutation(3), permutation(5));
        let block = |start, from, first_row, order: &Permutation| OrderBlock {
            start,
            from,
            first_row,
            order: order.clone(),
        };
        let order = RowOrder::of(vec![
            block(0, 0, 0, &three),
            block(2, 0, 3, &five),
            block(3, 2, 0, &three),
            block(4, 1, 3, &five),
        ]);
        let rows: Vec<u64> = (0..8).map(|place| order.at(place)).collect();
        let five = |place: u64| 3 + five.at(place);
        assert_eq!(
            rows,
            [three.at(0), three.at(1), five(0), three.at(2), five(1), five(2), five(3), five(4)]
        );
        let whole = RowOrder::from(permutation(10));
        assert!((0..10).all(|place| whole.at(place) == permutation(10).at(place)));
    }
}
