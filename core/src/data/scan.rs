//! Finding the rows of a file one after the other, in memory that does not grow with the file.

use std::sync::Arc;

use super::blocks::BlockReader;
use super::boundary::{Boundary, CsvRecord, JsonValue, LONGEST_TEXT_ROW, text_row_len};
use super::format::Format;
use super::source::Source;
use crate::error::Result;
use crate::told::{Told, told};

/// Where a row begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowStart {
    /// The offset of its first byte.
    pub offset: u64,
    /// The line of its first byte, from 1.
    pub line: u64,
}

/// Goes through the rows of one source.
pub struct Scanner {
    blocks: BlockReader,
    format: Format,
    max_row_bytes: usize,
    /// The line of the next byte.
    line: u64,
    /// The row found last: its place, and its bytes or why they cannot be had.
    place: RowStart,
    row: Vec<u8>,
    problem: Option<Told>,
    /// Whether the list of a JSON file is over.
    closed: bool,
}

impl Scanner {
    /// Reads `source` from `place` on, which is the beginning of a row or of what stands between two rows.
    ///
    /// Rows of more than `max_row_bytes` are passed over as bad rows; plain text is cut there instead.
    pub fn new(source: Arc<dyn Source>, format: Format, max_row_bytes: usize, place: RowStart) -> Self {
        let blocks = BlockReader::new(source, place.offset);
        Self {
            blocks,
            format,
            max_row_bytes,
            line: place.line,
            place,
            row: Vec::new(),
            problem: None,
            closed: false,
        }
    }

    /// Finds the next row; false at the end of the source.
    ///
    /// # Errors
    /// Only if reading fails: a row that cannot be used is found like any other.
    pub fn advance(&mut self) -> Result<bool> {
        const KEPT_CAPACITY: usize = 1 << 20;
        self.row.clear();
        self.row.shrink_to(KEPT_CAPACITY);
        self.problem = None;
        if !self.skip_separators()? {
            return Ok(false);
        }
        self.place = self.next_place();
        if self.format == Format::JsonArray && self.closes_list()? {
            // The end of the list is a row only if something is wrong with it.
            return Ok(self.problem.is_some());
        }
        match self.format {
            Format::Text => self.read_text()?,
            Format::JsonLines => self.read_until(Boundary::Line)?,
            Format::Csv => self.read_until(Boundary::Csv(CsvRecord::default(), b','))?,
            Format::Tsv => self.read_until(Boundary::Csv(CsvRecord::default(), b'\t'))?,
            Format::JsonArray | Format::JsonValues => {
                self.read_until(Boundary::Json(JsonValue::default()))?
            }
        }
        Ok(true)
    }

    /// The bytes of the row found last.
    ///
    /// # Errors
    /// Why they cannot be had: the row is too long, or the file ends in the wrong place.
    pub fn bytes(&self) -> Result<&[u8], &Told> {
        match &self.problem {
            None => Ok(&self.row),
            Some(problem) => Err(problem),
        }
    }

    /// Where the row found last begins.
    pub fn place(&self) -> RowStart {
        self.place
    }

    /// Where the next row is looked for.
    pub fn next_place(&self) -> RowStart {
        RowStart { offset: self.blocks.offset(), line: self.line }
    }

    /// Goes to another place in the same source.
    pub fn seek(&mut self, place: RowStart) {
        self.blocks.seek(place.offset);
        self.line = place.line;
        self.closed = false;
    }

    /// Passes over what stands between two rows; false if the file ends as it should.
    fn skip_separators(&mut self) -> Result<bool> {
        let format = self.format;
        let separates = |byte: &u8| match format {
            Format::Text => false,
            Format::Csv | Format::Tsv => matches!(byte, b'\r' | b'\n'),
            Format::JsonLines | Format::JsonValues => byte.is_ascii_whitespace(),
            Format::JsonArray => byte.is_ascii_whitespace() || *byte == b',',
        };
        if self.closed {
            return Ok(false);
        }
        loop {
            let bytes = self.blocks.peek(1)?;
            if bytes.is_empty() {
                return Ok(format == Format::JsonArray);
            }
            let count = bytes.iter().take_while(|byte| separates(byte)).count();
            let more = count == bytes.len();
            self.line += count_lines(&bytes[..count]);
            self.blocks.consume(count);
            if !more {
                return Ok(true);
            }
        }
    }

