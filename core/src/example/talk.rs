//! Conversations, turn by turn: what was said so far decides what can be asked next.

use super::question::{Kind, Language, Question, Tongue};
use super::turn::{Exchange, Setting, State};
use super::{arithmetic, facts, follow_up, memory, small_talk, unknown};
use crate::random::Random;
use crate::text::Message;

/// How often a turn is of each kind, where it can be.
const WEIGHTS: [(Kind, u64); 9] = [
    (Kind::Facts, 8),
    (Kind::FollowUp, 30),
    (Kind::Arithmetic, 8),
    (Kind::Memory, 10),
    (Kind::Unknown, 8),
    (Kind::Greeting, 2),
    (Kind::Identity, 2),
    (Kind::Ability, 2),
    (Kind::Thanks, 2),
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
        let (start, before) = (State::default(), self.turns.last());
        let state = before.map_or(&start, |turn| &turn.after);
        // Numbers alone are answered in the language that is spoken.
        let spoken = before.map_or(Language::En, |turn| turn.language);
        let found = (0..TRIES).find_map(|_| {
            let language = self.tongue.language(random);
            let kind = kind.unwrap_or_else(|| any_kind(random));
            let turn = exchange(kind, Setting { seed: self.seed, language, state }, random)?;
            let fits = turn.language == spoken || turn.is_in_words();
            (turn.held_out == held_out && fits).then_some(turn)
        });
        let is_found = found.is_some();
        self.turns.extend(found);
        is_found
    }

    /// Whether the last turn is in another language than the one before, which is in words.
    fn switches(&self) -> bool {
        match &self.turns[..] {
            [.., before, last] => before.language != last.language && before.is_in_words(),
            _ => false,
        }
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
        Kind::FollowUp => Some((turn.checked_sub(2)?, Kind::Facts)),
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
    if !is_found || tongue == Tongue::Both && !talk.switches() {
        return None;
    }
    let last = talk.turns.pop()?;
    let mut messages: Vec<Message> = talk.turns.iter().flat_map(Exchange::messages).collect();
    messages.push(Message::new("user", &last.question));
    let mixed = tongue == Tongue::Both;
    Some(Question { kind, language: last.language, mixed, turn, messages, answer: last.answer })
}
