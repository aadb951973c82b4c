//! Conversations, turn by turn: what was said so far decides what can be asked next.

use super::question::{Kind, Language, Question, Tongue};
use super::turn::{Exchange, Setting, State};
use super::{arithmetic, facts, follow_up, memory, small_talk, unknown};
use crate::random::Random;
use crate::text::Message;

/// How often a turn is of each kind.
const WEIGHTS: [(Kind, u64); 9] = [
    (Kind::Facts, 16),
    (Kind::FollowUp, 50),
    (Kind::Arithmetic, 26),
    (Kind::Memory, 36),
    (Kind::Unknown, 26),
    (Kind::Greeting, 4),
    (Kind::Identity, 5),
    (Kind::Ability, 5),
    (Kind::Thanks, 4),
];
/// Draws after which a turn counts as impossible.
const TRIES: usize = 400;

/// A turn of a kind, if what was said allows one.
fn exchange(kind: Kind, setting: Setting, random: &mut Random) -> Option<Exchange> {
    match kind {
        Kind::Greeting | Kind::Identity | Kind::Ability | Kind::Thanks => {
            Some(small_talk::exchange(kind, setting, random))
        }
        Kind::Facts => Some(facts::exchange(setting, random)),
        Kind::FollowUp => follow_up::exchange(setting, random),
        Kind::Arithmetic => Some(arithmetic::exchange(setting, random)),
        Kind::Memory => memory::exchange(setting, random),
        Kind::Unknown => unknown::exchange(setting, random),
    }
}

fn any_kind(random: &mut Random) -> Kind {
    let mut left = random.below(WEIGHTS.iter().map(|(_, weight)| weight).sum());
    let kind = WEIGHTS.iter().find(|(_, weight)| {
        let found = left < *weight;
        left = left.saturating_sub(*weight);
        found
    });
    kind.map_or(Kind::Facts, |(kind, _)| *kind)
}

/// A conversation while it grows.
struct Talk {
    seed: u64,
    tongue: Tongue,
    turns: Vec<Exchange>,
}

impl Talk {
    /// Adds a turn, of `kind` if one is named; false if none was found.
    fn turn(&mut self, kind: Option<Kind>, held_out: bool, random: &mut Random) -> bool {
        let start = State::default();
        let state = self.turns.last().map_or(&start, |turn| &turn.after);
        let found = (0..TRIES).find_map(|_| {
            let (language, mixing) = (self.tongue.language(random), self.tongue == Tongue::Both);
            let setting = Setting { seed: self.seed, language, mixing, state };
            let kind = kind.unwrap_or_else(|| any_kind(random));
            exchange(kind, setting, random).filter(|turn| turn.held_out == held_out)
        });
        let is_found = found.is_some();
        self.turns.extend(found);
        is_found
    }

    /// Whether both languages are asked in; numbers alone are of neither.
    fn is_mixed(&self) -> bool {
        let asks = |language: Language, is_letter: fn(char) -> bool| {
            self.turns.iter().any(|turn| turn.language == language && turn.question.contains(is_letter))
        };
        let english = asks(Language::En, |c| c.is_ascii_alphabetic());
        let chinese = asks(Language::Zh, |c| c.is_alphabetic() && !c.is_ascii());
        self.turns.iter().any(|turn| turn.mixes) || english && chinese
    }
}

/// A conversation of so many turns, of which nothing is held out.
pub(super) fn talk(seed: u64, tongue: Tongue, turns: usize, random: &mut Random) -> Vec<Exchange> {
    let mut talk = Talk { seed, tongue, turns: Vec::new() };
    while talk.turns.len() < turns && talk.turn(None, false, random) {}
    talk.turns
}

/// A held-out question of a kind as turn number `turn` (from 1) of a conversation that training might hold; none if
/// this try found none.
pub(super) fn question(
    seed: u64,
    kind: Kind,
    tongue: Tongue,
    turn: usize,
    random: &mut Random,
) -> Option<Question> {
    let mut talk = Talk { seed, tongue, turns: Vec::new() };
    // What is asked about has to be said first.
    let needed = match kind {
        Kind::FollowUp => Some((turn.checked_sub(2)?, *random.choose(&[Kind::Facts, Kind::Arithmetic]))),
        Kind::Memory if turn > 1 => Some((random.below(turn as u64 - 1) as usize, Kind::Memory)),
        _ => None,
    };
    for at in 0..turn - 1 {
        let kind = needed.filter(|(place, _)| *place == at).map(|(_, kind)| kind);
        if !talk.turn(kind, false, random) {
            return None;
        }
    }
    let is_found = talk.turn(Some(kind), true, random);
    if !is_found || tongue == Tongue::Both && !talk.is_mixed() {
        return None;
    }
    let last = talk.turns.pop()?;
    let mut messages: Vec<Message> = talk.turns.iter().flat_map(Exchange::messages).collect();
    messages.push(Message::new("user", &last.question));
    let mixed = tongue == Tongue::Both;
    Some(Question { kind, language: last.language, mixed, turn, messages, answer: last.answer })
}
