//! GSM8K: an answer is written, and the number in it is right or not.

use super::{Chat, EvalConfig, Prompting, Question, Shots, Subject, Task};
use crate::error::Result;
use crate::tokenizer::Tokenizer;

/// Texts that end an answer.
pub const GSM8K_STOPS: [&str; 3] = ["Question:", "</s>", "<|im_end|>"];
/// Tokens that an answer may have.
pub const GSM8K_TOKENS: usize = 256;
/// What the harness puts where it finds no answer.
const NONE: &str = "[invalid]";

/// The ids that each answer is written behind; what is longer than the context less the room for the answer is cut at its
/// beginning. Beside them, how many prompts were cut.
///
/// # Errors
/// As [`super::sequences`].
pub fn gsm8k_prompts(
    subject: &Subject,
    config: &EvalConfig,
    tokenizer: &Tokenizer,
    context: usize,
) -> Result<(Vec<Vec<u32>>, usize)> {
    let multiturn = config.fewshot_as_multiturn;
    let chat = config.apply_chat_template.then_some(Chat { tokenizer, multiturn });
    let prompting = Prompting::new(Task::Gsm8k, "", chat);
    let mut shots: Shots = subject.shots_of(Task::Gsm8k, config)?;
    let room = context.saturating_sub(GSM8K_TOKENS).max(context / 2).max(1);
    let (mut prompts, mut cut) = (Vec::new(), 0);
    for (_, question) in &subject.questions {
        let text = prompting.opening(&shots.next(question)?, question)?;
        let mut ids = tokenizer.encode_document(&text)?;
        let beyond = ids.len().saturating_sub(room);
        cut += usize::from(beyond > 0);
        prompts.push(ids.split_off(beyond));
    }
    Ok((prompts, cut))
}

/// What an answer is taken for, and whether it is right: by the number behind `####` (strict-match), and by the last number
/// in it (flexible-extract).
pub fn gsm8k_judged(question: &Question, answer: &str) -> (String, [bool; 2]) {
    let reference = compared(question.choice(0).1);
    let (strict, flexible) = (strict(answer).unwrap_or(NONE), flexible(answer).unwrap_or(NONE));
    let right = [strict, flexible].map(|found| compared(found) == reference);
    (strict.to_string(), right)
}

/// The harness's `#### (\-?[0-9\.\,]+)`, the first.
fn strict(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(at) = rest.find("#### ") {
        let found = &rest[at + 5..];
        let digits = found.strip_prefix('-').unwrap_or(found);
        let count = run(digits, |c| c.is_ascii_digit() || ".,".contains(c));
        if count > 0 {
            return Some(&found[..found.len() - digits.len() + count]);
        }
        rest = found;
    }
    None
}

/// The harness's `(-?[$0-9.,]{2,})|(-?[0-9]+)`, the last.
fn flexible(text: &str) -> Option<&str> {
    let (mut last, mut at) = (None, 0);
    while at < text.len() {
        let rest = &text[at..];
        let body = rest.strip_prefix('-').unwrap_or(rest);
        let sign = rest.len() - body.len();
        let long = run(body, |c| c.is_ascii_digit() || "$.,".contains(c));
        let count = if long >= 2 { long } else { run(body, |c| c.is_ascii_digit()) };
        match count {
            0 => at += rest.chars().next().map_or(1, char::len_utf8),
            count => {
                last = Some(&rest[..sign + count]);
                at += sign + count;
            }
        }
    }
    last
}

/// How many bytes of ASCII at the beginning are of a kind.
fn run(text: &str, of_kind: impl Fn(char) -> bool) -> usize {
    text.chars().take_while(|&c| of_kind(c)).count()
}

/// As it is compared: without commas and dollars, without all up to the last `#### `, without a point at the end, in small
/// letters.
fn compared(text: &str) -> String {
    let text: String = text.chars().filter(|c| !",$".contains(*c)).collect();
    let text = text.rsplit_once("#### ").map_or(text.as_str(), |(_, behind)| behind);
    text.strip_suffix('.').unwrap_or(text).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(answer: &str) -> Question {
        Question {
            openings: vec!["q".into()],
            endings: vec![answer.into()],
            gold: 0,
            stem: "q".into(),
            row: String::new(),
        }
    }

    #[test]
    fn numbers_are_found_as_the_harness_finds_them() {
        assert_eq!(strict("so #### x, then #### -1,234.5 and #### 2"), Some("-1,234.5"));
        assert_eq!(strict("####7"), None);
        assert_eq!(flexible("It costs $1,200. Or -7 lamps"), Some("-7"));
        assert_eq!(flexible("7 of 露玛 3."), Some("3."), "two characters of the first kind");
        assert_eq!(flexible("a - b"), None);
        assert_eq!(flexible("--5"), Some("-5"));
    }

    #[test]
    fn the_strict_and_the_flexible_answer_are_judged() {
        let asked = question("She has 3 + 4 = 7 lamps.\n#### 1,007");
        assert_eq!(gsm8k_judged(&asked, " It is so.\n#### 1007."), ("1007.".into(), [true, true]));
        assert_eq!(gsm8k_judged(&asked, "There are $1,007 in all."), (NONE.into(), [false, true]));
        assert_eq!(gsm8k_judged(&asked, "#### 8, no, 1007"), ("8,".into(), [false, true]));
        assert_eq!(gsm8k_judged(&asked, "none").1, [false, false]);
    }
}
