//! Sums and differences with a one-digit number: all up to 10, and up to 99 those that keep the tens; what is more is too
//! hard.

use super::phrases::{Phrases, said};
use super::question::Language;
use super::turn::{Exchange, Setting, Subject};
use crate::random::Random;

/// The largest number in a problem or a result.
const LARGEST: u64 = 99;
/// Up to here the tens may change.
const SMALL: u64 = 10;

/// Ways to ask: `{p}` is the problem.
const QUESTIONS: [Phrases; 2] = [
    &["{p}", "{p}=", "What is {p}?", "How much is {p}?", "What's {p}?", "Tell me {p}.", "Can you do {p}?"],
    &["{p}", "{p}=", "{p}等于几？", "{p}等于多少？", "{p}是多少？", "算一算{p}。", "告诉我{p}。"],
];
/// The signs in words.
const WORDS: [[&str; 2]; 2] = [[" plus ", " minus "], ["加", "减"]];

/// `a + b` or `a - b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    a: u64,
    plus: bool,
    b: u64,
}

impl Problem {
    /// A problem whose result is not too large and not below zero.
    pub fn new(a: u64, plus: bool, b: u64) -> Option<Self> {
        let last = a % 10;
        let (keeps_tens, largest) = if plus { (last + b <= 9, a + b) } else { (last >= b, a) };
        let possible = a <= LARGEST && b <= 9 && (plus || a >= b) && (keeps_tens || largest <= SMALL);
        possible.then_some(Self { a, plus, b })
    }

    fn any(random: &mut Random) -> Self {
        loop {
            let largest = if random.below(4) == 0 { SMALL } else { LARGEST };
            let a = random.below(largest + 1);
            if let Some(problem) = Self::new(a, random.below(2) == 0, random.below(10)) {
                return problem;
            }
        }
    }

    /// A problem that training may hold.
    fn trained(random: &mut Random) -> Self {
        loop {
            let problem = Self::any(random);
            if !problem.is_held_out() {
                return problem;
            }
        }
    }

    /// A number pair that no training row holds, neither as a sum nor as a difference. Every pair of last digits is
    /// trained with other tens; of small numbers there is nothing to conclude from.
    pub fn is_held_out(self) -> bool {
        self.a > SMALL && (self.a / 10 + 3 * (self.a % 10) + 5 * self.b).is_multiple_of(6)
    }

    pub fn result(self) -> u64 {
        if self.plus { self.a + self.b } else { self.a - self.b }
    }

    /// With its result.
    pub fn equation(self) -> String {
        let Self { a, plus, b } = self;
        format!("{a}{}{b}={}", if plus { '+' } else { '-' }, self.result())
    }

    /// The last digits alone, with a ten before where one is borrowed: what the whole rests on.
    pub fn of_last_digits(self) -> Self {
        let last = self.a % 10;
        let borrowed = if !self.plus && last < self.b { 10 } else { 0 };
        Self { a: last + borrowed, ..self }
    }
}

/// A problem that looks like the others and is none of them.
pub(super) fn beyond(random: &mut Random) -> (u64, &'static str, u64) {
    loop {
        let (a, plus, b) = (random.below(LARGEST + 1), random.below(2) == 0, random.below(10));
        if Problem::new(a, plus, b).is_none() {
            return (a, if plus { "+" } else { "-" }, b);
        }
    }
}

/// A problem as it is typed: with signs, with spaces around them, or in words.
pub(super) fn spelled(a: u64, sign: &str, b: u64, language: Language, random: &mut Random) -> String {
    let word = ["+", "-"].iter().position(|known| *known == sign).map(|i| WORDS[language.index()][i]);
    match (random.below(4), word) {
        (0, Some(word)) => format!("{a}{word}{b}"),
        (1, _) => format!("{a} {sign} {b}"),
        _ => format!("{a}{sign}{b}"),
    }
}

/// Any way to ask for a problem; `{p}` is where it stands.
pub(super) fn any_phrase(language: Language, random: &mut Random) -> String {
    said(QUESTIONS[language.index()], language, random)
}

/// A few equations, or counting up or down.
pub(super) fn text(random: &mut Random) -> String {
    if random.below(8) == 0 {
        let (start, up) = (random.below(LARGEST - 7), random.below(3) > 0);
        let mut numbers: Vec<String> = (start..start + 8).map(|number| number.to_string()).collect();
        if !up {
            numbers.reverse();
        }
        return numbers.join(" ");
    }
    let count = 4 + random.below(4);
    let equations: Vec<String> = (0..count).map(|_| Problem::trained(random).equation()).collect();
    equations.join("\n")
}

