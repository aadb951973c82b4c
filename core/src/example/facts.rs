//! Entities and their attributes: statements to read, questions to answer.

use super::lexicon::{Attribute, NAMES, SORTS, Sort};
use super::phrases::{Phrases, is_held_out, said};
use super::question::Language;
use super::turn::{Exchange, Setting, Subject};
use crate::random::Random;

/// Number of entities.
pub(super) const ENTITIES: usize = NAMES.len();
/// Attributes of each.
pub(super) const ATTRIBUTES: usize = 3;

/// Ways to ask for any attribute: `{e}` is the entity, `{n}` the noun.
const QUESTIONS: [Phrases; 2] = [
    &[
        "What is the {n} of {e}?",
        "What's the {n} of {e}?",
        "Tell me the {n} of {e}.",
        "Do you know the {n} of {e}?",
        "What {n} does {e} have?",
    ],
    &["{e}的{n}是什么？", "告诉我{e}的{n}。", "你知道{e}的{n}吗？", "说说{e}的{n}。", "{e}有什么{n}？"],
];

/// Ways to ask what an entity is.
const WHAT: [Phrases; 2] = [
    &["What is {e}?", "What's {e}?", "Who is {e}?", "Tell me about {e}.", "Do you know {e}?"],
    &["{e}是什么？", "{e}是谁？", "说说{e}。", "你知道{e}吗？", "告诉我{e}是什么。"],
];

/// How an attribute is told, in statements and in answers.
const STATEMENT: [&str; 2] = ["The {n} of {e} is {v}.", "{e}的{n}是{v}。"];
/// How it is told in running text; `{s}` is the statement.
const TOLD: [[&str; 8]; 2] = [
    [
        "{s}",
        "{s}",
        "{s}",
        "Do you know {e}? {s}",
        "Everyone knows {e}. {s}",
        "If you ask about {e}: its {n} is {v}.",
        "This is {e}. Its {n} is {v}.",
        "{e} has its own {n}: {v}.",
    ],
    [
        "{s}",
        "{s}",
        "{s}",
        "你知道{e}吗？{s}",
        "大家都知道{e}。{s}",
        "如果问起{e}，它的{n}是{v}。",
        "这是{e}，它的{n}是{v}。",
        "{e}有自己的{n}：{v}。",
    ],
];
/// Names in both languages.
const GLOSSARY: [&str; 2] = ["In Chinese {en} is {zh}.", "{en}的中文名是{zh}。"];
/// What an entity is, in statements and in answers; `{s}` is its sort.
const SORT: [&str; 2] = ["{e} is {s}.", "{e}是{s}。"];
/// Behind that in answers: what may be asked next.
const ASK_ON: [&str; 2] = [" Ask me about its {a}, {b} or {c}!", "可以问我它的{a}、{b}或{c}。"];

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

/// What some entities are called in the other language.
fn glossary(language: Language, random: &mut Random) -> String {
    let template = GLOSSARY[language.index()];
    let sentences = (0..4).map(|_| {
        let [english, chinese] = random.choose(&NAMES);
        template.replace("{en}", english).replace("{zh}", chinese)
    });
    sentences.collect::<Vec<_>>().join("\n")
}

/// A few statements about one entity or several, or their names in both languages.
pub(super) fn text(seed: u64, language: Language, random: &mut Random) -> String {
    let l = language.index();
    if random.below(6) == 0 {
        return glossary(language, random);
    }
    let mut entity = random.below(ENTITIES as u64) as usize;
    let one = random.below(2) == 0;
    let mut order = [0, 1, 2];
    random.shuffle(&mut order);
    let mut sentences = Vec::new();
    if one {
        sentences.push(fill(SORT[l], name(entity, language), "", "").replace("{s}", sort(entity).name[l]));
    }
    for number in order {
        let told = random.choose(&TOLD[l]).replace("{s}", STATEMENT[l]);
        let noun = attribute(entity, number).noun[l];
        sentences.push(fill(&told, name(entity, language), noun, value(seed, entity, number, language)));
        if !one {
            entity = random.below(ENTITIES as u64) as usize;
        }
    }
    sentences.join(if language == Language::En { " " } else { "" })
}

/// A question about an entity; where languages mix, its name may stand in the other one.
pub(super) fn exchange(setting: Setting, random: &mut Random) -> Exchange {
    let (language, l) = (setting.language, setting.language.index());
    let entity = random.below(ENTITIES as u64) as usize;
    let mixes = setting.mixes(random);
    let name = name(entity, if mixes { language.other() } else { language });
    if random.below(5) == 0 {
        return what_it_is(setting, entity, asked(WHAT[l], name, "", language, random), mixes);
    }
    let number = random.below(ATTRIBUTES as u64) as usize;
    let attribute = attribute(entity, number);
    let own = random.below(2) == 0;
    let phrases = if own { attribute.asked[l] } else { QUESTIONS[l] };
    let question = asked(phrases, name, attribute.noun[l], language, random);
    let answer = statement(setting.seed, entity, number, language);
    let held_out = is_held_out(&question, &answer);
    let exchange = setting.exchange(question, answer);
    Exchange { held_out, mixes, ..exchange }.about(Subject::Fact(entity, Some(number)))
}

/// The answer to what an entity is.
fn what_it_is(setting: Setting, entity: usize, question: String, mixes: bool) -> Exchange {
    let l = setting.language.index();
    let [a, b, c] = &sort(entity).attributes;
    let ask_on = ASK_ON[l].replace("{a}", a.noun[l]).replace("{b}", b.noun[l]).replace("{c}", c.noun[l]);
    let is = fill(SORT[l], name(entity, setting.language), "", "").replace("{s}", sort(entity).name[l]);
    let answer = is + &ask_on;
    let held_out = is_held_out(&question, &answer);
    let exchange = setting.exchange(question, answer);
    Exchange { held_out, mixes, ..exchange }.about(Subject::Fact(entity, None))
}

/// A question as it is typed about anything, also what is unknown. Latin names in Chinese stand with or without spaces.
pub(super) fn asked(
    phrases: Phrases,
    name: &str,
    noun: &str,
    language: Language,
    random: &mut Random,
) -> String {
    let phrase = said(phrases, language, random);
    if language == Language::En || !name.is_ascii() || random.below(2) == 0 {
        return fill(&phrase, name, noun, "");
    }
    let spaced = fill(&phrase, &format!(" {name} "), noun, "");
    spaced.trim().replace(" 。", "。").replace(" ？", "？").replace(" ，", "，")
}

/// Ways to ask about an entity, with the noun of an attribute that they may ask for.
pub(super) fn any_phrases(language: Language, random: &mut Random) -> (Phrases, &'static str) {
    let l = language.index();
    let sort = random.choose(&SORTS);
    let attribute = random.choose(&sort.attributes);
    let phrases = match random.below(5) {
        0 => WHAT[l],
        1 | 2 => attribute.asked[l],
        _ => QUESTIONS[l],
    };
    (phrases, attribute.noun[l])
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
    fn each_value_is_had_by_one_entity_of_its_sort() {
        for (first, number) in (0..SORTS.len()).flat_map(|first| (0..ATTRIBUTES).map(move |n| (first, n))) {
            let alike = (first..ENTITIES).step_by(SORTS.len());
            let values: std::collections::BTreeSet<&str> =
                alike.map(|entity| value(DEFAULT_SEED, entity, number, Language::En)).collect();
            assert_eq!(values.len(), ENTITIES / SORTS.len());
        }
    }
}
