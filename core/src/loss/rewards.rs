//! Rules that reward an answer. A new one is a function at the end of the file and a line in [`RULES`].

use std::collections::HashSet;
use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::{Tags, parse_reasoning, same_answer};

/// What a rule looks at.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// What the model answered, behind the tag that the template opened for it, where it opens one.
    pub text: &'a str,
    /// The same as tokens, without the one that ends it.
    pub tokens: &'a [u32],
    /// Whether the model ended it, and not the limit.
    pub ended: bool,
    /// Tokens that it may have.
    pub most: usize,
    /// What the row answers.
    pub reference: &'a str,
    /// What stands around thinking and answer.
    pub tags: &'a Tags,
}

/// A rule.
#[derive(Debug)]
pub struct Rule {
    /// Its name on the command line.
    pub name: &'static str,
    /// The key under which its mean is reported.
    pub metric: &'static str,
    /// The key under which the share of answers that satisfy it in full is reported where held-out prompts are answered.
    pub rate: Option<&'static str>,
    score: fn(&Answered) -> f64,
}

/// All rules.
pub static RULES: [Rule; 4] = [
    Rule { name: "answer", metric: "reward_answer", rate: Some("answer_accuracy"), score: right_answer },
    Rule { name: "tags", metric: "reward_tags", rate: Some("format_rate"), score: kept_tags },
    Rule { name: "length", metric: "reward_length", rate: None, score: not_too_long },
    Rule { name: "repetition", metric: "reward_repetition", rate: None, score: not_repeated },
];

impl Rule {
    /// What it says of an answer, before its weight.
    pub fn score(&self, answered: &Answered) -> f64 {
        (self.score)(answered)
    }
}

/// A rule with its weight, as text `NAME`, `NAME:WEIGHT`, or `NAME:FROM..TO@SHARE` where the weight moves evenly from one
/// value to the other during the first share of the steps.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reward {
    /// Which rule.
    pub rule: &'static Rule,
    /// Its weight at the first step.
    pub from: f64,
    /// Its weight once `share` of the steps is taken.
    pub to: f64,
    /// 0 where the weight does not change.
    pub share: f64,
}

impl PartialEq for Reward {
    fn eq(&self, other: &Self) -> bool {
        let weights = |reward: &Self| (reward.from, reward.to, reward.share);
        self.rule.name == other.rule.name && weights(self) == weights(other)
    }
}

impl Reward {
    /// The rule's weight once so much of the run is over, from 0 to 1.
    pub fn weight(&self, over: f64) -> f64 {
        if over >= self.share { self.to } else { self.from + (self.to - self.from) * over / self.share }
    }
}

impl Display for Reward {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, from, to, share } = self;
        match *share > 0.0 {
            true => write!(out, "{}:{from}..{to}@{share}", rule.name),
            false => write!(out, "{}:{to}", rule.name),
        }
    }
}

impl FromStr for Reward {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, weight) = text.split_once(':').unwrap_or((text, "1"));
        let rule = RULES.iter().find(|rule| rule.name == name.trim()).ok_or_else(|| {
            let known: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
            format!("'{name}' is no rule; the rules are {}", known.join(", "))
        })?;
        let number = |text: &str| match text.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(format!(
                "'{weight}' is no weight of {name}; write {name}:0.5, or {name}:2..0.5@0.3 for a weight that goes from 2 to \
                 0.5 in the first 0.3 of the steps"
            )),
        };
        let (from, to, share) = match weight.split_once("..") {
            None => (number(weight)?, number(weight)?, 0.0),
            Some((from, behind)) => {
                let (to, share) = behind.split_once('@').unwrap_or((behind, ""));
                (number(from)?, number(to)?, number(share)?)
            }
        };
        if weight.contains("..") && (share <= 0.0 || share > 1.0) {
            return Err(format!("the share of the steps in {name}:{weight} must be above 0 and at most 1"));
        }
        match from == 0.0 && to == 0.0 {
            true => Err(format!("a weight of 0 leaves {name} without effect; leave it out")),
            false => Ok(Self { rule, from, to, share }),
        }
    }
}

