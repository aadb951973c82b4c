//! What the user tells and asks for later: a name, a thing, a taste.
//!
//! What is taken in is repeated in the words that will answer for it later.

use super::lexicon::Word;
use super::phrases::{Phrases, bare, is_held_out, said};
use super::question::Language;
use super::turn::{Exchange, Setting, Told};
use super::{names, turn};
use crate::random::Random;

/// Something that people say about themselves: its words (none for names), how it is told, what is said before the
/// answer then, how it is asked for, answered, and answered where it was never told.
struct Topic {
    words: &'static [Word],
    told: [Phrases; 2],
    taken_in: Word,
    asked: [Phrases; 2],
    answered: Word,
    not_told: Word,
}

const ITEMS: [Word; 8] = [
    ["a kite", "风筝"],
    ["a drum", "小鼓"],
    ["a lamp", "台灯"],
    ["a rope", "绳子"],
    ["a key", "钥匙"],
    ["a map", "地图"],
    ["a ring", "戒指"],
    ["a hat", "帽子"],
];
const TASTES: [Word; 8] = [
    ["plums", "李子"],
    ["apples", "苹果"],
    ["grapes", "葡萄"],
    ["soup", "热汤"],
    ["cake", "蛋糕"],
    ["tea", "绿茶"],
    ["milk", "牛奶"],
    ["melons", "西瓜"],
];

const TOPICS: [Topic; turn::TOPICS] = [
    Topic {
        words: &[],
        told: [
            &["My name is {v}.", "I am {v}.", "I'm {v}.", "Call me {v}.", "Please call me {v}."],
            &["我叫{v}。", "我是{v}。", "我的名字是{v}。", "叫我{v}吧。", "请叫我{v}。"],
        ],
        taken_in: ["Nice to meet you! ", "很高兴认识你！"],
        asked: [
            &["What is my name?", "What's my name?", "Who am I?", "Do you know my name?", "Tell me my name."],
            &["我叫什么名字？", "我叫什么？", "我是谁？", "你知道我的名字吗？", "我的名字是什么？"],
        ],
        answered: ["Your name is {v}.", "你叫{v}。"],
        not_told: ["You did not tell me your name.", "你没有告诉我你的名字。"],
    },
    Topic {
        words: &ITEMS,
        told: [
            &["I have {v}.", "I have got {v}.", "I've got {v}.", "I have {v} here."],
            &["我有{v}。", "我带了{v}。", "我手里有{v}。", "我这里有{v}。"],
        ],
        taken_in: ["I see! ", "知道了！"],
        asked: [
            &["What do I have?", "What have I got?", "Tell me what I have.", "Do you know what I have?"],
            &["我有什么？", "我带了什么？", "我手里有什么？", "你知道我有什么吗？"],
        ],
        answered: ["You have {v}.", "你有{v}。"],
        not_told: ["You did not tell me what you have.", "你没有告诉我你有什么。"],
    },
    Topic {
        words: &TASTES,
        told: [
            &["I like {v}.", "I love {v}.", "I really like {v}.", "I like {v} very much."],
            &["我喜欢{v}。", "我爱{v}。", "我很喜欢{v}。", "我最喜欢{v}。"],
        ],
        taken_in: ["I see! ", "知道了！"],
        asked: [
            &["What do I like?", "What do I love?", "Tell me what I like.", "Do you know what I like?"],
            &["我喜欢什么？", "我爱什么？", "我最喜欢什么？", "你知道我喜欢什么吗？"],
        ],
        answered: ["You like {v}.", "你喜欢{v}。"],
        not_told: ["You did not tell me what you like.", "你没有告诉我你喜欢什么。"],
    },
];

/// Sentences about the user, each taken in: what is repeated is a word, or a name that is spelled by chance.
pub(super) fn text(language: Language, random: &mut Random) -> String {
    let l = language.index();
    let sentences = (0..3).map(|_| {
        let topic = any_topic(random);
        let words = TOPICS[topic].words;
        let word = match words.is_empty() {
            true => names::spelled(random),
            false => random.choose(words)[l].to_string(),
        };
        let told = Told { word, language, in_both: false };
        let (tells, answer) = (bare(TOPICS[topic].told[l], random), TOPICS[topic].answered[l]);
        say(&format!("{tells} {}{answer} {answer}", TOPICS[topic].taken_in[l]), &told, language)
    });
    sentences.collect::<Vec<_>>().join("\n")
}

/// What is new, or a question about what was told.
pub(super) fn exchange(setting: Setting, random: &mut Random) -> Option<Exchange> {
    let topic = any_topic(random);
    match &setting.state.told[topic] {
        Some(told) => ask(setting, topic, told, random),
        None => Some(tell(setting, topic, random)),
    }
}

/// Names twice as often as the others.
fn any_topic(random: &mut Random) -> usize {
    (random.below(TOPICS.len() as u64 + 1) as usize).saturating_sub(1)
}

/// A word for a topic, and whether it is of the other language.
fn word(setting: Setting, topic: usize, random: &mut Random) -> (Told, bool) {
    let language = setting.language;
    let words = TOPICS[topic].words;
    if !words.is_empty() {
        let word = random.choose(words)[language.index()].to_string();
        return (Told { word, language, in_both: false }, false);
    }
    let mixes = setting.mixes(random);
    let word = names::person(if mixes { language.other() } else { language }, random);
    (Told { word, language, in_both: true }, mixes)
}

/// A sentence with the word in it; a space stands before a Latin name in Chinese, too: it is the same token then.
fn say(template: &str, told: &Told, language: Language) -> String {
    let space = if language == Language::Zh && told.word.is_ascii() { " " } else { "" };
    template.replace("{v}", &format!("{space}{}", told.word))
}

fn tell(setting: Setting, topic: usize, random: &mut Random) -> Exchange {
    let l = setting.language.index();
    let (told, mixes) = word(setting, topic, random);
    let question = say(&said(TOPICS[topic].told[l], setting.language, random), &told, setting.language);
    let answer = say(TOPICS[topic].answered[l], &told, setting.language);
    let answer = format!("{}{answer}", TOPICS[topic].taken_in[l]);
    let held_out = is_held_out(&question, &answer);
    let mut exchange = setting.exchange(question, answer);
    exchange.after.told[topic] = Some(told);
    Exchange { held_out, mixes, ..exchange }
}

fn ask(setting: Setting, topic: usize, told: &Told, random: &mut Random) -> Option<Exchange> {
    let l = setting.language.index();
    let question = said(TOPICS[topic].asked[l], setting.language, random);
    let answer = say(TOPICS[topic].answered[l], told, setting.language);
    let held_out = is_held_out(&question, &answer);
    let exchange = setting.exchange(question, answer);
    (told.in_both || told.language == setting.language).then_some(Exchange { held_out, ..exchange })
}

/// A question about something that was not told.
pub(super) fn not_told(setting: Setting, random: &mut Random) -> Option<Exchange> {
    let topic = any_topic(random);
    let l = setting.language.index();
    let question = said(TOPICS[topic].asked[l], setting.language, random);
    let answer = TOPICS[topic].not_told[l].to_string();
    let held_out = is_held_out(&question, &answer);
    let exchange = setting.exchange(question, answer);
    setting.state.told[topic].is_none().then_some(Exchange { held_out, ..exchange })
}
