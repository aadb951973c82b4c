//! Two answers to one prompt, of which one is better: how likely a model holds each, and what it says itself.

use burn::module::Module;

use super::Exercise;
use crate::batch::Batch;
use crate::error::Result;
use crate::loss::sequence_log_probs;
use crate::model::{Transformer, read};
use crate::text::{Conversation, Preference, Row};
use crate::tokenizer::{Rendered, Tokenizer};

/// A preference pair as a question to a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The prompt, and the better answer as what is expected.
    pub exercise: Exercise,
    /// The worse answer.
    pub rejected: String,
    pair: Preference,
}

impl Choice {
    /// The choice of a row; `None` for one that is no pair, or of two answers that are equal.
    pub fn of(row: &Row) -> Option<Self> {
        let Row::Preference(pair) = row else { return None };
        if pair.is_equal() {
            return None;
        }
        let asked = Conversation { messages: pair.prompt.clone(), tools: pair.tools.clone() };
        let expected = pair.chosen.first()?.content.clone();
        let rejected = pair.rejected.first()?.content.clone();
        Some(Self { exercise: Exercise { asked, expected }, rejected, pair: pair.clone() })
    }

    /// The log-probabilities of the better and of the worse answer, each summed over its tokens, in nats; what does not fit
    /// into the model's context is left out at the end.
    ///
    /// # Errors
    /// What the chat template refuses; a device that cannot be read.
    pub async fn weigh(&self, model: &Transformer, tokenizer: &Tokenizer) -> Result<[f64; 2]> {
        let [chosen, rejected] = self.pair.conversations().map(|side| tokenizer.render_training(&side));
        let longest = model.config().context() + 1;
        let mut sums = [0.0; 2];
        for (sum, rendered) in sums.iter_mut().zip([chosen?, rejected?]) {
            let Rendered { mut ids, mut weights, .. } = rendered;
            ids.truncate(longest);
            weights.truncate(longest);
            let mut batch = Batch::new(ids.len().saturating_sub(1).max(1));
            batch.push(&ids, &weights, &vec![1; ids.len()]);
            let found = read(sequence_log_probs(&model.valid(), &batch)).await?;
            *sum = found.first().copied().map_or(0.0, f64::from);
        }
        Ok(sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::parse_preference;
    use serde_json::json;

    fn choice(row: serde_json::Value) -> Option<Choice> {
        Choice::of(&parse_preference(&row).unwrap().row)
    }

    #[test]
    fn a_pair_asks_its_prompt_and_knows_both_answers() {
        let user = json!({"role": "user", "content": "q"});
        let said = |text: &str| json!({"role": "assistant", "content": text});
        let found = choice(json!({"chosen": [user, said("a")], "rejected": [user, said("b")]})).unwrap();
        assert_eq!((found.exercise.question(), found.exercise.expected.as_str()), ("q", "a"));
        assert_eq!((found.rejected.as_str(), found.exercise.asked.messages.len()), ("b", 1));
        assert_eq!(choice(json!({"prompt": "q", "chosen": "a", "rejected": "a"})), None);
        assert_eq!(Choice::of(&Row::Document("t".into())), None);
    }
}
