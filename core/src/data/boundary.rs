//! Where a row ends: small machines that see a file's bytes piece by piece and hold none of them.

use crate::told::{Told, told};

/// Finds the end of one row.
pub enum Boundary {
    /// A line.
    Line,
    /// A JSON value.
    Json(JsonValue),
    /// A record of a table whose fields this byte separates.
    Csv(CsvRecord, u8),
}

impl Boundary {
    /// Looks at the next bytes: how many of them still belong to the row if it ends here, `None` if it goes on.
    pub fn feed(&mut self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Line => bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1),
            Self::Json(value) => value.feed(bytes),
            Self::Csv(record, separator) => record.feed(bytes, *separator),
        }
    }

    /// Whether the row may end where the file does, or why not. Broken JSON is left to the parser.
    pub fn end_of_file(&self) -> Result<(), Told> {
        match self {
            Self::Csv(CsvRecord::Quoted, _) => {
                Err(told!("row.quote_open", "a quoted field of this row is never closed"))
            }
            _ => Ok(()),
        }
    }
}

/// Follows brackets and strings to the end of one JSON value, without checking the rest of its grammar.
#[derive(Default)]
pub struct JsonValue {
    depth: u64,
    in_string: bool,
    escaped: bool,
    started: bool,
}

impl JsonValue {
    fn feed(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, &byte) in bytes.iter().enumerate() {
            let first = !std::mem::replace(&mut self.started, true);
            if self.in_string {
                if self.string_ends(byte) && self.depth == 0 {
                    return Some(at + 1);
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' if self.depth > 0 => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                // A number or a literal ends before what follows it; a stray sign is a row of its own.
                b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n' if self.depth == 0 && !first => {
                    return Some(at);
                }
                _ => {}
            }
        }
        None
    }

    fn string_ends(&mut self, byte: u8) -> bool {
        let escaped = std::mem::replace(&mut self.escaped, false);
        match byte {
            _ if escaped => {}
            b'\\' => self.escaped = true,
            b'"' => self.in_string = false,
            _ => {}
        }
        !self.in_string
    }
}

/// Follows the quotes of one CSV record (RFC 4180) to the line end outside of them, as the `csv` crate does.
#[derive(Default)]
pub enum CsvRecord {
    /// Before a field's first byte, where a quote opens it.
    #[default]
    FieldStart,
    /// In a field where quotes mean nothing.
    Plain,
    /// Inside quotes.
    Quoted,
    /// After a quote inside quotes: another one is a literal quote, anything else closes.
    QuoteInQuoted,
}

impl CsvRecord {
    fn feed(&mut self, bytes: &[u8], separator: u8) -> Option<usize> {
        for (at, &byte) in bytes.iter().enumerate() {
            *self = match (&*self, byte) {
                (Self::Quoted, b'"') => Self::QuoteInQuoted,
                (Self::Quoted, _) | (Self::QuoteInQuoted | Self::FieldStart, b'"') => Self::Quoted,
                (_, b'\n' | b'\r') => return Some(at + 1),
                (_, byte) if byte == separator => Self::FieldStart,
                _ => Self::Plain,
            };
        }
        None
    }
}

/// A row of plain text ends at the first blank line after this many bytes,
const BLANK_LINE_ENDS_AFTER: usize = 1024;
/// or, if no line is blank, at the first line end after this many,
const LINE_END_ENDS_AFTER: usize = 2048;
/// or, if the line goes on, here at the latest.
pub const LONGEST_TEXT_ROW: usize = 8 * 1024;

/// The length of the row of plain text that `text` begins with. `text` is more than `longest` bytes, or all there is.
///
/// Rows are whole paragraphs where they can be, so that a cut to the context's length loses little; every byte belongs
/// to exactly one row.
pub fn text_row_len(text: &[u8], longest: usize) -> usize {
    let within = &text[..text.len().min(longest)];
    let mut line_start = 0;
    let mut last_good_end = None;
    while let Some(length) = within[line_start..].iter().position(|byte| *byte == b'\n') {
        let line_end = line_start + length + 1;
        let blank = within[line_start..line_end].trim_ascii().is_empty();
        if line_end >= LINE_END_ENDS_AFTER || (blank && line_end >= BLANK_LINE_ENDS_AFTER) {
            return with_blank_lines(within, line_end);
        }
        if line_end >= BLANK_LINE_ENDS_AFTER {
            last_good_end = Some(line_end);
        }
        line_start = line_end;
    }
    if text.len() <= longest {
        return text.len();
    }
    last_good_end.unwrap_or_else(|| char_start(text, longest))
}

/// Takes the blank lines after a row into the row.
fn with_blank_lines(text: &[u8], mut end: usize) -> usize {
    while let Some(length) = text[end..].iter().position(|byte| *byte == b'\n') {
        if !text[end..end + length].trim_ascii().is_empty() {
            break;
        }
        end += length + 1;
    }
    end
}

