//! Entities and their attributes: statements to read, questions to answer.

use super::lexicon::{Attribute, NAME_HEADS, NAME_TAILS, PEOPLE, SORTS, Sort};
use super::{Exchange, Language};
use crate::random::Random;

/// Number of entities.
pub(super) const ENTITIES: usize = NAME_HEADS.len() * NAME_TAILS.len();

/// Ways to state one attribute: `{e}` is the entity, `{n}` the noun, `{v}` the value.
const STATEMENTS: [[&str; 7]; 2] = [
    [
        "The {n} of {e} is {v}.",
        "As for {e}, its {n} is {v}.",
        "Everyone knows {e}. Its {n} is {v}.",
        "If you ask about {e}, the {n} is {v}.",
        "{e} has its own {n}. The {n} is {v}.",
        "This is {e}. Its {n} is {v}.",
        "You want the {n} of {e}. Its {n} is {v}.",
    ],
    [
        "「{e}」的{n}是「{v}」。",
        "说到「{e}」，它的{n}是「{v}」。",
        "大家都知道「{e}」。它的{n}是「{v}」。",
        "如果问起「{e}」，它的{n}是「{v}」。",
        "「{e}」有自己的{n}。{n}是「{v}」。",
        "这是「{e}」。它的{n}是「{v}」。",
        "想知道「{e}」的{n}。它的{n}是「{v}」。",
    ],
];

/// Ways to ask; the last three are never asked in training.
const QUESTIONS: [[&str; 8]; 2] = [
    [
        "What is the {n} of {e}?",
        "Tell me the {n} of {e}.",
        "Do you know the {n} of {e}?",
        "About {e}: what is its {n}?",
        "Which {n} does {e} have?",
        "Please name the {n} of {e}.",
        "Say the {n} of {e}.",
        "What {n} does {e} have?",
    ],
    [
        "「{e}」的{n}是什么？",
        "告诉我「{e}」的{n}。",
        "你知道「{e}」的{n}吗？",
        "关于「{e}」，它的{n}是什么？",
        "「{e}」有什么{n}？",
        "请说说「{e}」的{n}。",
        "想一想，「{e}」的{n}是什么？",
        "请问「{e}」，它的{n}是什么？",
    ],
];
const TRAINED_QUESTIONS: usize = 5;

const ANSWER: [&str; 2] = ["Its {n} is {v}.", "它的{n}是「{v}」。"];
const SORT: [&str; 2] = ["{e} is a name of a {n}.", "「{e}」是一种{n}的名字。"];
const STORY: [&str; 2] = ["One day {v} asked about {e}. ", "有一天，「{v}」问起「{e}」。"];

/// A third of the entities, spread over the sorts, is never asked about in training.
pub(super) fn is_held_out(entity: usize) -> bool {
    entity / SORTS.len() % 3 == 2
}

fn sort(entity: usize) -> &'static Sort {
    &SORTS[entity % SORTS.len()]
}

/// An entity's name.
pub(super) fn name(entity: usize, language: Language) -> String {
    let (head, tail) = (NAME_HEADS[entity / NAME_TAILS.len()], NAME_TAILS[entity % NAME_TAILS.len()]);
    format!("{}{}", head[language.index()], tail[language.index()])
}

/// The value that an entity has in this world. Values are dealt from shuffled decks, one for the entities that
/// are asked about and one for the others, so that each value occurs about as often in both.
fn value(seed: u64, entity: usize, attribute: usize, language: Language) -> &'static str {
    let (kind, held_out) = (entity % SORTS.len(), is_held_out(entity));
    let stream = 1000 + (kind * 3 + attribute) as u64 * 2 + u64::from(held_out);
    let mut deck: Vec<usize> = (0..12).collect();
    Random::new(seed, stream).shuffle(&mut deck);
    let before = (0..entity).filter(|&other| other % SORTS.len() == kind && is_held_out(other) == held_out);
    sort(entity).attributes[attribute].values[deck[before.count() % 12]][language.index()]
}

fn fill(template: &str, entity: &str, noun: &str, value: &str) -> String {
    template.replace("{e}", entity).replace("{n}", noun).replace("{v}", value)
}

/// A few statements about one entity or several, or a little story.
pub(super) fn text(seed: u64, language: Language, random: &mut Random) -> String {
    let l = language.index();
    let space = if language == Language::En { " " } else { "" };
    let any = |random: &mut Random| random.below(ENTITIES as u64) as usize;
    let state = |entity: usize, attribute: usize, random: &mut Random| {
        let template = *random.choose(&STATEMENTS[l]);
        let noun = sort(entity).attributes[attribute].noun[l];
        fill(template, &name(entity, language), noun, value(seed, entity, attribute, language))
    };
    match random.below(4) {
        0 => profile(seed, any(random), language, random),
        1 => asked(seed, language, random),
        2 => {
            let asker = random.choose(&PEOPLE)[l];
            let entity = any(random);
            let opening = fill(STORY[l], &name(entity, language), "", asker);
            opening + &answers(seed, entity, language, random).join(space)
        }
        _ => {
            let count = 2 + random.below(2);
            let sentences: Vec<String> = (0..count)
                .map(|_| {
                    let (entity, attribute) = (any(random), random.below(3) as usize);
                    state(entity, attribute, random)
                })
                .collect();
            sentences.join(space)
        }
    }
}

/// Questions and answers as running text, about the entities that may be asked about.
fn asked(seed: u64, language: Language, random: &mut Random) -> String {
    let pair = |exchange: Exchange| format!("{}\n{}", exchange.question, exchange.answer);
    let pairs: Vec<String> = (0..2).map(|_| pair(exchange(seed, language, false, random))).collect();
    pairs.join("\n")
}

/// What an entity is and has, in any order.
fn profile(seed: u64, entity: usize, language: Language, random: &mut Random) -> String {
    let l = language.index();
    let space = if language == Language::En { " " } else { "" };
    let first = fill(SORT[l], &name(entity, language), sort(entity).name[l], "");
    std::iter::once(first).chain(answers(seed, entity, language, random)).collect::<Vec<_>>().join(space)
}

/// All three attributes as answers, in any order.
fn answers(seed: u64, entity: usize, language: Language, random: &mut Random) -> Vec<String> {
    let mut order = [0, 1, 2];
    random.shuffle(&mut order);
    order.iter().map(|&attribute| answer(seed, entity, attribute, language)).collect()
}

fn answer(seed: u64, entity: usize, attribute: usize, language: Language) -> String {
    let l = language.index();
    let Attribute { noun, .. } = &sort(entity).attributes[attribute];
    fill(ANSWER[l], "", noun[l], value(seed, entity, attribute, language))
}

/// A question about an entity. In training it is about the entities that may be asked about, in the phrasings
/// of training; a held-out one is about any entity, in a phrasing that training never uses.
pub(super) fn exchange(seed: u64, language: Language, held_out: bool, random: &mut Random) -> Exchange {
    let l = language.index();
    loop {
        let entity = random.below(ENTITIES as u64) as usize;
        let attribute = random.below(3) as usize;
        let phrasing = random.below(QUESTIONS[l].len() as u64) as usize;
        if (phrasing >= TRAINED_QUESTIONS) == held_out && (held_out || !is_held_out(entity)) {
            let noun = sort(entity).attributes[attribute].noun[l];
            let question = fill(QUESTIONS[l][phrasing], &name(entity, language), noun, "");
            return Exchange::new(question, answer(seed, entity, attribute, language));
        }
    }
}
