//! MinHash signatures in bands (Broder, 1997; Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", chapter 3): two
//! rows of Jaccard similarity s agree in a minimum with probability s, and in a band with s^6 or in any with
//! 1 - (1 - s^6)^8: 0.12 at 0.5, 0.63 at 0.7, 0.91 at 0.8, 0.998 at 0.9.

use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use super::shingles::{PRIME, fnv1a, reduced, shingles};
use crate::text::Row;

/// Bands of a signature: rows that agree in one are compared.
pub const BANDS: usize = 8;
/// Minima of a band.
const ROWS: usize = 6;
/// Permutations.
const PERMUTATIONS: usize = BANDS * ROWS;

/// What is kept of a row's minima: a hash of each band.
pub type Signature = [u32; BANDS];

/// The permutations `x → (a x + b) mod (2^61 - 1)`, as (a, b). They are always the same: the first 16 bytes of SHA-256 of
/// `kindling minhash N` are two little-endian numbers, a is 1 more than the first by the prime less 1, b the second by it.
fn permutations() -> &'static [(u64, u64); PERMUTATIONS] {
    static ALL: OnceLock<[(u64, u64); PERMUTATIONS]> = OnceLock::new();
    let permutation = |number: usize| {
        let digest = Sha256::digest(format!("kindling minhash {number}"));
        let half = |at: usize| {
            digest[at..at + 8].iter().rev().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte))
        };
        (1 + half(0) % (PRIME - 1), half(8) % PRIME)
    };
    ALL.get_or_init(|| std::array::from_fn(permutation))
}

/// The least image of any shingle under each permutation.
fn minima(shingles: &[u64]) -> [u64; PERMUTATIONS] {
    let (permutations, mut least) = (permutations(), [u64::MAX; PERMUTATIONS]);
    for &shingle in shingles {
        for (least, &(a, b)) in least.iter_mut().zip(permutations) {
            *least = image(a, b, shingle).min(*least);
        }
    }
    least
}

/// `(a x + b) mod (2^61 - 1)` of numbers below the prime.
fn image(a: u64, b: u64, x: u64) -> u64 {
    let product = u128::from(a) * u128::from(x) + u128::from(b);
    // Below 2^122: the two halves of 61 bits have the same remainder as their sum.
    reduced((product as u64 & PRIME) + (product >> 61) as u64)
}

/// The signature of a row: of each band FNV-1a of its minima as little-endian bytes, both halves of it xored.
pub fn signature(row: &Row) -> Signature {
    let least = minima(&shingles(row));
    std::array::from_fn(|band| {
        let minima = least.iter().skip(band * ROWS).take(ROWS);
        let hash = fnv1a(minima.flat_map(|least| least.to_le_bytes()));
        (hash >> 32) as u32 ^ hash as u32
    })
}

#[cfg(test)]
mod tests {
    use super::super::shingles::jaccard;
    use super::*;
    use serde_json::Value;

    #[test]
    fn images_are_remainders() {
        for (a, b, x) in [(1, 0, 5), (PRIME - 1, PRIME - 1, PRIME - 1), (PRIME - 1, 1, 1), (3, 7, 1 << 60)] {
            let plain = (u128::from(a) * u128::from(x) + u128::from(b)) % u128::from(PRIME);
            assert_eq!(u128::from(image(a, b, x)), plain, "{a} {b} {x}");
        }
        // (2^61 - 2)² + 2^61 - 2 = (2^61 - 2)(2^61 - 1).
        assert_eq!(image(PRIME - 1, PRIME - 1, PRIME - 1), 0);
    }

    #[test]
    fn signatures_and_similarities_are_those_of_plain_python() {
        let golden = include_str!("../../../../tests/golden/minhash/expected.json");
        let golden: Value = serde_json::from_str(golden).unwrap();
        let pair = |value: &Value| (value[0].as_u64().unwrap(), value[1].as_u64().unwrap());
        let expected: Vec<(u64, u64)> = golden["permutations"].as_array().unwrap().iter().map(pair).collect();
        assert_eq!(permutations().to_vec(), expected);
        let rows = golden["rows"].as_array().unwrap();
        assert!(rows.len() > 5);
        let row = |value: &Value| Row::Document(value["text"].as_str().unwrap().into());
        let numbers =
            |value: &Value| value.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect::<Vec<_>>();
        for value in rows {
            assert_eq!(shingles(&row(value)), numbers(&value["shingles"]), "{value}");
            assert_eq!(minima(&shingles(&row(value))).to_vec(), numbers(&value["minima"]), "{value}");
            assert_eq!(signature(&row(value)).map(u64::from).to_vec(), numbers(&value["bands"]), "{value}");
            let similarity = jaccard(&shingles(&row(&rows[0])), &shingles(&row(value)));
            assert!((similarity - value["jaccard_with_first"].as_f64().unwrap()).abs() < 1e-12, "{value}");
        }
    }

    #[test]
    fn the_share_of_equal_minima_is_the_similarity() {
        let text = |from: usize| (from..from + 400).map(|i| format!("w{i} ")).collect::<String>();
        let shingled = |from: usize| shingles(&Row::Document(text(from)));
        // 396 shingles each, of which 296 are shared: 296 / 496.
        let (one, other) = (shingled(0), shingled(100));
        assert_eq!(jaccard(&one, &other), 296.0 / 496.0);
        let equal = minima(&one).iter().zip(minima(&other)).filter(|(a, b)| **a == *b).count();
        // The standard deviation of 48 draws is 0.071.
        assert!((equal as f64 / PERMUTATIONS as f64 - 0.597).abs() < 0.21, "{equal}");
    }
}
