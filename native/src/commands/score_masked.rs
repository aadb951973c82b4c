//! What scores a text: a model that predicts the next token, exactly; or a masked predictor, by an average.

use kindling::model::Transformer;
use kindling::sample::{Decoder, LikelihoodConfig, MaskedScore, MaskedScorer, Score};
use kindling::tokenizer::Tokenizer;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::Output;

/// A model that scores texts.
pub enum TextScorer<'a> {
    /// It predicts the next token.
    Causal(&'a Transformer),
    /// It predicts masked tokens.
    Masked(Box<MaskedScorer>),
}

/// The score of a text.
pub enum TextScore {
    /// Token by token.
    Causal(Score),
    /// On average.
    Masked(MaskedScore),
}

impl<'a> TextScorer<'a> {
    /// A scorer with these settings, for the last position's `logits`, too, where they are asked for.
    ///
    /// # Errors
    /// Settings that do not act on such a model, or do not hold.
    pub fn new(model: &'a Transformer, config: LikelihoodConfig, logits: bool) -> Result<Self, Failure> {
        if model.config().diffusion.is_none() {
            refuse(config)?;
            return Ok(Self::Causal(model));
        }
        if logits {
            return Err(Failure::Usage(
                "--logits are those of the next token, which a masked predictor (diffusion) does not predict; leave it out"
                    .into(),
            ));
        }
        Ok(Self::Masked(Box::new(MaskedScorer::new(model, config)?)))
    }

    /// The score of a text; those of other numbers have other tokens hidden.
    ///
    /// # Errors
    /// No ids, ids outside the vocabulary, more than the model's context.
    pub fn score(
        &self,
        ids: &[u32],
        bytes: Option<usize>,
        logits: bool,
        number: u64,
    ) -> Result<TextScore, Failure> {
        Ok(match self {
            Self::Causal(model) => TextScore::Causal(pollster::block_on(
                Decoder::new(model, ids.len()).score(ids, bytes, logits),
            )?),
            Self::Masked(scorer) => TextScore::Masked(pollster::block_on(scorer.score(ids, bytes, number))?),
        })
    }
}

/// A model that predicts the next token takes none of these settings.
///
/// # Errors
/// The flags that were given.
pub fn refuse(config: LikelihoodConfig) -> Result<(), Failure> {
    let given = config.given();
    match given.is_empty() {
        true => Ok(()),
        false => Err(Failure::Usage(format!(
            "{} acts on a masked predictor (diffusion) alone, and this model predicts the next token, which tells its \
             likelihood exactly; leave it out",
            given.join(", ")
        ))),
    }
}

impl TextScore {
    /// The negative log-likelihood in nats, or its bound; none where it is not finite.
    pub fn nll(&self) -> Option<f64> {
        match self {
            Self::Causal(score) => score.nll,
            Self::Masked(score) => score.nll,
        }
    }

    /// How many tokens were predicted.
    pub fn tokens_scored(&self) -> usize {
        match self {
            Self::Causal(score) => score.tokens_scored,
            Self::Masked(score) => score.tokens_scored,
        }
    }

    /// Shows the score of one text.
    pub fn show(&self, tokenizer: Option<&Tokenizer>, output: Output) {
        let bits =
            |bits: Option<f64>| bits.map_or(String::new(), |bits| format!(", {bits:.4} bits per byte"));
        match self {
            Self::Causal(score) => {
                output.json(score);
                for (&id, logprob) in score.tokens.iter().zip(&score.logprobs) {
                    let text = tokenizer
                        .map_or(String::new(), |tokenizer| format!("{:?}", tokenizer.token_text(id)));
                    let logprob = logprob.map_or("-".to_string(), |logprob| format!("{logprob:.4}"));
                    output.line(&format!("{id:>7} {logprob:>10}  {text}"));
                }
                let nll = score.nll.unwrap_or(f64::NAN);
                output.line(&format!(
                    "nll {nll:.4} over {} tokens{}",
                    score.tokens_scored,
                    bits(score.bits_per_byte)
                ));
            }
            Self::Masked(score) => {
                output.json(score);
                output.line(&format!(
                    "nll {} over {} tokens{}",
                    Average::of(score).in_words(),
                    score.tokens_scored,
                    bits(score.bits_per_byte)
                ));
            }
        }
    }
}

