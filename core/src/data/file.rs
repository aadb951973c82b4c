//! One data file: what format it has, where its rows are, and what a row's bytes mean.

use std::sync::Arc;

use serde_json::Value;

use super::blocks::{BlockReader, READ_BLOCK};
use super::format::{Format, format_of, format_of_json, unknown_kind};
use super::options::DataOptions;
use super::record::{self, listed};
use super::report::RowOrigin;
use super::scan::{RowStart, Scanner};
use super::source::Source;
use super::{kind, not_utf8};
use crate::error::{Error, Result};
use crate::text::{
    Parsed, Prompt, Row, RowKind, is_label, parse_json, parse_preference, parse_prompt, parse_row,
    parse_text_column, prompt_key,
};
use crate::told::{Told, told};

/// What the first line of a table is.
#[derive(Clone, Copy)]
enum Header<'a> {
    /// Its columns; refused where no row can be read by them.
    Known(fn(&[String]) -> Result<(), Told>),
    /// A row of these columns, if it has as many fields and does not name the first; else its columns.
    OrNone(&'a [&'a str]),
}

/// A source whose format is known.
pub(super) struct DataFile {
    source: Arc<dyn Source>,
    format: Format,
    options: Arc<DataOptions>,
    /// Where the rows begin.
    first: RowStart,
    /// The column names of a CSV file, in lower case.
    header: Vec<String>,
    /// The key that holds each row's text, where one was named.
    text_column: Option<String>,
}

impl DataFile {
    /// Looks into a source's first bytes.
    ///
    /// # Errors
    /// [`Error::Data`] naming the file: it is empty, of an unknown kind, in UTF-16, still compressed, or a CSV file
    /// whose header names no known columns.
    pub(super) fn open(source: Arc<dyn Source>, options: Arc<DataOptions>) -> Result<Self> {
        Self::open_with(source, options, Header::Known(record::check_header))
    }

    /// The same for rows to go on from.
    ///
    /// # Errors
    /// As [`DataFile::open`]; plain text, in which nothing tells where a prompt ends.
    pub(super) fn open_prompts(source: Arc<dyn Source>, options: Arc<DataOptions>) -> Result<Self> {
        let known = |names: &[String]| {
            prompt_key(|key| names.iter().any(|name| name == key), || listed(names)).map(drop)
        };
        let file = Self::open_with(source, options, Header::Known(known))?;
        match file.is_text() {
            false => Ok(file),
            true => Err(Error::Data(format!(
                "{}: nothing tells where a prompt of plain text ends; give one prompt with --prompt -, or several as \
                 {{\"prompt\": …}} a line in a .jsonl",
                file.name()
            ).into())),
        }
    }

    /// The same for rows whose keys somebody else knows: a table whose first line has as many fields as `columns`, and does
    /// not name the first of them, has no header, and these are its columns.
    ///
    /// # Errors
    /// As [`DataFile::open`]; plain text, which has no keys.
    pub(super) fn open_values(
        source: Arc<dyn Source>,
        options: Arc<DataOptions>,
        columns: &[&str],
    ) -> Result<Self> {
        let file = Self::open_with(source, options, Header::OrNone(columns))?;
        match file.is_text() {
            false => Ok(file),
            true => Err(Error::Data(told!(
                "file.text_no_keys",
                "{name}: plain text has no keys; give the rows as .jsonl, .csv or .parquet",
                name = file.name()
            ))),
        }
    }

    fn open_with(source: Arc<dyn Source>, options: Arc<DataOptions>, header: Header) -> Result<Self> {
        let refuse = |why: Told| Err(Error::Data(told!("at", "{name}: {why}", name = source.name(), why)));
        let mut blocks = BlockReader::new(source.clone(), 0);
        let head = blocks.peek(READ_BLOCK)?;
        if let Some(why) = not_utf8::refused(head) {
            return refuse(why);
        }
        let byte_order_mark = if head.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
        let body = &head[byte_order_mark..];
        let format = match format_of(source.name()) {
            Some(Format::JsonArray) => format_of_json(body),
            Some(format) => format,
            None => return refuse(unknown_kind()),
        };
        let mut first = RowStart { offset: byte_order_mark as u64, line: 1 };
        if format == Format::JsonArray {
            let before = body.iter().take_while(|byte| **byte != b'[').count();
            first.offset += before as u64 + 1;
            first.line += body[..before].iter().filter(|byte| **byte == b'\n').count() as u64;
        }
        let text_column = options.text_column.clone();
        let mut file = Self { source, format, options, first, header: Vec::new(), text_column };
        if let Some(separator) = format.separator() {
            file.text_column = file.text_column.map(|name| name.to_lowercase());
            file.read_header(separator, header)?;
        }
        Ok(file)
    }

