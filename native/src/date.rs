//! `--date`: the day that chat templates print as today's.

use std::fmt;
use std::str::FromStr;

use chrono::{Local, NaiveDate};
use kindling::tokenizer::Tokenizer;

use crate::output;

/// A day, as `2025-07-31`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date(NaiveDate);

impl Date {
    /// Today, where the machine stands.
    pub fn today() -> Self {
        Self(Local::now().date_naive())
    }

    /// Makes it the day of all that the tokenizer renders.
    pub fn set(self, tokenizer: &mut Tokenizer) {
        tokenizer.set_template_variable("now", self.to_string().into());
    }
}

/// Says of a `--date` that was given where the chat templates print none.
pub fn tell_unprinted(tokenizer: &Tokenizer) {
    if !tokenizer.prints_date() {
        output::warn("--date does nothing: the chat template prints no date");
    }
}

impl fmt::Display for Date {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0.format("%Y-%m-%d"))
    }
}

impl FromStr for Date {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // `%Y` takes any number of digits: 25 would be a year long ago.
        let year = text.split('-').next().unwrap_or_default();
        let whole_year = year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit());
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| whole_year);
        date.map(Self).ok_or_else(|| "a day is written as 2025-07-31, its year in four digits".to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_and_written_alike() {
        assert_eq!("2024-02-29".parse::<Date>().unwrap().to_string(), "2024-02-29");
        assert_eq!("2024-7-1".parse::<Date>().unwrap().to_string(), "2024-07-01");
        for wrong in
            ["", "2023-02-29", "31.07.2025", "2025-07", "today", "25-07-31", "025-07-31", "+2025-07-31"]
        {
            assert!(wrong.parse::<Date>().is_err(), "{wrong}");
        }
        assert!(Date::today().to_string().parse::<Date>().is_ok());
    }
}