/// What masked scores of several texts come to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Average {
    sum: Option<f64>,
    is_bound: bool,
    /// The squares of standard errors; none where one is not known.
    squares: Option<f64>,
    draws: usize,
}

impl Average {
    fn of(score: &MaskedScore) -> Self {
        Self {
            sum: score.nll,
            is_bound: score.nll_is_bound,
            squares: score.nll_standard_error.map(|error| error * error),
            draws: score.mc,
        }
    }

    /// Of the texts before, where there were any, and one more.
    pub fn with(before: Option<Self>, score: &TextScore) -> Option<Self> {
        let TextScore::Masked(score) = score else { return before };
        let own = Self::of(score);
        Some(before.map_or(own, |before| Self {
            sum: before.sum.zip(own.sum).map(|(a, b)| a + b),
            is_bound: before.is_bound || own.is_bound,
            squares: before.squares.zip(own.squares).map(|(a, b)| a + b),
            draws: before.draws.max(own.draws),
        }))
    }

    fn error(&self) -> Option<f64> {
        self.squares.map(f64::sqrt)
    }

    /// The sum as people read it.
    pub fn in_words(&self) -> String {
        let at_most = if self.is_bound { "at most " } else { "" };
        let error = match self.error() {
            Some(error) if self.is_bound => format!(" ± {error:.4}"),
            None if self.is_bound => " (one batch of draws does not tell how exact that is)".to_string(),
            _ => String::new(),
        };
        format!("{at_most}{:.4}{error}", self.sum.unwrap_or(f64::NAN))
    }

    /// Adds its keys to a result.
    pub fn add_to(&self, result: &mut Value) {
        result["nll_is_bound"] = json!(self.is_bound);
        result["nll_standard_error"] = json!(self.error());
        result["mc"] = json!(self.draws);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(nll: f64, error: Option<f64>, is_bound: bool) -> TextScore {
        TextScore::Masked(MaskedScore {
            tokens: vec![1, 2],
            nll: Some(nll),
            nll_is_bound: is_bound,
            nll_standard_error: error,
            mc: if is_bound { 32 } else { 1 },
            tokens_scored: 1,
            bits_per_byte: None,
        })
    }

    #[test]
    fn errors_of_several_texts_add_up_as_squares() {
        let sum = Average::with(None, &masked(2.0, Some(3.0), true));
        let sum = Average::with(sum, &masked(1.0, Some(4.0), true));
        let sum = Average::with(sum, &masked(0.5, Some(0.0), false)).unwrap();
        assert_eq!(sum.in_words(), "at most 3.5000 ± 5.0000");
        let mut result = json!({});
        sum.add_to(&mut result);
        assert_eq!(result, json!({"nll_is_bound": true, "nll_standard_error": 5.0, "mc": 32}));
        let unknown = Average::with(Some(sum), &masked(1.0, None, true)).unwrap();
        assert!(unknown.in_words().starts_with("at most 4.5000 (one batch"), "{}", unknown.in_words());
        let exact = Average::with(None, &masked(2.0, Some(0.0), false)).unwrap();
        assert_eq!(exact.in_words(), "2.0000");
    }

    #[test]
    fn a_model_of_the_next_token_takes_none_of_the_flags() {
        assert!(refuse(LikelihoodConfig::default()).is_ok());
        let given = LikelihoodConfig { mc: Some(4), cfg_scale: Some(0.0), ..LikelihoodConfig::default() };
        let Err(Failure::Usage(told)) = refuse(given) else { panic!("refused by name") };
        assert!(told.starts_with("--mc, --cfg-scale acts on a masked predictor"), "{told}");
    }
}
