//! The shapes that rows of data sets come in, told apart by their keys.

use crate::told::{Told, told};

/// Where a row keeps its text or its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowShape {
    /// `text`: a document.
    Text,
    /// A list of messages under this key.
    Messages(&'static str),
    /// One question and its answer under these two keys.
    Pair {
        /// The user's side.
        question: &'static str,
        /// The assistant's side.
        answer: &'static str,
    },
    /// `chosen` and `rejected`: two answers to one prompt.
    Preference,
}

/// The keys of a list of messages.
pub(super) const MESSAGE_KEYS: [&str; 2] = ["conversations", "messages"];

/// Each question key with the keys that its answer may have.
const PAIRS: [(&str, &[&str]); 9] = [
    ("user", &["assistant"]),
    ("instruction", &["output", "response"]),
    ("prompt", &["completion", "response"]),
    ("question", &["answer"]),
    ("q", &["a"]),
    ("用户", &["助手"]),
    ("指令", &["输出", "回答"]),
    ("问题", &["答案", "回答"]),
    ("提问", &["回答", "答案"]),
];

/// The question keys whose value is always a question; a `prompt` may as well be a text to complete.
pub(super) const QUESTIONS: [&str; 8] =
    ["user", "instruction", "question", "q", "用户", "指令", "问题", "提问"];

/// The keys of two answers of which the first is better, as the field calls them.
pub(super) const PREFERENCE: [&str; 2] = ["chosen", "rejected"];

/// All pairs of keys that two such answers may have.
const PREFERENCES: [[&str; 2]; 5] = [
    PREFERENCE,
    ["better", "worse"],
    ["better answer", "worse answer"],
    ["更好", "更差"],
    ["更好的回答", "更差的回答"],
];

/// The keys under which two such answers stand; `None` where there is no pair of them.
pub(crate) fn preference_keys(has: impl Fn(&str) -> bool) -> Option<[&'static str; 2]> {
    PREFERENCES.into_iter().find(|keys| keys.iter().all(|key| has(key)))
}

impl RowShape {
    /// The shape of a row that has the keys for which `has` is true; `found` lists them for the message.
    ///
    /// A row with messages or a pair besides `text` is a conversation: Alpaca's own file repeats the pair in `text`. One with
    /// any of these besides two answers is what these say, as UltraFeedback's are.
    ///
    /// # Errors
    /// The partner that a lone half of a pair lacks, two pairs of which one has Chinese names, or the keys that were
    /// expected and those found.
    pub fn find(has: impl Fn(&str) -> bool, found: impl FnOnce() -> Told) -> Result<Self, Told> {
        if let Some(key) = MESSAGE_KEYS.into_iter().find(|key| has(key)) {
            return Ok(Self::Messages(key));
        }
        let mut pairs = pairs(&has);
        if let Some((question, answer)) = pairs.next() {
            // Data sets are known that repeat a pair under other English names; of no others is it known which counts.
            return match pairs
                .find(|other| [question, answer, other.0, other.1].iter().any(|key| !key.is_ascii()))
            {
                None => Ok(Self::Pair { question, answer }),
                Some(other) => Err(told!(
                    "row.two_pairs",
                    "{one} and {two} are both there; keep one of them; found {found}",
                    one = format!("{question} + {answer}"),
                    two = format!("{} + {}", other.0, other.1),
                    found = found()
                )),
            };
        }
        if has("text") {
            return Ok(Self::Text);
        }
        if preference_keys(&has).is_some() {
            return Ok(Self::Preference);
        }
        match PAIRS.iter().find(|(question, _)| has(question)) {
            Some((question, answers)) => Err(told!(
                "row.answer_missing",
                "{question} needs {answers} beside it; found {found}",
                question,
                answers = answers.join(" or "),
                found = found()
            )),
            None => Err(told!(
                "row.unknown",
                "expected one of text, {expected}; found {found}; texts under another key are named with --text-column",
                expected = expected(),
                found = found()
            )),
        }
    }

    /// The keys that make the shape.
    pub fn keys(self) -> Vec<&'static str> {
        match self {
            Self::Text => vec!["text"],
            Self::Messages(key) => vec![key],
            Self::Pair { question, answer } => vec![question, answer],
            Self::Preference => PREFERENCE.to_vec(),
        }
    }
}

