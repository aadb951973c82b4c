//! What the assistant was never told, cannot do or cannot compute: it says so.

use super::lexicon::Word;
use super::phrases::{Phrases, is_alone, said};
use super::turn::{Exchange, Setting};
use super::{arithmetic, facts, memory, names};
use crate::random::Random;

const UNKNOWN: Word = ["I do not know that.", "这个我不知道。"];
const CANNOT: Word = ["I cannot do that.", "这个我不会。"];
const TOO_HARD: Word = ["That is too hard for me.", "这对我太难了。"];

/// Questions with `{x}`, and what may stand there.
struct About {
    asked: [Phrases; 2],
    words: [Phrases; 2],
}

const PLACES: About = About {
    asked: [
        &["What is the capital of {x}?", "Where is {x}?", "Tell me about {x}."],
        &["{x}的首都是哪里？", "{x}在哪里？", "说说{x}。"],
    ],
    words: [
        &["China", "France", "Japan", "India", "Paris", "London"],
        &["中国", "法国", "日本", "英国", "北京", "上海"],
    ],
};
const WISHES: About = About {
    asked: [
        &["Write {x}.", "Can you write {x}?", "Tell me {x}."],
        &["写{x}。", "你会写{x}吗？", "给我写{x}。"],
    ],
    words: [&["a poem", "a story", "a joke", "a letter"], &["一首诗", "一个故事", "一个笑话", "一封信"]],
};
/// Questions that stand alone.
const ALONE: [Phrases; 2] = [
    &[
        "What time is it?",
        "What day is it?",
        "How is the weather?",
        "How old are you?",
        "Who is the president?",
    ],
    &["现在几点？", "今天星期几？", "今天天气怎么样？", "你几岁？", "谁是总统？"],
];

/// A question that is not to be answered; what was not told, among others.
pub(super) fn exchange(setting: Setting, random: &mut Random) -> Option<Exchange> {
    let about = |About { asked, words }: &About, random: &mut Random| {
        let word = setting.choose(words, random);
        said(setting.of(asked), setting.language, random).replace("{x}", word)
    };
    let (question, answer) = match random.below(12) {
        0..4 => return memory::not_told(setting, random),
        4..7 => {
            let name = names::made_up(setting.language, random);
            (facts::question_about(&name, setting.language, random), UNKNOWN)
        }
        7 => (about(&PLACES, random), UNKNOWN),
        8 => (said(setting.of(&ALONE), setting.language, random), UNKNOWN),
        9 => (about(&WISHES, random), CANNOT),
        _ => (arithmetic::too_hard(setting, random), TOO_HARD),
    };
    let exchange = setting.exchange(question, setting.of(&answer).to_string());
    let held_out = exchange.held_out && !is_alone(&exchange.question, setting.of(&ALONE));
    Some(Exchange { held_out, ..exchange })
}
