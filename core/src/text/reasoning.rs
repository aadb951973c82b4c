//! Answers that think first: the tags around thinking and answer, what stands between them, and whether two answers are
//! the same.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::fold::TAGS;
use crate::told::{Told, told};

/// What a person writes between the opening and the closing tag, where both are named at once.
const BETWEEN: [&str; 2] = ["...", "…"];

/// An opening and a closing tag; as one text `<think>...</think>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TagPair {
    /// The tag before.
    pub open: String,
    /// The tag behind.
    pub close: String,
}

impl TagPair {
    fn new(open: &str, close: &str) -> Self {
        Self { open: open.to_string(), close: close.to_string() }
    }

    /// A text between the tags, on lines of its own, as R1 and MiniMind write it.
    pub(super) fn around(&self, text: &str) -> String {
        format!("{}\n{text}\n{}", self.open, self.close)
    }
}

impl Display for TagPair {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}{}{}", self.open, BETWEEN[0], self.close)
    }
}

impl FromStr for TagPair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = BETWEEN.iter().find_map(|between| text.split_once(between));
        match parts.map(|(open, close)| (open.trim(), close.trim())) {
            Some((open, close)) if !open.is_empty() && !close.is_empty() => Ok(Self::new(open, close)),
            _ => Err("expected both tags with ... between them, as in '<think>...</think>'".to_string()),
        }
    }
}

impl TryFrom<String> for TagPair {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<TagPair> for String {
    fn from(pair: TagPair) -> Self {
        pair.to_string()
    }
}

/// The four tags of an answer that thinks first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct Tags {
    /// The tags around the thinking.
    #[cfg_attr(feature = "cli", arg(id = "think_tags", long = "think-tags", value_name = "OPEN...CLOSE", default_value_t = Tags::default().think))]
    #[serde(rename = "think-tags")]
    pub think: TagPair,
    /// The tags around the answer.
    #[cfg_attr(feature = "cli", arg(id = "answer_tags", long = "answer-tags", value_name = "OPEN...CLOSE", default_value_t = Tags::default().answer))]
    #[serde(rename = "answer-tags")]
    pub answer: TagPair,
}

impl Default for Tags {
    fn default() -> Self {
        let [think, end_think, answer, end_answer] = TAGS;
        Self { think: TagPair::new(think, end_think), answer: TagPair::new(answer, end_answer) }
    }
}

impl Tags {
    /// The tags in the order in which an answer holds them.
    pub fn all(&self) -> [&str; 4] {
        [&self.think.open, &self.think.close, &self.answer.open, &self.answer.close].map(String::as_str)
    }

    /// An answer in its usual form: each part between its tags, a line for each.
    pub fn written(&self, thinking: &str, answer: &str) -> String {
        format!("{}\n{}", self.think.around(thinking), self.answer.around(answer))
    }

    /// The opening tag where the template writes it at the end of a prompt, so that the answer begins behind it; empty
    /// where it does not.
    pub fn opened_by(&self, prompt: &str) -> &str {
        if prompt.trim_end().ends_with(&self.think.open) { &self.think.open } else { "" }
    }

    /// Everything that does not hold, as sentences.
    pub fn problems(&self) -> Vec<Told> {
        let all = self.all();
        let mut pairs = (0..all.len())
            .flat_map(|i| (0..all.len()).filter(move |j| *j != i).map(move |j| (all[i], all[j])));
        let found = pairs.find(|(tag, other)| other.contains(*tag));
        let told = found.map(|(tag, other)| {
            told!(
                "reason.tags",
                "the tag {tag} stands in the tag {other} as well; give four tags of which none holds another \
                 (--think-tags, --answer-tags)",
                tag,
                other
            )
        });
        told.into_iter().collect()
    }
}

/// What stands between the tags of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reasoning<'a> {
    /// How often each of [`Tags::all`] stands in it.
    pub counts: [usize; 4],
    /// Whether the first of each follow each other as [`Tags::all`] has them.
    pub in_order: bool,
    /// The thinking, trimmed: behind the first opening tag and before the first closing one behind that.
    pub thinking: Option<&'a str>,
    /// The answer, trimmed: between the first tags for it that stand behind the thinking, or anywhere where that is not
    /// closed.
    pub answer: Option<&'a str>,
}

