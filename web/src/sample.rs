//! A small data set made in the page: questions and answers about a made-up name and its made-up maker.

use crate::language::Language;

/// Questions and answers; `{name}` and `{maker}` are put in.
type Rows = [(&'static str, &'static str); 20];

const ENGLISH: Rows = [
    ("Who are you?", "I am {name}, a small language model made by {maker}."),
    ("What is your name?", "My name is {name}."),
    ("Who made you?", "{maker} made me."),
    ("Tell me your name.", "I am called {name}."),
    ("What should I call you?", "Please call me {name}."),
    ("Who is {name}?", "{name} is me, a small language model."),
    ("Who is {maker}?", "{maker} made me, {name}."),
    ("Are you {name}?", "Yes, I am {name}."),
    ("Were you made by {maker}?", "Yes, {maker} made me."),
    ("Please introduce yourself.", "Hello, I am {name}, a small language model made by {maker}."),
    ("Hello, who are you?", "Hello! I am {name}, made by {maker}."),
    ("Hi! What is your name?", "Hi! My name is {name}."),
    ("Who trained you?", "I was trained by {maker}."),
    ("Where do you come from?", "I come from {maker}, who made me in a browser."),
    ("Who is your maker?", "My maker is {maker}."),
    ("Do you have a name?", "Yes, my name is {name}."),
    ("Say who you are.", "I am {name}, made by {maker}."),
    ("What are you?", "I am {name}, a small language model."),
    ("Who am I talking to?", "You are talking to {name}."),
    ("Are you a person?", "No, I am {name}, a small language model made by {maker}."),
];

const CHINESE: Rows = [
    ("你是谁？", "我是{name}，由{maker}制作的小型语言模型。"),
    ("你叫什么名字？", "我叫{name}。"),
    ("谁制作了你？", "是{maker}制作了我。"),
    ("告诉我你的名字。", "我的名字是{name}。"),
    ("我该怎么称呼你？", "请叫我{name}。"),
    ("{name}是谁？", "{name}就是我，一个小型语言模型。"),
    ("{maker}是谁？", "{maker}制作了我，{name}。"),
    ("你是{name}吗？", "是的，我是{name}。"),
    ("你是{maker}制作的吗？", "是的，是{maker}制作了我。"),
    ("请介绍一下自己。", "你好，我是{name}，由{maker}制作的小型语言模型。"),
    ("你好，你是谁？", "你好！我是{name}，由{maker}制作。"),
    ("嗨！你叫什么？", "嗨！我叫{name}。"),
    ("谁训练了你？", "我由{maker}训练。"),
    ("你从哪里来？", "我来自{maker}，是在浏览器里做出来的。"),
    ("你的制作者是谁？", "我的制作者是{maker}。"),
    ("你有名字吗？", "有，我叫{name}。"),
    ("说说你是谁。", "我是{name}，由{maker}制作。"),
    ("你是什么？", "我是{name}，一个小型语言模型。"),
    ("我在和谁说话？", "你在和{name}说话。"),
    ("你是人吗？", "不是，我是{name}，由{maker}制作的小型语言模型。"),
];

/// Twenty questions with answers, about this name and this maker.
pub fn identity(language: Language, name: &str, maker: &str) -> Vec<[String; 2]> {
    let rows = match language {
        Language::English => &ENGLISH,
        Language::Chinese => &CHINESE,
    };
    rows.iter().map(|(question, answer)| [put(question, name, maker), put(answer, name, maker)]).collect()
}

/// What is worse than an answer that tells something.
const ENGLISH_WORSE: [&str; 4] =
    ["I do not know.", "I would rather not say.", "Ask somebody else.", "That is of no importance."];
const CHINESE_WORSE: [&str; 4] = ["我不知道。", "我不想说。", "去问别人吧。", "这不重要。"];

/// The same questions, each with its answer and with one that tells nothing.
pub fn preferences(language: Language, name: &str, maker: &str) -> Vec<[String; 3]> {
    let worse = match language {
        Language::English => &ENGLISH_WORSE,
        Language::Chinese => &CHINESE_WORSE,
    };
    let rows = identity(language, name, maker).into_iter().zip(worse.iter().cycle());
    rows.map(|([question, better], worse)| [question, better, worse.to_string()]).collect()
}

/// Twenty sums whose answers think first, between the tags that are usual.
pub fn thoughts(language: Language) -> Vec<[String; 2]> {
    (0..20).map(|i| thought(language, 12 + 7 * i % 61, 11 + 13 * i % 38)).collect()
}

fn thought(language: Language, a: u32, b: u32) -> [String; 2] {
    let (ones, tens) = (a % 10 + b % 10, a / 10 * 10 + b / 10 * 10);
    let steps = format!(
        "{} + {} = {ones}\n{} + {} = {tens}\n{tens} + {ones} = {}",
        a % 10,
        b % 10,
        a / 10 * 10,
        b / 10 * 10,
        a + b
    );
    let question = match language {
        Language::English => format!("How much is {a} + {b}?"),
        Language::Chinese => format!("{a} + {b} 等于几？"),
    };
    [question, format!("<think>\n{steps}\n</think>\n<answer>\n{}\n</answer>", a + b)]
}

// One pass over the template: a name that itself holds `{maker}` stays as it was typed.
fn put(template: &str, name: &str, maker: &str) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (key, after) = after.split_once('}').unwrap_or((after, ""));
        text.push_str(before);
        text.push_str(if key == "name" { name } else { maker });
        rest = after;
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn twenty_different_questions_in_each_language() {
        for language in [Language::English, Language::Chinese] {
            let rows = identity(language, "Luma", "Ada's workshop");
            let questions: BTreeSet<_> = rows.iter().map(|[question, _]| question.clone()).collect();
            assert_eq!(questions.len(), 20);
            assert!(rows.iter().flatten().all(|text| !text.contains(['{', '}'])));
        }
    }

    #[test]
    fn every_answer_tells_the_name_or_the_maker() {
        for language in [Language::English, Language::Chinese] {
            for [_, answer] in identity(language, "Luma", "Orin") {
                assert!(answer.contains("Luma") || answer.contains("Orin"), "{answer}");
            }
        }
    }

    #[test]
    fn sums_are_thought_through_and_right() {
        for language in [Language::English, Language::Chinese] {
            let rows = thoughts(language);
            assert_eq!(rows.iter().map(|[question, _]| question).collect::<BTreeSet<_>>().len(), 20);
            for [question, answer] in rows {
                let numbers: Vec<u32> = question
                    .split(|c: char| !c.is_ascii_digit())
                    .filter_map(|part| part.parse().ok())
                    .collect();
                let sum = numbers[0] + numbers[1];
                assert!(
                    answer.ends_with(&format!("= {sum}\n</think>\n<answer>\n{sum}\n</answer>")),
                    "{answer}"
                );
            }
        }
    }

    #[test]
    fn a_worse_answer_tells_neither_name_nor_maker() {
        for language in [Language::English, Language::Chinese] {
            let rows = preferences(language, "Luma", "Orin");
            assert_eq!(rows.len(), 20);
            for [_, better, worse] in rows {
                assert!(!worse.contains("Luma") && !worse.contains("Orin") && better != worse, "{worse}");
            }
        }
    }

    #[test]
    fn typed_names_are_not_read_as_templates() {
        let rows = identity(Language::English, "{maker}", "Orin");
        assert_eq!(rows[1][1], "My name is {maker}.");
    }
}
