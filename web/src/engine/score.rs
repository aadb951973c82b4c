//! How likely the open model finds a text.

use kindling::error::Error;
use kindling::sample::{Decoder, LikelihoodConfig, MaskedScorer, scored_bytes};
use kindling::told::{Told, told};
use serde_json::{Map, Value};

use super::data::merged;
use super::messages::chat::{MaskedScore, Score};
use super::state::{Answer, Engine, Who};

impl Engine {
    /// The log-probability of each token of a text or of ids; of a masked predictor an estimate for all of them, with these
    /// settings.
    ///
    /// # Errors
    /// Nothing to score; settings of a masked predictor for another model, and the other way round.
    pub async fn score(
        &self,
        (text, tokens): (Option<String>, Option<Vec<u32>>),
        add_bos: bool,
        logits: bool,
        likelihood: Map<String, Value>,
    ) -> Result<Answer, Told> {
        let told = |error: Error| error.told();
        self.choices.settle().await;
        let (ids, bytes) = self.scored(text, tokens, add_bos)?;
        let likelihood: LikelihoodConfig = merged(LikelihoodConfig::default(), likelihood)?;
        let model = self.answering(Who::Active)?;
        if model.config().diffusion.is_some() {
            if logits {
                return Err(told!(
                    "score.masked_logits",
                    "logits are those of the next token, which this model does not predict; leave them out"
                ));
            }
            let scorer = MaskedScorer::new(&model, likelihood).map_err(told)?;
            return Answer::new(MaskedScore::from(scorer.score(&ids, bytes, 0).await.map_err(told)?));
        }
        if !likelihood.given().is_empty() {
            model.config().check_masked(&likelihood.given().join(", ")).map_err(told)?;
        }
        let mut decoder = Decoder::new(&model, ids.len());
        Answer::new(Score::from(decoder.score(&ids, bytes, logits).await.map_err(told)?))
    }

    /// The ids that are scored, and the bytes of what is predicted of them where they are a text's.
    fn scored(
        &self,
        text: Option<String>,
        tokens: Option<Vec<u32>>,
        add_bos: bool,
    ) -> Result<(Vec<u32>, Option<usize>), Told> {
        let tokenizer = self.opened()?.tokenizer;
        match (text, tokens) {
            (_, Some(ids)) => Ok((ids, None)),
            (Some(text), None) => {
                let mut ids = tokenizer.encode_whole(&text).map_err(Told::from)?;
                if let Some(bos) = tokenizer.bos().filter(|bos| add_bos && ids.first() != Some(bos)) {
                    ids.insert(0, bos);
                }
                let bytes = scored_bytes(&tokenizer, &ids).map_err(Told::from)?;
                Ok((ids, Some(bytes)))
            }
            (None, None) => Err(told!("score.nothing", "there is nothing to score; give a text or tokens")),
        }
    }
}
