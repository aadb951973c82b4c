//! One turn of a conversation: the question with its answer, where it is drawn, and what is known after it.

use super::phrases::{Phrases, is_held_out};
use super::question::Language;
use crate::random::Random;
use crate::text::Message;

/// Topics of which the user may tell something.
pub(super) const TOPICS: usize = 2;

/// What the user told of a topic.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub word: String,
    pub language: Language,
}

/// What was said so far.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// What the user told, by topic.
    pub told: [Option<Told>; TOPICS],
    /// The entity that the last answer was about, and its attribute if one was told.
    pub subject: Option<(usize, Option<usize>)>,
}

/// Where a turn is drawn.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub seed: u64,
    pub language: Language,
    pub state: &'a State,
}

impl Setting<'_> {
    /// An exchange after which nothing new is known; its question and answer decide whether it is held out.
    pub fn exchange(&self, question: String, answer: String) -> Exchange {
        let (language, after) = (self.language, State { subject: None, ..self.state.clone() });
        let held_out = is_held_out(&question, &answer);
        Exchange { language, question, answer, held_out, after }
    }

    /// The one of both languages' words that is asked in.
    pub fn of<T: Copy>(&self, both: &[T; 2]) -> T {
        both[self.language.index()]
    }

    /// One of the phrases in the language that is asked in.
    pub fn choose(&self, phrases: &[Phrases; 2], random: &mut Random) -> &'static str {
        let phrases: Phrases = self.of(phrases);
        random.choose::<&'static str>(phrases)
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
    /// What is known after it.
    pub after: State,
}

impl Exchange {
    /// The same, now talking about an entity, and an attribute of it.
    pub fn about(mut self, entity: usize, attribute: Option<usize>) -> Self {
        self.after.subject = Some((entity, attribute));
        self
    }

    /// Whether there is more to the question than numbers.
    pub fn is_in_words(&self) -> bool {
        self.question.contains(char::is_alphabetic)
    }

    /// The user's message and the assistant's.
    pub fn messages(&self) -> [Message; 2] {
        [Message::new("user", &self.question), Message::new("assistant", &self.answer)]
    }
}