/// A question with its equation.
pub(super) fn exchange(setting: Setting, random: &mut Random) -> Exchange {
    let problem = Problem::any(random);
    let phrase = any_phrase(setting.language, random);
    let sign = if problem.plus { "+" } else { "-" };
    let question = phrase.replace("{p}", &spelled(problem.a, sign, problem.b, setting.language, random));
    let held_out = problem.is_held_out();
    let exchange = setting.exchange(question, problem.equation());
    Exchange { held_out, ..exchange }.about(Subject::Sum(problem.result()))
}

/// A question whose answer shows its steps between tags.
pub(super) fn reasoned(language: Language, random: &mut Random) -> (String, String) {
    let problem = Problem::trained(random);
    let sign = if problem.plus { "+" } else { "-" };
    let phrase = *random.choose(QUESTIONS[language.index()]);
    let question = phrase.replace("{p}", &format!("{}{sign}{}", problem.a, problem.b));
    let (first, whole, result) = (problem.of_last_digits().equation(), problem.equation(), problem.result());
    (question, format!("<think>\n{first}\n{whole}\n</think>\n<answer>\n{result}\n</answer>"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{DEFAULT_SEED, World, WorldSize};

    #[test]
    fn what_can_be_asked_and_what_it_gives() {
        let equation = |a, plus, b| Problem::new(a, plus, b).map(Problem::equation);
        assert_eq!(equation(45, true, 3).unwrap(), "45+3=48");
        assert_eq!(equation(48, false, 5).unwrap(), "48-5=43");
        assert_eq!(equation(7, true, 3).unwrap(), "7+3=10");
        assert_eq!(equation(10, false, 4).unwrap(), "10-4=6");
        for (a, plus, b) in [(45, true, 8), (42, false, 5), (7, true, 4), (11, false, 2), (3, false, 4)] {
            assert_eq!(equation(a, plus, b), None, "{a} {b}");
        }
        assert_eq!(Problem::new(48, false, 5).unwrap().of_last_digits().equation(), "8-5=3");
        assert_eq!(Problem::new(10, false, 4).unwrap().of_last_digits().equation(), "10-4=6");
    }

    #[test]
    fn every_pair_of_last_digits_is_trained() {
        for (last, b) in (0..10).flat_map(|last| (0..10).map(move |b| (last, b))) {
            for plus in [true, false] {
                let problems: Vec<Problem> =
                    (2..10).filter_map(|tens| Problem::new(10 * tens + last, plus, b)).collect();
                let keeps_tens = if plus { last + b <= 9 } else { last >= b };
                assert_eq!(problems.len(), if keeps_tens { 8 } else { 0 });
                let trained = problems.iter().filter(|problem| !problem.is_held_out()).count();
                assert!(!keeps_tens || (6..8).contains(&trained), "{last} {b}: {trained}");
            }
        }
    }

    /// The problems in a text, in signs or in words, that have a one-digit number behind the sign.
    fn problems(text: &str) -> Vec<Problem> {
        let words = WORDS.iter().flat_map(|words| words.iter().zip(["+", "-"]));
        let text = words.fold(text.to_string(), |text, (word, sign)| text.replace(word, sign));
        let text = text.replace(" + ", "+").replace(" - ", "-");
        let is_digit = |c: &char| c.is_ascii_digit();
        let found = text.match_indices(['+', '-']).filter_map(|(at, sign)| {
            let a: String = text[..at].chars().rev().take_while(is_digit).collect();
            let b: String = text[at + 1..].chars().take_while(is_digit).collect();
            let a = a.chars().rev().collect::<String>().parse().ok()?;
            Problem::new(a, sign == "+", b.parse().ok().filter(|b| *b <= 9)?)
        });
        found.collect()
    }

    #[test]
    fn no_held_out_number_pair_is_in_any_row() {
        let (world, size) = (World::new(DEFAULT_SEED), WorldSize::default());
        let chats = world.conversations(size.conversations);
        let said = chats.into_iter().flat_map(|chat| chat.messages).map(|message| message.content);
        let mut count = 0;
        for text in world.texts(size.texts).into_iter().chain(said) {
            for problem in problems(&text) {
                assert!(!problem.is_held_out(), "{text}");
                count += 1;
            }
        }
        assert!(count > 20_000, "{count}");
        assert_eq!(problems("What is 45 plus 3? 7 - 2=5, 45+12, 120-4"), problems("45+3 7-2"));
    }
}
