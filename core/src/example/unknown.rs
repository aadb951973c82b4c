//! What the assistant was never told, cannot do or cannot compute: it says so.

use super::lexicon::Word;
use super::phrases::{Phrases, is_held_out, said};
use super::question::Language;
use super::turn::{Exchange, Setting};
use super::{arithmetic, facts, memory, names};
use crate::random::Random;

const UNKNOWN: Word = ["I do not know that.", "这个我不知道。"];
const CANNOT: Word = ["I cannot do that.", "这个我不会。"];
const TOO_HARD: Word = ["That is too hard for me.", "这对我太难了。"];

/// Questions with `{x}`, and what may stand there.
type About = [(Phrases, Phrases); 2];

const PLACES: About = [
    (
        &["What is the capital of {x}?", "Where is {x}?", "How big is {x}?", "Tell me about {x}."],
        &["China", "France", "Japan", "Egypt", "Brazil", "India", "Paris", "London", "Beijing", "America"],
    ),
    (
        &["{x}的首都是哪里？", "{x}在哪里？", "{x}有多大？", "说说{x}。"],
        &["中国", "法国", "日本", "美国", "英国", "德国", "北京", "上海", "巴黎", "印度"],
    ),
];
const SUBJECTS: About = [
    (
        &["What is {x}?", "Tell me about {x}.", "What do you know about {x}?", "Who made {x}?"],
        &["music", "football", "history", "money", "science", "water", "the moon", "the sun", "the world"],
    ),
    (
        &["{x}是什么？", "说说{x}。", "你知道{x}吗？", "{x}是谁做的？"],
        &["音乐", "足球", "历史", "科学", "月亮", "太阳", "大海", "电影", "手机"],
    ),
];
const WISHES: About = [
    (
        &["Write {x}.", "Can you write {x}?", "Tell me {x}.", "Please write {x}."],
        &["a poem", "a story", "a joke", "a letter", "a song", "some code"],
    ),
    (
        &["写{x}。", "请写{x}。", "你会写{x}吗？", "给我写{x}。"],
        &["一首诗", "一个故事", "一个笑话", "一封信", "一首歌", "一段代码"],
    ),
];
/// Questions that stand alone.
const ALONE: [Phrases; 2] = [
    &[
        "What time is it?",
        "What day is it today?",
        "How is the weather today?",
        "Who is the president?",
        "How old are you?",
        "How old am I?",
        "Where do I live?",
        "What is the news?",
        "Why?",
        "What is the meaning of life?",
    ],
    &[
        "现在几点？",
        "今天星期几？",
        "今天天气怎么样？",
        "谁是总统？",
        "你几岁？",
        "我几岁？",
        "我住在哪里？",
        "有什么新闻？",
        "为什么？",
        "人生的意义是什么？",
    ],
];

/// A question that is not to be answered; what was not told, among others.
pub(super) fn exchange(setting: Setting, random: &mut Random) -> Option<Exchange> {
    let l = setting.language.index();
    let mut mixes = false;
    let (question, answer) = match random.below(12) {
        0..4 => return memory::not_told(setting, random),
        4 | 5 => {
            mixes = setting.mixes(random);
            (named(setting.language, mixes, random), UNKNOWN[l])
        }
        6 => (about(PLACES, setting.language, random), UNKNOWN[l]),
        7 => (about(SUBJECTS, setting.language, random), UNKNOWN[l]),
        8 => (about(WISHES, setting.language, random), CANNOT[l]),
        9 => (said(ALONE[l], setting.language, random), UNKNOWN[l]),
        _ => (too_hard(setting.language, random), TOO_HARD[l]),
    };
    let held_out = is_held_out(&question, answer);
    let exchange = setting.exchange(question, answer.to_string());
    Some(Exchange { held_out, mixes, ..exchange })
}

/// About a name that nothing in the world has.
fn named(language: Language, mixes: bool, random: &mut Random) -> String {
    let name = names::made_up(if mixes { language.other() } else { language }, random);
    let (phrases, noun) = facts::any_phrases(language, random);
    facts::asked(phrases, &name, noun, language, random)
}

fn about(about: About, language: Language, random: &mut Random) -> String {
    let (phrases, subjects) = about[language.index()];
    let subject = *random.choose(subjects);
    said(phrases, language, random).replace("{x}", subject)
}

/// A product, a quotient, or a sum of numbers that are too large.
fn too_hard(language: Language, random: &mut Random) -> String {
    let mut number = |from: u64, to: u64| from + random.below(to - from);
    let sign = ["+", "-"][number(0, 2) as usize];
    let (a, sign, b) = match number(0, 5) {
        0 => (number(2, 100), ["*", "×", "/", "÷"][number(0, 4) as usize], number(2, 20)),
        1 => (number(100, 1000), sign, number(1, 100)),
        2 => (number(100, 1000), sign, number(100, 1000)),
        3 => (number(10, 100), sign, number(10, 100)),
        _ => arithmetic::beyond(random),
    };
    let phrase = arithmetic::any_phrase(language, random);
    phrase.replace("{p}", &arithmetic::spelled(a, sign, b, language, random))
}