    /// The file's name, as the user gave it.
    pub(super) fn name(&self) -> &str {
        self.source.name()
    }

    /// The names of its columns, where a header tells them.
    pub(super) fn columns(&self) -> &[String] {
        &self.header
    }

    /// Whether it is plain text, of which every byte counts.
    pub(super) fn is_text(&self) -> bool {
        self.format == Format::Text
    }

    /// Where the row that a scanner of this file found last comes from.
    pub(super) fn origin(&self, scanner: &Scanner) -> RowOrigin {
        RowOrigin { source: self.name().to_string(), line: scanner.place().line }
    }

    /// Goes through the file's rows from the first one on.
    pub(super) fn scanner(&self) -> Scanner {
        self.scanner_at(self.first)
    }

    /// Goes through the file's rows from this one on.
    pub(super) fn scanner_at(&self, place: RowStart) -> Scanner {
        Scanner::new(self.source.clone(), self.format, self.options.max_row_bytes, place)
    }

    /// What the row that a scanner of this file found last means.
    ///
    /// # Errors
    /// Why the row cannot be used.
    pub(super) fn parse(&self, bytes: Result<&[u8], &Told>) -> Result<Parsed, Told> {
        kind::as_asked(self.read(bytes)?, &self.options)
    }

    /// The same before anything becomes of its turns.
    ///
    /// # Errors
    /// Why the row cannot be used.
    pub(super) fn read(&self, bytes: Result<&[u8], &Told>) -> Result<Parsed, Told> {
        match (self.format, self.value(bytes)?) {
            (Format::Text, Value::String(text)) => Ok(Parsed::new(Row::Document(text))),
            (_, value) => {
                let mut parsed = self.meaning(&value)?;
                self.forget_labels(&mut parsed.unused, &value);
                Ok(parsed)
            }
        }
    }

