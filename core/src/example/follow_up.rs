//! Questions that are understood only from the answer before: "And its food?", "And Tavan?"

use super::facts::{self, ATTRIBUTES, ENTITIES};
use super::lexicon::SORTS;
use super::phrases::{Phrases, bare};
use super::turn::{Exchange, Setting};
use crate::random::Random;

/// Another attribute of the same entity.
const ATTRIBUTE: [Phrases; 2] = [
    &["And its {n}?", "What about its {n}?", "And the {n}?", "What is its {n}?"],
    &["它的{n}呢？", "那它的{n}呢？", "{n}呢？", "它的{n}是什么？"],
];
/// The same attribute of another entity.
const ENTITY: [Phrases; 2] =
    [&["And {e}?", "What about {e}?", "And what about {e}?"], &["{e}呢？", "那{e}呢？", "那么{e}呢？"]];

/// A question about the subject of the last answer.
pub(super) fn exchange(setting: Setting, random: &mut Random) -> Option<Exchange> {
    let (entity, told) = setting.state.subject?;
    // Another one of so many: so many places on, and around.
    let other = |one: usize, count: usize, random: &mut Random| {
        (one + 1 + random.below(count as u64 - 1) as usize) % count
    };
    let (entity, attribute, question) = match told {
        Some(told) if random.below(2) == 0 => {
            let (sort, number) = (entity % SORTS.len(), entity / SORTS.len());
            let entity = sort + SORTS.len() * other(number, ENTITIES / SORTS.len(), random);
            let question = bare(setting.of(&ENTITY), random);
            (entity, told, question.replace("{e}", facts::name(entity, setting.language)))
        }
        _ => {
            let any = random.below(ATTRIBUTES as u64) as usize;
            let attribute = told.map_or(any, |told| other(told, ATTRIBUTES, random));
            let noun = setting.of(&facts::attribute(entity, attribute).noun);
            (entity, attribute, bare(setting.of(&ATTRIBUTE), random).replace("{n}", noun))
        }
    };
    let answer = facts::statement(setting.seed, entity, attribute, setting.language);
    Some(setting.exchange(question, answer).about(entity, Some(attribute)))
}
