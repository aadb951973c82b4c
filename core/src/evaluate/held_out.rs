//! How well a model predicts texts: perplexity and bits per byte.

use serde::Serialize;

use super::{Sequence, bootstrap};
use crate::error::Result;
use crate::sample::scored_bytes;
use crate::tokenizer::Tokenizer;

/// The windows of a text, as the harness's rolling log-likelihood has them: every token is predicted once, the first one
/// behind BOS (or EOS), and each window but the last begins with one token before it. Beside them stand the bytes that
/// are predicted: all of the text, or, where the tokenizer has neither BOS nor EOS, all but those of the first token.
///
/// # Errors
/// What the tokenizer refuses.
pub fn text_windows(tokenizer: &Tokenizer, text: &str, longest: usize) -> Result<(Vec<Sequence>, usize)> {
    let mut ids = tokenizer.encode(text)?;
    let mut bytes = text.len();
    match tokenizer.bos().or_else(|| tokenizer.eos()) {
        Some(begin) => ids.insert(0, begin),
        None => bytes = scored_bytes(tokenizer, &ids)?,
    }
    // From here on the first id is read and not predicted.
    let tokens = ids.len().saturating_sub(1);
    let longest = longest.max(1);
    let mut windows = Vec::new();
    let mut predicted = 0;
    while predicted < tokens {
        let judged = longest.min(tokens - predicted);
        let end = predicted + judged + 1;
        let begin = end.saturating_sub(longest + 1);
        windows.push(Sequence { ids: ids[begin..end].to_vec(), judged, cut: 0 });
        predicted += judged;
    }
    Ok((windows, bytes))
}

/// How well texts are predicted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TextResult {
    /// Negative log-likelihood in nats, predicted tokens and bytes of each text.
    texts: Vec<(f64, usize, usize)>,
    /// Whether the log-likelihoods are bounds, as those of a masked predictor are: texts are at least as likely.
    pub is_bound: bool,
}

impl TextResult {
    /// Of no texts yet, whose log-likelihoods will be exact or bounds.
    pub fn new(is_bound: bool) -> Self {
        Self { texts: Vec::new(), is_bound }
    }

    /// Counts a text.
    pub fn add(&mut self, nll: f64, tokens: usize, bytes: usize) {
        self.texts.push((nll, tokens, bytes));
    }

    /// How many texts.
    pub fn texts(&self) -> usize {
        self.texts.len()
    }

    /// Negative log-likelihood in nats, tokens and bytes of all.
    pub fn totals(&self) -> (f64, usize, usize) {
        self.texts.iter().fold((0.0, 0, 0), |all, one| (all.0 + one.0, all.1 + one.1, all.2 + one.2))
    }

    /// Perplexity a token.
    pub fn perplexity(&self) -> f64 {
        let (nll, tokens, _) = self.totals();
        (nll / tokens as f64).exp()
    }

    /// Perplexity a byte, which models with different tokenizers may be compared by.
    pub fn byte_perplexity(&self) -> f64 {
        let (nll, _, bytes) = self.totals();
        (nll / bytes as f64).exp()
    }

    /// Bits a byte.
    pub fn bits_per_byte(&self) -> f64 {
        let (nll, _, bytes) = self.totals();
        bits(nll, bytes)
    }

    /// The interval of the bits per byte; none of fewer than two texts.
    pub fn interval(&self) -> Option<[f64; 2]> {
        bootstrap(self.texts.len(), 0, |drawn| self.bits_of(drawn))
    }

    /// How many bits per byte more `other` needs for the same texts, with the interval; none where they are not the same.
    pub fn paired(&self, other: &Self) -> Option<(f64, Option<[f64; 2]>)> {
        let bytes = |result: &Self| result.texts.iter().map(|text| text.2).collect::<Vec<_>>();
        (bytes(self) == bytes(other)).then(|| {
            let difference = |drawn: &[usize]| other.bits_of(drawn) - self.bits_of(drawn);
            let interval = bootstrap(self.texts.len(), 0, difference);
            (other.bits_per_byte() - self.bits_per_byte(), interval)
        })
    }

    fn bits_of(&self, drawn: &[usize]) -> f64 {
        let of = |&place: &usize| (self.texts[place].0, self.texts[place].2);
        let (nll, bytes) = drawn.iter().map(of).fold((0.0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
        bits(nll, bytes)
    }
}

fn bits(nll: f64, bytes: usize) -> f64 {
    nll / std::f64::consts::LN_2 / bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::fake::letters;

    #[test]
    fn windows_predict_every_token_once() {
        let tokenizer = letters(None);
        let ids = tokenizer.encode("abcdefg").unwrap();
        // Without BOS and EOS the first letter is not predicted.
        let (windows, bytes) = text_windows(&tokenizer, "abcdefg", 4).unwrap();
        assert_eq!(bytes, 6);
        let window =
            |from: usize, to: usize, judged: usize| Sequence { ids: ids[from..to].to_vec(), judged, cut: 0 };
        assert_eq!(windows, [window(0, 5, 4), window(2, 7, 2)]);
        assert_eq!(text_windows(&tokenizer, "ab", 9).unwrap().0, [window(0, 2, 1)]);
        assert!(text_windows(&tokenizer, "a", 9).unwrap().0.is_empty());
        assert!(text_windows(&tokenizer, "", 9).unwrap().0.is_empty());
    }

    #[test]
    fn bits_and_perplexities_are_ratios_of_sums() {
        let mut result = TextResult::default();
        // 8 bits and 4 bits: 12 bits over 3 tokens and 6 bytes.
        result.add(8.0 * std::f64::consts::LN_2, 2, 2);
        result.add(4.0 * std::f64::consts::LN_2, 1, 4);
        assert!((result.bits_per_byte() - 2.0).abs() < 1e-12);
        assert!((result.perplexity() - 16.0).abs() < 1e-9 && (result.byte_perplexity() - 4.0).abs() < 1e-9);
        let [low, high] = result.interval().unwrap();
        assert_eq!((low, high), (1.0, 4.0), "either text twice");
        let mut other = TextResult::default();
        other.add(6.0 * std::f64::consts::LN_2, 2, 2);
        other.add(0.0, 1, 4);
        let (difference, interval) = result.paired(&other).unwrap();
        assert!((difference + 1.0).abs() < 1e-12);
        assert!(interval.unwrap().iter().all(|bound| (bound + 1.0).abs() < 1e-12));
        assert_eq!(result.paired(&TextResult::default()), None);
    }
}
