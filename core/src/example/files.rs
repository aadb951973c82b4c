//! The world as data files in the formats that training reads.

use serde_json::{Value, json};

use super::{Kind, World, WorldSize};
use crate::random::Random;
use crate::text::{Conversation, Message};

/// What the invented assistant says about itself, in the phrasings that ask for it.
const IDENTITY: [(&str, &str); 8] = [
    ("Who are you?", "I am Ember, a small model trained with Kindling."),
    ("What is your name?", "My name is Ember."),
    ("Who made you?", "Somebody at this computer trained me with Kindling."),
    ("Are you a large model?", "No, I am Ember, a small one."),
    ("你是谁？", "我是小烬，用 Kindling 训练的小模型。"),
    ("你叫什么名字？", "我叫小烬。"),
    ("谁训练了你？", "有人在这台电脑上用 Kindling 训练了我。"),
    ("你是大模型吗？", "不，我是小烬，一个小模型。"),
];

impl World {
    /// The example sets, by file name: pretrain, sft, lora, dpo, reason, eval and multiple choice.
    pub fn files(&self, size: WorldSize) -> Vec<(String, Vec<u8>)> {
        let texts = self.texts(size.texts).into_iter().map(|text| json!({"text": text}));
        let chats = self.conversations(size.conversations);
        let questions = self.questions(size.questions);
        let eval = questions.iter().map(|question| {
            let text: Vec<_> = question.messages.iter().map(|m| m.content.as_str()).collect();
            json!({"question": text.join("\n"), "messages": question.messages, "answer": question.answer,
                "kind": question.group()})
        });
        vec![
            ("pretrain.jsonl".into(), lines(texts)),
            ("sft.jsonl".into(), lines(chats.iter().map(row))),
            ("lora.jsonl".into(), lines(IDENTITY.iter().map(|(q, a)| pair(q, a)))),
            ("dpo.jsonl".into(), lines(self.preferences(&chats))),
            ("reason.jsonl".into(), lines(chats.iter().filter_map(reasoned))),
            ("eval.jsonl".into(), lines(eval)),
            ("eval_choice.jsonl".into(), lines(self.choices(size.questions))),
        ]
    }

    /// The right answer against one from another row.
    fn preferences(&self, chats: &[Conversation]) -> impl Iterator<Item = Value> {
        let mut random = Random::new(self.seed, 5);
        let rows: Vec<Value> = chats
            .iter()
            .take(1000)
            .filter_map(|chat| {
                let (answer, before) = chat.messages.split_last()?;
                let other = &random.choose(chats).messages.last()?.content;
                let with = |content: &str| {
                    let mut messages = before.to_vec();
                    messages.push(Message::new("assistant", content));
                    messages
                };
                (*other != answer.content)
                    .then(|| json!({"chosen": with(&answer.content), "rejected": with(other)}))
            })
            .collect();
        rows.into_iter()
    }

    /// Held-out fact questions with four answers to choose from.
    fn choices(&self, count: usize) -> impl Iterator<Item = Value> {
        let mut random = Random::new(self.seed, 6);
        let questions = self.questions(count);
        let facts: Vec<_> = questions.into_iter().filter(|question| question.kind == Kind::Facts).collect();
        let rows: Vec<Value> = facts
            .iter()
            .map(|question| {
                let mut choices = vec![question.answer.clone()];
                while choices.len() < 4 {
                    let other = random.choose(&facts);
                    if other.language == question.language && !choices.contains(&other.answer) {
                        choices.push(other.answer.clone());
                    }
                }
                random.shuffle(&mut choices);
                let right = choices.iter().position(|choice| *choice == question.answer);
                json!({"question": question.messages[0].content, "choices": choices, "answer": right})
            })
            .collect();
        rows.into_iter()
    }
}

fn lines(rows: impl Iterator<Item = Value>) -> Vec<u8> {
    rows.flat_map(|row| format!("{row}\n").into_bytes()).collect()
}

fn row(chat: &Conversation) -> Value {
    json!({"conversations": chat.messages})
}

fn pair(question: &str, answer: &str) -> Value {
    json!({"conversations": [Message::new("user", question), Message::new("assistant", answer)]})
}

