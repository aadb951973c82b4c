//! What people are called, and names that nothing in the world has.

use super::lexicon::NAMES;
use super::question::Language;
use crate::random::Random;

const FIRST_NAMES: [&str; 24] = [
    "Tom", "Anna", "Lulu", "Lily", "Jack", "Lucy", "Max", "Mia", "Leo", "Amy", "Ben", "Eva", "Alex", "Bob",
    "Sam", "Sara", "Mira", "John", "Mary", "Kate", "Paul", "Rosa", "Nina", "David",
];
const SURNAMES: [&str; 8] = ["王", "李", "张", "刘", "陈", "杨", "赵", "黄"];
const GIVEN: [&str; 12] = ["明", "红", "华", "丽", "伟", "芳", "军", "强", "静", "敏", "磊", "安"];
/// Characters of made-up Chinese names; none stands in a name of the world.
const SOUNDS: [&str; 20] = [
    "巴", "尼", "莫", "迪", "佩", "蒂", "维", "萨", "诺", "雅", "珂", "弗", "格", "布", "佐", "蒙", "吉",
    "桑", "菲", "塞",
];
const CONSONANTS: [&str; 14] = ["b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z"];
const VOWELS: [&str; 5] = ["a", "e", "i", "o", "u"];

/// Two or three syllables.
fn syllables(random: &mut Random) -> String {
    (0..2 + random.below(2))
        .map(|_| format!("{}{}", random.choose(&CONSONANTS), random.choose(&VOWELS)))
        .collect()
}

fn capital(name: &str) -> String {
    format!("{}{}", name[..1].to_ascii_uppercase(), &name[1..])
}

/// A name that is spelled by chance.
pub(super) fn spelled(random: &mut Random) -> String {
    capital(&syllables(random))
}

/// What a person may be called. One English name in eight is spelled by chance, at times without its capital: names are
/// to be copied, whatever they are.
pub(super) fn person(language: Language, random: &mut Random) -> String {
    match (language, random.below(16)) {
        (Language::En, 0) => syllables(random),
        (Language::En, 1) => spelled(random),
        (Language::En, _) => random.choose(&FIRST_NAMES).to_string(),
        (Language::Zh, 0..8) => format!("小{}", random.choose(&GIVEN)),
        (Language::Zh, _) => format!("{}{}", random.choose(&SURNAMES), random.choose(&GIVEN)),
    }
}

/// A name that nobody and nothing in the world has.
pub(super) fn made_up(language: Language, random: &mut Random) -> String {
    loop {
        let name = match language {
            Language::En => spelled(random),
            Language::Zh => format!("{}{}", random.choose(&SOUNDS), random.choose(&SOUNDS)),
        };
        if NAMES.iter().all(|known| !known.contains(&name.as_str())) {
            return name;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn made_up_names_share_no_chinese_character_with_known_ones() {
        let known: BTreeSet<char> = NAMES.iter().flat_map(|name| name[1].chars()).collect();
        assert_eq!(known.len(), 2 * NAMES.len(), "no two names share one");
        assert!(SOUNDS.iter().all(|sound| sound.chars().all(|c| !known.contains(&c))));
        let mut random = Random::new(1, 0);
        for language in [Language::En, Language::Zh] {
            let names: BTreeSet<String> = (0..200).map(|_| made_up(language, &mut random)).collect();
            assert!(names.len() > 100);
            assert!((0..200).all(|_| person(language, &mut random).chars().count() >= 2));
        }
    }
}
