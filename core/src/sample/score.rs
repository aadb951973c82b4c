//! How likely a given text is: the log-probability of every token, and bits per byte.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::tokenizer::Tokenizer;
use crate::told::told;

/// The score of a text; its JSON form is that of `score --json`, where what is not finite becomes `null`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The ids of the text.
    pub tokens: Vec<u32>,
    /// The natural logarithm of each token's probability; none for the first, which nothing predicts,
    /// and none where it is not finite.
    pub logprobs: Vec<Option<f64>>,
    /// The sum of the negative log-probabilities, in nats; none where it is not finite.
    pub nll: Option<f64>,
    /// How many tokens were predicted.
    pub tokens_scored: usize,
    /// Bits needed per byte of the predicted text; none where its bytes are not known.
    pub bits_per_byte: Option<f64>,
    /// The logits of the last position, where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logits: Option<Vec<f32>>,
}

/// Takes the logits of a text position by position, in as many parts as the caller likes.
pub struct Scorer {
    tokens: Vec<u32>,
    vocab: usize,
    positions: usize,
    logprobs: Vec<Option<f64>>,
    nll: f64,
    last: Vec<f32>,
}

impl Scorer {
    /// A scorer for `tokens` and a model with `vocab` ids. Refuses an empty text and ids that the model
    /// does not have.
    pub fn new(tokens: &[u32], vocab: usize) -> Result<Self> {
        if tokens.is_empty() {
            return Err(Error::Data(told!(
                "score.empty",
                "there is nothing to score: the text holds no tokens"
            )));
        }
        if let Some(id) = tokens.iter().find(|id| **id as usize >= vocab) {
            return Err(Error::Data(told!(
                "score.id",
                "token {id} does not exist in this model: its ids are 0 to {most}; use the tokenizer that belongs to it",
                id,
                most = vocab.saturating_sub(1)
            )));
        }
        let logprobs = vec![None];
        Ok(Self { tokens: tokens.to_vec(), vocab, positions: 0, logprobs, nll: 0.0, last: Vec::new() })
    }

    /// Takes the logits of the next positions, `[positions, vocab]` row after row. Refuses a part of a row
    /// and more rows than the text has tokens.
    pub fn push(&mut self, logits: &[f32]) -> Result<()> {
        let rows = logits.len() / self.vocab;
        if rows * self.vocab != logits.len() || self.positions + rows > self.tokens.len() {
            return Err(Error::Model(told!(
                "score.rows",
                "{logits} logits are not rows of {vocab} for the {left} tokens left to score",
                logits = logits.len(),
                vocab = self.vocab,
                left = self.tokens.len() - self.positions
            )));
        }
        for row in logits.chunks_exact(self.vocab) {
            self.positions += 1;
            if let Some(&next) = self.tokens.get(self.positions) {
                let logprob = log_probability(row, next);
                self.nll -= logprob;
                self.logprobs.push(logprob.is_finite().then_some(logprob));
            }
            if self.positions == self.tokens.len() {
                self.last = row.to_vec();
            }
        }
        Ok(())
    }

    /// The score, once all positions but the last, or all, were pushed. `bytes` is the size of the predicted
    /// text (see [`scored_bytes`]); `logits` asks for those of the last position, which must have been pushed.
    pub fn finish(self, bytes: Option<usize>, logits: bool) -> Result<Score> {
        let needed = if logits { self.tokens.len() } else { self.tokens.len() - 1 };
        if self.positions < needed {
            return Err(Error::Model(told!(
                "score.positions",
                "the model gave logits for {positions} of the {needed} positions to score",
                positions = self.positions,
                needed
            )));
        }
        let nll = self.nll.is_finite().then_some(self.nll);
        let bytes = bytes.filter(|bytes| *bytes > 0);
        let bits_per_byte = nll.zip(bytes).map(|(nll, bytes)| nll / std::f64::consts::LN_2 / bytes as f64);
        Ok(Score {
            tokens_scored: self.tokens.len() - 1,
            tokens: self.tokens,
            logprobs: self.logprobs,
            nll,
            bits_per_byte,
            logits: logits.then_some(self.last),
        })
    }
}

/// The natural logarithm of the probability of `id` under one row of logits, `[vocab]`, in double precision.
/// NaN where the row holds a NaN or `id` is not in it.
pub fn log_probability(logits: &[f32], id: u32) -> f64 {
    let Some(&logit) = logits.get(id as usize) else {
        return f64::NAN;
    };
    let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&other| (f64::from(other) - max).exp()).sum();
    f64::from(logit) - max - sum.ln()
}

