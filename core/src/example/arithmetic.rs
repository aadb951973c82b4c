//! Sums and differences of a two-digit and a one-digit number, without carry, digit by digit.

use super::{Exchange, Language};
use crate::random::Random;

/// Ways to ask; the problem stands at the end.
const QUESTIONS: [[&str; 4]; 2] = [
    ["What is {p}?", "How much is {p}?", "Tell me: {p}?", "Please work out {p}?"],
    ["请问{p}？", "算一算{p}？", "你知道{p}？", "告诉我{p}？"],
];

/// A number pair that no training row holds, neither as a sum nor as a difference.
pub(super) fn is_held_out(a: u64, b: u64) -> bool {
    (7 * (a / 10) + 3 * (a % 10) + 5 * b).is_multiple_of(6)
}

/// A problem and its result. Units stay within one digit, so that tens are kept.
fn problem(held_out: bool, random: &mut Random) -> (String, String) {
    loop {
        let (a, b) = (10 + random.below(90), 1 + random.below(9));
        let units = a % 10;
        if is_held_out(a, b) != held_out {
            continue;
        }
        match random.below(2) {
            0 if units + b <= 9 => return (format!("{a}+{b}"), (a + b).to_string()),
            1 if units >= b => return (format!("{a}-{b}"), (a - b).to_string()),
            _ => {}
        }
    }
}

/// A few equations, or questions and answers.
pub(super) fn text(language: Language, random: &mut Random) -> String {
    let count = 3 + random.below(3);
    let ask = random.below(2) == 0;
    let lines: Vec<String> = (0..count)
        .map(|_| {
            let (problem, result) = problem(false, random);
            match ask {
                true => format!(
                    "{}\n{result}",
                    random.choose(&QUESTIONS[language.index()]).replace("{p}", &problem)
                ),
                false => format!("{problem}={result}"),
            }
        })
        .collect();
    lines.join("\n")
}

/// A question with its result.
pub(super) fn exchange(language: Language, held_out: bool, random: &mut Random) -> Exchange {
    let (problem, result) = problem(held_out, random);
    let question = random.choose(&QUESTIONS[language.index()]).replace("{p}", &problem);
    Exchange::new(question, result)
}
