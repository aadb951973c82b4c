//! One turn of a conversation: the question with its answer, where it is drawn, and what is known after it.

use super::question::Language;
use crate::random::Random;
use crate::text::Message;

/// Topics of which the user may tell something.
pub(super) const TOPICS: usize = 3;

/// What the last answer was about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject {
    /// An entity, and an attribute of it if one was told.
    Fact(usize, Option<usize>),
    /// A problem with this result.
    Sum(u64),
}

/// What the user told of a topic.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub word: String,
    pub language: Language,
    /// Whether it is said alike in the other language.
    pub in_both: bool,
}

/// What was said so far.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// What the user told, by topic.
    pub told: [Option<Told>; TOPICS],
    /// What the last answer was about.
    pub subject: Option<Subject>,
}

/// Where a turn is drawn.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub seed: u64,
    pub language: Language,
    /// Whether one question may mix both languages.
    pub mixing: bool,
    pub state: &'a State,
}

impl Setting<'_> {
    /// An exchange of which nothing is held out, and after which nothing new is known.
    pub fn exchange(&self, question: String, answer: String) -> Exchange {
        let (language, after) = (self.language, State { subject: None, ..self.state.clone() });
        Exchange { language, question, answer, held_out: false, mixes: false, after }
    }

    /// Whether the next question is to mix both languages.
    pub fn mixes(&self, random: &mut Random) -> bool {
        self.mixing && random.below(2) == 0
    }
}

/// A question with its answer.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub language: Language,
    pub question: String,
    pub answer: String,
    /// Whether training never uses it.
    pub held_out: bool,
    /// Whether both languages stand in it.
    pub mixes: bool,
    /// What is known after it.
    pub after: State,
}

impl Exchange {
    /// The same, now talking about `subject`.
    pub fn about(mut self, subject: Subject) -> Self {
        self.after.subject = Some(subject);
        self
    }

    /// The user's message and the assistant's.
    pub fn messages(&self) -> [Message; 2] {
        [Message::new("user", &self.question), Message::new("assistant", &self.answer)]
    }
}
