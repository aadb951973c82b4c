//! Learning to think before answering: next-token prediction whose tags count more.

use super::{EvalAnswers, Loss, NextToken, Objective, ReasonConfig, ReasonSettings, StepTotals};
use crate::batch::Batch;
use crate::model::Transformer;
use crate::told::Told;

/// The objective of answers that think first: `Σ w·CE / Σ w`, where w of a tag's tokens is `tag_weight` times that of the
/// words around them. MiniMind divides by the weights without that, SpongeBob like this.
#[derive(Clone, Debug, Default)]
pub struct Reason {
    settings: ReasonSettings,
}

impl Reason {
    /// The objective of these settings.
    pub fn new(settings: ReasonSettings) -> Self {
        Self { settings }
    }
}

impl Objective for Reason {
    fn weight(&self, batch: &Batch) -> f64 {
        NextToken.weight(batch)
    }

    fn part_loss(&self, model: &Transformer, batch: &Batch, totals: &StepTotals) -> Loss {
        // The rows' weights hold the tags' already.
        NextToken.part_loss(model, batch, totals)
    }

    fn problems(&self, _adapts: bool) -> Vec<Told> {
        self.settings.problems()
    }

    fn reason(&self) -> Option<&ReasonSettings> {
        Some(&self.settings)
    }

    fn eval_answers(&self) -> Option<EvalAnswers> {
        let ReasonConfig { eval_answers: answers, eval_max_new_tokens: max_new_tokens, .. } =
            self.settings.config;
        let tags = self.settings.tags.clone();
        (answers > 0).then_some(EvalAnswers { answers, max_new_tokens, tags })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::AttentionMask;
    use crate::model::{ModelConfig, preset, read};
    use burn::tensor::Device;

    #[test]
    fn the_loss_is_the_weighed_mean_by_hand() {
        let config = ModelConfig {
            hidden_size: 16,
            intermediate_size: 24,
            num_hidden_layers: 1,
            num_attention_heads: 2,
            num_key_value_heads: 2,
            head_dim: 8,
            max_position_embeddings: 16,
            ..preset("nano").unwrap().config(Some(12))
        };
        let model = Transformer::init(&config, 3, &Device::flex()).unwrap();
        // One token of a tag, worth ten of the two behind it.
        let (ids, weights) = ([1, 5, 7, 2, 9], [0.0, 0.0, 10.0, 1.0, 1.0]);
        let mut batch = Batch::new(4);
        batch.push(&ids, &weights, &[1; 5]);
        let reason = Reason::default();
        let sum = pollster::block_on(read(reason.loss(&model, &batch).sum)).unwrap()[0];
        let logits = model.forward(batch.inputs_tensor(&Device::flex()), &AttentionMask::causal(4, 0));
        let logits = pollster::block_on(read(logits.reshape([4 * 12]))).unwrap();
        let nll = |place: usize| {
            let row = &logits[place * 12..][..12];
            let all: f64 = row.iter().map(|&logit| f64::from(logit).exp()).sum();
            all.ln() - f64::from(row[ids[place + 1] as usize])
        };
        let expected = 10.0 * nll(1) + nll(2) + nll(3);
        assert!((f64::from(sum) - expected).abs() < 1e-4 * expected, "{sum} {expected}");
        assert_eq!(reason.weight(&batch), 12.0);
    }

    #[test]
    fn settings_say_what_is_asked() {
        let asked = Reason::default().eval_answers().unwrap();
        assert_eq!((asked.answers, asked.max_new_tokens), (64, 256));
        let config = ReasonConfig { eval_answers: 0, ..ReasonConfig::default() };
        let none = Reason::new(ReasonSettings { config, ..ReasonSettings::default() });
        assert_eq!(none.eval_answers(), None);
        assert_eq!(none.reason().unwrap().tag_weight().factor, 10.0);
        assert!(none.problems(false).is_empty());
    }
}