/// The pairs whose two keys are there.
fn pairs(has: &impl Fn(&str) -> bool) -> impl Iterator<Item = (&'static str, &'static str)> {
    PAIRS.into_iter().filter(move |(question, _)| has(question)).flat_map(move |(question, answers)| {
        answers.iter().filter(move |answer| has(answer)).map(move |answer| (question, *answer))
    })
}

fn expected() -> String {
    let pairs = PAIRS.iter().map(|(question, answers)| format!("{question} + {}", answers[0]));
    MESSAGE_KEYS.iter().map(ToString::to_string).chain(pairs).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(keys: &[&str]) -> Result<RowShape, Told> {
        RowShape::find(|key| keys.contains(&key), || format!("keys {}", keys.join(", ")).into())
    }

    #[test]
    fn every_shape_is_known_by_its_keys() {
        assert_eq!(find(&["text", "id"]), Ok(RowShape::Text));
        assert_eq!(find(&["messages"]), Ok(RowShape::Messages("messages")));
        for (question, answer) in [
            ("user", "assistant"),
            ("instruction", "output"),
            ("prompt", "completion"),
            ("prompt", "response"),
            ("question", "answer"),
            ("q", "a"),
            ("问题", "答案"),
            ("问题", "回答"),
            ("提问", "回答"),
            ("提问", "答案"),
            ("指令", "输出"),
            ("用户", "助手"),
        ] {
            assert_eq!(find(&[answer, question]), Ok(RowShape::Pair { question, answer }));
        }
    }

    #[test]
    fn questions_are_those_of_the_pairs() {
        let questions: Vec<&str> = PAIRS.iter().map(|(question, _)| *question).collect();
        let others: Vec<&str> = questions.into_iter().filter(|question| *question != "prompt").collect();
        assert_eq!(others, QUESTIONS);
    }

    #[test]
    fn a_conversation_goes_before_text_and_two_answers() {
        let pair = RowShape::Pair { question: "instruction", answer: "output" };
        assert_eq!(find(&["instruction", "input", "output", "text"]), Ok(pair));
        assert_eq!(find(&["text", "prompt"]), Ok(RowShape::Text));
        assert_eq!(find(&["prompt", "chosen", "rejected"]), Ok(RowShape::Preference));
        assert_eq!(find(&["问题", "更好的回答", "更差的回答"]), Ok(RowShape::Preference));
        assert!(find(&["prompt", "chosen", "worse"]).is_err(), "each key belongs to its own pair");
        assert_eq!(find(&["messages", "chosen", "rejected"]), Ok(RowShape::Messages("messages")));
    }

    #[test]
    fn two_pairs_are_ambiguous_where_one_is_chinese() {
        for (keys, pairs) in [
            (&["问题", "答案", "回答"][..], "问题 + 答案 and 问题 + 回答"),
            (&["question", "answer", "问题", "答案"], "question + answer and 问题 + 答案"),
            (&["问题", "提问", "答案"], "问题 + 答案 and 提问 + 答案"),
        ] {
            let found = keys.join(", ");
            let expected = format!("{pairs} are both there; keep one of them; found keys {found}");
            assert_eq!(find(keys), Err(expected.into()));
        }
        let pair = RowShape::Pair { question: "prompt", answer: "completion" };
        assert_eq!(find(&["prompt", "completion", "response"]), Ok(pair));
        assert_eq!(
            find(&["问题", "note"]),
            Err("问题 needs 答案 or 回答 beside it; found keys 问题, note".into())
        );
    }

    #[test]
    fn missing_keys_are_named() {
        assert_eq!(
            find(&["instruction", "input"]),
            Err("instruction needs output or response beside it; found keys instruction, input".into())
        );
        assert_eq!(
            find(&["a", "b"]),
            Err("expected one of text, conversations, messages, user + assistant, instruction + output, \
                 prompt + completion, question + answer, q + a, 用户 + 助手, 指令 + 输出, 问题 + 答案, 提问 + 回答; \
                 found keys a, b; texts under another key are named with --text-column"
                .into())
        );
    }
}
