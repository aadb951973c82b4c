//! The shingles of a row: runs of five tokens, where a word is a token, and so is each character of a script that parts no
//! words. Broder, "On the resemblance and containment of documents", 1997.

use crate::data::language::is_unspaced;
use crate::text::Row;

/// Tokens of a shingle.
const LENGTH: usize = 5;
/// The prime that hashes are taken by: 2^61 - 1.
pub(super) const PRIME: u64 = (1 << 61) - 1;

/// The 64-bit FNV-1a hash of bytes (<http://www.isthe.com/chongo/tech/comp/fnv/>).
pub fn fnv1a(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

/// A number by the prime.
pub(super) fn reduced(number: u64) -> u64 {
    let sum = (number & PRIME) + (number >> 61);
    if sum >= PRIME { sum - PRIME } else { sum }
}

/// Tokens in lower case, one space behind each, and where each begins.
struct Tokens {
    text: String,
    starts: Vec<usize>,
}

impl Tokens {
    fn of(row: &Row) -> Self {
        let mut tokens = Self { text: String::new(), starts: Vec::new() };
        for text in row.texts() {
            let mut inside = false;
            for c in text.chars() {
                if !c.is_alphanumeric() {
                    inside = false;
                    continue;
                }
                let alone = is_unspaced(c);
                if alone || !inside {
                    tokens.begin();
                }
                tokens.text.extend(c.to_lowercase());
                inside = !alone;
            }
        }
        tokens
    }

    fn begin(&mut self) {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        self.starts.push(self.text.len());
    }

    /// The text of so many tokens from this one on, with a space between two.
    fn run(&self, first: usize, count: usize) -> &str {
        let end = self.starts.get(first + count).map_or(self.text.len(), |next| next - 1);
        self.text.get(self.starts[first]..end).unwrap_or_default()
    }
}

/// The hash of every shingle of a row, in their order: FNV-1a of its tokens with a space between two, by the prime. Fewer than
/// five tokens are one shingle; a row without any is one of all its texts as they are.
pub(super) fn shingles(row: &Row) -> Vec<u64> {
    let tokens = Tokens::of(row);
    let count = tokens.starts.len();
    if count == 0 {
        return vec![reduced(fnv1a(row.texts().flat_map(str::bytes)))];
    }
    let length = count.min(LENGTH);
    (0..=count - length).map(|first| reduced(fnv1a(tokens.run(first, length).bytes()))).collect()
}

/// The Jaccard similarity of two rows: shingles that both have, of those that one has.
pub(super) fn jaccard(one: &[u64], other: &[u64]) -> f64 {
    let set = |shingles: &[u64]| {
        let mut set = shingles.to_vec();
        set.sort_unstable();
        set.dedup();
        set
    };
    let (one, other) = (set(one), set(other));
    let both = one.iter().filter(|shingle| other.binary_search(shingle).is_ok()).count();
    let either = one.len() + other.len() - both;
    both as f64 / either.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::parse_row;
    use serde_json::json;

    fn of(text: &str) -> Vec<u64> {
        shingles(&Row::Document(text.into()))
    }

    fn hash(text: &str) -> u64 {
        reduced(fnv1a(text.bytes()))
    }

    #[test]
    fn a_hash_is_that_of_its_published_tests() {
        // Of the test suite of FNV's authors.
        assert_eq!(fnv1a(*b""), 0xCBF2_9CE4_8422_2325);
        assert_eq!(fnv1a(*b"a"), 0xAF63_DC4C_8601_EC8C);
        assert_eq!(fnv1a(*b"foobar"), 0x8594_4171_F739_67E8);
        assert_eq!((reduced(PRIME), reduced(PRIME + 3), reduced(u64::MAX)), (0, 3, 7));
    }

    #[test]
    fn shingles_are_runs_of_words_or_of_characters() {
        assert_eq!(
            of("The red-hot lamp, it shone. Twice"),
            [hash("the red hot lamp it"), hash("red hot lamp it shone"), hash("hot lamp it shone twice")]
        );
        assert_eq!(of("米鲁住在山洞。"), [hash("米 鲁 住 在 山"), hash("鲁 住 在 山 洞")]);
        assert_eq!(of("用 GPU2 训练"), [hash("用 gpu2 训 练")], "fewer than five tokens are one shingle");
        assert_eq!(of("。。!"), [hash("。。!")]);
        assert_ne!(of("!"), of("?"));
        let row = parse_row(&json!({"user": "a b", "assistant": "c d e"})).unwrap().row;
        assert_eq!(shingles(&row), [hash("a b c d e")], "the texts of all turns follow each other");
    }

    #[test]
    fn similarity_is_the_share_of_shingles_that_both_have() {
        // Five shingles each, of which the last three are shared: 3 of 7.
        let (one, other) = (of("x y a b c d e f g"), of("u v a b c d e f g"));
        assert_eq!((one.len(), other.len(), jaccard(&one, &other)), (5, 5, 3.0 / 7.0));
        assert_eq!((jaccard(&one, &one), jaccard(&one, &of("q"))), (1.0, 0.0));
        assert_eq!(jaccard(&of("a a a a a a"), &of("a a a a a")), 1.0, "a shingle counts once");
    }
}