/// The bytes of text that the tokens after the first stand for; a special token stands for none.
pub fn scored_bytes(tokenizer: &Tokenizer, tokens: &[u32]) -> Result<usize> {
    let Some((first, scored)) = tokens.split_first() else {
        return Ok(0);
    };
    let words = scored.iter().filter(|id| !tokenizer.is_special(**id));
    let bytes: usize = words.map(|&id| tokenizer.token_bytes(id).len()).sum();
    let Some(&begin) = scored.first() else {
        return Ok(0);
    };
    // SentencePiece puts a space before a text that the text itself does not have.
    let added_space = tokenizer.bos() == Some(*first)
        && !tokenizer.is_special(begin)
        && tokenizer.token_bytes(begin).first() == Some(&b' ')
        && !tokenizer.decode(&[begin], false)?.starts_with(' ');
    Ok(bytes - usize::from(added_space))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::fake::letters;

    /// Rows of logits for probabilities 1/2, 1/4, 1/4 turned so that `best` is the likely id.
    fn row(best: usize) -> Vec<f32> {
        (0..3).map(|id| if id == best { 2f32.ln() + 5.0 } else { 5.0 }).collect()
    }

    fn score(tokens: &[u32], rows: &[Vec<f32>], bytes: Option<usize>, logits: bool) -> Result<Score> {
        let mut scorer = Scorer::new(tokens, 3)?;
        scorer.push(&rows.concat())?;
        scorer.finish(bytes, logits)
    }

    #[test]
    fn a_log_probability_is_the_logit_minus_the_log_of_the_sum() {
        // e^0 + e^ln 3 = 4.
        let logits = [0.0, 3f32.ln()];
        assert!((log_probability(&logits, 0) + 4f64.ln()).abs() < 1e-7);
        assert!((log_probability(&logits, 1) - 0.75f64.ln()).abs() < 1e-7);
        // Huge logits neither overflow nor lose the difference.
        assert!((log_probability(&[1e30, 1e30], 0) + 2f64.ln()).abs() < 1e-12);
        assert_eq!(log_probability(&[0.0, f32::NEG_INFINITY], 1), f64::NEG_INFINITY);
    }

    #[test]
    fn every_token_but_the_first_is_scored_by_the_row_before_it() {
        let score = score(&[2, 0, 1], &[row(0), row(2), row(1)], Some(3), true).unwrap();
        let logprobs: Vec<f64> = score.logprobs.iter().flatten().copied().collect();
        assert_eq!((score.logprobs[0], score.tokens_scored), (None, 2));
        assert!((logprobs[0] - 0.5f64.ln()).abs() < 1e-6, "{logprobs:?}");
        assert!((logprobs[1] - 0.25f64.ln()).abs() < 1e-6, "{logprobs:?}");
        // 1 bit and 2 bits over 3 bytes.
        assert!((score.bits_per_byte.unwrap() - 1.0).abs() < 1e-6);
        assert!((score.nll.unwrap() - 8f64.ln()).abs() < 1e-6);
        assert_eq!(score.logits, Some(row(1)));
    }

    #[test]
    fn parts_give_the_same_score_as_the_whole() {
        let tokens = [2, 0, 1, 1];
        let rows = [row(0), row(2), row(1), row(0)];
        let mut scorer = Scorer::new(&tokens, 3).unwrap();
        scorer.push(&rows[..1].concat()).unwrap();
        scorer.push(&[]).unwrap();
        scorer.push(&rows[1..].concat()).unwrap();
        assert_eq!(scorer.finish(Some(7), true).unwrap(), score(&tokens, &rows, Some(7), true).unwrap());
        // The last position predicts nothing, so its row may be missing.
        assert_eq!(
            score(&tokens, &rows[..3], None, false).unwrap(),
            score(&tokens, &rows, None, false).unwrap()
        );
    }

    #[test]
    fn the_json_form_has_null_where_nothing_is_known() {
        let rows = [vec![0.0, f32::NEG_INFINITY, f32::NEG_INFINITY], row(0)];
        let ruled_out = score(&[0, 1], &rows, Some(4), false).unwrap();
        assert_eq!(
            serde_json::to_string(&ruled_out).unwrap(),
            r#"{"tokens":[0,1],"logprobs":[null,null],"nll":null,"tokens_scored":1,"bits_per_byte":null}"#
        );
        let certain = score(&[1, 0], &rows, None, true).unwrap();
        assert_eq!(
            serde_json::to_string(&Score { logits: Some(vec![0.5, f32::NAN]), ..certain }).unwrap(),
            concat!(
                r#"{"tokens":[1,0],"logprobs":[null,0.0],"nll":0.0,"tokens_scored":1,"#,
                r#""bits_per_byte":null,"logits":[0.5,null]}"#
            )
        );
    }

    #[test]
    fn what_cannot_be_scored_is_refused() {
        assert!(score(&[], &[], None, false).is_err());
        let unknown = score(&[0, 7], &[row(0)], None, false).unwrap_err().to_string();
        assert!(unknown.contains("token 7") && unknown.contains("0 to 2"), "{unknown}");
        assert!(score(&[0, 1], &[vec![0.0; 4]], None, false).is_err());
        assert!(score(&[0, 1], &[row(0), row(0), row(0)], None, false).is_err());
        assert!(score(&[0, 1, 2], &[row(0)], None, false).is_err());
        assert!(score(&[0, 1], &[row(0)], None, true).is_err());
    }

    #[test]
    fn the_first_token_has_no_bytes_to_score() {
        let tokenizer = letters(None);
        assert_eq!(scored_bytes(&tokenizer, &[0, 1, 2]).unwrap(), 2);
        assert_eq!(scored_bytes(&tokenizer, &[0]).unwrap(), 0);
        assert_eq!(scored_bytes(&tokenizer, &[]).unwrap(), 0);
    }
}
