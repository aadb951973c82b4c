//! What is asked in the generated world: its languages, its kinds of question, and a held-out question with its answer.

use serde::Serialize;

use crate::random::Random;
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

/// The languages of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tongue {
    /// All in one.
    One(Language),
    /// Some turns in one, some in the other.
    Both,
}

impl Tongue {
    /// The three of them.
    pub const ALL: [Self; 3] = [Self::One(Language::En), Self::One(Language::Zh), Self::Both];

    /// That of the next turn.
    pub fn language(self, random: &mut Random) -> Language {
        match self {
            Self::One(language) => language,
            Self::Both => *random.choose(&Language::ALL),
        }
    }
}

/// What a question is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Hello, how are you, goodbye.
    Greeting,
    /// Who the assistant is, and who made it.
    Identity,
    /// What it can do and what it knows.
    Ability,
    /// Thanks, praise, an apology.
    Thanks,
    /// What an entity is, or an attribute of one.
    Facts,
    /// What is understood only from the question before.
    FollowUp,
    /// A sum or difference.
    Arithmetic,
    /// Something that the user tells, or asks for later.
    Memory,
    /// What it was never told, cannot do or cannot compute.
    Unknown,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Greeting,
        Self::Identity,
        Self::Ability,
        Self::Thanks,
        Self::Facts,
        Self::FollowUp,
        Self::Arithmetic,
        Self::Memory,
        Self::Unknown,
    ];

    /// `follow-up` and so on.
    pub fn name(self) -> &'static str {
        match self {
            Self::Greeting => "greeting",
            Self::Identity => "identity",
            Self::Ability => "ability",
            Self::Thanks => "thanks",
            Self::Facts => "facts",
            Self::FollowUp => "follow-up",
            Self::Arithmetic => "arithmetic",
            Self::Memory => "memory",
            Self::Unknown => "unknown",
        }
    }

    /// Whether it can be asked as that turn: a follow-up needs one before, and so does a change of language.
    pub(super) fn comes_as(self, turn: usize, tongue: Tongue) -> bool {
        turn > 1 || self != Self::FollowUp && tongue != Tongue::Both
    }
}

/// A question that no training row holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Question {
    /// What it is.
    pub kind: Kind,
    /// In which language it is answered.
    pub language: Language,
    /// Whether the turn before it is in the other language.
    pub mixed: bool,
    /// Which turn of the conversation it is, from 1.
    pub turn: usize,
    /// The conversation up to and with the question.
    pub messages: Vec<Message>,
    /// The only right answer.
    pub answer: String,
}

impl Question {
    /// `en`, `zh` or `mixed`.
    pub fn tongue(&self) -> &'static str {
        match (self.mixed, self.language) {
            (true, _) => "mixed",
            (false, Language::En) => "en",
            (false, Language::Zh) => "zh",
        }
    }
}