/// The last place up to `at` that does not split a UTF-8 character; `at` itself where the bytes are not UTF-8.
fn char_start(text: &[u8], at: usize) -> usize {
    let starts = |place: &usize| text.get(*place).is_none_or(|byte| byte & 0xC0 != 0x80);
    (at.saturating_sub(3)..=at).rev().find(starts).filter(|place| *place > 0).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The row's length, with the bytes fed in pieces of every size.
    fn row_len(boundary: fn() -> Boundary, text: &str) -> Option<usize> {
        let whole = boundary().feed(text.as_bytes());
        for size in 1..text.len() {
            let mut machine = boundary();
            let mut before = 0;
            let mut end = None;
            for piece in text.as_bytes().chunks(size) {
                end = machine.feed(piece).map(|n| before + n);
                if end.is_some() {
                    break;
                }
                before += piece.len();
            }
            assert_eq!(end, whole, "{text} in pieces of {size}");
        }
        whole
    }

    #[test]
    fn a_json_value_ends_at_its_last_bracket() {
        let json = || Boundary::Json(JsonValue::default());
        for (text, row) in [
            (r#"{"a": "}]"}, {"#, r#"{"a": "}]"}"#),
            (r#"{"a": "\"}", "b": [1, {}]}]"#, r#"{"a": "\"}", "b": [1, {}]}"#),
            (r#"{"a": "\\"}, 2"#, r#"{"a": "\\"}"#),
            (r#""a,b", 2"#, r#""a,b""#),
            ("12,3", "12"),
            ("true\n]", "true"),
            ("}, {}", "}"),
        ] {
            assert_eq!(row_len(json, text), Some(row.len()), "{text}");
        }
        assert_eq!(row_len(json, r#"{"a": [1}"#), None);
    }

    #[test]
    fn a_csv_record_ends_at_a_line_end_outside_of_quotes() {
        let csv = || Boundary::Csv(CsvRecord::default(), b',');
        for (text, row) in [
            ("a,b\nc", "a,b\n"),
            ("\"a\nb\",c\r\nd", "\"a\nb\",c\r"),
            ("\"say \"\"hi\n\"\"\",c\nd", "\"say \"\"hi\n\"\"\",c\n"),
            // A quote in the middle of a field is just a quote.
            ("5\" nail,x\ny\"", "5\" nail,x\n"),
            ("\"a\"b\"\nc", "\"a\"b\"\n"),
        ] {
            assert_eq!(row_len(csv, text), Some(row.len()), "{text}");
        }
        let tsv = || Boundary::Csv(CsvRecord::default(), b'\t');
        for (text, row) in [("a\t\"b\nc\"\nd", "a\t\"b\nc\"\n"), ("a,\"b\nc\"\n", "a,\"b\n")] {
            assert_eq!(row_len(tsv, text), Some(row.len()), "{text}");
        }
        let mut open = csv();
        assert_eq!(open.feed(b"a,\"b\n"), None);
        assert_eq!(open.end_of_file(), Err("a quoted field of this row is never closed".into()));
    }

    /// A line of `n` bytes, its end included.
    fn line(n: usize) -> String {
        "x".repeat(n - 1) + "\n"
    }

    fn rows(text: &str) -> Vec<usize> {
        let mut rest = text.as_bytes();
        let mut lengths = Vec::new();
        while !rest.is_empty() {
            let length = text_row_len(rest, LONGEST_TEXT_ROW);
            lengths.push(length);
            rest = &rest[length..];
        }
        assert_eq!(lengths.iter().sum::<usize>(), text.len());
        lengths
    }

    #[test]
    fn text_rows_end_at_blank_lines_then_at_line_ends() {
        // A blank line after 1 KiB ends the row and stays in it; the earlier one does not.
        let text = line(500) + "\n" + &line(600) + "\r\n\n" + &line(100);
        assert_eq!(rows(&text), [500 + 1 + 600 + 2 + 1, 100]);
        // Without blank lines, the first line end after 2 KiB.
        assert_eq!(rows(&line(700).repeat(7)), [2100, 2100, 700]);
    }

    #[test]
    fn a_line_that_goes_on_is_cut_before_it_or_at_8_kib() {
        // A line end after 1 KiB goes before a cut in the middle of a line.
        assert_eq!(rows(&(line(1500) + &line(9000))), [1500, 8192, 808]);
        // A short title stays with its long line.
        assert_eq!(rows(&(line(300) + &line(9000))), [8192, 1108]);
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        // 8192 = 3 × 2730 + 2: the 2731st character would be split.
        assert_eq!(rows(&"字".repeat(3000)), [8190, 810]);
        assert_eq!(text_row_len(&[0x80; 9000], LONGEST_TEXT_ROW), 8192);
    }
}
