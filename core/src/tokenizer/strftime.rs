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
/// The widest field: a template comes with a stranger's model.
const WIDEST: usize = 1 << 10;
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

    /// Formats as Python's `strftime` does on Linux in the C locale: with the flags, widths and modifiers of glibc, and what
    /// is no directive there as it is typed. `None` for `%s`, which depends on the time zone, and for endless widths.
    pub(super) fn format(&self, format: &str) -> Option<String> {
        let (mut text, mut rest) = (String::new(), format);
        while let Some(at) = rest.find('%') {
            text.push_str(&rest[..at]);
            let Some((directive, after)) = Directive::read(&rest[at..]) else {
                rest = &rest[at..];
                break;
            };
            if directive.letter == 's' || directive.width > WIDEST {
                return None;
            }
            match self.field(&directive) {
                Some(field) => text.push_str(&directive.padded(field)),
                None => text.push_str(directive.typed),
            }
            rest = after;
        }
        text.push_str(rest);
        Some(text)
    }

    /// What a directive stands for; `None` for one that is none.
    fn field(&self, directive: &Directive) -> Option<Field> {
        let digits = |value: i64, width: usize| Field { text: value.to_string(), width, fill: Some('0') };
        let spaced = |value: i64| Field { fill: Some(' '), ..digits(value, 2) };
        let text = |text: &str| Field { text: text.to_string(), width: 0, fill: None };
        let (month, weekday) = (MONTHS[self.month - 1], WEEKDAYS[self.weekday()]);
        let (half, of_sunday) = (self.half_day(), self.weekday() as i64);
        let (iso_year, iso_week) = self.iso_week();
        Some(match directive.letter {
            'Y' => digits(self.year, 0),
            'C' => digits(self.year.div_euclid(100), 2),
            'y' => digits(self.year.rem_euclid(100), 2),
            'G' => digits(iso_year, 0),
            'g' => digits(iso_year.rem_euclid(100), 2),
            'm' => digits(self.month as i64, 2),
            'd' => digits(self.day, 2),
            'e' => spaced(self.day),
            'j' => digits(self.day_of_year(), 3),
            'V' => digits(iso_week, 2),
            'U' => digits((self.day_of_year() + 6 - of_sunday) / 7, 2),
            'W' => digits((self.day_of_year() + 6 - (of_sunday + 6) % 7) / 7, 2),
            'u' => digits((of_sunday + 6) % 7 + 1, 1),
            'w' => digits(of_sunday, 1),
            'H' => digits(self.hour, 2),
            'k' => spaced(self.hour),
            'I' => digits((self.hour + 11) % 12 + 1, 2),
            'l' => spaced((self.hour + 11) % 12 + 1),
            'M' => digits(self.minute, 2),
            'S' => digits(self.second, 2),
            'B' => text(month),
            'b' | 'h' => text(&month[..3]),
            'A' => text(weekday),
            'a' => text(&weekday[..3]),
            'p' => text(half),
            'P' => text(&half.to_lowercase()),
            'F' => text(&self.format("%Y-%m-%d")?),
            'D' | 'x' => text(&self.format("%m/%d/%y")?),
            'T' | 'X' => text(&self.format("%H:%M:%S")?),
            'R' => text(&self.format("%H:%M")?),
            'r' => text(&self.format("%I:%M:%S %p")?),
            'c' => text(&self.format("%a %b %e %H:%M:%S %Y")?),
            // Python's own, without flags.
            'f' if directive.typed == "%f" => text("000000"),
            // Its `now()` knows no time zone.
            'Z' | 'z' => text(""),
            'n' => text("\n"),
            't' => text("\t"),
            '%' => text("%"),
            _ => return None,
        })
    }

    fn half_day(&self) -> &'static str {
        if self.hour < 12 { "AM" } else { "PM" }
    }

    /// Year and week of ISO 8601, whose weeks begin on Mondays and belong to the year of their Thursday.
    fn iso_week(&self) -> (i64, i64) {
        let of_monday = (self.weekday() as i64 + 6) % 7 + 1;
        match (self.day_of_year() - of_monday + 10) / 7 {
            0 => (self.year - 1, Self::iso_weeks(self.year - 1)),
            week if week > Self::iso_weeks(self.year) => (self.year + 1, 1),
            week => (self.year, week),
        }
    }

    /// The weeks of a year: 53 where it has as many Thursdays.
    fn iso_weeks(year: i64) -> i64 {
        let first = Self { year, month: 1, day: 1, hour: 0, minute: 0, second: 0 }.weekday();
        if first == 4 || (first == 3 && Self::leap(year)) { 53 } else { 52 }
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

/// A directive as it is typed: `%`, flags, a width, a modifier and a letter.
struct Directive<'a> {
    typed: &'a str,
    /// How a field is filled up: `-` not at all, `_` with spaces, `0` with zeros; the last one said counts.
    fill: Option<char>,
    /// `^`: in capitals.
    upper: bool,
    /// `#`: in the other case, which glibc has for names and AM.
    swapped: bool,
    width: usize,
    letter: char,
}

