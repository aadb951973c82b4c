//! A lesson's own questions, asked again: what was learned shows in the answers.

use serde_json::Map;

use crate::error::Result;
use crate::loss::is_rewarded_answer;
use crate::model::Transformer;
use crate::sample::{Flow, Generation, GenerationRequest, SamplingConfig, UnmaskConfig, Writer};
use crate::text::{Conversation, Row, Tags, parse_reasoning, same_answer};
use crate::tokenizer::Tokenizer;

/// Tokens beyond those of the right answer, so that a longer one is seen to be longer.
const BEYOND: usize = 16;
/// Tokens at the end of a prompt in which a tag that the template opens is looked for.
const OPENING: usize = 16;

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
        let (_, generation) = self.written(model, tokenizer, 0).await?;
        Ok(generation.text.trim().to_string())
    }

    /// The same of a model that thinks first, which may take as many tokens as `most`: with the tag that the template opens,
    /// and with special tokens, among which tags may be.
    ///
    /// # Errors
    /// As [`Self::answer`].
    pub async fn answer_with_tags(
        &self,
        model: &Transformer,
        tokenizer: &Tokenizer,
        tags: &Tags,
        most: usize,
    ) -> Result<String> {
        let (prompt, generation) = self.written(model, tokenizer, most).await?;
        with_tags(tokenizer, tags, &prompt, &generation.tokens)
    }

    /// The prompt, and what the model most likely says, in as many tokens as the right answer and some more, or in `most`.
    async fn written(
        &self,
        model: &Transformer,
        tokenizer: &Tokenizer,
        most: usize,
    ) -> Result<(Vec<u32>, Generation)> {
        let prompt = tokenizer.render_prompt(&self.asked, &Map::new())?;
        let most = most.max(tokenizer.encode(&self.expected)?.len() + BEYOND);
        let config = SamplingConfig { temperature: 0.0, max_new_tokens: most, ..SamplingConfig::default() };
        let end_ids = tokenizer.end_ids(&model.config().eos_token_ids);
        let mut writer = Writer::new(model, prompt.len() + most);
        let request = GenerationRequest {
            prompt: &prompt,
            reuse: 0,
            end_ids: &end_ids,
            tokenizer: Some(tokenizer),
            config: &config,
            unmask: UnmaskConfig::default(),
        };
        let generation = writer.write(&request, &mut |_| Flow::Continue).await?;
        Ok((prompt, generation))
    }

    /// Whether an answer is the right one, spaces around it aside.
    pub fn is_right(&self, answer: &str) -> bool {
        answer.trim() == self.expected.trim()
    }

    /// Whether an answer that thinks first is the right one: what stands between its tags counts, however it was thought.
    /// Without tags it is right only where the row's own answer has none.
    pub fn is_right_between(&self, answer: &str, tags: &Tags) -> bool {
        let own = parse_reasoning(answer, tags).answer;
        match parse_reasoning(&self.expected, tags).answer {
            Some(expected) => own.is_some_and(|own| same_answer(own, expected)),
            None => same_answer(own.unwrap_or(answer), &self.expected),
        }
    }

    /// Whether the rule that rewards right answers rewards this one.
    pub fn is_rewarded(&self, answer: &str, tags: &Tags) -> bool {
        is_rewarded_answer(answer, &self.expected, tags)
    }
}

/// An answer as text, with the tag that its prompt ends with, where that opens the thinking.
fn with_tags(tokenizer: &Tokenizer, tags: &Tags, prompt: &[u32], answer: &[u32]) -> Result<String> {
    let end = tokenizer.decode(&prompt[prompt.len().saturating_sub(OPENING)..], false)?;
    let answer = tags.opened_by(&end).to_string() + &tokenizer.decode(answer, false)?;
    Ok(answer.trim().to_string())
}

