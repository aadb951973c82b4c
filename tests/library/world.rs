//! The generated world: what is held out is in no row, every kind comes at every turn, and Chinese is not spelled in
//! bytes.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use kindling::example::{DEFAULT_SEED, Kind, Question, TURNS, World, WorldSize, constant_answer};
use kindling::text::{Conversation, Message};
use kindling::tokenizer::train;

struct Rows {
    texts: Vec<String>,
    chats: Vec<Conversation>,
    questions: Vec<Question>,
}

fn rows() -> Rows {
    let (world, size) = (World::new(DEFAULT_SEED), WorldSize::default());
    let (texts, chats) = (world.texts(size.texts), world.conversations(size.conversations));
    Rows { texts, chats, questions: world.questions(size.questions) }
}

fn is_han(c: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&c)
}

/// What is asked, however it is typed.
fn plain(text: &str) -> String {
    let counts = |c: &char| c.is_alphanumeric() || ['+', '-', '*', '/', '×', '÷'].contains(c);
    text.chars().filter(counts).flat_map(char::to_lowercase).collect()
}

/// Chinese characters, and words of other letters.
fn words(text: &str) -> BTreeSet<String> {
    let han = text.chars().filter(|&c| is_han(c)).map(String::from);
    let other = text.split(|c: char| !c.is_alphabetic() || is_han(c)).filter(|word| !word.is_empty());
    han.chain(other.map(str::to_lowercase)).collect()
}

fn last(messages: &[Message]) -> &str {
    &messages.last().unwrap().content
}

#[test]
fn no_held_out_question_is_in_the_training_rows_with_its_answer() {
    let Rows { texts, chats, questions } = rows();
    let mut known: HashSet<(String, String)> = HashSet::new();
    for text in &texts {
        let lines: Vec<String> = text.lines().map(plain).collect();
        known.extend(lines.windows(2).map(|two| (two[0].clone(), two[1].clone())));
    }
    for chat in &chats {
        let said: Vec<String> = chat.messages.iter().map(|message| plain(&message.content)).collect();
        known.extend(said.chunks(2).map(|two| (two[0].clone(), two[1].clone())));
    }
    for question in &questions {
        let asked = (plain(last(&question.messages)), plain(&question.answer));
        assert!(!known.contains(&asked), "{question:?}");
    }
}

#[test]
fn held_out_questions_are_made_of_known_words() {
    let Rows { texts, chats, questions } = rows();
    let said = chats.iter().flat_map(|chat| &chat.messages).map(|message| &message.content);
    let known: BTreeSet<String> = texts.iter().chain(said).flat_map(|text| words(text)).collect();
    let fixed = [Kind::Greeting, Kind::Identity, Kind::Ability, Kind::Thanks, Kind::Facts, Kind::FollowUp];
    for question in questions.iter().filter(|question| fixed.contains(&question.kind)) {
        let unknown: Vec<_> = words(last(&question.messages)).difference(&known).cloned().collect();
        assert!(unknown.is_empty(), "{unknown:?} in {question:?}");
    }
}

#[test]
fn every_kind_is_asked_at_every_turn_in_every_language() {
    let (Rows { questions, .. }, each) = (rows(), WorldSize::default().questions);
    let mut cells: BTreeMap<(&str, &str, usize), usize> = BTreeMap::new();
    for question in &questions {
        assert_eq!(question.messages.len(), 2 * question.turn - 1, "{question:?}");
        let said = question.messages.iter().map(|message| message.content.as_str());
        let said: String = said.chain([question.answer.as_str()]).collect();
        match question.tongue() {
            "mixed" => assert!(said.contains(is_han) && said.contains(|c: char| c.is_ascii_alphabetic())),
            "en" => assert!(!said.contains(is_han), "{said}"),
            // Numbers alone are of no language.
            _ => assert!(said.contains(is_han) || !said.contains(char::is_alphabetic), "{said}"),
        }
        *cells.entry((question.kind.name(), question.tongue(), question.turn)).or_default() += 1;
    }
    for kind in Kind::ALL {
        for turn in TURNS {
            for language in ["en", "zh", "mixed"] {
                // Nothing comes before a first question, which it could follow or change the language of.
                let possible = turn > 1 || kind != Kind::FollowUp && language != "mixed";
                let count = cells.get(&(kind.name(), language, turn)).copied().unwrap_or(0);
                assert_eq!(count, if possible { each } else { 0 }, "{} {language} {turn}", kind.name());
            }
        }
    }
    assert!(constant_answer(&questions).1 < 0.1);
}

#[test]
fn what_is_remembered_was_said_before_and_what_is_unknown_was_not() {
    let Rows { chats, questions, .. } = rows();
    let asked = questions.iter().map(|question| (question.messages.clone(), question.answer.clone()));
    let trained = chats.iter().flat_map(|chat| {
        let answers = (1..chat.messages.len()).step_by(2);
        answers.map(|at| (chat.messages[..at].to_vec(), chat.messages[at].content.clone()))
    });
    let (mut known, mut unknown) = (0, 0);
    for (messages, answer) in asked.chain(trained) {
        let users = messages.iter().filter(|message| message.role == "user");
        let said: Vec<&str> = users.map(|message| message.content.as_str()).collect();
        for (before, after) in [("Your name is ", "."), ("你叫", "。")] {
            let name = answer.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
            if let Some(name) = name {
                assert!(said.iter().any(|said| said.contains(name.trim())), "{messages:?} {answer}");
                known += 1;
            }
        }
        if answer == "You did not tell me your name." {
            let tells = ["my name is", "call me"];
            assert!(!said.iter().any(|said| tells.iter().any(|tell| said.to_lowercase().contains(tell))));
            unknown += 1;
        }
    }
    assert!(known > 500 && unknown > 100, "{known} {unknown}");
}

#[test]
fn rows_are_many_distinct_and_repeatable() {
    let Rows { texts, chats, questions } = rows();
    let size = WorldSize::default();
    assert_eq!((texts.len(), chats.len()), (size.texts, size.conversations));
    assert_eq!(texts.iter().collect::<HashSet<_>>().len(), texts.len());
    for chat in &chats {
        assert!(chat.check_roles().is_ok());
        assert_eq!(chat.messages.len(), 16);
    }
    let again = rows();
    assert!(again.texts == texts && again.chats == chats && again.questions == questions);
    let other = World::new(DEFAULT_SEED + 1).texts(20);
    assert!(other.iter().all(|text| !texts[..20].contains(text)), "another seed is another world");
}

#[test]
fn every_word_is_a_token_and_chinese_is_not_spelled_in_bytes() {
    let (world, size) = (World::new(DEFAULT_SEED), WorldSize::default());
    let (texts, settings) = world.tokenizer_training(size);
    let tokenizer = train(texts.into_iter(), &settings).unwrap();
    assert!(tokenizer.vocab_size() < 1900, "{}", tokenizer.vocab_size());
    let (mut tokens, mut characters) = (0, 0);
    for chat in world.conversations(500) {
        for message in chat.messages.iter().filter(|message| message.content.contains(is_han)) {
            tokens += tokenizer.encode(&message.content).unwrap().len();
            characters += message.content.chars().count();
        }
    }
    assert!(tokens <= characters, "{tokens} tokens for {characters} characters");
    for (text, count) in [("user", 1), ("assistant", 1), (" Miru", 1), ("米鲁的颜色是", 6), ("你叫小安。", 5)]
    {
        assert_eq!(tokenizer.encode(text).unwrap().len(), count, "{text}");
    }
}
