//! The world as data files in the formats that training reads.

use serde_json::{Value, json};

use super::question::{Kind, Question};
use super::{World, WorldSize};
use crate::random::Random;
use crate::text::{Conversation, Message, Preference};

/// The file of questions with answers to choose from.
const CHOICES: &str = "eval_choice.jsonl";
/// Rows of preference pairs at most.
const PREFERENCES: usize = 1000;

/// Another name for the assistant, to teach with an adapter.
const IDENTITY: [(&str, &str); 8] = [
    ("Who are you?", "I am Luma, a small model taught by the Lantern Workshop."),
    ("What is your name?", "My name is Luma."),
    ("Who made you?", "The Lantern Workshop made me."),
    ("Are you a large model?", "No, I am Luma, a small one."),
    ("你是谁？", "我是露玛，灯笼工坊教出来的小模型。"),
    ("你叫什么名字？", "我叫露玛。"),
    ("谁制作了你？", "灯笼工坊制作了我。"),
    ("你是大模型吗？", "不是，我是露玛，一个小模型。"),
];

impl World {
    /// The example sets, by file name: pretrain, sft, lora, dpo with wrong answers, with long ones and with a closing
    /// sentence, reason, eval and multiple choice.
    pub fn files(&self, size: WorldSize) -> Vec<(String, Vec<u8>)> {
        let texts = self.texts(size.texts).into_iter().map(|text| json!({"text": text}));
        let chats = self.conversations(size.conversations);
        let questions = self.questions(size.questions);
        let eval = questions.iter().map(|question| {
            let last = question.messages.last().map_or("", |message| message.content.as_str());
            json!({"question": last, "messages": question.messages, "answer": question.answer,
                "kind": question.kind, "language": question.tongue(), "turn": question.turn})
        });
        vec![
            ("pretrain.jsonl".into(), lines(texts)),
            ("sft.jsonl".into(), lines(chats.iter().map(row))),
            ("lora.jsonl".into(), lines(IDENTITY.iter().map(|(q, a)| pair(q, a)))),
            ("dpo.jsonl".into(), lines(self.preferences(&chats))),
            ("dpo_brief.jsonl".into(), lines(self.preferred(&chats).iter().map(preference))),
            ("dpo_invite.jsonl".into(), lines(self.inviting(&chats).iter().map(preference))),
            (
                "reason.jsonl".into(),
                lines(self.reasoned(size.conversations / 3).iter().map(|(q, a)| pair(q, a))),
            ),
            ("eval.jsonl".into(), lines(eval)),
            self.choice_file(8 * size.questions),
        ]
    }

    /// The right answer against one from another row.
    fn preferences(&self, chats: &[Conversation]) -> impl Iterator<Item = Value> {
        let mut random = Random::new(self.seed, 5);
        let rows: Vec<Value> = chats
            .iter()
            .take(PREFERENCES)
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

    /// Questions with four answers to choose from as a file, by its name; drawn from so many questions of each kind.
    pub fn choice_file(&self, count: usize) -> (String, Vec<u8>) {
        (CHOICES.into(), lines(self.choices(count)))
    }

    /// Held-out first questions about facts, with four answers to choose from.
    fn choices(&self, count: usize) -> impl Iterator<Item = Value> {
        let mut random = Random::new(self.seed, 6);
        let questions = self.questions(count);
        let is_asked = |question: &Question| question.kind == Kind::Facts && question.messages.len() == 1;
        let facts: Vec<_> = questions.into_iter().filter(is_asked).collect();
        let rows: Vec<Value> = facts
            .iter()
            .map(|question| {
                let mut others: Vec<&String> = facts
                    .iter()
                    .filter(|other| other.language == question.language && other.answer != question.answer)
                    .map(|other| &other.answer)
                    .collect();
                others.sort();
                others.dedup();
                random.shuffle(&mut others);
                let mut choices: Vec<&String> =
                    others.into_iter().take(3).chain([&question.answer]).collect();
                random.shuffle(&mut choices);
                let right = choices.iter().position(|choice| **choice == question.answer);
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

fn preference(pair: &Preference) -> Value {
    let [chosen, rejected] = pair.conversations().map(|conversation| conversation.messages);
    json!({"chosen": chosen, "rejected": rejected})
}

fn pair(question: &str, answer: &str) -> Value {
    json!({"conversations": [Message::new("user", question), Message::new("assistant", answer)]})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::{Task, read_question};

    #[test]
    fn every_file_is_json_lines() {
        for (name, bytes) in World::new(3).files(WorldSize { texts: 50, conversations: 60, questions: 1 }) {
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.lines().count() >= 5, "{name}");
            text.lines().for_each(|line| assert!(line.parse::<Value>().unwrap().is_object()));
        }
    }

    #[test]
    fn the_file_of_choices_is_one_of_questions_in_both_languages() {
        let (name, bytes) = World::new(1).choice_file(12);
        assert_eq!(name, "eval_choice.jsonl");
        let text = String::from_utf8(bytes).unwrap();
        let question = |line: &str| {
            let row: Value = line.parse().unwrap();
            read_question(Task::Openbookqa, row.as_object().unwrap()).unwrap()
        };
        let read: Vec<_> = text.lines().map(question).collect();
        assert!((12..=60).contains(&read.len()), "{}", read.len());
        assert!(read.iter().all(|(question, unused)| question.choices() == 4 && unused.is_empty()));
        let chinese = read.iter().filter(|(question, _)| question.stem.chars().any(|c| c >= '一')).count();
        assert!(chinese > 0 && chinese < read.len(), "{chinese} of {}", read.len());
    }

    #[test]
    fn choices_are_four_and_one_is_right() {
        let rows: Vec<Value> = World::new(1).choices(12).collect();
        assert!(rows.len() >= 12, "{}", rows.len());
        for row in rows {
            let choices: std::collections::BTreeSet<_> =
                row["choices"].as_array().unwrap().iter().map(|choice| choice.as_str().unwrap()).collect();
            assert_eq!(choices.len(), 4, "{row}");
            assert!(row["answer"].as_u64().unwrap() < 4, "{row}");
        }
    }
}