    /// What the row that a scanner of this file found last is to go on from, with those of the `settings` that it has.
    ///
    /// # Errors
    /// Why the row cannot be used.
    pub(super) fn prompt(
        &self,
        bytes: Result<&[u8], &Told>,
        settings: &[&'static str],
    ) -> Result<Prompt, Told> {
        let value = self.value(bytes)?;
        let mut prompt = parse_prompt(&value, self.text_column.as_deref(), settings)?;
        self.forget_labels(&mut prompt.unused, &value);
        Ok(prompt)
    }

    /// A row as text.
    fn text<'a>(&self, bytes: &'a [u8]) -> Result<&'a str, Told> {
        std::str::from_utf8(bytes).map_err(|error| match self.source.encoding() {
            Some(name) => told!("row.not_encoded", "the row holds bytes that are not {name}", name),
            None => not_utf8::reason(bytes, error.valid_up_to()),
        })
    }

    /// A row as a value: plain text is a string, a record of a table an object of its cells.
    pub(super) fn value(&self, bytes: Result<&[u8], &Told>) -> Result<Value, Told> {
        let text = self.text(bytes?)?;
        match self.format {
            Format::Text => Ok(Value::String(text.to_string())),
            Format::Csv => record::object(text, &self.header, b','),
            Format::Tsv => record::object(text, &self.header, b'\t'),
            Format::JsonLines | Format::JsonArray | Format::JsonValues => parse_json(text.trim_ascii_end()),
        }
    }

    /// A cell of a table that is a number is no text: it may label the row, as a number of JSON does.
    fn forget_labels(&self, unused: &mut Vec<String>, row: &Value) {
        if self.format.separator().is_some() {
            unused.retain(|column| !(is_label(column) && record::is_number(&row[column.as_str()])));
        }
    }

    fn meaning(&self, json: &Value) -> Result<Parsed, Told> {
        match &self.text_column {
            Some(column) => parse_text_column(json, column),
            None if self.options.kind == Some(RowKind::Preference) => parse_preference(json),
            None => parse_row(json),
        }
    }

    fn read_header(&mut self, separator: u8, header: Header) -> Result<()> {
        let mut scanner = self.scanner();
        let found = scanner.advance()?;
        let first = match scanner.bytes() {
            Ok(bytes) if found => Ok(bytes),
            Ok(_) => Err(told!("file.no_header", "the file has no header")),
            Err(problem) => Err(problem.clone()),
        };
        let known = |names: &[String]| match (&self.text_column, header) {
            (Some(column), _) => record::check_column(names, column),
            (None, Header::Known(known)) => known(names),
            (None, Header::OrNone(_)) => Ok(()),
        };
        if let (Ok(line), Header::OrNone(columns)) = (&first, header)
            && record::is_row_of(&String::from_utf8_lossy(line), separator, columns)
        {
            self.header = columns.iter().map(ToString::to_string).collect();
            return Ok(());
        }
        let names = first.and_then(|line| record::header_names(self.text(line)?, separator));
        self.header = names.and_then(|names| known(&names).map(|()| names)).map_err(|why| {
            let place = scanner.place().line;
            Error::Data(told!(
                "file.columns",
                "{name}:{place}: the first line must name the columns: {why}",
                name = self.name(),
                place,
                why
            ))
        })?;
        self.first = scanner.next_place();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::source::Memory;

    fn open(name: &str, bytes: impl Into<Vec<u8>>) -> Result<DataFile> {
        DataFile::open(Arc::new(Memory::new(name, bytes)), Arc::new(DataOptions::default()))
    }

    fn refusal(name: &str, bytes: impl Into<Vec<u8>>) -> String {
        open(name, bytes).err().map_or("opened".to_string(), |error| error.to_string())
    }

    /// Each row's line, and its texts or why it is bad.
    fn rows(name: &str, bytes: impl Into<Vec<u8>>) -> Vec<(u64, Result<Vec<String>, Told>)> {
        let file = open(name, bytes).unwrap();
        let mut scanner = file.scanner();
        let mut rows = Vec::new();
        while scanner.advance().unwrap() {
            let texts = file.parse(scanner.bytes()).map(|p| p.row.texts().map(String::from).collect());
            rows.push((scanner.place().line, texts));
        }
        rows
    }

    fn good(line: u64, texts: &[&str]) -> (u64, Result<Vec<String>, Told>) {
        (line, Ok(texts.iter().map(ToString::to_string).collect()))
    }

    #[test]
    fn json_lines_with_byte_order_mark_and_carriage_returns() {
        let text = "\u{FEFF}{\"text\": \"a\"}\r\n\r\n{\"user\": \"q\", \"assistant\": \"a\"}";
        assert_eq!(rows("a.jsonl", text), [good(1, &["a"]), good(3, &["q", "a"])]);
        assert_eq!(rows("a.json", text), rows("a.jsonl", text));
    }

    #[test]
    fn json_lists_and_pretty_printed_objects() {
        let list = "\u{FEFF}\n [ {\"text\": \"a\"},\n{\"text\":\n\"b\"}\n]\n";
        assert_eq!(rows("a.json", list), [good(2, &["a"]), good(3, &["b"])]);
        assert_eq!(rows("a.json", "{\n  \"text\": \"a\"\n}\n"), [good(1, &["a"])]);
    }

    #[test]
    fn csv_columns_have_the_names_of_json_keys() {
        let text = "Instruction, input,output,id\r\nadd,\"1, 2\",3,7\r\n\"say \"\"hi\"\"\",,\"hi\nho\",8\r\n";
        assert_eq!(rows("a.csv", text), [good(2, &["add\n1, 2", "3"]), good(3, &["say \"hi\"", "hi\nho"])]);
        let text = "\u{FEFF}编号,问题 ,答案\r\n7,谁？,\"我，露玛\"\r\n";
        assert_eq!(rows("a.csv", text), [good(2, &["谁？", "我，露玛"])]);
        let text = "q\ta\tid\n\"x, y\"\t\"a\nb\"\t7\n";
        assert_eq!(rows("a.tsv", text), [good(2, &["x, y", "a\nb"])]);
        let text = "messages\n\"[{\"\"role\"\": \"\"user\"\", \"\"content\"\": \"\"q\"\"}]\"\n";
        assert_eq!(rows("a.csv", text), [good(2, &["q"])]);
    }

    #[test]
    fn bad_rows_are_named() {
        let bad = |line, why: &str| (line, Err(why.into()));
        let json =
            [&b"{\"text\": \"a\nb\"}\n{\"text\": \"ab\xFFc\"}\n{\"text\": }\n"[..], b"{\"txt\": 1}"].concat();
        let found = rows("a.jsonl", json);
        assert_eq!(
            found[..4],
            [
                bad(1, "broken JSON: the row ends inside a string (column 11)"),
                bad(2, "broken JSON at column 1: expected a value"),
                bad(
                    3,
                    "byte 13 of the row is not UTF-8; it may be windows-1252: save the file as UTF-8, or try --encoding \
                     windows-1252"
                ),
                bad(4, "broken JSON at column 10: expected a value"),
            ]
        );
        assert!(found[4].1.as_ref().unwrap_err().contains("; found keys txt; "), "{found:?}");
        assert_eq!(
            rows("a.csv", "q,a\n1\n1,2,3\n"),
            [
                bad(2, "the header names 2 fields, and the row has 1"),
                bad(3, "the header names 2 fields, and the row has 3")
            ]
        );
    }

    #[test]
    fn files_that_hold_no_rows_to_begin_with_are_refused() {
        for (name, bytes, reason) in [
            ("a.jsonl", &b""[..], "a.jsonl: the file is empty"),
            (
                "a.txt",
                b"\xFF\xFEa\0",
                "a.txt: the file is in UTF-16; save it as UTF-8, or add --encoding utf-16",
            ),
            (
                "a.jsonl",
                b"\0{\0}\0\n",
                "a.jsonl: the file looks like utf-16be without a byte order mark; save it as UTF-8, or add \
                 --encoding utf-16be",
            ),
            ("a.jsonl.gz", b"\x1F\x8B\x08", "a.jsonl.gz: the file is still compressed"),
            ("a.csv", b"\n\n", "a.csv:1: the first line must name the columns: the file has no header"),
            (
                "a.bin",
                b"abc",
                "a.bin: unknown kind of file by its name; known are .jsonl, .ndjson, .json, .csv, .tsv, .txt, .text and .md, \
                 also with .gz or .zst, and .parquet",
            ),
            (
                "a.txt",
                b"\xFF\xFE\0\0a\0\0\0",
                "a.txt: the file is in UTF-32, which is not read; save it as UTF-8",
            ),
        ] {
            assert_eq!(refusal(name, bytes), reason);
        }
        let reason = refusal("a.csv", b"\xCE\xCA\xCC\xE2,\xB4\xF0\xB0\xB8\n1,2\n");
        assert!(reason.contains("byte 1 of the row is not UTF-8; it may be gbk"), "{reason}");
        let reason = refusal("a.csv", "Was ist das?,Ein Test\n1,2\n");
        assert!(
            reason.starts_with("a.csv:1: the first line must name the columns: expected one of text"),
            "{reason}"
        );
        assert!(reason.contains("; found columns was ist das?, ein test; "), "{reason}");
        for (header, what) in [
            (
                "问题,答案,回答",
                "问题 + 答案 and 问题 + 回答 are both there; keep one of them; found columns 问题, 答案, 回答",
            ),
            ("q,a,note,a", "two columns are called a; keep one of them; found columns q, a, note, a"),
        ] {
            let reason = refusal("a.csv", format!("{header}\n1,2,3,4\n"));
            assert_eq!(reason, format!("a.csv:1: the first line must name the columns: {what}"));
        }
    }
}
