//! Questions that are understood only from the answer before: "And its food?", "And Tavan?", "Plus 2?"

use super::arithmetic::Problem;
use super::facts::{self, ATTRIBUTES, ENTITIES};
use super::lexicon::SORTS;
use super::phrases::{Phrases, bare, is_held_out};
use super::turn::{Exchange, Setting, Subject};
use crate::random::Random;

/// Another attribute of the same entity.
const ATTRIBUTE: [Phrases; 2] = [
    &["And its {n}?", "What about its {n}?", "And the {n}?", "What is its {n}?", "And what is its {n}?"],
    &["它的{n}呢？", "那它的{n}呢？", "{n}呢？", "它的{n}是什么？", "那{n}呢？"],
];
/// The same attribute of another entity.
const ENTITY: [Phrases; 2] = [
    &["And {e}?", "What about {e}?", "And for {e}?", "And what about {e}?"],
    &["{e}呢？", "那{e}呢？", "{e}的呢？", "那么{e}呢？"],
];
const PLUS: [Phrases; 2] = [
    &["Plus {b}?", "And plus {b}?", "Add {b}.", "Now add {b}.", "Now plus {b}?"],
    &["再加{b}呢？", "加{b}呢？", "再加{b}。", "那再加{b}呢？", "那加{b}呢？"],
];
const MINUS: [Phrases; 2] = [
    &["Minus {b}?", "And minus {b}?", "Take away {b}.", "Now take away {b}.", "Now minus {b}?"],
    &["再减{b}呢？", "减{b}呢？", "再减{b}。", "那再减{b}呢？", "那减{b}呢？"],
];

/// A question about the subject of the last answer.
pub(super) fn exchange(setting: Setting, random: &mut Random) -> Option<Exchange> {
    match setting.state.subject? {
        Subject::Sum(result) => sum(setting, result, random),
        Subject::Fact(entity, Some(number)) if random.below(2) == 0 => {
            other_entity(setting, entity, number, random)
        }
        Subject::Fact(entity, number) => other_attribute(setting, entity, number, random),
    }
}

fn sum(setting: Setting, result: u64, random: &mut Random) -> Option<Exchange> {
    let (plus, b) = (random.below(2) == 0, 1 + random.below(9));
    let problem = Problem::new(result, plus, b)?;
    let phrases = if plus { &PLUS } else { &MINUS }[setting.language.index()];
    let question = bare(phrases, random).replace("{b}", &b.to_string());
    let answer = problem.equation();
    let held_out = problem.is_held_out() || is_held_out(&question, &answer);
    let exchange = setting.exchange(question, answer);
    Some(Exchange { held_out, ..exchange }.about(Subject::Sum(problem.result())))
}

fn other_attribute(
    setting: Setting,
    entity: usize,
    number: Option<usize>,
    random: &mut Random,
) -> Option<Exchange> {
    let l = setting.language.index();
    let other = random.below(ATTRIBUTES as u64) as usize;
    let phrase = bare(ATTRIBUTE[l], random);
    let question = phrase.replace("{n}", facts::attribute(entity, other).noun[l]);
    (number != Some(other)).then(|| fact(setting, question, entity, other))
}

fn other_entity(setting: Setting, entity: usize, number: usize, random: &mut Random) -> Option<Exchange> {
    let other = random.below(ENTITIES as u64) as usize;
    let alike = other % SORTS.len() == entity % SORTS.len() && other != entity;
    let phrase = bare(ENTITY[setting.language.index()], random);
    let question = phrase.replace("{e}", facts::name(other, setting.language));
    alike.then(|| fact(setting, question, other, number))
}

fn fact(setting: Setting, question: String, entity: usize, number: usize) -> Exchange {
    let answer = facts::statement(setting.seed, entity, number, setting.language);
    let held_out = is_held_out(&question, &answer);
    let exchange = setting.exchange(question, answer);
    Exchange { held_out, ..exchange }.about(Subject::Fact(entity, Some(number)))
}