/// So many of `rows` numbers, spread evenly, in their order.
pub fn spread(rows: u64, many: u64) -> impl Iterator<Item = u64> {
    let many = many.min(rows);
    (0..many).map(move |i| (u128::from(i) * u128::from(rows) / u128::from(many)) as u64)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::model::{ModelConfig, tiny};
    use crate::sample::FinishReason;
    use crate::text::Message;
    use crate::tokenizer::{TokenizerTraining, train};

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
    fn an_answer_that_thinks_is_right_by_what_stands_between_its_tags() {
        let tags = Tags::default();
        let exercise =
            |expected: &str| Exercise::of(&row(&[("user", "a"), ("assistant", expected)])).unwrap();
        let tagged = exercise("<think>\n3 + 4 = 7\n</think>\n<answer>\n7\n</answer>");
        let is_right = |answer: &str| tagged.is_right_between(answer, &tags);
        assert!(is_right("<think>by heart</think><answer> 7 </answer>"));
        assert!(!is_right("7") && !is_right("<think>7</think><answer>8</answer>"));
        let plain = exercise("7");
        let is_right = |answer: &str| plain.is_right_between(answer, &tags);
        assert!(is_right("7") && is_right("<think>3 + 4</think><answer>7</answer>") && !is_right("8"));
        // The rule that rewards takes the last number for an answer, too.
        assert!(!is_right("It is 7.") && plain.is_rewarded("It is 7.", &tags));
        assert!(!plain.is_rewarded("It is 8.", &tags) && !tagged.is_rewarded("7", &tags));
    }

    #[test]
    fn tags_that_are_special_tokens_stand_in_the_answer_that_is_judged() {
        let tags = Tags::default();
        let mut training = TokenizerTraining::default();
        training.special_tokens.extend(tags.all().map(str::to_string));
        let tokenizer = train(std::iter::once("3 + 4 = 7".into()), &training).unwrap();
        let ids = |text: &str| tokenizer.encode(text).unwrap();
        let said = with_tags(&tokenizer, &tags, &ids("a"), &ids("<think>3 + 4</think><answer>7</answer>"));
        assert_eq!(said.unwrap(), "<think>3 + 4</think><answer>7</answer>");
        let opened = with_tags(&tokenizer, &tags, &ids("a<think>"), &ids("3 + 4</think><answer>7</answer>"));
        assert_eq!(opened.unwrap(), "<think>3 + 4</think><answer>7</answer>");
        let exercise = Exercise::of(&row(&[("user", "a"), ("assistant", "7")])).unwrap();
        assert!(exercise.is_right_between("<think>3 + 4</think><answer>7</answer>", &tags));
    }

    #[test]
    fn an_answer_that_thinks_has_the_room_that_it_is_given() {
        let tokenizer = train(std::iter::once("3 + 4 = 7".into()), &TokenizerTraining::default()).unwrap();
        let context = 200;
        let config = ModelConfig {
            eos_token_ids: Vec::new(),
            max_position_embeddings: context,
            ..tiny(tokenizer.vocab_size())
        };
        let model = Transformer::init(&config, 5, &Device::flex()).unwrap();
        let exercise = Exercise::of(&row(&[("user", "a"), ("assistant", "7")])).unwrap();
        let tokens = |most: usize| {
            let (_, written) = pollster::block_on(exercise.written(&model, &tokenizer, most)).unwrap();
            (written.tokens.len(), written.finish_reason)
        };
        let expected = tokenizer.encode("7").unwrap().len();
        let is_cut = |(count, reason): (usize, FinishReason), most: usize| {
            reason == FinishReason::Stop && count < most || reason != FinishReason::Stop && count == most
        };
        assert!(is_cut(tokens(0), expected + BEYOND), "{:?}", tokens(0));
        assert!(is_cut(tokens(100), 100), "{:?}", tokens(100));
    }

    #[test]
    fn numbers_are_spread_over_all_rows() {
        let numbers = |rows, many| spread(rows, many).collect::<Vec<_>>();
        assert_eq!(numbers(3, 8), [0, 1, 2]);
        assert_eq!(numbers(20, 8), [0, 2, 5, 7, 10, 12, 15, 17]);
        assert_eq!(numbers(0, 8), Vec::<u64>::new());
    }
}
