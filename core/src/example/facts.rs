//! Entities and their attributes: statements to read, questions to answer.

use std::collections::{BTreeMap, BTreeSet};

use super::lexicon::{Attribute, NAMES, SORTS, Sort};
use super::phrases::{Phrases, said};
use super::question::Language;
use super::turn::{Exchange, Setting};
use crate::random::Random;

/// Number of entities.
pub(super) const ENTITIES: usize = NAMES.len();
/// Attributes of each.
pub(super) const ATTRIBUTES: usize = 3;

/// Ways to ask for any attribute: `{e}` is the entity, `{n}` the noun.
const QUESTIONS: [Phrases; 2] = [
    &["What is the {n} of {e}?", "Tell me the {n} of {e}.", "Do you know the {n} of {e}?"],
    &["{e}的{n}是什么？", "告诉我{e}的{n}。", "你知道{e}的{n}吗？"],
];
/// Ways to ask what an entity is.
const WHAT: [Phrases; 2] = [
    &["What is {e}?", "What's {e}?", "Who is {e}?", "Tell me about {e}.", "Do you know {e}?"],
    &["{e}是什么？", "{e}是谁？", "说说{e}。", "你知道{e}吗？"],
];
/// Ways to ask for an attribute `{n}` of what is known by its sort `{s}` and another one: `{m}` is `{w}`.
const BY_ANOTHER: [Phrases; 2] = [
    &[
        "The {m} of {s} is {w}. What is its {n}?",
        "I think of {s}. Its {m} is {w}. What is its {n}?",
        "If the {m} of {s} is {w}, what is its {n}?",
    ],
    &[
        "有{s}，{m}是{w}。它的{n}是什么？",
        "我在想{s}，它的{m}是{w}。它的{n}是什么？",
        "{s}的{m}是{w}，那么它的{n}是什么？",
    ],
];
/// How an attribute is told, in statements and in answers.
const STATEMENT: [&str; 2] = ["The {n} of {e} is {v}.", "{e}的{n}是{v}。"];
/// The same where the question names entity and noun.
const SHORT: [&str; 2] = ["It is {v}.", "{v}。"];
/// What an entity is, in statements and in answers; `{s}` is its sort.
const SORT: [&str; 2] = ["{e} is {s}.", "{e}是{s}。"];

fn sort(entity: usize) -> &'static Sort {
    &SORTS[entity % SORTS.len()]
}

/// An attribute of an entity.
pub(super) fn attribute(entity: usize, attribute: usize) -> &'static Attribute {
    &sort(entity).attributes[attribute]
}

/// An entity's name.
pub(super) fn name(entity: usize, language: Language) -> &'static str {
    NAMES[entity][language.index()]
}

/// The value that an entity has in this world: each value is had by one entity of its sort.
fn value(seed: u64, entity: usize, number: usize, language: Language) -> &'static str {
    let mut deck = attribute(entity, number).values;
    Random::new(seed, 1000 + (entity % SORTS.len() * ATTRIBUTES + number) as u64).shuffle(&mut deck);
    deck[entity / SORTS.len()][language.index()]
}

fn fill(template: &str, entity: &str, noun: &str, value: &str) -> String {
    template.replace("{e}", entity).replace("{n}", noun).replace("{v}", value)
}

/// One attribute as a sentence, which is also the answer to a question about it.
pub(super) fn statement(seed: u64, entity: usize, number: usize, language: Language) -> String {
    let l = language.index();
    let noun = attribute(entity, number).noun[l];
    fill(STATEMENT[l], name(entity, language), noun, value(seed, entity, number, language))
}

/// The attributes of all entities as they are told, each with what is left where it is clear what is asked.
pub(super) fn in_short(seed: u64) -> BTreeMap<String, String> {
    let numbers = (0..ENTITIES).flat_map(|entity| (0..ATTRIBUTES).map(move |number| (entity, number)));
    let in_both = |(entity, number)| {
        Language::ALL.map(|language| {
            let short = fill(SHORT[language.index()], "", "", value(seed, entity, number, language));
            (statement(seed, entity, number, language), short)
        })
    };
    numbers.flat_map(in_both).collect()
}

/// What an entity is, as a sentence.
fn what_it_is(entity: usize, language: Language) -> String {
    let l = language.index();
    fill(SORT[l], name(entity, language), "", "").replace("{s}", sort(entity).name[l])
}

/// All that is told of entities: what each is, and its attributes, in both languages.
pub(super) fn told(seed: u64) -> BTreeSet<String> {
    let of_entity = |(entity, language)| {
        let attributes = (0..ATTRIBUTES).map(move |number| statement(seed, entity, number, language));
        attributes.chain([what_it_is(entity, language)])
    };
    let entities = (0..ENTITIES).flat_map(|entity| Language::ALL.map(|language| (entity, language)));
    entities.flat_map(of_entity).collect()
}

