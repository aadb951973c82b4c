//! What is asked in the generated world: its languages, its kinds of question, and a question with its answer.

use serde::Serialize;

use crate::text::Message;

/// The world's languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    En,
    /// Simplified Chinese.
    Zh,
}

impl Language {
    pub(super) const ALL: [Self; 2] = [Self::En, Self::Zh];

    /// Its place in the tables of words.
    pub(super) fn index(self) -> usize {
        self as usize
    }
}

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An attribute of an entity.
    Facts,
    /// A sum or difference.
    Arithmetic,
    /// Something said earlier in the conversation.
    Dialogue,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Facts, Self::Arithmetic, Self::Dialogue];
}

/// A question that no training row holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Question {
    /// What it is about.
    pub kind: Kind,
    /// In which language.
    pub language: Language,
    /// The conversation up to and with the question.
    pub messages: Vec<Message>,
    /// The only right answer.
    pub answer: String,
}

impl Question {
    /// `facts_en` and so on: questions are counted by this name.
    pub fn group(&self) -> String {
        format!("{:?}_{:?}", self.kind, self.language).to_lowercase()
    }
}

/// A question with its answer, and what was said before.
pub(super) struct Exchange {
    pub(super) before: Vec<Message>,
    pub(super) question: String,
    pub(super) answer: String,
}

impl Exchange {
    /// Nothing was said before.
    pub(super) fn new(question: String, answer: String) -> Self {
        Self { before: Vec::new(), question, answer }
    }

    /// The messages up to and with the question, and the answer.
    pub(super) fn asked(self) -> (Vec<Message>, String) {
        let mut messages = self.before;
        messages.push(Message::new("user", &self.question));
        (messages, self.answer)
    }
}
