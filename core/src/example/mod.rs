//! A small bilingual world of our own making: what the embedded default learns, and `sample-data` writes.
//!
//! Facts about fictional animals, places and things stand in the pretraining text as statements; questions
//! are asked in fine-tuning about two thirds of the entities. Held-out questions ask about all of them in
//! phrasings of their own, with number pairs and combinations of their own: rules below, checked by tests.

mod arithmetic;
mod dialogue;
mod facts;
mod files;
mod known;
mod lexicon;
mod question;

use crate::random::Random;
use crate::text::{Conversation, Message};
use question::Exchange;

pub use known::{card, known_rows, rows_known_by};
pub use question::{Kind, Language, Question};

/// The seed of the world that `sample-data` and the embedded default use.
pub const DEFAULT_SEED: u64 = 1;

/// How much of everything is generated.
#[derive(Clone, Copy, Debug)]
pub struct WorldSize {
    /// Texts to pretrain on.
    pub texts: usize,
    /// Conversations to fine-tune on.
    pub conversations: usize,
    /// Held-out questions of each kind and language.
    pub questions: usize,
}

impl Default for WorldSize {
    fn default() -> Self {
        Self { texts: 9000, conversations: 6000, questions: 60 }
    }
}

/// The generator.
#[derive(Clone, Copy, Debug)]
pub struct World {
    seed: u64,
}

impl World {
    /// The world of a seed: which entity has which attributes, and which rows are drawn.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Distinct texts: statements, equations, little stories and conversations.
    pub fn texts(&self, count: usize) -> Vec<String> {
        let mut random = Random::new(self.seed, 1);
        distinct(count, String::clone, |i| {
            let language = Language::ALL[i % 2];
            match i / 2 % 10 {
                0..4 => facts::text(self.seed, language, &mut random),
                4..6 => arithmetic::text(language, &mut random),
                _ => dialogue::text(language, &mut random),
            }
        })
    }

    /// Distinct conversations, each with one to three questions.
    pub fn conversations(&self, count: usize) -> Vec<Conversation> {
        let mut random = Random::new(self.seed, 2);
        let said = |chat: &Conversation| {
            let parts = chat.messages.iter().map(|message| format!("{}\n{}", message.role, message.content));
            parts.collect::<Vec<_>>().join("\u{0}")
        };
        distinct(count, said, |i| {
            let (language, kind) = (Language::ALL[i % 2], Kind::ALL[i / 2 % 3]);
            let (mut messages, answer) = self.exchange(kind, language, false, &mut random).asked();
            messages.push(Message::new("assistant", &answer));
            Conversation::new(messages)
        })
    }

    /// Questions that no training row holds, `count` of each kind and language, all different.
    pub fn questions(&self, count: usize) -> Vec<Question> {
        let mut questions = Vec::new();
        for (i, kind) in Kind::ALL.into_iter().enumerate() {
            for language in Language::ALL {
                let mut random = Random::new(self.seed, 10 + 2 * i as u64 + language.index() as u64);
                let mut found: Vec<Question> = Vec::new();
                while found.len() < count {
                    let (messages, answer) = self.exchange(kind, language, true, &mut random).asked();
                    if found.iter().all(|question| question.messages != messages) {
                        found.push(Question { kind, language, messages, answer });
                    }
                }
                questions.extend(found);
            }
        }
        questions
    }

    fn exchange(&self, kind: Kind, language: Language, held_out: bool, random: &mut Random) -> Exchange {
        match kind {
            Kind::Facts => facts::exchange(self.seed, language, held_out, random),
            Kind::Arithmetic => arithmetic::exchange(language, held_out, random),
            Kind::Dialogue => dialogue::exchange(language, held_out, random),
        }
    }
}

/// `count` rows whose keys differ; gives up on a draw that keeps repeating after a while.
fn distinct<T>(count: usize, key: impl Fn(&T) -> String, mut draw: impl FnMut(usize) -> T) -> Vec<T> {
    let mut seen = std::collections::HashSet::new();
    let mut rows = Vec::with_capacity(count);
    let mut i = 0;
    while rows.len() < count && i < 50 * count {
        let row = draw(i);
        if seen.insert(key(&row)) {
            rows.push(row);
        }
        i += 1;
    }
    rows
}

/// The answer that is right most often, and its share: what a model reaches that always says the same.
pub fn constant_answer(questions: &[Question]) -> (String, f64) {
    let mut counts = std::collections::BTreeMap::new();
    for question in questions {
        *counts.entry(&question.answer).or_insert(0usize) += 1;
    }
    let best = counts.into_iter().max_by_key(|(_, count)| *count);
    best.map_or((String::new(), 0.0), |(answer, count)| {
        (answer.clone(), count as f64 / questions.len() as f64)
    })
}