/// All that there is to say about an entity, in one language or in both, or something about several.
pub(super) fn text(seed: u64, language: Language, random: &mut Random) -> String {
    let mut entity = random.below(ENTITIES as u64) as usize;
    let (about_one, in_both) = (random.below(3) > 0, random.below(2) == 0);
    let mut sentences = vec![what_it_is(entity, language)];
    let mut numbers = [0, 1, 2];
    random.shuffle(&mut numbers);
    for number in numbers {
        let language = if in_both { *random.choose(&Language::ALL) } else { language };
        sentences.push(statement(seed, entity, number, language));
        if !about_one {
            entity = random.below(ENTITIES as u64) as usize;
        }
    }
    sentences.join(" ")
}

/// A question about an entity.
pub(super) fn exchange(setting: Setting, random: &mut Random) -> Exchange {
    let (language, entity) = (setting.language, random.below(ENTITIES as u64) as usize);
    let name = name(entity, language);
    if random.below(5) == 0 {
        let question = said(setting.of(&WHAT), language, random).replace("{e}", name);
        return setting.exchange(question, what_it_is(entity, language)).about(entity, None);
    }
    let number = random.below(ATTRIBUTES as u64) as usize;
    let attribute = attribute(entity, number);
    let own = random.below(2) == 0;
    let phrases = setting.of(if own { &attribute.asked } else { &QUESTIONS });
    let question = fill(&said(phrases, language, random), name, setting.of(&attribute.noun), "");
    let answer = statement(setting.seed, entity, number, language);
    setting.exchange(question, answer).about(entity, Some(number))
}

/// A question for which two facts about one entity are needed, these facts, and the value that is asked for.
pub(super) fn by_another(seed: u64, language: Language, random: &mut Random) -> [String; 3] {
    let (l, entity) = (language.index(), random.below(ENTITIES as u64) as usize);
    let known = random.below(ATTRIBUTES as u64) as usize;
    let asked = (known + 1 + random.below(2) as usize) % ATTRIBUTES;
    let value = |number| value(seed, entity, number, language);
    let phrase = random.choose(BY_ANOTHER[l]).replace("{s}", sort(entity).name[l]);
    let phrase = phrase.replace("{m}", attribute(entity, known).noun[l]).replace("{w}", value(known));
    let question = phrase.replace("{n}", attribute(entity, asked).noun[l]);
    let facts = [known, asked].map(|number| statement(seed, entity, number, language));
    [question, facts.join("\n"), value(asked).to_string()]
}

/// Any of these questions about a name.
pub(super) fn question_about(name: &str, language: Language, random: &mut Random) -> String {
    let l = language.index();
    let attribute = {
        let sort = random.choose(&SORTS);
        random.choose(&sort.attributes)
    };
    let phrases = match random.below(5) {
        0 => WHAT[l],
        1 | 2 => attribute.asked[l],
        _ => QUESTIONS[l],
    };
    fill(&said(phrases, language, random), name, attribute.noun[l], "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{DEFAULT_SEED, World, WorldSize};

    #[test]
    fn every_fact_is_told_and_asked_for_often() {
        let (world, size) = (World::new(DEFAULT_SEED), WorldSize::default());
        let texts = world.texts(size.texts);
        let chats = world.conversations(size.conversations);
        let said: Vec<&str> =
            chats.iter().flat_map(|chat| &chat.messages).map(|message| message.content.as_str()).collect();
        for (entity, number) in (0..ENTITIES).flat_map(|entity| (0..ATTRIBUTES).map(move |n| (entity, n))) {
            for language in Language::ALL {
                let fact = statement(DEFAULT_SEED, entity, number, language);
                let told = texts.iter().filter(|text| text.contains(&fact)).count();
                let asked = said.iter().filter(|said| **said == fact).count();
                assert!(told >= 20 && asked >= 20, "{fact} {told} {asked}");
            }
        }
    }

    #[test]
    fn one_attribute_leads_to_another_of_the_same_entity() {
        let mut random = Random::new(1, 0);
        for language in Language::ALL {
            for _ in 0..100 {
                let [question, facts, answer] = by_another(DEFAULT_SEED, language, &mut random);
                let (first, second) = facts.split_once('\n').unwrap();
                let told = |fact: &str| {
                    let mut all = (0..ENTITIES).flat_map(|entity| (0..ATTRIBUTES).map(move |n| (entity, n)));
                    all.find(|&(entity, n)| statement(DEFAULT_SEED, entity, n, language) == fact).unwrap()
                };
                let ((one, known), (other, asked)) = (told(first), told(second));
                assert!(one == other && known != asked, "{facts}");
                assert_eq!(answer, value(DEFAULT_SEED, one, asked, language));
                assert!(question.contains(value(DEFAULT_SEED, one, known, language)), "{question}");
            }
        }
    }

    #[test]
    fn each_value_is_had_by_one_entity_of_its_sort() {
        for (first, number) in (0..SORTS.len()).flat_map(|first| (0..ATTRIBUTES).map(move |n| (first, n))) {
            let alike = (first..ENTITIES).step_by(SORTS.len());
            let values: std::collections::BTreeSet<&str> =
                alike.map(|entity| value(DEFAULT_SEED, entity, number, Language::En)).collect();
            assert_eq!(values.len(), ENTITIES / SORTS.len());
        }
    }
}
