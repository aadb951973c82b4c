//! A lesson's own questions, asked again: what was learned shows in the answers.

use serde_json::Map;

use crate::error::Result;
use crate::model::Transformer;
use crate::sample::{Decoder, Flow, GenerationRequest, SamplingConfig, generate};
use crate::text::{Conversation, Row};
use crate::tokenizer::Tokenizer;

/// Tokens beyond those of the right answer, so that a longer one is seen to be longer.
const BEYOND: usize = 16;

/// A row's last answer, and what it answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Exercise {
    /// The conversation up to the answer.
    pub asked: Conversation,
    /// The answer.
    pub expected: String,
}

impl Exercise {
    /// The exercise of a row; `None` for one in which nobody is answered.
    pub fn of(row: &Row) -> Option<Self> {
        let Row::Conversation(conversation) = row else { return None };
        let answers = |at: &usize| {
            let message = &conversation.messages[*at];
            message.is_assistant() && !message.content.trim().is_empty() && message.weight > 0.0
        };
        let at = (1..conversation.messages.len()).rev().find(answers)?;
        let expected = conversation.messages[at].content.clone();
        let mut asked = conversation.clone();
        asked.messages.truncate(at);
        Some(Self { asked, expected })
    }

    /// The last message that it answers.
    pub fn question(&self) -> &str {
        self.asked.messages.last().map_or("", |message| &message.content)
    }

    /// The model's most likely answer, no longer than a little more than the right one.
    ///
    /// # Errors
    /// A tokenizer without a chat template; a conversation longer than the context; a device that cannot be read.
    pub async fn answer(&self, model: &Transformer, tokenizer: &Tokenizer) -> Result<String> {
        let prompt = tokenizer.render_prompt(&self.asked, &Map::new())?;
        let most = tokenizer.encode(&self.expected)?.len() + BEYOND;
        let config = SamplingConfig { temperature: 0.0, max_new_tokens: most, ..SamplingConfig::default() };
        let end_ids = tokenizer.end_ids(&model.config().eos_token_ids);
        let mut decoder = Decoder::new(model, prompt.len() + most);
        let request = GenerationRequest {
            prompt: &prompt,
            reuse: 0,
            end_ids: &end_ids,
            tokenizer: Some(tokenizer),
            config: &config,
        };
        let generation = generate(&mut decoder, &request, &mut |_| Flow::Continue).await?;
        Ok(generation.text.trim().to_string())
    }

    /// Whether an answer is the right one, spaces around it aside.
    pub fn is_right(&self, answer: &str) -> bool {
        answer.trim() == self.expected.trim()
    }
}

/// So many of `rows` numbers, spread evenly, in their order.
pub fn spread(rows: u64, many: u64) -> impl Iterator<Item = u64> {
    let many = many.min(rows);
    (0..many).map(move |i| (u128::from(i) * u128::from(rows) / u128::from(many)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Message;

    fn row(messages: &[(&str, &str)]) -> Row {
        let messages = messages.iter().map(|(role, content)| Message::new(role, content));
        Row::Conversation(Conversation::new(messages.collect()))
    }

    #[test]
    fn the_last_answer_is_asked_for_with_all_that_was_said_before() {
        let talk = [("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", " d ")];
        let exercise = Exercise::of(&row(&talk)).unwrap();
        assert_eq!((exercise.question(), exercise.asked.messages.len()), ("c", 4));
        assert!(exercise.is_right("d") && !exercise.is_right("D"));
        // What the user says last is answered by nobody.
        let open = Exercise::of(&row(&talk[..4])).unwrap();
        assert_eq!((open.question(), open.expected.as_str()), ("a", "b"));
    }

    #[test]
    fn rows_without_an_answer_that_is_trained_ask_nothing() {
        assert_eq!(Exercise::of(&Row::Document("a text".into())), None);
        assert_eq!(Exercise::of(&row(&[("user", "a")])), None);
        assert_eq!(Exercise::of(&row(&[("user", "a"), ("assistant", " ")])), None);
        let Row::Conversation(mut read) = row(&[("user", "a"), ("assistant", "b")]) else { return };
        read.messages[1].weight = 0.0;
        assert_eq!(Exercise::of(&Row::Conversation(read)), None);
    }

    #[test]
    fn numbers_are_spread_over_all_rows() {
        let numbers = |rows, many| spread(rows, many).collect::<Vec<_>>();
        assert_eq!(numbers(3, 8), [0, 1, 2]);
        assert_eq!(numbers(20, 8), [0, 2, 5, 7, 10, 12, 15, 17]);
        assert_eq!(numbers(0, 8), Vec::<u64>::new());
    }
}
