//! A text as one vector: what the model made of its tokens, pooled.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{check_fits, check_ids, longest_piece};
use crate::error::{Error, Result};
use crate::kernels::AttentionMask;
use crate::model::{KvCache, Transformer, block_mask, read};
use crate::platform::breathe;
use crate::told::told;

/// Which tokens of a text its vector is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The mean over all tokens
    #[default]
    Mean,
    /// The last token, which alone has seen the whole text where the model reads from left to right
    Last,
}

/// A model that turns texts into vectors.
pub struct Embedder {
    model: Transformer,
}

impl Embedder {
    /// One of this model; nothing is copied.
    pub fn new(model: &Transformer) -> Self {
        Self { model: model.settled() }
    }

    /// The states of the last layer behind its norm, pooled over the tokens and divided by their length: `[hidden]` values
    /// whose squares sum to 1.
    ///
    /// # Errors
    /// No tokens, ids outside the vocabulary, more tokens than the context, a device that cannot be read, values that are
    /// not finite.
    pub async fn embed(&self, ids: &[u32], pooling: Pooling) -> Result<Vec<f32>> {
        let config = self.model.config();
        if ids.is_empty() {
            return Err(Error::Data(told!(
                "embedding.empty",
                "a text without tokens has no vector; give some text"
            )));
        }
        check_fits(ids.len(), config.context())?;
        check_ids(ids, config.vocab_size)?;
        let pooled = if config.diffusion.is_some() {
            self.both_sides(ids, pooling)
        } else {
            self.causal(ids, pooling).await
        };
        let vector = read(pooled.reshape([config.hidden_size])).await?;
        normalised(vector)
    }

    /// Pools a text that is read from left to right, piece by piece: `[1, 1, hidden]`.
    async fn causal(&self, ids: &[u32], pooling: Pooling) -> Tensor<3> {
        let config = self.model.config();
        let mut cache = KvCache::new(config, 1, ids.len());
        cache.reserve(ids.len());
        cache.expect(0, ids.len());
        let (mut sum, mut past) = (None::<Tensor<3>>, 0);
        while past < ids.len() {
            let piece = longest_piece(ids.len() - past, past, config.num_attention_heads);
            let mask = AttentionMask::causal(piece, past);
            let states =
                self.model.normed(self.model.hidden_behind(&ids[past..past + piece], &mut cache, &mask));
            past += piece;
            sum = Some(match (pooling, sum) {
                (Pooling::Mean, Some(sum)) => sum + states.sum_dim(1),
                (Pooling::Mean, None) => states.sum_dim(1),
                (Pooling::Last, _) => states.narrow(1, piece - 1, 1),
            });
            breathe().await;
        }
        // The length of the sum is divided away, so a mean is a sum.
        sum.unwrap_or_else(|| Tensor::zeros([1, 1, config.hidden_size], &self.model.device()))
    }

    /// The same of a masked predictor, whose tokens see those of their block on both sides.
    fn both_sides(&self, ids: &[u32], pooling: Pooling) -> Tensor<3> {
        let config = self.model.config();
        let block = config.diffusion.as_ref().and_then(|diffusion| diffusion.block_length);
        let states = match block {
            None => self.model.hidden_of_text(ids),
            Some(block) => {
                let mut cache = KvCache::new(config, 1, ids.len());
                cache.reserve(ids.len());
                self.model.hidden_behind(ids, &mut cache, &block_mask(0, ids.len(), block))
            }
        };
        let states = self.model.normed(states);
        match pooling {
            Pooling::Mean => states.sum_dim(1),
            Pooling::Last => states.narrow(1, ids.len() - 1, 1),
        }
    }
}

/// A vector divided by its length.
fn normalised(mut vector: Vec<f32>) -> Result<Vec<f32>> {
    let length = vector.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    if !length.is_finite() || length == 0.0 {
        return Err(Error::Model(told!(
            "embedding.length",
            "the model gives a vector of length {length} for this text, which has no direction; its weights are damaged, or \
             they need another --dtype",
            length
        )));
    }
    vector.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
    Ok(vector)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use pollster::block_on as ready;

    use super::*;
    use crate::model::{DiffusionConfig, ModelConfig, tiny, tiny_model, values};

    fn model(config: ModelConfig) -> Transformer {
        Transformer::init(&config, 3, &Device::flex()).unwrap()
    }

    /// Rows of `[1, seq, hidden]` summed or the last one, at length 1, by hand.
    fn by_hand(states: &[f32], hidden: usize, pooling: Pooling) -> Vec<f32> {
        let rows: Vec<&[f32]> = states.chunks(hidden).collect();
        let rows = if pooling == Pooling::Mean { &rows[..] } else { &rows[rows.len() - 1..] };
        let mean: Vec<f64> = (0..hidden)
            .map(|i| rows.iter().map(|row| f64::from(row[i])).sum::<f64>() / rows.len() as f64)
            .collect();
        let length = mean.iter().map(|value| value * value).sum::<f64>().sqrt();
        mean.iter().map(|value| (value / length) as f32).collect()
    }

    fn apart(found: &[f32], expected: &[f32]) -> f32 {
        assert_eq!(found.len(), expected.len());
        found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn a_length_is_divided_away() {
        assert_eq!(normalised(vec![3.0, -4.0]).unwrap(), [0.6, -0.8]);
        assert!(normalised(vec![0.0, 0.0]).unwrap_err().to_string().contains("length 0"));
        assert!(normalised(vec![f32::NAN]).is_err());
    }

    #[test]
    fn vectors_are_the_pooled_states_behind_the_norm() {
        let causal = ModelConfig { initializer_range: 0.3, ..tiny(32) };
        let diffusion = |block_length| {
            let diffusion = DiffusionConfig { mask_token_id: 31, block_length, shift_logits: false };
            model(ModelConfig { diffusion: Some(diffusion), ..causal.clone() })
        };
        let ids: Vec<u32> = (0..9).map(|i| i * 5 % 31).collect();
        for (model, mask) in [
            (model(causal.clone()), AttentionMask::causal(9, 0)),
            (diffusion(None), AttentionMask::bidirectional()),
            (diffusion(Some(4)), block_mask(0, 9, 4)),
        ] {
            let mut cache = KvCache::new(model.config(), 1, 9);
            let states = values(model.normed(model.hidden_behind(&ids, &mut cache, &mask)));
            let [mean, last] = [Pooling::Mean, Pooling::Last].map(|pooling| {
                let found = ready(Embedder::new(&model).embed(&ids, pooling)).unwrap();
                let expected = by_hand(&states, 16, pooling);
                assert!(apart(&found, &expected) < 1e-5, "{found:?} {expected:?}");
                found
            });
            assert!(apart(&mean, &last) > 1e-3);
        }
    }

    #[test]
    fn what_has_no_vector_is_refused() {
        let embedder = Embedder::new(&tiny_model(&Device::flex()));
        let refused = |ids: &[u32]| ready(embedder.embed(ids, Pooling::Mean)).unwrap_err().to_string();
        assert!(refused(&[]).contains("without tokens"));
        assert!(refused(&[1; 33]).contains("the model holds 32"));
        assert!(refused(&[32]).contains("outside the vocabulary"));
    }
}
