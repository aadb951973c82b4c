//! What is trained is what inference sees and should say, for random conversations, tokenizers and templates.
//!
//! Each template stands here twice: in Jinja, and as the parts that it prints, written by hand. From the parts follows
//! what every token must count; that the prompt's tokens are those of inference, `render_prompt` itself says.

use kindling::random::Random;
use kindling::text::{Conversation, Message};
use kindling::tokenizer::Tokenizer;
use serde_json::Map;

use crate::chat_styles::{STYLES, Style};
use crate::tiny_tokenizers::{FirstSpace, TinyTokenizer, all};

const WORDS: [&str; 16] = [
    "Paris",
    "two",
    "one",
    "the lamp",
    "3 + 4",
    "北京",
    "naïve",
    "😀",
    "a,b",
    "x  y",
    "tab\tq",
    "New\nline",
    "(z)",
    "end.",
    "Ω",
    "don't",
];
const SPACES: [&str; 6] = [" ", " ", "\n", "  ", "\n\n", ", "];
const EDGES: [&str; 8] = ["", "", "", "", " ", "\n", "\n\n", "  "];

fn pick(random: &mut Random, texts: &[&'static str]) -> &'static str {
    random.choose::<&str>(texts)
}

fn words(random: &mut Random) -> String {
    let mut text = pick(random, &EDGES).to_string();
    text += pick(random, &WORDS);
    for _ in 0..random.below(5) {
        text += pick(random, &SPACES);
        text += pick(random, &WORDS);
    }
    text + pick(random, &EDGES)
}

fn talk(style: &Style, random: &mut Random) -> Vec<Message> {
    let mut messages = Vec::new();
    if style.system && random.below(2) == 0 {
        messages.push(Message::new("system", &words(random)));
    }
    for _ in 0..=random.below(7) {
        messages.push(Message::new("user", &words(random)));
        let mut content = words(random);
        if !style.consistent && random.below(2) == 0 {
            content = format!("<think>{}</think>{content}", words(random));
        }
        let weight = *random.choose(&[1.0, 1.0, 1.0, 0.0, 0.5]);
        messages.push(Message { weight, ..Message::new("assistant", &content) });
    }
    messages
}

/// A part of the text and what its tokens count.
struct Said {
    start: usize,
    end: usize,
    weight: f32,
    message: usize,
}

/// The text by hand, and its parts that the assistant says.
fn by_hand(style: &Style, messages: &[Message]) -> (String, Vec<Said>) {
    let (mut text, mut said) = (String::new(), Vec::new());
    for (message, m) in messages.iter().enumerate() {
        let [head, words, end, rest] = (style.parts)(m);
        text += &head;
        let start = text.len();
        text += &(words + &end);
        if m.role == "assistant" {
            said.push(Said { start, end: text.len(), weight: m.weight, message });
        }
        text += &rest;
    }
    (text, said)
}

/// Where each token begins in the text, read from what the tokens spell.
fn starts(tokenizer: &TinyTokenizer, text: &str, ids: &[u32]) -> Vec<usize> {
    let spelled = tokenizer.spelled(text);
    let mut at = 0;
    let start = |&id: &u32| {
        let bytes = tokenizer.tokenizer.token_bytes(id);
        let here: Vec<u8> = spelled[at..].iter().take(bytes.len()).map(|&(byte, _)| byte).collect();
        assert_eq!(String::from_utf8_lossy(&here), String::from_utf8_lossy(&bytes), "token {id} at {at}");
        let start = spelled[at].1;
        at += bytes.len();
        start
    };
    let starts = ids.iter().map(start).collect();
    assert_eq!(at, spelled.len(), "the tokens spell the whole text");
    starts
}

/// The ids behind the last special token.
fn tail<'a>(tokenizer: &Tokenizer, ids: &'a [u32]) -> &'a [u32] {
    let special = ids.iter().rposition(|&id| tokenizer.is_special(id));
    &ids[special.map_or(0, |at| at + 1)..]
}

fn check(style: &Style, tiny: &TinyTokenizer, messages: Vec<Message>) {
    let tokenizer = &tiny.tokenizer;
    let case = format!("{} with {}: {messages:?}", style.name, tiny.name);
    let (text, said) = by_hand(style, &messages);
    let conversation = Conversation::new(messages);
    let (rendered_text, targets) = tokenizer.render_targets(&conversation).unwrap();
    assert_eq!(rendered_text, text, "{case}");
    let places: Vec<_> = targets.iter().map(|target| (target.bytes.clone(), target.weight)).collect();
    let expected: Vec<_> = said.iter().map(|said| (said.start..said.end, said.weight)).collect();
    assert_eq!(places, expected, "{case}\n{text:?}");

    let rendered = tokenizer.render_training(&conversation).unwrap();
    let starts = starts(tiny, &text, &rendered.ids);
    let weight = |&start: &usize| {
        said.iter().find(|said| (said.start..said.end).contains(&start)).map_or(0.0, |said| said.weight)
    };
    let weights: Vec<f32> = starts.iter().map(weight).collect();
    assert_eq!(rendered.weights, weights, "{case}");

    let mut before: Option<usize> = None;
    for said in said.iter().filter(|said| said.weight != 0.0) {
        let here = starts.iter().filter(|&&start| start < said.start).count();
        assert_eq!(starts.get(here), Some(&said.start), "{case}: a token begins with the answer");
        let alone = tokenizer.encode(&text[..said.start]).unwrap();
        if style.consistent {
            let asked = Conversation::new(conversation.messages[..said.message].to_vec());
            let prompt = tokenizer.render_prompt(&asked, &Map::new()).unwrap();
            assert_eq!(prompt, alone, "{case}: the prompt");
        }
        let own = &rendered.ids[..here];
        // Behind an earlier answer, what both share begins at a special token.
        match before {
            None => assert_eq!(own, alone, "{case}: the prompt of the first answer"),
            Some(earlier) if here - tail(tokenizer, own).len() > earlier => {
                assert_eq!(
                    tail(tokenizer, own),
                    tail(tokenizer, &alone),
                    "{case}: the prompt of a later answer"
                );
            }
            Some(_) => {}
        }
        before = Some(here);
    }
}

