//! The one source of randomness: portable, the same numbers on every machine and in the browser.
//!
//! Backends bring their own generators; none is used, so that a seed means the same run everywhere.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A ChaCha8 generator; `stream` separates uses of one seed (initialisation, shuffling, dropout, sampling).
#[derive(Clone, Debug)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// A generator for `seed` and `stream`.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// The next 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `[0, 1)` with 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in `0..bound`; `bound` must be positive. Rejection keeps it unbiased.
    pub fn below(&mut self, bound: u64) -> u64 {
        let zone = u64::MAX - u64::MAX % bound;
        loop {
            let value = self.next_u64();
            if value < zone {
                return value % bound;
            }
        }
    }

    /// A standard normal number (Box–Muller; `libm` gives the same bits on every platform).
    pub fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.uniform()));
        radius * libm::cos(2.0 * std::f64::consts::PI * self.uniform())
    }

    /// One element of a slice that is not empty.
    pub fn choose<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// Shuffles in place (Fisher–Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

/// The generator of Python's `random` (MT19937, Matsumoto and Nishimura, 1998): lm-evaluation-harness draws its few-shot
/// examples with it, and the same numbers draw the same examples here. For nothing else.
#[derive(Clone, Debug)]
pub struct PythonRandom {
    state: Vec<u32>,
    next: usize,
}

impl PythonRandom {
    /// Numbers of the state, and how far apart those stand that are mixed.
    const N: usize = 624;
    const M: usize = 397;

    /// `random.Random(seed)`.
    pub fn new(seed: u32) -> Self {
        let mut state = vec![19_650_218_u32];
        for i in 1..Self::N {
            let before = state[i - 1];
            state.push(1_812_433_253_u32.wrapping_mul(before ^ (before >> 30)).wrapping_add(i as u32));
        }
        // `init_by_array` with the seed as the only key.
        let mixed = |state: &[u32], i: usize| state[i - 1] ^ (state[i - 1] >> 30);
        let mut i = 1;
        let step = |state: &mut Vec<u32>, i: usize| {
            if i + 1 < Self::N {
                return i + 1;
            }
            state[0] = state[Self::N - 1];
            1
        };
        for _ in 0..Self::N {
            state[i] = (state[i] ^ mixed(&state, i).wrapping_mul(1_664_525)).wrapping_add(seed);
            i = step(&mut state, i);
        }
        for _ in 1..Self::N {
            state[i] = (state[i] ^ mixed(&state, i).wrapping_mul(1_566_083_941)).wrapping_sub(i as u32);
            i = step(&mut state, i);
        }
        state[0] = 0x8000_0000;
        Self { state, next: Self::N }
    }

    fn refill(&mut self) {
        for i in 0..Self::N {
            let bits = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % Self::N] & 0x7FFF_FFFF);
            let odd = if bits & 1 == 1 { 0x9908_B0DF } else { 0 };
            self.state[i] = self.state[(i + Self::M) % Self::N] ^ (bits >> 1) ^ odd;
        }
        self.next = 0;
    }

    fn next_u32(&mut self) -> u32 {
        if self.next == Self::N {
            self.refill();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9D2C_5680;
        y ^= (y << 15) & 0xEFC6_0000;
        y ^ (y >> 18)
    }

    /// `_randbelow(bound)` of a positive bound.
    fn below(&mut self, bound: usize) -> usize {
        let bits = usize::BITS - bound.leading_zeros();
        loop {
            let value = (self.next_u32() >> (32 - bits.min(32))) as usize;
            if value < bound {
                return value;
            }
        }
    }

    /// The places that `random.sample(range(total), count)` gives, in its order; at most `total` of them.
    pub fn sample(&mut self, total: usize, count: usize) -> Vec<usize> {
        let count = count.min(total);
        // From here on a set of what was drawn is smaller than a list of all.
        let mut small = 21;
        if count > 5 {
            let power = libm::ceil(libm::log(3.0 * count as f64) / libm::log(4.0));
            small += 4_usize.saturating_pow(power as u32);
        }
        let mut drawn: Vec<usize> = Vec::with_capacity(count);
        if total <= small {
            let mut pool: Vec<usize> = (0..total).collect();
            for i in 0..count {
                let at = self.below(total - i);
                drawn.push(pool[at]);
                pool[at] = pool[total - i - 1];
            }
            return drawn;
        }
        while drawn.len() < count {
            let at = self.below(total);
            if !drawn.contains(&at) {
                drawn.push(at);
            }
        }
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_a_stream_name_the_numbers() {
        let numbers = |seed: u64, stream: u64| {
            let mut random = Random::new(seed, stream);
            (0..9).map(|_| random.next_u64()).collect::<Vec<_>>()
        };
        assert_eq!(numbers(7, 3), numbers(7, 3));
        assert_ne!(numbers(7, 3), numbers(7, 4));
        assert_ne!(numbers(7, 3), numbers(8, 3));
    }

    #[test]
    fn pythons_numbers_are_those_of_python() {
        // CPython 3.11: r = random.Random(1234); r.getrandbits(32), r.sample(range(n), k).
        let mut random = PythonRandom::new(1234);
        let bits: Vec<u32> = (0..5).map(|_| random.next_u32()).collect();
        assert_eq!(bits, [4_150_886_329, 3_342_196_574, 1_892_932_127, 501_869_158, 32_175_636]);
        let mut random = PythonRandom::new(1234);
        assert_eq!(random.sample(100, 5), [99, 56, 14, 0, 11]);
        assert_eq!(random.sample(100, 6), [74, 4, 85, 88, 10, 12]);
        assert_eq!(random.sample(10, 6), [5, 3, 0, 7, 6, 2]);
        let mut random = PythonRandom::new(1234);
        let many = random.sample(3000, 30);
        assert_eq!(many[..8], [1805, 478, 30, 371, 2384, 143, 2750, 2838]);
        assert_eq!((many[29], random.sample(3, 9).len()), (1023, 3));
    }

    #[test]
    fn normal_numbers_have_mean_zero_and_variance_one() {
        let mut random = Random::new(1, 0);
        let sample: Vec<f64> = (0..20_000).map(|_| random.normal()).collect();
        let mean = sample.iter().sum::<f64>() / 20_000.0;
        let variance = sample.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03, "{mean}");
        assert!((variance - 1.0).abs() < 0.05, "{variance}");
    }
}
