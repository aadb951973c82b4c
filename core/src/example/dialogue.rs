//! Conversations in which something said is asked about later.

use super::lexicon::{ITEMS, PEOPLE, ROOMS, TASTES, Word};
use super::{Exchange, Language};
use crate::random::Random;
use crate::text::Message;

/// Something a person says about themselves: its words, how it is said, asked and answered.
struct Topic {
    words: &'static [Word; 12],
    said: [&'static str; 2],
    asked: [&'static str; 2],
    answered: [&'static str; 2],
}

const TOPICS: [Topic; 4] = [
    Topic {
        words: &PEOPLE,
        said: ["My name is {v}.", "我叫「{v}」。"],
        asked: ["What is my name?", "我叫什么名字？"],
        answered: ["Your name is {v}.", "你叫「{v}」。"],
    },
    Topic {
        words: &ITEMS,
        said: ["I have {v}.", "我有「{v}」。"],
        asked: ["What do I have?", "我有什么东西？"],
        answered: ["You have {v}.", "你有「{v}」。"],
    },
    Topic {
        words: &ROOMS,
        said: ["I am in {v}.", "我在「{v}」。"],
        asked: ["Where am I?", "我在什么地方？"],
        answered: ["You are in {v}.", "你在「{v}」。"],
    },
    Topic {
        words: &TASTES,
        said: ["I like {v}.", "我喜欢「{v}」。"],
        asked: ["What do I like?", "我喜欢什么？"],
        answered: ["You like {v}.", "你喜欢「{v}」。"],
    },
];

const UNDERSTOOD: [&str; 2] = ["I see.", "知道了。"];

/// What is said, as (topic, word) pairs.
type Scene = Vec<(usize, usize)>;

/// A combination that no training row holds: two things that are never said together there.
fn is_held_out(scene: &Scene) -> bool {
    let number = |(topic, word): (usize, usize)| (topic + 1) * word;
    let pairs = scene.iter().enumerate().flat_map(|(i, &a)| scene[i + 1..].iter().map(move |&b| (a, b)));
    pairs.into_iter().any(|(a, b)| (number(a) + number(b)).is_multiple_of(6))
}

/// Two or three different topics, in any order.
fn scene(held_out: bool, random: &mut Random) -> Scene {
    loop {
        let mut topics = [0, 1, 2, 3];
        random.shuffle(&mut topics);
        let count = 2 + random.below(2) as usize;
        let scene: Scene = topics[..count].iter().map(|&topic| (topic, random.below(12) as usize)).collect();
        if is_held_out(&scene) == held_out {
            return scene;
        }
    }
}

fn say(template: [&str; 2], (topic, word): (usize, usize), language: Language) -> String {
    template[language.index()].replace("{v}", TOPICS[topic].words[word][language.index()])
}

fn opening(scene: &Scene, language: Language) -> String {
    let space = if language == Language::En { " " } else { "" };
    let sentences = scene.iter().map(|&said| say(TOPICS[said.0].said, said, language));
    sentences.collect::<Vec<_>>().join(space)
}

/// A conversation as running text.
pub(super) fn text(language: Language, random: &mut Random) -> String {
    let scene = scene(false, random);
    let mut lines = vec![opening(&scene, language)];
    let mut order = scene.clone();
    random.shuffle(&mut order);
    for said in order {
        lines.push(TOPICS[said.0].asked[language.index()].to_string());
        lines.push(say(TOPICS[said.0].answered, said, language));
    }
    lines.join("\n")
}

/// A question about what was said, in the same message or in the next.
pub(super) fn exchange(language: Language, held_out: bool, random: &mut Random) -> Exchange {
    let scene = scene(held_out, random);
    let said = *random.choose(&scene);
    let (opening, asked) = (opening(&scene, language), TOPICS[said.0].asked[language.index()]);
    let answer = say(TOPICS[said.0].answered, said, language);
    if random.below(2) == 0 {
        let space = if language == Language::En { " " } else { "" };
        return Exchange::new(format!("{opening}{space}{asked}"), answer);
    }
    let before =
        vec![Message::new("user", &opening), Message::new("assistant", UNDERSTOOD[language.index()])];
    Exchange { before, ..Exchange::new(asked.to_string(), answer) }
}