#[test]
fn what_is_trained_is_what_inference_sees_and_should_say() {
    for mut tiny in all() {
        for (number, style) in STYLES.iter().enumerate() {
            tiny.ends_with(style.eos, style.template);
            let mut random = Random::new(7, number as u64);
            for _ in 0..12 {
                let messages = talk(style, &mut random);
                check(style, &tiny, messages);
            }
        }
    }
}

#[test]
fn a_word_across_the_border_is_trained() {
    for mut tiny in all() {
        let style = &STYLES[6];
        tiny.ends_with(style.eos, style.template);
        let tokenizer = &tiny.tokenizer;
        let question = Message::new("user", "Capital?");
        let conversation = Conversation::new(vec![question, Message::new("assistant", "Paris")]);
        let rendered = tokenizer.render_training(&conversation).unwrap();
        let said: Vec<u32> = rendered
            .ids
            .iter()
            .zip(&rendered.weights)
            .filter(|(_, w)| **w != 0.0)
            .map(|(&id, _)| id)
            .collect();
        let spelled: Vec<u8> = said.iter().flat_map(|&id| tokenizer.token_bytes(id)).collect();
        assert_eq!(String::from_utf8(spelled).unwrap(), "Paris</s>", "{}", tiny.name);
        // The whole text alone would have hidden the first word in a token of the prompt.
        let whole = tokenizer.encode("User: Capital?\nAssistant: Paris</s>\n").unwrap();
        assert_ne!(rendered.ids, whole, "{}", tiny.name);
        assert_eq!(tokenizer.decode(&rendered.ids, false).unwrap(), tokenizer.decode(&whole, false).unwrap());
    }
}

#[test]
fn a_border_changes_no_token_far_behind_it() {
    for mut tiny in all() {
        // Nothing but text: no special token parts it.
        let style = STYLES.iter().find(|style| style.name == "Alpaca").unwrap();
        tiny.ends_with(style.eos, style.template);
        let mut messages = Vec::new();
        for turn in 0..3 {
            messages.push(Message::new("user", &format!("the lamp {turn}")));
            messages.push(Message::new("assistant", &"\n\n the lamp, in  Paris:  two".repeat(60)));
        }
        let (text, _) = by_hand(style, &messages);
        let whole = tiny.tokenizer.encode(&text).unwrap();
        let rendered = tiny.tokenizer.render_training(&Conversation::new(messages.clone())).unwrap();
        assert!(whole.ends_with(&rendered.ids[rendered.ids.len() - 100..]), "{}", tiny.name);
        check(style, &tiny, messages);
    }
}

#[test]
fn a_long_conversation_is_rendered_whole_and_its_beginning_tokenised() {
    for mut tiny in all() {
        let style = &STYLES[1];
        tiny.ends_with(style.eos, style.template);
        let mut random = Random::new(3, 1);
        let mut messages = Vec::new();
        for _ in 0..300 {
            let text: Vec<String> = (0..20).map(|_| words(&mut random)).collect();
            messages.push(Message::new("user", &text.concat()));
            messages.push(Message::new("assistant", &words(&mut random)));
        }
        let conversation = Conversation::new(messages);
        let whole = tiny.tokenizer.render_training(&conversation).unwrap();
        for tokens in [1, 50, 700, 5000, whole.ids.len() + 1] {
            let beginning = tiny.tokenizer.render_beginning(&conversation, tokens).unwrap();
            let held = beginning.ids.len();
            assert!(held >= tokens.min(whole.ids.len()), "{}: {held} of {tokens}", tiny.name);
            assert!(held <= 32 * tokens, "{}: {held} for {tokens}", tiny.name);
            assert_eq!(beginning.ids, whole.ids[..held], "{}", tiny.name);
            assert_eq!(beginning.weights, whole.weights[..held], "{}", tiny.name);
        }
    }
}

#[test]
fn an_answer_longer_than_its_row_is_the_beginning_of_the_whole() {
    for mut tiny in all() {
        tiny.ends_with("<|eot_id|>", STYLES[5].template);
        let thinking = "he ran to the park and then ".repeat(3000);
        let answer = "x  y New\nline, 北京 (z) 😀".repeat(400);
        let messages = vec![
            Message::new("user", "q"),
            Message::new("assistant", &format!("<think>{thinking}</think>{answer}")),
        ];
        let conversation = Conversation::new(messages);
        let beginning = tiny.tokenizer.render_beginning(&conversation, 66).unwrap();
        // What the template drops is dropped, however short the row is.
        let expected = tiny.tokenizer.encode(&format!("<|user|>q<|assistant|>{answer}")).unwrap();
        assert!(beginning.ids.len() >= 66 && beginning.ids.len() < 5000, "{}", tiny.name);
        assert_eq!(beginning.ids, expected[..beginning.ids.len()], "{}", tiny.name);
    }
}

#[test]
fn the_kinds_of_first_spaces_are_all_tried() {
    let kinds: Vec<FirstSpace> = all().iter().map(|tiny| tiny.first_space).collect();
    for kind in [FirstSpace::Never, FirstSpace::OfText, FirstSpace::OfEach, FirstSpace::Always] {
        assert!(kinds.contains(&kind), "{kind:?}");
    }
}
