//! What a field of a number takes, and what is wrong with what stands in it.

use crate::format::fill;
use crate::language::Text;

/// What is wrong with what stands in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It is no number.
    Word,
    /// It is a number with a fraction, where whole ones are counted.
    Fraction,
    /// It is less than the smallest.
    Small,
    /// It is more than the largest.
    Large,
}

/// What is wrong with a text in a field of this smallest and largest value and the step between, as HTML has them; nothing
/// of an empty one. `is_word` says that the browser holds a text back because it is no number.
pub fn wrong(text: &str, is_word: bool, [least, most, step]: [&str; 3]) -> Option<Wrong> {
    let text = text.trim();
    if text.is_empty() {
        return is_word.then_some(Wrong::Word);
    }
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    let Some(value) = number(text) else { return Some(Wrong::Word) };
    match value {
        _ if step == "1" && value.fract() != 0.0 => Some(Wrong::Fraction),
        _ if number(least).is_some_and(|least| value < least) => Some(Wrong::Small),
        _ if number(most).is_some_and(|most| value > most) => Some(Wrong::Large),
        _ => None,
    }
}

/// What is said of it: what it is, and what the field takes.
pub fn sentence(wrong: Wrong, text: &str, [least, most, step]: [&str; 3], t: &Text) -> String {
    let fact = match wrong {
        Wrong::Word => t.limits.word,
        Wrong::Fraction => t.limits.fraction,
        Wrong::Small => t.limits.small,
        Wrong::Large => t.limits.large,
    };
    let limit = if step == "1" { t.limits.whole } else { t.limits.any };
    fill(fact, &[text.trim()]) + &fill(limit, &[least, most])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Language;

    const STEPS: [&str; 3] = ["1", "1000000", "1"];
    const SHARE: [&str; 3] = ["0", "0.9", "any"];

    #[test]
    fn a_field_takes_numbers_of_its_range_and_none() {
        for (text, range, expected) in [
            ("", STEPS, None),
            (" 12 ", STEPS, None),
            ("1e3", STEPS, None),
            ("1000000", STEPS, None),
            ("2.5", STEPS, Some(Wrong::Fraction)),
            ("0", STEPS, Some(Wrong::Small)),
            ("-3", STEPS, Some(Wrong::Small)),
            ("1000000000", STEPS, Some(Wrong::Large)),
            ("0.25", SHARE, None),
            ("0.95", SHARE, Some(Wrong::Large)),
            ("1e999", SHARE, Some(Wrong::Word)),
            ("--5", SHARE, Some(Wrong::Word)),
        ] {
            assert_eq!(wrong(text, false, range), expected, "{text:?}");
        }
        // What the browser does not give out because it is no number is none all the same.
        assert_eq!(wrong("", true, STEPS), Some(Wrong::Word));
    }

    #[test]
    fn what_is_wrong_is_said_with_the_limit_and_the_way_out() {
        let said = |wrong, text, range, language: Language| sentence(wrong, text, range, language.text());
        assert_eq!(
            said(Wrong::Large, "1000000000", STEPS, Language::English),
            "1000000000 is too large. Give a whole number from 1 to 1000000, or leave the field empty."
        );
        assert_eq!(
            said(Wrong::Word, "", SHARE, Language::English),
            "This is no number. Give a number from 0 to 0.9, or leave the field empty."
        );
        assert_eq!(
            said(Wrong::Fraction, "2.5", STEPS, Language::Chinese),
            "2.5 不是整数。请填 1 到 1000000 之间的整数，或留空。"
        );
    }
}
