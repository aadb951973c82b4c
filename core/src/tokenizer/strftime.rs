//! `strftime_now` of chat templates, for a date that the caller gives: core has no clock.

/// A moment in local time, read from `2025-07-31` or `2025-07-31T09:05:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    year: i64,
    month: usize,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const DAYS_BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

impl Moment {
    /// Reads an ISO 8601 date, with or without a time; the year has four digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
        if date.bytes().take_while(u8::is_ascii_digit).count() != 4 {
            return None;
        }
        let date: Vec<i64> = numbers(date, '-')?;
        let time: Vec<i64> = numbers(time, ':')?;
        let (&[year, month, day], &[hour, minute, second]) = (date.as_slice(), time.as_slice()) else {
            return None;
        };
        let valid =
            (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
        let month = usize::try_from(month).ok()?;
        let moment = Self { year, month, day, hour, minute, second };
        (valid && day <= moment.days_of_month()).then_some(moment)
    }

    /// Formats like C's `strftime` in the C locale. `None` for a directive that is not known.
    pub(super) fn format(&self, format: &str) -> Option<String> {
        let mut text = String::new();
        let mut characters = format.chars();
        while let Some(character) = characters.next() {
            if character != '%' {
                text.push(character);
                continue;
            }
            let directive = characters.next()?;
            // glibc's `%-d` leaves the padding out.
            if directive == '-' {
                let padded = self.directive(characters.next()?)?;
                let bare = padded.trim_start_matches(['0', ' ']);
                text.push_str(if bare.is_empty() { "0" } else { bare });
            } else {
                text.push_str(&self.directive(directive)?);
            }
        }
        Some(text)
    }

    fn directive(&self, directive: char) -> Option<String> {
        let month = MONTHS[self.month - 1];
        let weekday = WEEKDAYS[self.weekday()];
        let hour12 = (self.hour + 11) % 12 + 1;
        Some(match directive {
            'Y' => self.year.to_string(),
            'y' => format!("{:02}", self.year.rem_euclid(100)),
            'm' => format!("{:02}", self.month),
            'B' => month.to_string(),
            'b' | 'h' => month[..3].to_string(),
            'd' => format!("{:02}", self.day),
            'e' => format!("{:2}", self.day),
            'j' => format!("{:03}", self.day_of_year()),
            'A' => weekday.to_string(),
            'a' => weekday[..3].to_string(),
            'H' => format!("{:02}", self.hour),
            'I' => format!("{hour12:02}"),
            'M' => format!("{:02}", self.minute),
            'S' => format!("{:02}", self.second),
            'p' => if self.hour < 12 { "AM" } else { "PM" }.to_string(),
            'u' => ((self.weekday() + 6) % 7 + 1).to_string(),
            'w' => self.weekday().to_string(),
            'F' => self.format("%Y-%m-%d")?,
            'D' | 'x' => self.format("%m/%d/%y")?,
            'T' | 'X' => self.format("%H:%M:%S")?,
            'R' => self.format("%H:%M")?,
            'c' => self.format("%a %b %e %H:%M:%S %Y")?,
            'f' => "000000".to_string(),
            // Python's `now()` knows no time zone.
            'Z' | 'z' => String::new(),
            '%' => "%".to_string(),
            _ => return None,
        })
    }

    fn leap(year: i64) -> bool {
        year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
    }

    fn days_of_month(&self) -> i64 {
        let next = if self.month == 12 { 365 } else { DAYS_BEFORE[self.month] };
        next - DAYS_BEFORE[self.month - 1] + i64::from(self.month == 2 && Self::leap(self.year))
    }

    fn day_of_year(&self) -> i64 {
        let leap_day = self.month > 2 && Self::leap(self.year);
        DAYS_BEFORE[self.month - 1] + self.day + i64::from(leap_day)
    }

    /// 0 is Sunday; the first day of year 1 was a Monday.
    fn weekday(&self) -> usize {
        let before = self.year - 1;
        let days = before * 365 + before / 4 - before / 100 + before / 400 + self.day_of_year();
        usize::try_from(days.rem_euclid(7)).unwrap_or(0)
    }
}

fn numbers(text: &str, separator: char) -> Option<Vec<i64>> {
    text.split(separator).map(|part| part.parse::<u16>().ok().map(i64::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(moment: &str, format: &str) -> String {
        Moment::parse(moment).unwrap().format(format).unwrap()
    }

    #[test]
    fn dates_as_templates_print_them() {
        assert_eq!(format("2024-07-26", "%d %b %Y"), "26 Jul 2024");
        assert_eq!(format("2025-06-03", "%B %-d, %Y"), "June 3, 2025");
        assert_eq!(format("2025-06-03", "%Y-%m-%d"), "2025-06-03");
        assert_eq!(format("2025-06-03", "%A, %j"), "Tuesday, 154");
        assert_eq!(format("2000-12-31", "%a %j %y"), "Sun 366 00");
        assert_eq!(format("2025-06-03T00:05:09", "%F %T %I%p %-H %e|%%"), "2025-06-03 00:05:09 12AM 0  3|%");
    }

    #[test]
    fn the_formats_of_whole_dates_and_times() {
        let at = |layout: &str| format("2025-06-01T09:05:00", layout);
        assert_eq!(at("%c|%x|%X|%D|%R"), "Sun Jun  1 09:05:00 2025|06/01/25|09:05:00|06/01/25|09:05");
        assert_eq!(at("%u%w%f[%Z%z]"), "70000000[]");
    }

    #[test]
    fn what_is_not_a_moment_is_refused() {
        for text in [
            "",
            "2025",
            "2025-13-01",
            "2025-00-01",
            "2025-02-29",
            "2025-01-01T24:00:00",
            "a-b-c",
            "2025-06-31",
            "25-07-31",
            "+2025-07-31",
        ] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
        assert_eq!(Moment::parse("2025-01-01").unwrap().format("%Q"), None);
        assert_eq!(Moment::parse("2025-01-01").unwrap().format("%"), None);
    }
}
