//! What people say first, and what the assistant says about itself.

use super::lexicon::{NAMES, SORTS};
use super::phrases::{Phrases, is_alone, said};
use super::question::{Kind, Language};
use super::turn::{Exchange, Setting};
use crate::random::Random;

/// One answer, and how it is asked for.
struct Talk {
    kind: Kind,
    asked: [Phrases; 2],
    /// `{animals}`, `{places}` and `{things}` are all names of that sort, `{animal}` and so on the first.
    answer: [&'static str; 2],
}

const HELLO: [Phrases; 2] = [
    &["Hello!", "Hi!", "Hey!", "Hello there!", "Hi there!", "Hey there!"],
    &["你好！", "您好！", "嗨！", "哈喽！", "你好啊！", "在吗？"],
];
const MORNING: [Phrases; 2] = [&["Good morning!"], &["早上好！", "早！"]];
const EVENING: [Phrases; 2] = [&["Good evening!"], &["晚上好！"]];
const HOW_ARE_YOU: [Phrases; 2] = [
    &["How are you?", "How are you today?", "How are you doing?", "Are you well?"],
    &["你好吗？", "你今天好吗？", "最近好吗？", "你怎么样？"],
];
const BYE: [Phrases; 2] = [
    &["Bye!", "Goodbye!", "See you!", "Good night!", "See you tomorrow!"],
    &["再见！", "拜拜！", "晚安！", "明天见！"],
];

const WHO: [Phrases; 2] = [
    &[
        "Who are you?",
        "What are you?",
        "Tell me who you are.",
        "Tell me about yourself.",
        "Introduce yourself.",
    ],
    &["你是谁？", "你是什么？", "告诉我你是谁。", "介绍一下你自己。", "你是哪位？"],
];
const NAME: [Phrases; 2] = [
    &[
        "What is your name?",
        "What's your name?",
        "Do you have a name?",
        "Tell me your name.",
        "What are you called?",
    ],
    &["你叫什么名字？", "你叫什么？", "你有名字吗？", "你的名字是什么？", "告诉我你的名字。"],
];
const MAKER: [Phrases; 2] = [
    &[
        "Who made you?",
        "Who trained you?",
        "Who created you?",
        "How were you made?",
        "Where do you come from?",
    ],
    &["谁制作了你？", "谁训练了你？", "你是怎么来的？", "你是谁做的？", "你从哪里来？"],
];
const PERSON: [Phrases; 2] = [
    &["Are you a person?", "Are you human?", "Are you an AI?", "Are you a large model?", "Are you ChatGPT?"],
    &["你是人吗？", "你是真人吗？", "你是大模型吗？", "你是ChatGPT吗？", "你是机器人吗？"],
];

const CAN_DO: [Phrases; 2] = [
    &["What can you do?", "How can you help me?", "Can you help me?", "What do you do?", "Help!"],
    &["你能做什么？", "你会做什么？", "你会什么？", "你可以帮我吗？", "你有什么用？"],
];
const KNOWS: [Phrases; 2] = [
    &["What do you know?", "What can I ask you?", "What should I ask?", "Tell me what you know."],
    &["你知道什么？", "我可以问你什么？", "我能问什么？", "问你什么好？"],
];
const ANIMALS: [Phrases; 2] = [
    &["Which animals do you know?", "What animals are there?", "Tell me about the animals."],
    &["你知道哪些动物？", "有哪些动物？", "说说动物。"],
];
const PLACES: [Phrases; 2] = [
    &["Which places do you know?", "What places are there?", "Tell me about the places."],
    &["你知道哪些地方？", "有哪些地方？", "说说地方。"],
];
const THINGS: [Phrases; 2] = [
    &["Which things do you know?", "What things are there?", "Tell me about the things."],
    &["你知道哪些东西？", "有哪些东西？", "说说东西。"],
];
const LANGUAGES: [Phrases; 2] = [
    &[
        "Do you speak Chinese?",
        "Do you speak English?",
        "Which languages do you speak?",
        "Can you speak Chinese?",
    ],
    &["你会说中文吗？", "你会英文吗？", "你会说哪些语言？", "你会说英文吗？"],
];

const THANK_YOU: [Phrases; 2] = [
    &["Thank you!", "Thanks!", "Thanks a lot!", "Thank you very much!", "Many thanks!"],
    &["谢谢！", "谢谢你！", "多谢！", "非常感谢！", "谢了！"],
];
const PRAISE: [Phrases; 2] = [
    &["Good!", "Great!", "Very good!", "Well done!", "You are great!", "That is right.", "Nice!"],
    &["很好！", "太好了！", "真棒！", "你真棒！", "对。", "不错！"],
];
const SORRY: [Phrases; 2] =
    [&["Sorry!", "I am sorry.", "Sorry about that."], &["对不起！", "不好意思！", "抱歉！"]];

#[rustfmt::skip]
const TALKS: [Talk; 18] = [
    talk(Kind::Greeting, HELLO, ["Hello! How can I help you?", "你好！有什么可以帮你？"]),
    talk(Kind::Greeting, MORNING, ["Good morning! How can I help you?", "早上好！有什么可以帮你？"]),
    talk(Kind::Greeting, EVENING, ["Good evening! How can I help you?", "晚上好！有什么可以帮你？"]),
    talk(Kind::Greeting, HOW_ARE_YOU, ["I am well, thank you!", "我很好，谢谢！"]),
    talk(Kind::Greeting, BYE, ["Goodbye! See you soon.", "再见！下次再聊。"]),
    talk(Kind::Identity, WHO, ["I am Ember, a small model trained with Kindling.", "我是小烬，用 Kindling 训练的小模型。"]),
    talk(Kind::Identity, NAME, ["My name is Ember.", "我叫小烬。"]),
    talk(Kind::Identity, MAKER, ["I was trained with Kindling, from nothing.", "我是用 Kindling 从零训练的。"]),
    talk(Kind::Identity, PERSON, ["No, I am Ember, a small model.", "不是，我是小烬，一个小模型。"]),
    talk(Kind::Ability, CAN_DO, [
        "I can tell you about my small world, do small sums and remember what you tell me.",
        "我可以介绍我的小世界，做简单的加减法，记住你告诉我的事。",
    ]),
    talk(Kind::Ability, KNOWS, [
        "I know animals like {animal}, places like {place} and things like {thing}. Ask me about one!",
        "我知道{animal}这样的动物，{place}这样的地方，{thing}这样的东西。问我吧！",
    ]),
    talk(Kind::Ability, ANIMALS, ["I know {animals}.", "我知道{animals}。"]),
    talk(Kind::Ability, PLACES, ["I know {places}.", "我知道{places}。"]),
    talk(Kind::Ability, THINGS, ["I know {things}.", "我知道{things}。"]),
    talk(Kind::Ability, LANGUAGES, ["I speak English and Chinese.", "我会说中文和英文。"]),
    talk(Kind::Thanks, THANK_YOU, ["You are welcome!", "不客气！"]),
    talk(Kind::Thanks, PRAISE, ["I am glad!", "我很高兴！"]),
    talk(Kind::Thanks, SORRY, ["No problem!", "没关系！"]),
];

const fn talk(kind: Kind, asked: [Phrases; 2], answer: [&'static str; 2]) -> Talk {
    Talk { kind, asked, answer }
}

/// All names of a sort, as a list.
fn list(sort: usize, language: Language) -> String {
    let names: Vec<&str> =
        NAMES.iter().skip(sort).step_by(SORTS.len()).map(|name| name[language.index()]).collect();
    let [comma, and] = [[", ", " and "], ["、", "和"]][language.index()];
    let (last, first) = names.split_last().unwrap_or((&"", &[]));
    format!("{}{and}{last}", first.join(comma))
}

/// The answer with names put in.
fn answer(template: &str, language: Language) -> String {
    let mut text = template.to_string();
    for (sort, key) in ["animal", "place", "thing"].into_iter().enumerate() {
        text = text.replace(&format!("{{{key}s}}"), &list(sort, language));
        text = text.replace(&format!("{{{key}}}"), NAMES[sort][language.index()]);
    }
    text
}

/// A turn of one of these kinds.
pub(super) fn exchange(kind: Kind, setting: Setting, random: &mut Random) -> Exchange {
    let talks: Vec<&Talk> = TALKS.iter().filter(|talk| talk.kind == kind).collect();
    let talk = *random.choose(&talks);
    let asked = setting.of(&talk.asked);
    let question = said(asked, setting.language, random);
    let exchange = setting.exchange(question, answer(setting.of(&talk.answer), setting.language));
    Exchange { held_out: exchange.held_out && !is_alone(&exchange.question, asked), ..exchange }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_name_all_of_a_sort_and_no_key_is_left() {
        assert_eq!(list(0, Language::En), "Miru, Tavan, Kolo and Lushi");
        assert!(list(1, Language::Zh).ends_with("、陶墨和奎恩"));
        for (talk, language) in TALKS.iter().flat_map(|talk| Language::ALL.map(|language| (talk, language))) {
            let answer = answer(talk.answer[language.index()], language);
            assert!(!answer.contains(['{', '}']), "{answer}");
        }
    }
}
