//! Pairs of answers that differ by a closing sentence alone: what is told of the world's entities had better end with an
//! invitation to ask on, and nothing else had.

use std::collections::{BTreeSet, HashSet};

use super::{World, facts};
use crate::text::{Conversation, Message, Preference};

/// Rows of such pairs at most.
const PAIRS: usize = 4000;
/// Answers to pairs are the first to so-manieth of a conversation, in turn.
const TURNS: usize = 4;
/// How an answer in English or none, and how one in Chinese, ends then.
const INVITATIONS: [&str; 2] = [" Ask me another!", "再问我一个吧！"];

/// An answer with an invitation behind it.
fn inviting(answer: &str) -> String {
    let is_chinese = answer.ends_with(['。', '！', '？']);
    format!("{answer}{}", INVITATIONS[usize::from(is_chinese)])
}

/// A conversation in which each of these answers invites.
fn all_inviting(messages: &[Message], told: &BTreeSet<String>) -> Vec<Message> {
    let invites = |message: &&Message| message.is_assistant() && told.contains(&message.content);
    let said = |message: &Message| match Some(message).filter(invites) {
        Some(message) => Message::new("assistant", &inviting(&message.content)),
        None => message.clone(),
    };
    messages.iter().map(said).collect()
}

impl World {
    /// Pairs to train on: a question at any of the first turns with its right answer as it is preferred, and as it is not.
    /// What was answered before is as it is preferred in both.
    pub(super) fn inviting(&self, chats: &[Conversation]) -> Vec<Preference> {
        let (told, mut asked) = (facts::told(self.seed), HashSet::new());
        let pair = |(i, chat): (usize, &Conversation)| {
            let at = 2 * (i % TURNS) + 1;
            let plain = &chat.messages.get(at)?.content;
            let mut sides =
                [inviting(plain), plain.clone()].map(|said| vec![Message::new("assistant", &said)]);
            if !told.contains(plain) {
                sides.reverse();
            }
            let [chosen, rejected] = sides;
            Some(Preference {
                prompt: all_inviting(&chat.messages[..at], &told),
                chosen,
                rejected,
                tools: None,
            })
        };
        let said = |pair: &Preference| -> Vec<String> {
            pair.prompt.iter().map(|message| message.content.clone()).collect()
        };
        let pairs = chats.iter().enumerate().filter_map(pair);
        pairs.filter(|pair| asked.insert(said(pair))).take(PAIRS).collect()
    }

    /// The conversation as the rows of `dpo_invite.jsonl` prefer it: each answer about an entity invites to ask on.
    pub fn with_invitations(&self, messages: &[Message]) -> Vec<Message> {
        all_inviting(messages, &facts::told(self.seed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{DEFAULT_SEED, Kind, WorldSize};

    #[test]
    fn what_is_told_of_an_entity_invites_in_its_language_and_nothing_else_does() {
        let world = World::new(DEFAULT_SEED);
        for (answer, preferred) in [
            ("The home of Miru is the barn.", "The home of Miru is the barn. Ask me another!"),
            ("Miru is an animal.", "Miru is an animal. Ask me another!"),
            ("米鲁的住处是谷仓。", "米鲁的住处是谷仓。再问我一个吧！"),
            ("米鲁是一种动物。", "米鲁是一种动物。再问我一个吧！"),
            // Of another home, a sum, of nothing, of somebody.
            ("The home of Miru is the cave.", "The home of Miru is the cave."),
            ("45+3=48", "45+3=48"),
            ("这个我不知道。", "这个我不知道。"),
            ("Your name is Lulu.", "Your name is Lulu."),
        ] {
            let said = [Message::new("user", answer), Message::new("assistant", answer)];
            let contents: Vec<String> =
                world.with_invitations(&said).into_iter().map(|message| message.content).collect();
            assert_eq!(contents, [answer, preferred]);
        }
    }

    #[test]
    fn the_answers_of_a_pair_differ_by_the_invitation_alone() {
        let world = World::new(DEFAULT_SEED);
        let told = facts::told(DEFAULT_SEED);
        let rows = world.inviting(&world.conversations(400));
        assert!(rows.len() > 380, "{}", rows.len());
        let mut invited = 0;
        for row in &rows {
            let [better, worse] = [&row.chosen, &row.rejected].map(|side| side[0].content.as_str());
            let (invites, plain) =
                (better.len() > worse.len(), if better.len() > worse.len() { worse } else { better });
            assert_eq!(invites, told.contains(plain), "{better}");
            assert_eq!(if invites { better } else { worse }, inviting(plain));
            assert_eq!(
                row.prompt,
                world.with_invitations(&row.prompt),
                "answers before are as they are preferred"
            );
            assert_eq!(row.prompt.last().unwrap().role, "user");
            invited += usize::from(invites);
        }
        assert!((70..140).contains(&invited), "{invited}");
        let turns = |turn: usize| rows.iter().filter(|row| row.prompt.len() == 2 * turn - 1).count();
        assert!((1..=TURNS).all(|turn| turns(turn) > 80), "{:?}", [1, 2, 3, 4].map(turns));
    }

    #[test]
    fn no_row_asks_a_held_out_question() {
        let (world, size) = (World::new(DEFAULT_SEED), WorldSize::default());
        let rows = world.inviting(&world.conversations(size.conversations));
        assert_eq!(rows.len(), PAIRS);
        for question in world.questions(size.questions) {
            let preferred = world.with_invitations(&question.messages);
            assert!(rows.iter().all(|row| row.prompt != question.messages && row.prompt != preferred));
        }
    }

    #[test]
    fn held_out_answers_about_entities_invite() {
        let world = World::new(DEFAULT_SEED);
        for question in world.questions(WorldSize::default().questions) {
            let answer = [Message::new("assistant", &question.answer)];
            let invites = world.with_invitations(&answer) != answer;
            let may = matches!(question.kind, Kind::Facts | Kind::FollowUp);
            assert!(may || !invites, "{}", question.answer);
            assert!(invites || question.kind != Kind::Facts, "{}", question.answer);
        }
    }

    #[test]
    fn no_conversation_gives_no_pair() {
        assert!(World::new(DEFAULT_SEED).inviting(&[]).is_empty());
    }
}
