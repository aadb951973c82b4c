//! A small bilingual world of our own making: what the embedded default learns, and `sample-data` writes.
//!
//! Its conversations are what people type to a small model: greetings, who it is, what it knows, facts about fictional
//! animals, places and things, small sums, follow-ups, what they told before, and what it cannot know. Each kind comes
//! at any turn, in English, in Chinese and changing between them. Held-out questions are asked in phrasings, of names and of numbers
//! that no training row puts together; rules below, checked by tests.

mod arithmetic;
mod facts;
mod files;
mod follow_up;
mod grade;
mod inviting;
mod known;
mod large;
mod lexicon;
mod memory;
mod names;
mod phrases;
mod preferred;
mod question;
mod reasoned;
mod small_talk;
mod talk;
mod turn;
mod unknown;

use crate::random::Random;
use crate::text::Conversation;
use crate::tokenizer::TokenizerTraining;
use question::Tongue;
use turn::Exchange;

pub use grade::{Examinee, Grade, Grades};
pub use known::{card, known_rows, rows_known_by};
pub use large::LargeText;
pub use question::{Kind, Language, Question};
pub use reasoned::UnseenSum;

/// The seed of the world that `sample-data` and the embedded default use.
pub const DEFAULT_SEED: u64 = 1;
/// As which turn of a conversation held-out questions are asked.
pub const TURNS: [usize; 3] = [1, 2, 5];
/// Turns of a conversation to train on.
const LENGTH: usize = 8;
/// More token ids than the words of the world give: every one becomes a token.
const VOCAB_SIZE: usize = 3000;
/// Pairs that are rarer are not merged: names that were spelled by chance stay in pieces, as others' names come.
const RARE: u64 = 60;

/// How much of everything is generated.
#[derive(Clone, Copy, Debug)]
pub struct WorldSize {
    /// Texts to pretrain on.
    pub texts: usize,
    /// Conversations to fine-tune on.
    pub conversations: usize,
    /// Held-out questions of each kind, language and turn.
    pub questions: usize,
}

impl Default for WorldSize {
    fn default() -> Self {
        Self { texts: 18_000, conversations: 9_200, questions: 16 }
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

    /// Distinct texts: statements, words told and repeated, and equations.
    pub fn texts(&self, count: usize) -> Vec<String> {
        let mut random = Random::new(self.seed, 1);
        distinct(count, String::clone, |i| {
            let language = Language::ALL[i % 2];
            match i / 2 % 5 {
                0 => facts::text(self.seed, language, &mut random),
                1 | 2 => memory::text(language, &mut random),
                _ => arithmetic::text(&mut random),
            }
        })
    }

    /// Distinct conversations, of eight turns.
    pub fn conversations(&self, count: usize) -> Vec<Conversation> {
        let mut random = Random::new(self.seed, 2);
        let said = |chat: &Conversation| {
            let parts = chat.messages.iter().map(|message| format!("{}\n{}", message.role, message.content));
            parts.collect::<Vec<_>>().join("\u{0}")
        };
        distinct(count, said, |i| {
            let talk = talk::talk(self.seed, tongue(i), LENGTH, &mut random);
            Conversation::new(talk.iter().flat_map(Exchange::messages).collect())
        })
    }

    /// Questions that no training row holds, all different: up to `count` of each kind, language and turn.
    pub fn questions(&self, count: usize) -> Vec<Question> {
        let mut questions = Vec::new();
        for (k, kind) in Kind::ALL.into_iter().enumerate() {
            for (t, tongue) in Tongue::ALL.into_iter().enumerate() {
                for turn in TURNS.into_iter().filter(|&turn| kind.comes_as(turn, tongue)) {
                    let stream = 10 + (k * Tongue::ALL.len() + t) * LENGTH + turn;
                    let mut random = Random::new(self.seed, stream as u64);
                    let mut found: Vec<Question> = Vec::new();
                    for _ in 0..50 * count {
                        let drawn = talk::question(self.seed, kind, tongue, turn, &mut random);
                        let is_new =
                            |drawn: &Question| found.iter().all(|other| other.messages != drawn.messages);
                        found.extend(drawn.filter(is_new));
                        if found.len() == count {
                            break;
                        }
                    }
                    questions.extend(found);
                }
            }
        }
        questions
    }

    /// What the world's tokenizer learns from, and how: all that is said there, and the template's names of roles.
    /// Every word and every Chinese character becomes a token.
    pub fn tokenizer_training(&self, size: WorldSize) -> (Vec<String>, TokenizerTraining) {
        let chats = self.conversations(size.conversations);
        let said = chats.into_iter().flat_map(|chat| chat.messages).map(|message| message.content);
        let roles = ["system", "user", "assistant"].into_iter().cycle().take(300).map(str::to_string);
        let settings = TokenizerTraining {
            vocab_size: VOCAB_SIZE,
            min_frequency: RARE,
            digits_single: true,
            han_single: true,
            ..TokenizerTraining::default()
        };
        (self.texts(size.texts).into_iter().chain(said).chain(roles).collect(), settings)
    }
}

/// The languages of row `i`: two of three change between them.
fn tongue(i: usize) -> Tongue {
    if i % 6 < 4 { Tongue::Both } else { Tongue::One(Language::ALL[i % 2]) }
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
