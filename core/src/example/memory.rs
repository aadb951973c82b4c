//! What the user tells and asks for later: a name, a taste.
//!
//! What is taken in is repeated in the words that will answer for it later.

use super::lexicon::Word;
use super::phrases::{Phrases, bare, said};
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

const TASTES: [Word; 12] = [
    ["plums", "李子"],
    ["apples", "苹果"],
    ["grapes", "葡萄"],
    ["soup", "热汤"],
    ["cake", "蛋糕"],
    ["tea", "绿茶"],
    ["milk", "牛奶"],
    ["melons", "西瓜"],
    ["cats", "小猫"],
    ["dogs", "小狗"],
    ["books", "书本"],
    ["music", "音乐"],
];

const TOPICS: [Topic; turn::TOPICS] = [
    Topic {
        words: &[],
        told: [
            &["My name is {v}.", "I am {v}.", "I'm {v}.", "Call me {v}."],
            &["我叫{v}。", "我是{v}。", "我的名字是{v}。", "叫我{v}吧。"],
        ],
        taken_in: ["Nice to meet you! ", "很高兴认识你！"],
        asked: [
            &["What is my name?", "What's my name?", "Who am I?", "Do you know my name?"],
            &["我叫什么名字？", "我叫什么？", "我是谁？", "你知道我的名字吗？"],
        ],
        answered: ["Your name is {v}.", "你叫{v}。"],
        not_told: ["You did not tell me your name.", "你没有告诉我你的名字。"],
    },
    Topic {
        words: &TASTES,
        told: [
            &["I like {v}.", "I love {v}.", "I really like {v}."],
            &["我喜欢{v}。", "我很喜欢{v}。", "我最喜欢{v}。"],
        ],
        taken_in: ["I see! ", "知道了！"],
        asked: [
            &["What do I like?", "Tell me what I like.", "Do you know what I like?"],
            &["我喜欢什么？", "我最喜欢什么？", "你知道我喜欢什么吗？"],
        ],
        answered: ["You like {v}.", "你喜欢{v}。"],
        not_told: ["You did not tell me what you like.", "你没有告诉我你喜欢什么。"],
    },
];

/// What is repeated: names that are spelled by chance, or what the user tells.
pub(super) fn text(language: Language, random: &mut Random) -> String {
    if random.below(2) == 0 {
        let names: Vec<String> = (0..4).map(|_| names::made_up(language, random)).collect();
        return vec![format!(" {}", names.join(" ")); 3].join(".");
    }
    let (l, topic) = (language.index(), &TOPICS[any_topic(random)]);
    let sentences = (0..3).map(|_| {
        let word = match topic.words.is_empty() {
            true => names::spelled(random),
            false => random.choose(topic.words)[l].to_string(),
        };
        let (tells, answer) = (bare(topic.told[l], random), topic.answered[l]);
        say(&format!("{tells} {}{answer} {answer}", topic.taken_in[l]), &word, language)
    });
    sentences.collect::<Vec<_>>().join("\n")
}

/// Names twice as often as the others.
fn any_topic(random: &mut Random) -> usize {
    (random.below(TOPICS.len() as u64 + 1) as usize).saturating_sub(1)
}

/// A sentence with the word in it; a space stands before a Latin name in Chinese, too: it is the same token then.
fn say(template: &str, word: &str, language: Language) -> String {
    let space = if language == Language::Zh && word.is_ascii() { " " } else { "" };
    template.replace("{v}", &format!("{space}{word}"))
}

/// What is new, or a question about what was told.
pub(super) fn exchange(setting: Setting, random: &mut Random) -> Option<Exchange> {
    let topic = any_topic(random);
    match &setting.state.told[topic] {
        Some(told) => ask(setting, topic, told, random),
        None => Some(tell(setting, topic, random)),
    }
}

fn tell(setting: Setting, topic: usize, random: &mut Random) -> Exchange {
    let (language, Topic { words, told, taken_in, answered, .. }) = (setting.language, &TOPICS[topic]);
    let word = match words.is_empty() {
        true => names::person(language, random),
        false => setting.of(random.choose(words)).to_string(),
    };
    let question = say(&said(setting.of(told), language, random), &word, language);
    let answer = format!("{}{}", setting.of(taken_in), say(setting.of(answered), &word, language));
    let mut exchange = setting.exchange(question, answer);
    exchange.after.told[topic] = Some(Told { word, language });
    exchange
}

/// Names are said alike in both languages, other words are not.
fn ask(setting: Setting, topic: usize, told: &Told, random: &mut Random) -> Option<Exchange> {
    let Topic { words, asked, answered, .. } = &TOPICS[topic];
    let question = said(setting.of(asked), setting.language, random);
    let answer = say(setting.of(answered), &told.word, setting.language);
    (words.is_empty() || told.language == setting.language).then(|| setting.exchange(question, answer))
}

/// A question about something that was not told.
pub(super) fn not_told(setting: Setting, random: &mut Random) -> Option<Exchange> {
    let topic = any_topic(random);
    let question = said(setting.of(&TOPICS[topic].asked), setting.language, random);
    let answer = setting.of(&TOPICS[topic].not_told).to_string();
    setting.state.told[topic].is_none().then(|| setting.exchange(question, answer))
}