impl Reasoning<'_> {
    /// Whether it has every tag once, in order, with some thinking between them. What stands outside of the tags does not
    /// matter.
    pub fn keeps_format(&self) -> bool {
        self.counts == [1; 4] && self.in_order && self.thinking.is_some_and(|thinking| !thinking.is_empty())
    }
}

/// Takes an answer apart.
pub fn parse_reasoning<'a>(text: &'a str, tags: &Tags) -> Reasoning<'a> {
    let all = tags.all();
    let counts = all.map(|tag| text.matches(tag).count());
    let places = all.map(|tag| text.find(tag));
    let in_order = places.iter().all(Option::is_some) && places.is_sorted();
    let thinking = between(text, &tags.think);
    let behind = thinking.map_or(text, |(_, rest)| rest);
    let answer = between(behind, &tags.answer).map(|(answer, _)| answer.trim());
    Reasoning { counts, in_order, thinking: thinking.map(|(thinking, _)| thinking.trim()), answer }
}

/// What stands between the first opening tag and the first closing one behind it, and what follows that.
fn between<'a>(text: &'a str, tags: &TagPair) -> Option<(&'a str, &'a str)> {
    text.split_once(&*tags.open)?.1.split_once(&*tags.close)
}

/// Whether two answers are the same: word for word, however much white space stands between the words and however a
/// number is spelled: `1,200.50` is `1200.5`, `+7` is `7`, and digits may be full-width. Units, signs of currencies and
/// fractions are words like others.
pub fn same_answer(a: &str, b: &str) -> bool {
    let words = |text: &str| text.chars().map(narrow).collect::<String>();
    let (a, b) = (words(a), words(b));
    a.split_whitespace().map(spelled).eq(b.split_whitespace().map(spelled))
}

/// A full-width character as the ASCII one that it stands for, and the sign of minus as its hyphen.
fn narrow(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '\u{2212}' => '-',
        c => c,
    }
}

/// A word as it is compared: a number in its one plain form, any other as it is.
fn spelled(word: &str) -> String {
    plain_number(word).unwrap_or_else(|| word.to_string())
}