/// What a directive stands for, with the places that it takes and what fills those; of texts spaces do.
struct Field {
    text: String,
    width: usize,
    fill: Option<char>,
}

impl<'a> Directive<'a> {
    /// Reads one from a text that begins with `%`; `None` where the text ends before its letter.
    fn read(text: &'a str) -> Option<(Self, &'a str)> {
        let (mut fill, mut upper, mut swapped, mut width, mut modified) = (None, false, false, 0usize, false);
        for (at, letter) in text.char_indices().skip(1) {
            match letter {
                '-' | '_' | '0' if width == 0 && !modified => fill = Some(letter),
                '^' if width == 0 && !modified => upper = true,
                '#' if width == 0 && !modified => swapped = true,
                '0'..='9' if !modified => {
                    let digit = letter.to_digit(10).map_or(0, |digit| digit as usize);
                    width = width.saturating_mul(10).saturating_add(digit);
                }
                'E' | 'O' if !modified => modified = true,
                letter => {
                    let (typed, after) = text.split_at(at + letter.len_utf8());
                    return Some((Self { typed, fill, upper, swapped, width, letter }, after));
                }
            }
        }
        None
    }

    /// A field as wide and in the case that is asked for.
    fn padded(&self, field: Field) -> String {
        let fill = match (self.fill, field.fill) {
            // Without padding, but for a width that is asked for.
            (Some('-'), _) => (self.width > 0).then_some(' '),
            (Some('_'), _) => Some(' '),
            (Some(zero), _) => Some(zero),
            (None, Some(own)) => Some(own),
            (None, None) => Some(' '),
        };
        let width = if self.width > 0 { self.width } else { field.width };
        let lacking = width.saturating_sub(field.text.chars().count());
        let lower = self.swapped && self.letter == 'p';
        let upper = self.upper || (self.swapped && "aAbBh".contains(self.letter));
        let text = match (lower, upper) {
            (true, _) => field.text.to_lowercase(),
            (false, true) => field.text.to_uppercase(),
            (false, false) => field.text,
        };
        fill.into_iter().flat_map(|fill| std::iter::repeat_n(fill, lacking)).chain(text.chars()).collect()
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
        for layout in ["%s", "a%-s", "%99999999999999999999d"] {
            assert_eq!(Moment::parse("2025-01-01").unwrap().format(layout), None, "{layout}");
        }
    }

    /// The right values are what Python 3.11 prints on Linux.
    #[test]
    fn flags_widths_and_what_is_no_directive_are_pythons() {
        let layout = "%_d|%^a|%#p|%P|%C|%k|%l|%r|%h|%-I|%_H|%0e|%^B|%#b|%-j|%_j|%_m|%-y|%-d|%0k|%-l|%_I|%-V|%-U|%-a|%^p";
        for (moment, expected) in [
            (
                "2025-06-01T09:05:00",
                " 1|SUN|am|am|20| 9| 9|09:05:00 AM|Jun|9| 9|01|JUNE|JUN|152|152| 6|25|1|09|9| 9|22|22|Sun|AM",
            ),
            (
                "2024-12-30T15:05:09",
                "30|MON|pm|pm|20|15| 3|03:05:09 PM|Dec|3|15|30|DECEMBER|DEC|365|365|12|24|30|15|3| 3|1|52|Mon|PM",
            ),
            (
                "2021-01-03T00:00:00",
                " 3|SUN|am|am|20| 0|12|12:00:00 AM|Jan|12| 0|03|JANUARY|JAN|3|  3| 1|21|3|00|12|12|53|1|Sun|AM",
            ),
        ] {
            assert_eq!(format(moment, layout), expected, "{moment}");
        }
        for (moment, weeks) in [
            ("2025-06-01", "2025 22 25 22 21 7"),
            ("2024-12-30", "2025 01 25 52 53 1"),
            ("2021-01-03", "2020 53 20 01 00 7"),
        ] {
            assert_eq!(format(moment, "%G %V %g %U %W %u"), weeks, "{moment}");
        }
        let wide = "%10a|%010a|%-10a|%-5d|%_5d|%03d|%20F|%3%|%5H|%_Y";
        let expected = "       Sun|0000000Sun|       Sun|    1|    1|001|          2025-06-01|  %|00000|2025";
        assert_eq!(format("2025-06-01", wide), expected);
        // What no directive is stands as it is typed.
        for layout in ["%Q", "%", "a%-", "%E", "%-Q", "%+", "%v", "%L", "%N", "%J", "%:z", "%-f", "%你"] {
            assert_eq!(format("2025-06-01", layout), layout);
        }
        assert_eq!(
            format("2025-06-01", "%10Y|%5d|%Ey|%Od|%-%|%^%|%n|%t|%#Z"),
            "0000002025|00001|25|01|%|%|\n|\t|"
        );
    }
}
