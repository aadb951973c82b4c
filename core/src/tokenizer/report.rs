//! How well a tokenizer fits some texts: compression, round trip, and what chosen strings cost.

use serde::Serialize;

use super::{Tokenizer, cut_text};
use crate::error::Result;

/// How many failed round trips are shown.
const SHOWN_FAILURES: usize = 5;
/// Characters shown around the place where a round trip fails.
const SHOWN_CHARS: usize = 40;

/// The figures of `tokenizer report`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Ids, added tokens included.
    pub vocab_size: usize,
    /// Texts read.
    pub texts: u64,
    /// Tokens of all texts.
    pub tokens: u64,
    /// UTF-8 bytes of all texts.
    pub bytes: u64,
    /// Characters of all texts.
    pub chars: u64,
    /// Bytes a token; 0 without tokens.
    pub bytes_per_token: f64,
    /// Characters a token; 0 without tokens.
    pub chars_per_token: f64,
    /// Characters a token in the texts whose letters are mostly Chinese; absent without such texts.
    pub zh_chars_per_token: Option<f64>,
    /// Characters a token in the other texts; absent without such texts.
    pub other_chars_per_token: Option<f64>,
    /// Texts that do not come back from their ids.
    pub round_trip_failures: u64,
    /// The first of them.
    pub failures: Vec<RoundTripFailure>,
    /// What the chosen strings cost.
    pub costs: Vec<Cost>,
}

/// A text that changed on its way through the ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoundTripFailure {
    /// Which text, from 1.
    pub text: u64,
    /// The text from where the two differ.
    pub expected: String,
    /// What came back from there.
    pub got: String,
}

/// The tokens of a chosen string.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// The string.
    pub text: String,
    /// How many tokens it takes.
    pub tokens: usize,
    /// Their ids.
    pub ids: Vec<u32>,
    /// Their texts.
    pub pieces: Vec<String>,
}

/// Characters and tokens of one kind of text.
#[derive(Default)]
struct Count {
    chars: u64,
    tokens: u64,
}

impl Count {
    fn chars_per_token(&self) -> Option<f64> {
        (self.tokens > 0).then(|| ratio(self.chars, self.tokens))
    }
}

/// Encodes and decodes every text. Memory grows neither with their number nor with the tokens of a long one.
///
/// # Errors
/// The first text that could not be read, or one that the tokenizer refuses.
pub fn report(
    tokenizer: &Tokenizer,
    texts: impl Iterator<Item = Result<String>>,
    costs: &[&str],
) -> Result<Report> {
    let mut report = Report { vocab_size: tokenizer.vocab_size(), ..Report::default() };
    let mut chinese = Count::default();
    let mut other = Count::default();
    for text in texts {
        let text = text?;
        report.texts += 1;
        let (tokens, failed) = round_trip(tokenizer, report.texts, &text)?;
        let chars = text.chars().count() as u64;
        report.tokens += tokens;
        report.bytes += text.len() as u64;
        report.chars += chars;
        let count = if is_chinese(&text) { &mut chinese } else { &mut other };
        count.chars += chars;
        count.tokens += tokens;
        report.round_trip_failures += u64::from(failed.is_some());
        if report.failures.len() < SHOWN_FAILURES {
            report.failures.extend(failed);
        }
    }
    report.bytes_per_token = ratio(report.bytes, report.tokens);
    report.chars_per_token = ratio(report.chars, report.tokens);
    report.zh_chars_per_token = chinese.chars_per_token();
    report.other_chars_per_token = other.chars_per_token();
    report.costs = costs.iter().map(|text| cost(tokenizer, text)).collect::<Result<_>>()?;
    Ok(report)
}

/// How many tokens a text takes, and where it first fails to come back from them. A long text goes in the
/// pieces that training cuts it into.
fn round_trip(tokenizer: &Tokenizer, number: u64, text: &str) -> Result<(u64, Option<RoundTripFailure>)> {
    let mut tokens = 0;
    let mut failed = None;
    for (i, piece) in cut_text(text).enumerate() {
        let ids = tokenizer.encode(piece)?;
        tokens += ids.len() as u64;
        let decoded = tokenizer.decode(&ids, false)?;
        // SentencePiece drops a space that begins a text, and a later piece begins none.
        let (expected, got) = match i {
            0 => (piece, decoded.as_str()),
            _ => (piece.trim_start(), decoded.trim_start()),
        };
        if failed.is_none() && expected != got {
            failed = Some(failure(number, expected, got));
        }
    }
    Ok((tokens, failed))
}

fn cost(tokenizer: &Tokenizer, text: &str) -> Result<Cost> {
    let ids = tokenizer.encode(text)?;
    let pieces = ids.iter().map(|&id| tokenizer.token_text(id)).collect();
    Ok(Cost { text: text.to_string(), tokens: ids.len(), ids, pieces })
}

/// Whether at least half of the letters are Han characters.
fn is_chinese(text: &str) -> bool {
    let han =
        text.chars().filter(|&c| matches!(c, '\u{3400}'..='\u{9FFF}' | '\u{20000}'..='\u{3FFFF}')).count();
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    han > 0 && 2 * han >= letters
}

fn failure(text: u64, expected: &str, got: &str) -> RoundTripFailure {
    let equal = expected.chars().zip(got.chars()).take_while(|(a, b)| a == b).count();
    let shown = |whole: &str| whole.chars().skip(equal).take(SHOWN_CHARS).collect();
    RoundTripFailure { text, expected: shown(expected), got: shown(got) }
}

fn ratio(amount: u64, tokens: u64) -> f64 {
    if tokens == 0 { 0.0 } else { amount as f64 / tokens as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chinese_is_told_by_its_letters() {
        assert!(is_chinese("你好，世界 2024!"));
        assert!(is_chinese("用户 AI"));
        assert!(!is_chinese("the character 你 means you"));
        assert!(!is_chinese("2024!"));
    }

    #[test]
    fn a_failure_shows_where_the_texts_part() {
        let failure = failure(3, "你好 world", "你好world");
        assert_eq!((failure.text, failure.expected.as_str(), failure.got.as_str()), (3, " world", "world"));
    }

    #[test]
    fn no_tokens_no_division() {
        assert_eq!(ratio(5, 0), 0.0);
        assert_eq!(ratio(5, 2), 2.5);
        assert_eq!(Count::default().chars_per_token(), None);
    }
}
