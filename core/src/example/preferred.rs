//! Pairs of answers of which the better one is right and as short as it can be: the result without its equation, the value
//! without its sentence.

use std::collections::{BTreeMap, HashSet};

use super::{World, arithmetic, facts};
use crate::text::{Conversation, Message, Preference};

/// Rows of such pairs at most.
const PAIRS: usize = 2000;
/// Answers to pairs are the first to so-manieth of a conversation, in turn.
const TURNS: usize = 4;

/// The short forms of a world's answers.
struct Brief {
    facts: BTreeMap<String, String>,
}

impl Brief {
    fn of(seed: u64) -> Self {
        Self { facts: facts::in_short(seed) }
    }

    /// What an answer comes down to; none where all of it is needed.
    fn form<'a>(&'a self, answer: &'a str) -> Option<&'a str> {
        self.facts.get(answer).map(String::as_str).or_else(|| arithmetic::result_of(answer))
    }

    /// A conversation with answers as short as they can be.
    fn all(&self, messages: &[Message]) -> Vec<Message> {
        let short = |message: &Message| match self.form(&message.content) {
            Some(short) if message.is_assistant() => Message::new("assistant", short),
            _ => message.clone(),
        };
        messages.iter().map(short).collect()
    }

    /// Two answers to the last of these messages; none where they are the same.
    fn pair(&self, before: &[Message], better: &str, worse: &str) -> Option<Preference> {
        let said = |content: &str| vec![Message::new("assistant", content)];
        let (prompt, chosen, rejected) = (self.all(before), said(better), said(worse));
        (better != worse).then_some(Preference { prompt, chosen, rejected, tools: None })
    }
}

impl World {
    /// Pairs to train on. An answer that has a short form is worse than that; any other is better than one from another
    /// row. What was answered before is short in both.
    pub(super) fn preferred(&self, chats: &[Conversation]) -> Vec<Preference> {
        let (brief, mut asked, mut pairs) = (Brief::of(self.seed), HashSet::new(), Vec::new());
        let others = chats.iter().cycle().skip(1);
        for ((i, chat), other) in chats.iter().enumerate().zip(others) {
            let at = 2 * (i % TURNS) + 1;
            let (Some(answer), Some(other)) = (chat.messages.get(at), other.messages.last()) else {
                continue;
            };
            let (better, worse) = match brief.form(&answer.content) {
                Some(short) => (short, &answer.content),
                None => (answer.content.as_str(), &other.content),
            };
            let pair = brief.pair(&chat.messages[..at], better, worse);
            let said = |pair: &Preference| -> Vec<String> {
                pair.prompt.iter().map(|message| message.content.clone()).collect()
            };
            pairs.extend(pair.filter(|pair| asked.insert(said(pair))));
            if pairs.len() == PAIRS {
                break;
            }
        }
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{DEFAULT_SEED, WorldSize};

    fn content(messages: &[Message]) -> &str {
        &messages.last().unwrap().content
    }

    #[test]
    fn an_answer_comes_down_to_its_value_or_result() {
        let brief = Brief::of(DEFAULT_SEED);
        for (answer, short) in [
            ("45+3=48", Some("48")),
            ("8-8=0", Some("0")),
            ("The home of Miru is the barn.", Some("It is the barn.")),
            ("米鲁的住处是谷仓。", Some("谷仓。")),
            // Of another home, of no attribute, and of other things.
            ("The home of Miru is the cave.", None),
            ("Miru is an animal.", None),
            ("Your name is Lulu.", None),
            ("That is too hard for me.", None),
        ] {
            assert_eq!(brief.form(answer), short, "{answer}");
        }
    }

    #[test]
    fn the_better_answer_is_right_and_short_and_so_are_those_before() {
        let world = World::new(DEFAULT_SEED);
        let chats = world.conversations(400);
        let (brief, pairs) = (Brief::of(DEFAULT_SEED), world.preferred(&chats));
        assert!(pairs.len() > 380, "{}", pairs.len());
        let mut shorter = 0;
        for pair in &pairs {
            let (better, worse) = (content(&pair.chosen), content(&pair.rejected));
            assert_eq!((brief.form(better), better == worse), (None, false), "{better}");
            shorter += usize::from(brief.form(worse) == Some(better));
            let answers = pair.prompt.iter().filter(|message| message.is_assistant());
            answers.for_each(|answer| assert_eq!(brief.form(&answer.content), None, "{}", answer.content));
            assert_eq!(pair.prompt.last().unwrap().role, "user");
        }
        assert!((120..200).contains(&shorter), "{shorter}");
        let turns = |turn: usize| pairs.iter().filter(|pair| pair.prompt.len() == 2 * turn - 1).count();
        assert!((1..=TURNS).all(|turn| turns(turn) > 80), "{:?}", [1, 2, 3, 4].map(turns));
    }

    #[test]
    fn no_row_asks_a_held_out_question() {
        let (world, size) = (World::new(DEFAULT_SEED), WorldSize::default());
        let rows = world.preferred(&world.conversations(size.conversations));
        assert_eq!(rows.len(), PAIRS);
        let asked = world.questions(size.questions);
        assert!(asked.iter().all(|question| rows.iter().all(|row| row.prompt != question.messages)));
    }

    #[test]
    fn few_conversations_give_few_pairs() {
        let world = World::new(DEFAULT_SEED);
        assert!(world.preferred(&[]).is_empty());
        assert!(world.preferred(&world.conversations(1)).len() <= 1);
    }
}
