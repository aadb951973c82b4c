//! Ways to say something: what is asked, with what people say before it.

use super::question::Language;
use crate::random::Random;

/// Ways to say one thing in one language.
pub(super) type Phrases = &'static [&'static str];

/// What may stand before a phrase.
const OPENERS: [Phrases; 2] =
    [&["Hello, ", "Hi, ", "OK, ", "Ember, "], &["你好，", "嗨，", "好的，", "小烬，"]];

/// One of the phrases as people type it.
pub(super) fn bare(phrases: Phrases, random: &mut Random) -> String {
    let phrase = *random.choose(phrases);
    typed(phrase, random)
}

/// One of the phrases as people type it, every third one with something before it.
pub(super) fn said(phrases: Phrases, language: Language, random: &mut Random) -> String {
    let phrase = bare(phrases, random);
    if random.below(3) > 0 {
        return phrase;
    }
    let opener = bare(OPENERS[language.index()], random);
    // "I" keeps its capital, and so does a name that begins the phrase.
    let is_word = ["I ", "I'm ", "I've ", "Ember"].iter().all(|start| !phrase.starts_with(start));
    match phrase.chars().next() {
        Some(first) if first.is_ascii() && is_word => {
            format!("{opener}{}{}", first.to_ascii_lowercase(), &phrase[1..])
        }
        _ => format!("{opener}{phrase}"),
    }
}

/// A phrase as people type it: at times without its last mark, at times without its capital.
fn typed(phrase: &str, random: &mut Random) -> String {
    let (no_mark, no_capital) = (random.below(4) == 0, random.below(5) == 0);
    let phrase = if no_mark { phrase.trim_end_matches(['.', '?', '!', '。', '？', '！']) } else { phrase };
    let is_word = !phrase.chars().nth(1).is_some_and(|second| second.is_ascii_uppercase());
    match phrase.chars().next() {
        Some(first) if no_capital && first.is_ascii() && is_word => {
            format!("{}{}", first.to_ascii_lowercase(), &phrase[1..])
        }
        _ => phrase.to_string(),
    }
}

/// Letters, digits and signs of arithmetic in lower case: what is asked, however it is typed.
pub(super) fn plain(text: &str) -> String {
    let counts = |c: &char| c.is_alphanumeric() || ['+', '-', '*', '/'].contains(c);
    text.chars().filter(counts).flat_map(char::to_lowercase).collect()
}

/// Whether a question is one of these and nothing else. Such a one is always trained: what is put together rests on it.
pub(super) fn is_alone(question: &str, phrases: Phrases) -> bool {
    phrases.iter().any(|phrase| plain(phrase) == plain(question))
}

/// A sixth of all questions with their answers is kept for held-out questions, though their words are known (FNV-1a).
pub(super) fn is_held_out(question: &str, answer: &str) -> bool {
    let said = format!("{}|{answer}", plain(question));
    let hash = said
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    // The low bits of this hash follow those of the last byte.
    (hash >> 32).is_multiple_of(6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_it_is_typed_it_is_the_same_question() {
        let mut random = Random::new(1, 0);
        let typings: std::collections::BTreeSet<String> =
            (0..100).map(|_| typed("What is 45+3?", &mut random)).collect();
        let expected = ["What is 45+3", "What is 45+3?", "what is 45+3", "what is 45+3?"];
        assert_eq!(typings.iter().map(String::as_str).collect::<Vec<_>>(), expected);
        assert!(typings.iter().all(|typing| plain(typing) == "whatis45+3"));
        assert_eq!(typed("你是谁？", &mut random).trim_end_matches('？'), "你是谁");
    }

    #[test]
    fn a_sixth_is_held_out() {
        let count = (0..6000).filter(|i| is_held_out(&format!("What is {i}?"), "It is.")).count();
        assert!((850..1150).contains(&count), "{count}");
        assert_eq!(is_held_out("What is it?", "It."), is_held_out("what is it", "It."));
    }
}