/// An arithmetic row whose answer shows its steps between tags; `None` for other rows.
fn reasoned(chat: &Conversation) -> Option<Value> {
    let [question, answer] = chat.messages.as_slice() else { return None };
    answer.content.parse::<u64>().ok()?;
    let start = question.content.find(|c: char| c.is_ascii_digit())?;
    let problem = question.content[start..].trim_end_matches(['?', '？']);
    let at = problem.find(['+', '-'])?;
    let (a, rest) = problem.split_at(at);
    let (sign, b) = rest.split_at(1);
    let (tens, units) = a.split_at(1);
    let result = &answer.content;
    let steps = format!("{units}{sign}{b}={}\n{tens}_ {result}", result.chars().last()?);
    let content = format!("<think>\n{steps}\n</think>\n<answer>\n{result}\n</answer>");
    Some(pair(&question.content, &content))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use super::super::{arithmetic, facts};
    use super::*;
    use crate::example::{DEFAULT_SEED, Language, Question, constant_answer};

    fn world() -> (Vec<String>, Vec<Conversation>, Vec<Question>) {
        let (world, size) = (World::new(DEFAULT_SEED), WorldSize::default());
        (world.texts(size.texts), world.conversations(size.conversations), world.questions(size.questions))
    }

    /// Letters and digits only: spelling decides, not spacing or signs around it.
    fn plain(text: &str) -> String {
        text.chars()
            .filter(|c| c.is_alphanumeric() || ['+', '-'].contains(c))
            .collect::<String>()
            .to_lowercase()
    }

    #[test]
    fn no_held_out_question_is_in_the_training_rows() {
        let (texts, chats, questions) = world();
        let texts: Vec<String> = texts.iter().map(|text| plain(text)).collect();
        let asked =
            |messages: &[Message]| messages.iter().map(|m| plain(&m.content)).collect::<Vec<_>>().join("|");
        let trained: HashSet<String> =
            chats.iter().map(|chat| asked(&chat.messages[..chat.messages.len() - 1])).collect();
        for question in &questions {
            assert!(!trained.contains(&asked(&question.messages)), "{question:?}");
            // Dialogues ask the same few things; what is held out is what was said before.
            let said = match question.kind {
                Kind::Dialogue => plain(&question.messages[0].content),
                _ => asked(&question.messages),
            };
            assert!(!texts.iter().any(|text| text.contains(&said)), "{question:?}");
        }
    }

    #[test]
    fn no_held_out_number_pair_is_in_any_row() {
        let (texts, chats, _) = world();
        let said = chats.iter().flat_map(|chat| &chat.messages).map(|message| message.content.clone());
        let mut problems = 0;
        for text in texts.into_iter().chain(said) {
            for (at, sign) in text.match_indices(['+', '-']) {
                let before: String = text[..at].chars().rev().take_while(char::is_ascii_digit).collect();
                let a: u64 = before.chars().rev().collect::<String>().parse().unwrap();
                let b = text[at + sign.len()..].chars().next().unwrap().to_digit(10).unwrap();
                assert!(!arithmetic::is_held_out(a, u64::from(b)), "{text}");
                problems += 1;
            }
        }
        assert!(problems > 5000);
    }

    #[test]
    fn a_third_of_the_entities_is_never_asked_about() {
        let (texts, chats, _) = world();
        let held_out: Vec<usize> =
            (0..facts::ENTITIES).filter(|&entity| facts::is_held_out(entity)).collect();
        assert_eq!(held_out.len() * 3, facts::ENTITIES);
        for language in Language::ALL {
            for &entity in &held_out {
                let name = facts::name(entity, language);
                assert!(
                    chats.iter().all(|chat| chat.messages.iter().all(|m| !m.content.contains(&name))),
                    "{name}"
                );
                assert!(
                    texts.iter().any(|text| text.contains(&name)),
                    "{name} stands in the pretraining text"
                );
            }
        }
    }

    #[test]
    fn rows_are_many_distinct_and_repeatable() {
        let (texts, chats, questions) = world();
        assert_eq!(texts.iter().collect::<HashSet<_>>().len(), texts.len());
        assert!(texts.len() >= 5000 && chats.len() >= 3000);
        let mut groups: BTreeMap<String, usize> = BTreeMap::new();
        questions.iter().for_each(|question| *groups.entry(question.group()).or_default() += 1);
        assert_eq!(groups.len(), 6);
        assert!(groups.values().all(|&count| count >= 50), "{groups:?}");
        assert!(constant_answer(&questions).1 < 0.1);
        assert_eq!(world().2, questions);
    }

    #[test]
    fn every_file_is_json_lines() {
        for (name, bytes) in World::new(3).files(WorldSize { texts: 50, conversations: 60, questions: 5 }) {
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.lines().count() >= 5, "{name}");
            text.lines().for_each(|line| assert!(line.parse::<Value>().unwrap().is_object()));
        }
    }
}