impl TryFrom<String> for Reward {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Reward> for String {
    fn from(reward: Reward) -> Self {
        reward.to_string()
    }
}

/// By how much each reward of a group is better than the others: their mean is taken off, and with `scale` they are
/// divided by their standard deviation and a little. Equal rewards give exactly 0.
pub fn group_advantages(rewards: &[f64], scale: bool) -> Vec<f32> {
    /// Of MiniMind and TRL: keeps a group that hardly differs from counting like one that does.
    const LITTLE: f64 = 1e-4;
    if rewards.windows(2).all(|pair| pair[0] == pair[1]) {
        return vec![0.0; rewards.len()];
    }
    let count = rewards.len() as f64;
    let mean = rewards.iter().sum::<f64>() / count;
    let variance = rewards.iter().map(|reward| (reward - mean).powi(2)).sum::<f64>() / count;
    let divisor = if scale { variance.sqrt() + LITTLE } else { 1.0 };
    rewards.iter().map(|reward| ((reward - mean) / divisor) as f32).collect()
}

/// Whether the rule `answer` rewards an answer to a row. Where the row's has tags, what stands between them is compared;
/// else a tagged answer's inner text or all of it, which is right with the same last number, too.
pub fn is_rewarded_answer(text: &str, reference: &str, tags: &Tags) -> bool {
    let own = parse_reasoning(text, tags).answer;
    match parse_reasoning(reference, tags).answer {
        Some(reference) => own.is_some_and(|own| same_answer(own, reference)),
        None => {
            let own = own.unwrap_or(text);
            let numbers = last_number(own).zip(last_number(reference));
            same_answer(own, reference) || numbers.is_some_and(|(own, reference)| same_answer(own, reference))
        }
    }
}

/// 1 for the row's answer, else 0.
fn right_answer(answered: &Answered) -> f64 {
    f64::from(u8::from(is_rewarded_answer(answered.text, answered.reference, answered.tags)))
}

/// 1 for an answer with every tag once, in order, around some thinking; else an eighth for every tag that it has once.
fn kept_tags(answered: &Answered) -> f64 {
    let parsed = parse_reasoning(answered.text, answered.tags);
    match parsed.keeps_format() {
        true => 1.0,
        false => 0.125 * parsed.counts.iter().filter(|count| **count == 1).count() as f64,
    }
}

/// 0 up to four fifths of the tokens that an answer may have, from there evenly down to −1, and −1 where it does not end
/// (the soft overlong punishment of DAPO, Yu et al., 2025, <https://arxiv.org/abs/2503.14476>).
fn not_too_long(answered: &Answered) -> f64 {
    let (tokens, most) = (answered.tokens.len() as f64, answered.most as f64);
    let free = 0.8 * most;
    match answered.ended {
        false => -1.0,
        true if tokens <= free => 0.0,
        true => (-(tokens - free) / (most - free)).max(-1.0),
    }
}

/// The share of the answer's triples of tokens that stand in it before, as a negative number.
fn not_repeated(answered: &Answered) -> f64 {
    let triples = answered.tokens.windows(3);
    let (all, distinct) = (triples.len(), triples.collect::<HashSet<_>>().len());
    if all == 0 { 0.0 } else { distinct as f64 / all as f64 - 1.0 }
}

/// The last number in a text: digits with commas and points between them, and a sign where no word stands before it.
fn last_number(text: &str) -> Option<&str> {
    let is_digit = |c: char| c.is_ascii_digit();
    let end = text.rfind(is_digit)? + 1;
    let inside = |c: char| is_digit(c) || c == '.' || c == ',';
    let before = text[..end].trim_end_matches(inside).len();
    let start = end - text[before..end].trim_start_matches(['.', ',']).len();
    let before = text[..start].strip_suffix('-');
    let signed = before.is_some_and(|before| !before.ends_with(|c: char| c.is_alphanumeric() || c == ')'));
    Some(&text[start - usize::from(signed)..end])
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    static USUAL: LazyLock<Tags> = LazyLock::new(Tags::default);

    fn answered<'a>(text: &'a str, reference: &'a str) -> Answered<'a> {
        Answered { text, tokens: &[], ended: true, most: 10, reference, tags: &USUAL }
    }

    fn score(name: &str, answered: &Answered) -> f64 {
        RULES.iter().find(|rule| rule.name == name).unwrap().score(answered)
    }

    #[test]
    fn advantages_by_hand() {
        assert_eq!(group_advantages(&[0.1; 3], true), [0.0; 3]);
        assert_eq!(group_advantages(&[2.0], true), [0.0]);
        // Mean 1, deviations −1, 0, 0, 1: the variance of the group is 1/2.
        let scaled = group_advantages(&[0.0, 1.0, 1.0, 2.0], true);
        let one = (1.0 / (0.5f64.sqrt() + 1e-4)) as f32;
        assert_eq!(scaled, [-one, 0.0, 0.0, one]);
        assert_eq!(group_advantages(&[0.0, 1.0, 1.0, 2.0], false), [-1.0, 0.0, 0.0, 1.0]);
        assert_eq!(group_advantages(&[1.0, 0.0, 0.0, 0.0], false), [0.75, -0.25, -0.25, -0.25]);
    }

    #[test]
    fn weights_are_read_and_move_over_the_run() {
        let read = |text: &str| text.parse::<Reward>();
        for (text, told) in
            [("answer", "answer:1"), ("tags:0.5", "tags:0.5"), ("tags:2..0.5@0.3", "tags:2..0.5@0.3")]
        {
            assert_eq!(read(text).unwrap().to_string(), told);
            assert_eq!(read(told).unwrap(), read(text).unwrap());
        }
        let moving = read("tags:2..0.5@0.3").unwrap();
        let close =
            |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        for (over, weight) in [(0.0, 2.0), (0.1, 1.5), (0.2, 1.0), (0.3, 0.5), (0.9, 0.5)] {
            close(moving.weight(over), weight);
        }
        assert_eq!([0.0, 0.5, 1.0].map(|over| read("answer:0.7").unwrap().weight(over)), [0.7; 3]);
        for (bad, part) in [
            ("style", "'style' is no rule; the rules are answer, tags, length, repetition"),
            ("tags:much", "'much' is no weight of tags"),
            ("tags:2..0.5", "is no weight of tags"),
            ("tags:2..0.5@1.5", "must be above 0 and at most 1"),
            ("tags:inf", "is no weight"),
            ("answer:0", "without effect"),
        ] {
            assert!(read(bad).unwrap_err().contains(part), "{bad}");
        }
        let json = serde_json::to_string(&moving).unwrap();
        assert_eq!(serde_json::from_str::<Reward>(&json).unwrap(), moving);
    }

    #[test]
    fn an_answer_is_right_between_its_tags_or_as_a_whole() {
        let tagged = |answer: &str| format!("<think>3+4</think><answer>{answer}</answer>");
        for (text, reference, right) in [
            (tagged("7"), tagged(" 7.0\n"), 1.0),
            (tagged("8"), tagged("7"), 0.0),
            // Without the tags that the row has, nothing is an answer.
            ("7".to_string(), tagged("7"), 0.0),
            (tagged("7"), "7".to_string(), 1.0),
            ("It is 7.".to_string(), "7".to_string(), 1.0),
            ("It is 7, not 8".to_string(), "7".to_string(), 0.0),
            ("45+3=48".to_string(), "48".to_string(), 1.0),
            ("3-7=-4".to_string(), "-4".to_string(), 1.0),
            ("The fox".to_string(), "The  fox".to_string(), 1.0),
            ("A fox".to_string(), "The fox".to_string(), 0.0),
            (String::new(), "7".to_string(), 0.0),
        ] {
            assert_eq!(score("answer", &answered(&text, &reference)), right, "{text} | {reference}");
        }
    }

    #[test]
    fn the_last_number_of_a_text() {
        for (text, number) in [
            ("It is 7.", Some("7")),
            ("9-2=7", Some("7")),
            ("9-2", Some("2")),
            ("at -2 °C", Some("-2")),
            ("1,200.50 lamps", Some("1,200.50")),
            ("等于7。", Some("7")),
            ("none", None),
            ("a .5", Some("5")),
        ] {
            assert_eq!(last_number(text), number, "{text}");
        }
    }

    #[test]
    fn tags_that_are_kept_in_part_count_in_part() {
        for (text, expected) in [
            ("<think>a</think><answer>7</answer>", 1.0),
            ("<think></think><answer>7</answer>", 0.5),
            ("<answer>7</answer>", 0.25),
            ("<think>a<think>b</think> 7", 0.125),
            ("7", 0.0),
        ] {
            assert_eq!(score("tags", &answered(text, "")), expected, "{text}");
        }
    }

    #[test]
    fn long_and_repeated_answers_lose() {
        let of = |tokens: &[u32], ended: bool| {
            let answered = Answered { tokens, ended, ..answered("", "") };
            [score("length", &answered), score("repetition", &answered)]
        };
        let numbers: Vec<u32> = (0..9).collect();
        assert_eq!(of(&numbers[..8], true), [0.0, 0.0]);
        assert!((of(&numbers, true)[0] + 0.5).abs() < 1e-12, "half of the way from 8 to 10");
        assert_eq!(of(&numbers[..4], false)[0], -1.0);
        // 1 2 1, 2 1 2, 1 2 1, 2 1 2: two of four are new.
        assert_eq!(of(&[1, 2, 1, 2, 1, 2], true)[1], -0.5);
        assert_eq!(of(&[5, 5], true)[1], 0.0);
    }
}