    /// Whether the list of a JSON file ends here, as it should or not.
    fn closes_list(&mut self) -> Result<bool> {
        match self.blocks.peek(1)?.first() {
            Some(b']') => self.blocks.consume(1),
            Some(_) => return Ok(false),
            None => {
                self.problem =
                    Some(told!("row.list_open", "the list is never closed: the file ends without ]"))
            }
        }
        if self.problem.is_none() && self.skip_separators()? && !self.blocks.peek(1)?.is_empty() {
            self.problem = Some(told!("row.list_closed", "the list is closed here, and the file goes on"));
        }
        self.closed = true;
        Ok(true)
    }

    fn read_text(&mut self) -> Result<()> {
        let longest = self.max_row_bytes.clamp(4, LONGEST_TEXT_ROW);
        let text = self.blocks.peek(longest + 1)?;
        let length = text_row_len(text, longest);
        self.row.extend_from_slice(&text[..length]);
        self.line += count_lines(&self.row);
        self.blocks.consume(length);
        Ok(())
    }

    fn read_until(&mut self, mut boundary: Boundary) -> Result<()> {
        loop {
            let bytes = self.blocks.peek(1)?;
            if bytes.is_empty() {
                if let Err(problem) = boundary.end_of_file() {
                    self.problem.get_or_insert(problem);
                }
                return Ok(());
            }
            let end = boundary.feed(bytes);
            let taken = &bytes[..end.unwrap_or(bytes.len())];
            let count = taken.len();
            self.line += count_lines(taken);
            if self.row.len() + count > self.max_row_bytes {
                self.row.clear();
                self.problem = Some(too_long(self.max_row_bytes));
            } else if self.problem.is_none() {
                self.row.extend_from_slice(taken);
            }
            self.blocks.consume(count);
            if end.is_some() {
                return Ok(());
            }
        }
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

fn too_long(limit: usize) -> Told {
    match limit >> 20 {
        0 => told!("row.long_bytes", "the row is longer than {limit} bytes", limit),
        mebibytes => told!("row.long", "the row is longer than {mebibytes} MiB", mebibytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::blocks::READ_BLOCK;
    use crate::data::source::Memory;

    const START: RowStart = RowStart { offset: 0, line: 1 };

    fn scanner(format: Format, limit: usize, text: &str) -> Scanner {
        // The scanner of a list starts after its bracket.
        let offset = u64::from(format == Format::JsonArray);
        Scanner::new(Arc::new(Memory::new("a", text)), format, limit, RowStart { offset, ..START })
    }

    /// Every row as its line and its text or problem; each is also found from its own place.
    fn rows(format: Format, limit: usize, text: &str) -> Vec<(u64, Result<String, String>)> {
        let mut scanner = scanner(format, limit, text);
        let mut again = Scanner::new(Arc::new(Memory::new("a", text)), format, limit, START);
        let mut rows = Vec::new();
        let found = |s: &Scanner| {
            let bytes = s.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            (s.place().line, bytes.map_err(ToString::to_string))
        };
        while scanner.advance().unwrap() {
            rows.push(found(&scanner));
            again.seek(scanner.place());
            assert!(again.advance().unwrap());
            assert_eq!(found(&again), found(&scanner));
        }
        assert!(!scanner.advance().unwrap());
        rows
    }

    fn good(line: u64, text: &str) -> (u64, Result<String, String>) {
        (line, Ok(text.to_string()))
    }

    fn bad(line: u64, problem: &str) -> (u64, Result<String, String>) {
        (line, Err(problem.to_string()))
    }

    #[test]
    fn json_lines_skip_blank_lines() {
        let text = "\n{\"a\": 1}\r\n \t\n\r\n{\"b\n{}";
        assert_eq!(
            rows(Format::JsonLines, 99, text),
            [good(2, "{\"a\": 1}\r\n"), good(5, "{\"b\n"), good(6, "{}")]
        );
    }

    #[test]
    fn a_json_list_gives_its_elements() {
        let text = "[\n  {\"a\": \"]\",\n   \"b\": []},\n  [1], 2 ]\n \n";
        assert_eq!(
            rows(Format::JsonArray, 99, text),
            [good(2, "{\"a\": \"]\",\n   \"b\": []}"), good(4, "[1]"), good(4, "2")]
        );
        assert_eq!(rows(Format::JsonArray, 99, "[]"), []);
    }

    #[test]
    fn a_json_list_that_ends_wrongly_is_a_bad_row() {
        let open = "the list is never closed: the file ends without ]";
        let after = "the list is closed here, and the file goes on";
        assert_eq!(rows(Format::JsonArray, 99, "[1,\n"), [good(1, "1"), bad(2, open)]);
        assert_eq!(rows(Format::JsonArray, 99, "[1]\n{}"), [good(1, "1"), bad(1, after)]);
        assert_eq!(rows(Format::JsonArray, 99, "[{\"a\": 1"), [good(1, "{\"a\": 1"), bad(1, open)]);
    }

    #[test]
    fn pretty_printed_values_are_rows() {
        let text = "{\n \"a\": 1\n}\n{\n}";
        assert_eq!(rows(Format::JsonValues, 99, text), [good(1, "{\n \"a\": 1\n}"), good(4, "{\n}")]);
    }

    #[test]
    fn csv_records_may_hold_line_ends() {
        let text = "a,b\r\n\r\n\"x\ny\",\"\"\"z\"\"\"\n1,\"open\n";
        assert_eq!(
            rows(Format::Csv, 99, text),
            [
                good(1, "a,b\r"),
                good(3, "\"x\ny\",\"\"\"z\"\"\"\n"),
                bad(5, "a quoted field of this row is never closed")
            ]
        );
    }

    #[test]
    fn a_row_over_the_limit_is_passed_over() {
        let problem = "the row is longer than 10 bytes";
        let long = "x".repeat(2 * READ_BLOCK);
        assert_eq!(
            rows(Format::JsonLines, 10, &format!("123456789\n{long}\n1234567890\nend")),
            [good(1, "123456789\n"), bad(2, problem), bad(3, problem), good(4, "end")]
        );
        assert_eq!(
            rows(Format::JsonArray, 10, &format!("[\"{long}\", {{\"a\": \"{long}\"}}, 3]")),
            [bad(1, problem), bad(1, problem), good(1, "3")]
        );
        assert_eq!(too_long(64 << 20), "the row is longer than 64 MiB");
    }

    #[test]
    fn plain_text_is_never_lost_nor_repeated() {
        let text = "Ein Satz.\n\n".repeat(40_000) + &"字".repeat(100_000) + "\nEnde";
        for limit in [10, 1000, 1 << 20] {
            let rows = rows(Format::Text, limit, &text);
            let joined: String = rows.iter().map(|(_, row)| row.clone().unwrap()).collect();
            assert!(joined == text, "limit {limit}");
            assert!(rows.iter().all(|(_, row)| row.as_ref().unwrap().len() <= limit.min(8192)));
        }
        let lines: Vec<u64> =
            rows(Format::Text, 1 << 20, &text[..22_000]).iter().map(|(line, _)| *line).collect();
        // 94 sentences with their blank lines are the first 1034 bytes.
        assert_eq!(&lines[..3], [1, 189, 377]);
    }

    #[test]
    fn memory_stays_bounded_however_long_the_row() {
        let mut scanner = scanner(Format::JsonLines, 1 << 16, &"x".repeat(8 << 20));
        assert!(scanner.advance().unwrap());
        assert!(scanner.bytes().is_err());
        assert!(scanner.row.capacity() <= 1 << 17);
    }
}