/// A decimal number without sign of plus, thousands separators, and zeros that tell nothing; exact, however long.
fn plain_number(word: &str) -> Option<String> {
    let (minus, digits) = match word.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, word.strip_prefix('+').unwrap_or(word)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let mut groups = whole.split(',');
    let first = groups.next().unwrap_or_default();
    let grouped = whole.contains(',');
    let holds = is_digits(first)
        && is_digits(fraction)
        && (!grouped || (1..=3).contains(&first.len()))
        && groups.all(|group| group.len() == 3 && is_digits(group))
        && !(whole.is_empty() && fraction.is_empty());
    if !holds {
        return None;
    }
    let whole: String = whole.chars().filter(|c| *c != ',').collect();
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if fraction.is_empty() { "" } else { "." };
    let sign = if minus && (whole != "0" || !fraction.is_empty()) { "-" } else { "" };
    Some(format!("{sign}{whole}{point}{fraction}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Reasoning<'_> {
        parse_reasoning(text, &Tags::default())
    }

    #[test]
    fn thinking_and_answer_are_told_apart() {
        let text = "<think>\n3+4=7\n</think>\n<answer>\n7\n</answer>";
        assert_eq!(Tags::default().written("3+4=7", "7"), text);
        let whole = Reasoning { counts: [1; 4], in_order: true, thinking: Some("3+4=7"), answer: Some("7") };
        assert_eq!(parsed(text), whole);
        assert!(whole.keeps_format());
        assert!(parsed(&format!("Well. {text} Good?")).keeps_format(), "what stands outside does not matter");
    }

    #[test]
    fn what_keeps_the_format_and_what_does_not() {
        for (text, thinking, answer) in [
            ("7", None, None),
            ("<answer>7</answer>", None, Some("7")),
            ("<think></think><answer>7</answer>", Some(""), Some("7")),
            ("<think> \n </think><answer>7</answer>", Some(""), Some("7")),
            ("<think>a</think>7", Some("a"), None),
            ("<think>a</think><answer>7", Some("a"), None),
            ("<think>a<answer>7</answer>", None, Some("7")),
            ("a</think><answer>7</answer>", None, Some("7")),
            ("<answer>7</answer><think>a</think>", Some("a"), None),
            ("<think>a</think><think>b</think><answer>7</answer>", Some("a"), Some("7")),
            ("<think>a</think><answer>7</answer><answer>8</answer>", Some("a"), Some("7")),
            ("<think>a<think>b</think></think><answer>7</answer>", Some("a<think>b"), Some("7")),
            (
                "<think>an <answer>6</answer></think><answer>7</answer>",
                Some("an <answer>6</answer>"),
                Some("7"),
            ),
            ("<think>a<answer>7</think></answer>", Some("a<answer>7"), None),
            ("", None, None),
        ] {
            let parts = parsed(text);
            assert_eq!((parts.thinking, parts.answer), (thinking, answer), "{text}");
            assert!(!parts.keeps_format(), "{text}");
        }
        assert!(parsed("<think>a</think><answer></answer>").keeps_format());
    }

    #[test]
    fn answers_are_the_same_whatever_their_spaces_and_spelling_of_numbers() {
        for (a, b) in [
            (" 72\n", "72"),
            ("1,200.50", "1200.5"),
            ("1,234,567", "1234567"),
            ("+7", "7"),
            ("007", "7"),
            ("-0.0", "0"),
            (".5", "0.50"),
            ("5.", "5"),
            ("\u{2212}3", "-3"),
            ("４２．０", "42"),
            ("72  clips", "72.0 clips"),
            ("the  blue\tfox", "the blue fox"),
            ("123456789012345678901", "123456789012345678901.0"),
        ] {
            assert!(same_answer(a, b) && same_answer(b, a), "{a} {b}");
        }
        for (a, b) in [
            ("72", "73"),
            ("7", "-7"),
            ("1,23", "123"),
            ("12,345,67", "1234567"),
            ("$7", "7"),
            ("1/2", "0.5"),
            ("1e3", "1000"),
            ("Fox", "fox"),
            ("1.2.3", "1.23"),
            ("", "0"),
            ("-", ""),
            (".", "0"),
            ("123456789012345678901", "123456789012345678902"),
        ] {
            assert!(!same_answer(a, b) && !same_answer(b, a), "{a} {b}");
        }
    }

    #[test]
    fn tags_are_read_and_told_as_one_text() {
        let pair: TagPair = "[THINK] … [/THINK]".parse().unwrap();
        assert_eq!((pair.open.as_str(), pair.close.as_str()), ("[THINK]", "[/THINK]"));
        assert_eq!(pair.to_string(), "[THINK]...[/THINK]");
        for bad in ["", "<think>", "...", "<think>...", "...</think>"] {
            assert!(bad.parse::<TagPair>().is_err(), "{bad}");
        }
        let tags = Tags { think: pair, ..Tags::default() };
        let json = serde_json::to_string(&tags).unwrap();
        assert_eq!(json, r#"{"think-tags":"[THINK]...[/THINK]","answer-tags":"<answer>...</answer>"}"#);
        assert_eq!(serde_json::from_str::<Tags>(&json).unwrap(), tags);
    }

    #[test]
    fn tags_that_hold_each_other_are_refused() {
        assert_eq!(Tags::default().problems(), Vec::<Told>::new());
        for (think, answer) in [("a...b", "a...c"), ("think.../think", "x...y")] {
            let tags = Tags { think: think.parse().unwrap(), answer: answer.parse().unwrap() };
            assert_eq!(tags.problems().len(), 1, "{think} {answer}");
        }
    }

    #[test]
    fn a_template_may_open_the_thinking() {
        let tags = Tags::default();
        assert_eq!(tags.opened_by("<|im_start|>assistant\n<think>\n"), "<think>");
        assert_eq!(tags.opened_by("<|im_start|>assistant\n<think>\n\n</think>\n\n"), "");
        assert_eq!(tags.opened_by("assistant\n"), "");
    }
}
