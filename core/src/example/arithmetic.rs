//! Sums and differences with a one-digit number: up to 99 those that keep the tens, and all of two digits with their
//! inverses, 9+9 and 18-9 the largest; products, quotients and larger numbers are too hard.

use super::phrases::{Phrases, said};
use super::question::Language;
use super::turn::{Exchange, Setting};
use crate::random::Random;

/// The largest number in a problem or a result.
const LARGEST: u64 = 99;
/// Problems that begin with a number up to here are all trained: there is little to conclude them from.
const SMALL: u64 = 18;

/// Ways to ask: `{p}` is the problem.
const QUESTIONS: [Phrases; 2] = [
    &["{p}", "{p}=", "What is {p}?", "How much is {p}?", "What's {p}?"],
    &["{p}", "{p}=", "{p}等于几？", "{p}等于多少？", "{p}是多少？"],
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
        let (keeps_tens, of_digits) =
            if plus { (a % 10 + b <= 9, a <= 9) } else { (a % 10 >= b, a <= 9 + b) };
        let possible = a <= LARGEST && b <= 9 && (keeps_tens || of_digits) && (plus || a >= b);
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

    /// A problem of a larger number whose tens change, which training may hold.
    fn carried(random: &mut Random) -> Self {
        loop {
            let (a, plus, b) = (10 + random.below(LARGEST - 9), random.below(2) == 0, 1 + random.below(9));
            let problem = Self { a, plus, b };
            let possible = problem.changes_tens() && (!plus || problem.result() <= LARGEST);
            if possible && !problem.is_held_out() {
                return problem;
            }
        }
    }

    /// Whether a ten is carried to others, or borrowed of several.
    pub fn changes_tens(self) -> bool {
        let Self { a, plus, b } = self;
        if plus { a >= 10 && a % 10 + b > 9 } else { a >= 20 && a % 10 < b }
    }

    /// What is computed in turn: the last digits, the tens where they change, and the whole.
    fn steps(self) -> String {
        let (first, whole) = (self.of_last_digits().equation(), self.equation());
        match (self.changes_tens(), self.a / 10) {
            (false, _) => format!("{first}\n{whole}"),
            (true, tens) if self.plus => format!("{first}\n{tens}+1={}\n{whole}", tens + 1),
            (true, tens) => format!("{first}\n{tens}-1={}\n{whole}", tens - 1),
        }
    }

    /// A number pair that no training row holds, neither as a sum nor as a difference. Every pair of last digits is
    /// trained with other tens.
    pub fn is_held_out(self) -> bool {
        self.a > SMALL && (self.a / 10 + 3 * (self.a % 10) + 5 * self.b).is_multiple_of(6)
    }

    /// All number pairs that no training row holds, without those that add or take nothing.
    pub fn unseen() -> Vec<Self> {
        let pairs = (SMALL + 1..=LARGEST).flat_map(|a| {
            [true, false].into_iter().flat_map(move |plus| (1..=9).map(move |b| Self { a, plus, b }))
        });
        pairs.filter(|problem| problem.is_held_out() && problem.result() <= LARGEST).collect()
    }

    /// Asked in full, in signs.
    pub fn asked(self, language: Language) -> String {
        let Self { a, plus, b } = self;
        let phrase = ["What is {p}?", "{p}等于几？"][language.index()];
        phrase.replace("{p}", &format!("{a}{}{b}", if plus { '+' } else { '-' }))
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

/// A question as it is typed: with signs, with spaces around them, or in words.
fn asked(a: u64, sign: &str, b: u64, setting: Setting, random: &mut Random) -> String {
    let word = ["+", "-"].iter().position(|known| *known == sign).map(|i| setting.of(&WORDS)[i]);
    let problem = match (random.below(4), word) {
        (0, Some(word)) => format!("{a}{word}{b}"),
        (1, _) => format!("{a} {sign} {b}"),
        _ => format!("{a}{sign}{b}"),
    };
    said(setting.of(&QUESTIONS), setting.language, random).replace("{p}", &problem)
}

/// A question for a product, a quotient, or a sum of numbers that are too large.
pub(super) fn too_hard(setting: Setting, random: &mut Random) -> String {
    let mut number = |from: u64, to: u64| from + random.below(to - from);
    let sign = ["+", "-"][number(0, 2) as usize];
    let (a, sign, b) = match number(0, 3) {
        0 => (number(2, 100), ["*", "×", "/", "÷"][number(0, 4) as usize], number(2, 20)),
        1 => (number(100, 1000), sign, number(1, 1000)),
        _ => (number(10, 100), sign, number(10, 100)),
    };
    asked(a, sign, b, setting, random)
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
    let question = asked(problem.a, if problem.plus { "+" } else { "-" }, problem.b, setting, random);
    Exchange { held_out: problem.is_held_out(), ..setting.exchange(question, problem.equation()) }
}

/// The result of an equation; none of any other text.
pub(super) fn result_of(text: &str) -> Option<&str> {
    let (problem, result) = text.split_once('=')?;
    let (a, b) = problem.split_once(['+', '-'])?;
    let is_number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    [a, b, result].into_iter().all(is_number).then_some(result)
}

/// A question, its steps and its result; the tens change where something `carries`.
pub(super) fn in_steps(language: Language, carries: bool, random: &mut Random) -> [String; 3] {
    let problem = if carries { Problem::carried(random) } else { Problem::trained(random) };
    let sign = if problem.plus { "+" } else { "-" };
    let phrase = *random.choose(QUESTIONS[language.index()]);
    let question = phrase.replace("{p}", &format!("{}{sign}{}", problem.a, problem.b));
    [question, problem.steps(), problem.result().to_string()]
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
        assert_eq!(equation(9, true, 9).unwrap(), "9+9=18");
        assert_eq!(equation(15, false, 8).unwrap(), "15-8=7");
        for (a, plus, b) in [(45, true, 8), (42, false, 5), (15, true, 5), (19, true, 10), (3, false, 4)] {
            assert_eq!(equation(a, plus, b), None, "{a} {b}");
        }
        assert_eq!(Problem::new(48, false, 5).unwrap().of_last_digits().equation(), "8-5=3");
        assert_eq!(Problem::new(15, false, 8).unwrap().of_last_digits().equation(), "15-8=7");
    }

    #[test]
    fn steps_go_from_the_last_digits_to_the_whole() {
        let steps = |a, plus, b| Problem { a, plus, b }.steps();
        assert_eq!(steps(45, true, 3), "5+3=8\n45+3=48");
        assert_eq!(steps(15, false, 8), "15-8=7\n15-8=7");
        assert_eq!(steps(47, true, 8), "7+8=15\n4+1=5\n47+8=55");
        assert_eq!(steps(52, false, 8), "12-8=4\n5-1=4\n52-8=44");
        assert_eq!(steps(90, false, 1), "10-1=9\n9-1=8\n90-1=89");
    }

    #[test]
    fn a_number_pair_that_is_carried_is_no_held_out_one() {
        let mut random = Random::new(1, 0);
        for _ in 0..500 {
            let problem = Problem::carried(&mut random);
            assert!(problem.changes_tens() && !problem.is_held_out(), "{problem:?}");
            assert!(problem.result() <= LARGEST && problem.result() >= 10, "{problem:?}");
        }
    }

    #[test]
    fn a_result_stands_behind_its_equation() {
        assert_eq!((result_of("45+3=48"), result_of("8-8=0")), (Some("48"), Some("0")));
        for other in ["45+3=", "45+3", "a+3=4", "45+3=48.", "1+2+3=6", "4=4", "6*8=48"] {
            assert_eq!(result_of(other), None, "{other}");
        }
    }

    #[test]
    fn unseen_problems_are_all_that_are_held_out_and_half_of_them_carry() {
        let unseen = Problem::unseen();
        assert_eq!(unseen.len(), 234);
        assert_eq!(unseen.iter().filter(|problem| problem.changes_tens()).count(), 116);
        assert!(unseen.iter().all(|problem| problem.is_held_out() && problem.result() <= LARGEST));
        let asked = unseen[0];
        assert_eq!(asked, Problem { a: 19, plus: true, b: 4 });
        assert_eq!(Language::ALL.map(|language| asked.asked(language)), ["What is 19+4?", "19+4等于几？"]);
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
        let reasoned =
            world.reasoned(2000).into_iter().map(|(question, answer)| format!("{question}\n{answer}"));
        let mut count = 0;
        for text in world.texts(size.texts).into_iter().chain(said).chain(reasoned) {
            for problem in problems(&text) {
                assert!(!problem.is_held_out(), "{text}");
                count += 1;
            }
        }
        assert!(count > 20_000, "{count}");
        assert_eq!(problems("What is 45 plus 3? 7 - 2=5, 45+12, 120-4"), problems("45+3 7-2"));
    }
}
